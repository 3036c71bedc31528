//! Narrowing, moving, deleting, two sources for one sink: what each does, told row by row.
//!
//! Every case runs in several interleavings and dies now and then; its outcome is one.

use super::history::History;
use super::shop::{self, Change, Config, ConfigEvent, lines};
use ConfigEvent::{Delete, Put};
use engine::testing::simulate::seeds;

/// Runs a case under some seeds.
fn everywhere(case: impl Fn(&mut Phased)) {
    for seed in seeds(900, 6) {
        case(&mut Phased { history: History::new(seed, 1 + 7 * (seed % 5)), seed });
    }
}

struct Phased {
    history: History,
    seed: u64,
}

impl Phased {
    /// Changes and configuration that meet; then a quiet moment.
    fn then(&mut self, changes: &[Change], events: &[ConfigEvent]) {
        self.history.then(changes, events, u32::from(self.seed.is_multiple_of(2)));
    }

    fn assert(&self, table: &str, rows: &[&str]) {
        let tables = self.history.tables();
        assert_eq!(lines(&tables[table]), rows, "seed {}: {table}", self.seed);
    }
}

fn sku(kind: &'static str, cells: &str) -> Change {
    Change::of("sku_info", kind, cells)
}

fn spu(kind: &'static str, cells: &str) -> Change {
    Change::of("spu_info", kind, cells)
}

fn row(source: &str, sink: &str) -> Config {
    Config::new(source, sink, &["id", "name", "price"])
}

#[test]
fn a_column_that_leaves_keeps_its_values_and_comes_back_with_what_was_missed() {
    everywhere(|case| {
        let wide = row("sku_info", "dim_a");
        let narrow = wide.with(&["id", "name"]);
        case.then(
            &[sku("insert", "id=1 name=A price=1"), sku("insert", "id=2 name=B price=2")],
            &[Put(None, wide.clone())],
        );
        case.then(&[], &[Put(Some(wide.clone()), narrow.clone())]);
        case.then(
            &[
                sku("update", "id=1 name=AA price=11").before("name=A price=1"),
                sku("insert", "id=3 name=C price=3"),
                sku("update", "id=4 name=BB price=2").before("id=2 name=B"),
            ],
            &[],
        );
        case.assert(
            "dim_a",
            &["id=1 name=AA price=1", "id=3 name=C price=", "id=4 name=BB price="],
        );
        case.then(
            &[sku("update", "id=3 name=C price=").before("price=3")],
            &[Put(Some(narrow), wide)],
        );
        case.assert(
            "dim_a",
            &["id=1 name=AA price=11", "id=3 name=C price=", "id=4 name=BB price=2"],
        );
    });
}

#[test]
fn a_row_that_moves_to_another_sink_leaves_the_old_one_as_it_is() {
    everywhere(|case| {
        let (old, new) = (row("sku_info", "dim_a"), row("sku_info", "dim_b"));
        case.then(&[sku("insert", "id=1 name=A")], &[Put(None, old.clone())]);
        case.then(&[sku("insert", "id=2 name=B")], &[]);
        case.then(&[], &[Put(Some(old.clone()), new.clone())]);
        let changes = [
            sku("delete", "id=1 name=A"),
            sku("update", "id=2 name=BB").before("name=B"),
            sku("insert", "id=3 name=C"),
        ];
        case.then(&changes, &[]);
        case.assert("dim_a", &["id=1 name=A price=", "id=2 name=B price="]);
        case.assert("dim_b", &["id=2 name=BB price=", "id=3 name=C price="]);
        // And back: what the first table missed is made up for.
        case.then(&[], &[Put(Some(new), old)]);
        case.then(&[sku("insert", "id=4 name=D")], &[]);
        case.assert("dim_a", &["id=2 name=BB price=", "id=3 name=C price=", "id=4 name=D price="]);
        case.assert("dim_b", &["id=2 name=BB price=", "id=3 name=C price="]);
    });
}

