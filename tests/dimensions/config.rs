//! `dim.config_update`, `dim.config_late`: each value that is not the default.

use std::sync::Arc;

use engine::limit::DDL_HOLD_MS;
use engine::testing::simulate::seeds;
use jobs::settings::{ConfigLate, ConfigUpdates};

use super::churn::ten_phases;
use super::history::History;
use super::shop::phases::Phases;
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
        let mut history = History::with_an_epoch_per_phase(seed);
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

/// The whole of a changing configuration, where every update makes its table anew.
#[test]
fn tables_are_made_anew_with_what_can_be_read_again() {
    let mut moved = 0;
    for seed in seeds(1_600, 24) {
        let mut history = History::new(seed, 1 + seed % 40);
        history.settings.dim.config_update = ConfigUpdates::Recreate;
        if seed.is_multiple_of(3) {
            history = history.with_workers(&[2, 1, 3], false);
        }
        let mut shop = Phases::recreating();
        ten_phases(&mut history, &mut shop, seed);
        moved += history.store.tables().iter().filter(|table| table.edition > 0).count();
    }
    assert!(moved > 24, "only {moved} tables were made anew");
}

#[test]
fn without_back_fill_all_rows_of_a_table_made_anew_are_lost() {
    for seed in seeds(1_700, 12) {
        let mut history = History::new(seed, 1 + seed % 12);
        history.settings.dim.config_update = ConfigUpdates::Recreate;
        history.settings.dim.backfill = false;
        let sku = |cells| Change::of("sku_info", "insert", cells);
        let before = Config::new("sku_info", "dim_a", &["id", "name"]);
        let after = Config { keys: vec!["name".to_owned()], ..before.with(&["name", "price"]) };
        let crashes = u32::try_from(seed % 3).expect("small");
        history.then(&[], &[Put(None, before.clone())], crashes);
        history.then(&[sku("id=1 name=A price=1"), sku("id=2 name=B price=2")], &[], crashes);
        assert_eq!(lines(&history.tables()["dim_a"]), ["id=1 name=A", "id=2 name=B"]);
        history.then(&[], &[Put(Some(before), after)], crashes);
        assert_eq!(lines(&history.tables()["dim_a"]), [""; 0], "seed {seed}");
        history.then(&[sku("id=3 name=C price=3")], &[], crashes);
        assert_eq!(lines(&history.tables()["dim_a"]), ["name=C price=3"], "seed {seed}");
    }
}

/// Slow tables: an edition that is still being made when the next one is asked for.
#[test]
fn of_two_editions_that_are_slow_the_later_one_stays() {
    for seed in seeds(1_750, 10) {
        let mut history = History::new(seed, 300);
        history.simulation.settings.epoch.rows_max = Some(1 + seed % 20);
        history.settings.dim.config_update = ConfigUpdates::Recreate;
        let later = u32::try_from(seed % 4).expect("small");
        let slow = Trouble { slow_ms: 6_000, later, never: false };
        history.sink = Arc::new(Troubled::new(history.sink.clone(), &[("dim_a", slow)]));
        let first = Config::new("sku_info", "dim_a", &["id", "name"]);
        let second = first.with(&["id", "price"]);
        let third = first.with(&["id", "name", "tm_id"]);
        let changes = shop::changes(seed, 60);
        history.add(&changes, &[Put(None, first.clone())]);
        history.add(&[], &[Put(Some(first), second.clone()), Put(Some(second), third.clone())]);
        history.work_off(if seed.is_multiple_of(2) { &[20_000, 30_000] } else { &[] });
        let expected = shop::outcome(&changes, &[Put(None, third)]);
        assert_eq!(history.tables(), expected, "seed {seed}");
    }
}
