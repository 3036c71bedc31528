//! Rows are looked up while the job writes them: what was acknowledged is seen, at once and whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use connectors::format::dimension::{ChangeView, DimensionOp, push_lookup_key};
use engine::clock::Moment;
use engine::lookup::{Answer, Lookup};
use engine::outbox::block::Block;
use engine::outbox::rows::RowReader;
use engine::sink::Unit;
use engine::testing::simulate::seeds;
use store::phoenix::DimensionStore;
use store::phoenix::lookup::DimensionLookup;

use super::history::History;
use super::shop::{self, Table};
use super::trouble::Troubled;

/// A row by column, NULLs left out; names in lower case.
type Row = BTreeMap<String, String>;
/// A table and the texts of a key.
type Key = (String, Vec<String>);

/// What was acknowledged, change by change.
#[derive(Default)]
struct Acknowledged {
    rows: BTreeMap<Key, Option<Row>>,
    upto: u64,
    asked: u64,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("texts are UTF-8")
}

fn cells(change: &ChangeView<'_>) -> Vec<(String, Option<String>)> {
    change.cells().map(|(name, cell)| (name.to_lowercase(), cell.map(text))).collect()
}

impl Acknowledged {
    /// Takes a unit; the keys it touched.
    fn unit(&mut self, store: &DimensionStore, unit: &Unit, blocks: &[Arc<Block>]) -> Vec<Key> {
        if unit.upper <= self.upto {
            return Vec::new();
        }
        self.upto = unit.upper;
        let rows = blocks.iter().flat_map(|block| RowReader::new(&block.bytes));
        let values = rows.map(|row| row.expect("whole").value.expect("a change").to_vec());
        values.map(|value| self.change(store, &value)).collect()
    }

    fn change(&mut self, store: &DimensionStore, value: &[u8]) -> Key {
        let change = ChangeView::read(value).expect("a change");
        let table = store.table(change.table).expect("made before its rows");
        let cells = cells(&change);
        let of_key = |name: &str| {
            let cell = cells.iter().find(|(column, _)| *column == name.to_lowercase());
            cell.and_then(|(_, text)| text.clone()).expect("a key is whole")
        };
        let key = (table.name.clone(), table.key_names().iter().map(|name| of_key(name)).collect());
        let before = self.rows.remove(&key).flatten();
        let row = match change.op {
            DimensionOp::Delete => None,
            DimensionOp::Replace => Some(Row::new()),
            DimensionOp::Upsert => Some(before.unwrap_or_default()),
        };
        let row = row.map(|mut row| {
            for (column, text) in cells {
                match text {
                    Some(text) => drop(row.insert(column, text)),
                    None => drop(row.remove(&column)),
                }
            }
            row
        });
        self.rows.insert(key.clone(), row);
        key
    }
}

/// Asks for one row.
fn look_up(store: &DimensionStore, (table, texts): &Key) -> Option<Row> {
    let mut key = Vec::new();
    push_lookup_key(&mut key, table, texts.iter().map(|text| Some(text.as_bytes())));
    let mut lookup = DimensionLookup::new(store.clone());
    lookup.begin(7, vec![key]);
    match lookup.poll(Moment::default()).expect("served at once") {
        (7, mut answers) if answers.len() == 1 => match answers.remove(0) {
            Answer::Absent => None,
            Answer::Row(row, _) => {
                let row = ChangeView::read(&row).expect("a change");
                assert_eq!(row.op, DimensionOp::Replace);
                let whole = cells(&row).into_iter();
                Some(whole.filter_map(|(column, text)| Some((column, text?))).collect())
            }
            Answer::Fault(fault) => panic!("{fault}"),
        },
        other => panic!("one key has one answer: {other:?}"),
    }
}

#[test]
fn what_was_acknowledged_is_never_seen_stale() {
    let mut asked = 0;
    for seed in seeds(1_300, 20) {
        let mut history = History::new(seed, 1 + seed % 30);
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let (known, store) = (acknowledged.clone(), history.store.clone());
        let mut sink = Troubled::new(history.sink.clone(), &[]);
        sink.delivered = Some(Arc::new(move |unit, blocks| {
            let mut known = known.lock().expect("one thread");
            for key in known.unit(&store, unit, blocks) {
                assert_eq!(look_up(&store, &key), known.rows[&key], "seed {seed}: {key:?}");
                known.asked += 1;
            }
        }));
        history.sink = Arc::new(sink);
        let (changes, events) = (shop::changes(seed, 120), shop::widening(seed));
        history.then(&changes, &events, 4);
        assert_all_seen(&history.store, &shop::outcome(&changes, &events));
        asked += acknowledged.lock().expect("one thread").asked;
    }
    assert!(asked > 500, "only {asked} rows were asked for");
}

/// Every row of the outcome, and none that is not.
fn assert_all_seen(store: &DimensionStore, expected: &BTreeMap<String, Table>) {
    for (table, rows) in expected {
        for id in 0..7 {
            let key = vec![id.to_string()];
            let row = rows.get(&key).map(|row| {
                let cell = |(column, text): (&String, &Option<String>)| {
                    Some((column.clone(), text.clone()?))
                };
                row.iter().filter_map(cell).collect::<Row>()
            });
            // The name of a table has no case.
            assert_eq!(look_up(store, &(table.clone(), key.clone())), row, "{table} {key:?}");
        }
    }
}