#[test]
fn a_deleted_row_leaves_its_table_and_catches_up_when_it_is_back() {
    everywhere(|case| {
        let config = row("sku_info", "dim_a");
        case.then(
            &[sku("insert", "id=1 name=A"), sku("insert", "id=2 name=B price=2")],
            &[Put(None, config.clone())],
        );
        case.then(&[], &[Delete(config.clone())]);
        let changes = [
            sku("delete", "id=1 name=A"),
            sku("update", "id=2 name=BB").before("name=B"),
            sku("insert", "id=3 name=C"),
        ];
        case.then(&changes, &[]);
        case.assert("dim_a", &["id=1 name=A price=", "id=2 name=B price=2"]);
        assert_eq!(case.history.counter("no_config", Some(("table", "sku_info"))), 3);
        case.then(&[sku("insert", "id=4 name=D")], &[Put(None, config)]);
        case.assert("dim_a", &["id=2 name=BB price=2", "id=3 name=C price=", "id=4 name=D price="]);
    });
}

#[test]
fn a_sink_has_one_source_until_that_goes() {
    everywhere(|case| {
        let (first, second) = (row("sku_info", "dim_a"), row("spu_info", "dim_a"));
        case.then(
            &[sku("insert", "id=1 name=A"), spu("insert", "id=2 name=b")],
            &[Put(None, first.clone()), Put(None, second.clone())],
        );
        case.assert("dim_a", &["id=1 name=A price="]);
        let faults = case.history.side("dimensions_config_fault");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("spu_info"), "{faults:?}");
        // It is forgotten: it does not come alive by itself.
        case.then(&[spu("insert", "id=3 name=c")], &[Delete(first)]);
        case.assert("dim_a", &["id=1 name=A price="]);
        case.then(&[spu("delete", "id=2 name=b")], &[Put(None, second)]);
        case.assert("dim_a", &["id=1 name=A price=", "id=3 name=c price="]);
    });
}

#[test]
fn a_table_that_is_there_keeps_its_key_and_its_salt() {
    everywhere(|case| {
        let config = row("sku_info", "dim_a");
        let by_name = Config { keys: vec!["name".to_owned()], ..config.clone() };
        let salted = Config { extend: Some(" SALT_BUCKETS = 3".to_owned()), ..config.clone() };
        case.then(&[sku("insert", "id=1 name=A")], &[Put(None, config.clone())]);
        // In force it is told from the row; gone, by the table.
        case.then(&[], &[Put(Some(config.clone()), by_name.clone())]);
        case.then(&[], &[Put(Some(by_name.clone()), salted.clone())]);
        case.then(&[sku("insert", "id=2 name=B")], &[Delete(salted.clone())]);
        case.then(&[], &[Put(None, by_name), Put(None, salted)]);
        case.then(&[sku("insert", "id=3 name=C")], &[]);
        let known = lines(&case.history.tables()["dim_a"]);
        assert_eq!(known[0], "id=1 name=A price=");
        assert!(known.len() <= 2, "{known:?}");
        assert_eq!(case.history.counter("config_rejected", None), 4);
        case.then(&[], &[Put(None, config)]);
        let rows = ["id=1 name=A price=", "id=2 name=B price=", "id=3 name=C price="];
        case.assert("dim_a", &rows);
    });
}

#[test]
fn a_row_that_narrows_while_it_is_filled_is_filled_with_what_is_left() {
    for seed in seeds(950, 10) {
        let mut history = History::new(seed, 1 + seed % 5);
        let wide = row("sku_info", "dim_a");
        let narrow = wide.with(&["id", "name"]);
        let changes = shop::changes(seed, 300);
        let (old, live) = changes.split_at(250);
        history.then(old, &[], 0);
        let events = [Put(None, wide.clone()), Put(Some(wide), narrow.clone())];
        history.then(live, &shop::spaced(seed, &events), 1);
        let expected = shop::outcome(&changes, &[Put(None, narrow)]);
        // Of the column that left, nobody knows which values came in time.
        let mut tables = history.tables();
        let left = tables.values_mut().flat_map(|table| table.values_mut());
        left.for_each(|row| drop(row.remove("price")));
        assert_eq!(tables, expected, "seed {seed}");
    }
}
