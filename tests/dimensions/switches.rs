//! `dim.delete`, `dim.shared_sink`, `dim.schema`, `dim.backfill`: each value of each switch.

use std::collections::BTreeMap;

use engine::testing::simulate::seeds;
use jobs::settings::Deletes;

use super::history::History;
use super::shop::phases::Phases;
use super::shop::{self, Change, Config, ConfigEvent, lines};
use ConfigEvent::{Delete, Put};

/// The rows of one source with keys that no other has.
fn prefixed(changes: Vec<Change>, table: &str, prefix: &str) -> Vec<Change> {
    let prefixed = |mut change: Change| {
        let cells = [Some(&mut change.data), change.old.as_mut()];
        for id in cells.into_iter().flatten().filter_map(|cells| cells.get_mut("id")) {
            *id = id.as_ref().map(|id| format!("{prefix}{id}"));
        }
        change
    };
    changes.into_iter().map(|c| if c.table == table { prefixed(c) } else { c }).collect()
}

#[test]
fn deletes_are_ignored_or_written_if_they_shall_be() {
    for seed in seeds(600, 20) {
        for deletes in [Deletes::Ignore, Deletes::Upsert] {
            let mut history = History::new(seed, 1 + seed % 40);
            history.settings.dim.delete = deletes;
            let mut shop = Phases::with_deletes(deletes);
            let wide = Config::new("sku_info", "dim_a", &["id", "name", "price"]);
            let event = Put(None, wide.clone());
            let changes = shop::changes(seed, 80);
            let (late, live) = changes.split_at(40);
            history.then(late, &[], 0);
            late.iter().for_each(|change| shop.change(change));
            history.then(live, std::slice::from_ref(&event), 2);
            shop.configure(&event);
            live.iter().for_each(|change| shop.change(change));
            assert_eq!(history.tables(), shop.tables(), "seed {seed}: {deletes:?}");
            let is_delete = |c: &&Change| c.table == "sku_info" && c.kind == "delete";
            let ignored = history.counter("dropped", Some(("reason", "delete_ignored")));
            let most = live.iter().filter(is_delete).count() as u64;
            let expected = if deletes == Deletes::Ignore { 0..=most } else { 0..=0 };
            assert!(expected.contains(&ignored), "seed {seed}: {deletes:?}: {ignored}");
        }
    }
}

#[test]
fn two_sources_share_a_sink_however_late_they_come() {
    for seed in seeds(700, 40) {
        let mut history = History::new(seed, 1 + seed % 30);
        history.settings.dim.shared_sink = true;
        let changes = prefixed(shop::changes(seed, 900), "spu_info", "s");
        let put = |source, columns| Put(None, Config::new(source, "dim_a", columns));
        let mut events =
            [put("sku_info", &["id", "name"]), put("spu_info", &["id", "name", "price"])];
        // Their records lie in different partitions: each is the one that is read again for longer.
        events.rotate_left(usize::from(seed.is_multiple_of(2)));
        let (old, new) = changes.split_at(600);
        history.then(old, &[], 0);
        history.then(new, &events, u32::from(seed.is_multiple_of(4)));
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "seed {seed}");
    }
}

#[test]
fn in_a_shared_sink_the_last_write_wins_and_deletes_apply() {
    for seed in seeds(800, 6) {
        let mut history = History::new(seed, 1 + seed % 30);
        history.settings.dim.shared_sink = true;
        let (a, b) = (Config::new("sku_info", "dim_a", &["id", "name"]), "spu_info");
        let b = Config { source: b.to_owned(), ..a.clone() };
        let other_key = Config { keys: vec!["name".to_owned()], ..b.clone() };
        let sku = |kind, cells| Change::of("sku_info", kind, cells);
        let spu = |kind, cells| Change::of("spu_info", kind, cells);
        let put = |row: &Config| Put(None, row.clone());
        history.then(&[], &[put(&a), put(&other_key), put(&b)], 1);
        history.then(&[sku("insert", "id=1 name=A"), sku("insert", "id=2 name=A")], &[], 0);
        history.then(&[spu("insert", "id=1 name=B"), spu("delete", "id=2 name=")], &[], 1);
        history.then(&[sku("insert", "id=3 name=A")], &[], 0);
        assert_eq!(lines(&history.tables()["dim_a"]), ["id=1 name=B", "id=3 name=A"]);
        assert_eq!(history.side("dimensions_config_fault").len(), 1, "the one with another key");
        // One of them goes; the other stays.
        history.then(&[], &[Delete(a)], 0);
        let changes = [sku("insert", "id=4 name=A"), spu("insert", "id=5 name=B")];
        history.then(&changes, &[], 1);
        let rows = ["id=1 name=B", "id=3 name=A", "id=5 name=B"];
        assert_eq!(lines(&history.tables()["dim_a"]), rows, "seed {seed}");
    }
}

