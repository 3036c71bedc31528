//! Live rows and back-fills in any interleaving, beside a replay of everything from the first record.

use std::collections::{BTreeMap, BTreeSet};

use connectors::format::dimension::{ChangeView, DimensionOp, push_change};
use engine::batch::NO_TIME;
use engine::batch::build::BatchBuilder;
use engine::batch::order::Order;
use engine::testing::by_hand::ByHand;
use proptest::prelude::*;

use super::*;
use crate::dim::notice::Route;

const COLUMNS: [&str; 3] = ["a", "b", "c"];
/// Two sources feed one sink, each its own keys.
const SOURCES: [&str; 2] = ["s0", "s1"];

type Cells = Vec<(usize, Option<u8>)>;

/// A record of a source.
#[derive(Debug, Clone)]
enum Record {
    Upsert(u8, Cells),
    Delete(u8),
    /// The key changes.
    Move(u8, u8, Cells),
}

/// What the configuration does to one source.
#[derive(Debug, Clone, Copy)]
enum Config {
    Put,
    Widen,
    Remove,
}

/// One epoch.
#[derive(Debug, Clone)]
struct Step {
    config: Option<(usize, Config)>,
    /// Records of each source: live ones, and ones read again.
    live: [usize; 2],
    again: [usize; 2],
    /// Records that the source is ahead when it is asked to read again.
    ahead: usize,
    /// Whether old records sort before live ones.
    old_first: bool,
    restart: bool,
}

type Table = BTreeMap<String, BTreeMap<String, String>>;

fn apply(table: &mut Table, change: &[u8]) -> String {
    let change = ChangeView::read(change).expect("a change");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (_, key) = change.cells().next().expect("the key is the first cell");
    let key = text(key.expect("not null"));
    let before = table.remove(&key);
    let mut row = match change.op {
        DimensionOp::Delete => return key,
        DimensionOp::Replace => BTreeMap::new(),
        DimensionOp::Upsert => before.unwrap_or_default(),
    };
    for (column, cell) in change.cells() {
        match cell {
            Some(cell) => drop(row.insert(column.to_owned(), text(cell))),
            None => drop(row.remove(column)),
        }
    }
    table.insert(key.clone(), row);
    key
}

/// The changes of a record for a route with the first `width` columns: what the gate makes of it.
fn changes(source: usize, record: &Record, width: usize) -> Vec<(String, Vec<u8>)> {
    let change = |op, key: &u8, cells: &Cells| {
        let id = format!("{source}-{key}");
        let named = cells.iter().filter(|(column, _)| *column < width);
        let texts: Vec<_> = named.map(|(c, text)| (COLUMNS[*c], text.map(|t| [t]))).collect();
        let texts = texts.iter().map(|(name, text)| (*name, text.as_ref().map(|t| &t[..])));
        let cells = [("id", Some(id.as_bytes()))].into_iter().chain(texts);
        let mut bytes = Vec::new();
        push_change(&mut bytes, "t", op, cells);
        (id.clone(), bytes)
    };
    match record {
        Record::Upsert(key, cells) => vec![change(DimensionOp::Upsert, key, cells)],
        Record::Delete(key) => vec![change(DimensionOp::Delete, key, &Vec::new())],
        Record::Move(from, to, cells) => vec![
            change(DimensionOp::Delete, from, &Vec::new()),
            change(DimensionOp::Replace, to, cells),
        ],
    }
}

/// Where a source stands.
#[derive(Debug, Default)]
struct Source {
    records: Vec<Record>,
    /// Live records that have passed.
    passed: usize,
    /// Columns routed; 0: no route.
    width: usize,
    /// The widest it ever was.
    widest: usize,
    /// What is being read again: number, next record, end.
    again: Option<(u32, usize, usize)>,
}

/// The operator, its sources and its table.
struct Bench {
    rows: ByHand,
    sources: [Source; 2],
    number: u32,
    table: Table,
}

impl Bench {
    fn new(records: [Vec<Record>; 2]) -> Self {
        let source = |records| Source { records, ..Source::default() };
        let rows = ByHand::new(Box::new(Rows::new("no dictionary")));
        Self { rows, sources: records.map(source), number: 0, table: Table::new() }
    }

    /// The notices of a change of configuration.
    fn configure(&mut self, at: usize, config: Config, ahead: usize) -> Option<Notice> {
        let source = &mut self.sources[at];
        let (name, sink) = (SOURCES[at].to_owned(), "t".to_owned());
        source.width = match config {
            Config::Remove => {
                (source.width, source.again) = (0, None);
                return Some(Notice::Remove { source: name, sink });
            }
            Config::Put if source.width == 0 => source.widest.max(1),
            Config::Widen if (1..COLUMNS.len()).contains(&source.width) => source.width + 1,
            Config::Put | Config::Widen => return None,
        };
        source.widest = source.width;
        self.number += 1;
        let upto = (source.passed + ahead).min(source.records.len());
        source.again = Some((self.number, 0, upto));
        let columns = COLUMNS[..source.width].iter().map(|name| (*name).to_owned()).collect();
        let (keys, fill) = (vec!["id".to_owned()], Some(self.number));
        Some(Notice::Put(Route { source: name, sink, columns, keys, fill, edition: 0 }))
    }

