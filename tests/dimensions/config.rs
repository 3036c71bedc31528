//! `dim.config_update`, `dim.config_late`: each value that is not the default.

use std::sync::Arc;

use engine::limit::DDL_HOLD_MS;
use engine::testing::simulate::seeds;
use jobs::settings::{ConfigLate, ConfigUpdates};

use super::history::History;
use super::shop::{self, Change, Config, ConfigEvent, lines};
use super::switches::{lost, without};
use super::trouble::{Trouble, Troubled};
use ConfigEvent::Put;

#[test]
fn updates_are_ignored_and_counted_if_they_shall_be() {
    let mut ignored = 0;
    for seed in seeds(1_400, 40) {
        let mut history = History::new(seed, 1 + seed % 30);
        history.settings.dim.config_update = ConfigUpdates::Ignore;
        let (changes, events) = (shop::changes(seed, 120), shop::widening(seed));
        history.then(&changes, &events, u32::try_from(seed % 4).expect("small"));
        let is_update = |event: &&ConfigEvent| matches!(event, Put(Some(_), _));
        let updates = events.iter().filter(is_update).count() as u64;
        let left: Vec<_> = events.iter().filter(|event| !is_update(event)).cloned().collect();
        assert_eq!(history.tables(), shop::outcome(&changes, &left), "seed {seed}");
        assert_eq!(history.counter("config_ignored", None), updates, "seed {seed}");
        ignored += updates;
    }
    assert!(ignored > 40, "only {ignored} updates");
}

/// Rows that come before their configuration are dropped, those of the first epoch too, and those
/// whose table is being made.
#[test]
fn rows_that_come_early_are_dropped_and_counted_if_they_shall_be() {
    let (mut some, mut all) = (0, 0);
    for seed in seeds(1_500, 40) {
        let mut history = History::new(seed, 1 + seed % 12);
        history.settings.dim.backfill = false;
        history.settings.dim.config_late = ConfigLate::Drop;
        let slow_ms = if seed.is_multiple_of(4) { 2 * DDL_HOLD_MS } else { 0 };
        if slow_ms > 0 {
            // Simulated time is dear.
            history.simulation.settings.epoch.interval_ms = Some(300);
            history.simulation.settings.epoch.rows_max = Some(1 + seed % 20);
        }
        let slow = Trouble { slow_ms, ..Trouble::default() };
        history.sink = Arc::new(Troubled::new(history.sink.clone(), &[("dim_spu", slow)]));
        let changes = shop::changes(seed, 80);
        let put = |source, sink| Put(None, Config::new(source, sink, &["id", "name", "price"]));
        let events = [put("sku_info", "dim_sku"), put("spu_info", "dim_spu")];
        history.then(&changes, &events, u32::try_from(seed % 3).expect("small"));
        let lost = lost(&history, &["sku_info", "spu_info"]);
        some += lost.values().sum::<u64>();
        let routed = without(&changes, lost);
        all += routed.len();
        assert_eq!(history.tables(), shop::outcome(&routed, &events), "seed {seed}");
    }
    assert!(some > 200 && all > 500, "{some} lost, {all} not");
}

#[test]
fn rows_of_the_first_epoch_are_early_too() {
    for seed in seeds(1_550, 4) {
        // One epoch per phase.
        let mut history = History::new(seed, 3_600_000);
        history.settings.dim.backfill = false;
        history.settings.dim.config_late = ConfigLate::Drop;
        let row = |id: u32| Change::of("sku_info", "insert", &format!("id={id} name=A"));
        let put = Put(None, Config::new("sku_info", "dim_a", &["id", "name"]));
        history.then(&[row(1)], &[put], 0);
        history.then(&[row(2)], &[], 0);
        assert_eq!(lines(&history.tables()["dim_a"]), ["id=2 name=A"], "seed {seed}");
        assert_eq!(lost(&history, &["sku_info"])["sku_info"], 1, "seed {seed}");
    }
}