#[test]
fn tables_lie_in_the_schema_that_is_configured() {
    for (schema, expected) in
        [(None, None), (Some("gmall2022_realtime"), Some("GMALL2022_REALTIME"))]
    {
        let mut history = History::new(1, 10);
        history.settings.dim.schema = schema.map(str::to_owned);
        let (changes, events) = (shop::changes(1, 40), shop::widening(1));
        history.then(&changes, &events, 2);
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "{schema:?}");
        let tables = history.store.tables();
        assert!(tables.iter().all(|table| table.schema.as_deref() == expected), "{tables:?}");
    }
    // Another schema is another table, and a table lies in one.
    let mut history = History::new(2, 10);
    let row = Config::new("sku_info", "dim_a", &["id"]);
    history.then(&[], &[Put(None, row.clone())], 0);
    history.settings.dim.schema = Some("other".to_owned());
    history.then(&[], &[Delete(row.clone()), Put(None, row)], 0);
    assert_eq!(history.counter("config_rejected", None), 1);
}

/// Per table, how many records came before anybody asked for them.
pub(crate) fn lost(history: &History, sources: &[&str]) -> BTreeMap<String, u64> {
    let lost = |source: &&str| {
        ((*source).to_owned(), history.counter("no_config", Some(("table", source))))
    };
    sources.iter().map(lost).collect()
}

/// The changes without the first ones of each table.
pub(crate) fn without(changes: &[Change], mut lost: BTreeMap<String, u64>) -> Vec<Change> {
    let mut left = changes.to_vec();
    left.retain(|change| match lost.get_mut(change.table) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    left
}

#[test]
fn without_back_fill_what_came_before_its_configuration_is_lost_and_counted() {
    let (mut some, mut all) = (0, 0);
    for seed in seeds(1_100, 60) {
        let mut history = History::new(seed, 1 + seed % 12);
        history.settings.dim.backfill = false;
        let changes = shop::changes(seed, 60);
        let put = |source, sink| Put(None, Config::new(source, sink, &["id", "name", "price"]));
        let events = [put("sku_info", "dim_sku"), put("spu_info", "dim_spu")];
        history.then(&changes, &events, u32::try_from(seed % 3).expect("small"));
        // Whatever the cut was: the records of a table up to there are lost, all others are not.
        let lost = lost(&history, &["sku_info", "spu_info"]);
        some += lost.values().sum::<u64>();
        let routed = without(&changes, lost);
        all += routed.len();
        assert_eq!(history.tables(), shop::outcome(&routed, &events), "seed {seed}");
        assert_eq!(history.counter("backfill_rows", None), 0, "seed {seed}");
    }
    assert!(some > 100 && all > 500, "{some} lost, {all} not");
}

#[test]
fn without_back_fill_a_new_column_begins_empty() {
    for seed in seeds(1_200, 4) {
        let mut history = History::new(seed, 1 + seed % 12);
        history.settings.dim.backfill = false;
        let sku = |kind, cells| Change::of("sku_info", kind, cells);
        let narrow = Config::new("sku_info", "dim_a", &["id", "name"]);
        let wide = narrow.with(&["id", "name", "price"]);
        history.then(&[sku("insert", "id=1 name=A price=1")], &[], 0);
        history.then(&[], &[Put(None, narrow.clone())], 1);
        history.then(&[sku("insert", "id=2 name=B price=2")], &[], 0);
        history.then(&[], &[Put(Some(narrow), wide)], 1);
        history.then(&[sku("insert", "id=3 name=C price=3")], &[], 0);
        let rows = ["id=2 name=B price=", "id=3 name=C price=3"];
        assert_eq!(lines(&history.tables()["dim_a"]), rows, "seed {seed}");
        assert_eq!(lost(&history, &["sku_info"])["sku_info"], 1);
    }
}

#[test]
fn without_back_fill_a_config_row_takes_effect_with_the_next_epoch() {
    for seed in seeds(1_250, 4) {
        let mut history = History::with_an_epoch_per_phase(seed);
        history.settings.dim.backfill = false;
        let (first, second) = ("sku_info", "spu_info");
        let put = |source, sink| Put(None, Config::new(source, sink, &["id", "name"]));
        let row = |table| Change::of(table, "insert", "id=1 name=A");
        // The very first epoch has its configuration before its rows.
        history.then(&[row(first), row(second)], &[put(first, "dim_a")], 0);
        assert_eq!(lines(&history.tables()["dim_a"]), ["id=1 name=A"], "seed {seed}");
        history.then(&[row(second)], &[put(second, "dim_b")], 0);
        assert_eq!(lines(&history.tables()["dim_b"]), [""; 0], "seed {seed}");
        history.then(&[row(second)], &[], 0);
        assert_eq!(lines(&history.tables()["dim_b"]), ["id=1 name=A"], "seed {seed}");
        assert_eq!(lost(&history, &[first, second])[second], 2, "seed {seed}");
    }
}