    fn step(&mut self, step: &Step) {
        let mut notices = BatchBuilder::new(&Notice::schema());
        let config = step.config.and_then(|(at, config)| self.configure(at, config, step.ahead));
        let new = config.as_ref().map(|_| step.config.expect("just used").0);
        config.iter().for_each(|notice| notice.write(&mut notices, stamp(0, 0, 0)));
        let mut rows = BatchBuilder::new(&change_schema());
        for at in 0..SOURCES.len() {
            self.live(at, step.live[at], &mut rows);
            // What was asked for just now comes later.
            if new != Some(at) {
                let filled = self.again(at, step.again[at], step.old_first, &mut rows);
                filled.iter().for_each(|notice| notice.write(&mut notices, stamp(0, 0, 1)));
            }
        }
        let batches = [(0, rows.finish(None)), (1, notices.finish(None))];
        let batches = batches.into_iter().filter_map(|(input, batch)| Some((input, batch?)));
        let closed = self.rows.close(batches.collect());
        let mut seen = BTreeSet::new();
        for (port, batch) in &closed.rows {
            assert_eq!(*port, PORT_TABLES);
            for row in batch.rows() {
                let key = apply(&mut self.table, bytes(row, CHANGE));
                assert!(seen.insert(key.clone()), "{key} came twice in an epoch");
            }
        }
        if step.restart {
            self.rows.restart(Box::new(Rows::new("no dictionary")));
        }
    }

    fn live(&mut self, at: usize, count: usize, rows: &mut BatchBuilder) {
        let source = &mut self.sources[at];
        let upto = (source.passed + count).min(source.records.len());
        for position in source.passed..upto {
            if source.width > 0 {
                let changes = changes(at, &source.records[position], source.width);
                write(changes, None, stamp(5, at, position), rows);
            }
        }
        source.passed = upto;
    }

    fn again(
        &mut self,
        at: usize,
        count: usize,
        old_first: bool,
        rows: &mut BatchBuilder,
    ) -> Option<Notice> {
        let source = &mut self.sources[at];
        let (number, next, end) = source.again.as_mut()?;
        let upto = (*next + count).min(*end);
        let peak = if old_first { 4 } else { 6 };
        for position in *next..upto {
            let changes = changes(at, &source.records[position], source.width);
            write(changes, Some(*number), stamp(peak, 2 + at, position), rows);
        }
        *next = upto;
        let filled = Notice::Filled { source: SOURCES[at].to_owned(), number: *number };
        (*next == *end).then(|| {
            source.again = None;
            filled
        })
    }

    /// All that is left comes in, so that nothing is under way any more.
    fn settle(&mut self) {
        let step = |config, live, again| Step {
            config,
            live: [live; 2],
            again: [again; 2],
            ahead: 0,
            old_first: true,
            restart: false,
        };
        for at in 0..SOURCES.len() {
            let gone = self.sources[at].width == 0 && self.sources[at].widest > 0;
            self.step(&step(gone.then_some((at, Config::Put)), 2, 2));
        }
        self.step(&step(None, usize::MAX / 2, 3));
        self.step(&step(None, 0, usize::MAX / 2));
    }
}

fn stamp(peak: i64, partition: usize, position: usize) -> Stamp {
    let partition = u32::try_from(partition).expect("few");
    let order = Order { peak, partition, position: position as u64 };
    Stamp { time: NO_TIME, order, behind: None }
}

fn write(
    changes: Vec<(String, Vec<u8>)>,
    fill: Option<u32>,
    stamp: Stamp,
    rows: &mut BatchBuilder,
) {
    for (key, change) in changes {
        rows.begin();
        for (column, bytes) in [(SINK, &b"t"[..]), (KEY, key.as_bytes()), (CHANGE, &change)] {
            let slice = rows.append(bytes);
            rows.slice(column, slice);
        }
        rows.int(FILL, fill.map(i64::from));
        rows.end(stamp);
    }
}

fn any_cells() -> impl Strategy<Value = Cells> {
    let cell = (0..COLUMNS.len(), prop::option::of(b'0'..=b'9'));
    prop::collection::btree_map(cell.0, cell.1, 0..3).prop_map(|cells| cells.into_iter().collect())
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => (0..3_u8, any_cells()).prop_map(|(key, cells)| Record::Upsert(key, cells)),
        1 => (0..3_u8).prop_map(Record::Delete),
        1 => (0..3_u8, 1..3_u8, any_cells())
            .prop_map(|(from, by, cells)| Record::Move(from, (from + by) % 3, cells)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let config = prop_oneof![
        3 => Just(Config::Put),
        2 => Just(Config::Widen),
        1 => Just(Config::Remove),
    ];
    let config = prop::option::weighted(0.3, (0..2_usize, config));
    let counts = || [0..4_usize, 0..4];
    (config, counts(), counts(), 0..3_usize, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(config, live, again, ahead, old_first, restart)| Step {
            config,
            live,
            again,
            ahead,
            old_first,
            restart,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_interleaving_gives_what_a_replay_from_the_start_gives(
        first in prop::collection::vec(any_record(), 0..20),
        second in prop::collection::vec(any_record(), 0..20),
        steps in prop::collection::vec(any_step(), 0..16),
    ) {
        let mut bench = Bench::new([first, second]);
        steps.iter().for_each(|step| bench.step(step));
        bench.settle();
        let mut expected = Table::new();
        for (at, source) in bench.sources.iter().enumerate() {
            let routed = source.records.iter().filter(|_| source.width > 0);
            for (_, change) in routed.flat_map(|record| changes(at, record, source.width)) {
                apply(&mut expected, &change);
            }
        }
        prop_assert_eq!(&bench.table, &expected);
        prop_assert_eq!(bench.rows.entries(), 0, "something is remembered for good");
    }
}
