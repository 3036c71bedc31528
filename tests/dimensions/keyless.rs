//! Changes without key: told once for each sink, whenever its configuration came.

use engine::testing::simulate::seeds;

use super::history::{History, START_MS};
use super::shop::{self, Change, Config, ConfigEvent};
use ConfigEvent::Put;

/// Some of the changes lose their key.
fn with_keyless(seed: u64, count: u64) -> Vec<Change> {
    let mut changes = shop::changes(seed, count);
    for change in changes.iter_mut().step_by(4) {
        change.data.insert("id".to_owned(), None);
    }
    changes
}

/// The records without key of these source tables, sorted.
fn keyless_of(changes: &[Change], sources: &[&str]) -> Vec<String> {
    let mut records = Vec::new();
    for source in sources {
        let keyless = |change: &&Change| {
            change.table == *source && change.data.get("id").cloned().flatten().is_none()
        };
        let text = |change: &Change| String::from_utf8(change.json(START_MS / 1000)).expect("text");
        records.extend(changes.iter().filter(keyless).map(text));
    }
    records.sort();
    records
}

fn told(history: &History) -> Vec<String> {
    let mut told = history.side("dimensions_null_pk");
    told.sort();
    told
}

#[test]
fn a_change_without_key_is_told_once_whenever_its_table_is_configured() {
    let mut all = 0;
    for seed in seeds(1_800, 32) {
        let mut history = History::new(seed, 1 + seed % 20);
        if seed.is_multiple_of(2) {
            history = history.with_workers(&[2, 1, 3], seed.is_multiple_of(4));
        }
        let changes = with_keyless(seed, 200);
        // They come, grow wider, go and come again; some of the changes are there before.
        let events = shop::spaced(seed, &shop::widening(seed));
        let (old, live) = changes.split_at(usize::try_from(50 * (seed % 4)).expect("small"));
        history.then(old, &[], 0);
        history.then(live, &events, u32::try_from(seed % 3).expect("small"));
        let expected = keyless_of(&changes, &["sku_info", "sku_info", "spu_info"]);
        assert_eq!(told(&history), expected, "seed {seed}");
        assert_eq!(history.counter("null_pk", None), expected.len() as u64, "seed {seed}");
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "seed {seed}");
        all += expected.len();
    }
    assert!(all > 600, "only {all} records");
}

#[test]
fn without_back_fill_it_is_told_if_it_came_late_enough() {
    for seed in seeds(1_900, 10) {
        let mut history = History::new(seed, 1 + seed % 20);
        history.settings.dim.backfill = false;
        let changes = with_keyless(seed, 80);
        let (early, late) = changes.split_at(40);
        let put = Put(None, Config::new("sku_info", "dim_a", &["id", "name"]));
        let nothing = Put(None, Config::new("order_info", "dim_b", &["id"]));
        history.then(early, &[nothing], 1);
        history.then(&[], &[put], 1);
        history.then(late, &[], 1);
        let told_of = |table: &str| {
            let mark = format!("\"table\":\"{table}\"");
            told(&history).into_iter().filter(|record| record.contains(&mark)).collect::<Vec<_>>()
        };
        assert_eq!(told_of("sku_info"), keyless_of(late, &["sku_info"]), "seed {seed}");
    }
}
