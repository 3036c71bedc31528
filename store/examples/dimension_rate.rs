//! What delivering to the embedded dimension tables costs, and looking up and scanning in them.
//!
//! Prints processor time of the thread that asks and of the whole process (fjall flushes on threads
//! of its own), and wall time with its syncs, per unit of [`ROWS`] rows of about 150 bytes in a table
//! salted over 4 buckets. Build it optimised; the aim is a unit in well under 100 ms of processor.
//! Linux only: it reads `/proc`.

#![expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]

use std::sync::Arc;
use std::time::Instant;

use connectors::format::dimension::{DimensionOp, push_change, push_lookup_key};
use engine::clock::Moment;
use engine::lookup::{Answer, Lookup as _};
use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::{Op, OutRow, RowWriter};
use engine::random::Random;
use engine::sink::{
    Sink, SinkFactory as _, SinkIdentity, SinkPoll, SinkRequest, TableDefinition, Unit,
};
use store::phoenix::DimensionStore;
use store::phoenix::lookup::DimensionLookup;
use store::phoenix::sink::DimensionSinkFactory;

const ROWS: u32 = 10_000;
/// Rows of the large table.
const TABLE_ROWS: u32 = 1_000_000;
const LOOKUP_KEYS: usize = 500;
const COLUMNS: [&str; 8] = ["id", "a", "b", "c", "d", "e", "f", "g"];

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = DimensionStore::open(dir.path()).expect("opened");
    let mut target = Target::new(&store);
    let mut random = Random::new(1);
    let any = |random: &mut Random| u32::try_from(random.below(u64::from(TABLE_ROWS))).unwrap_or(0);
    let all = COLUMNS.len();

    target.deliver("insert, all columns", (0..ROWS).map(|id| (id, all)));
    target.deliver("upsert, all columns", (0..ROWS).map(|id| (id, all)));
    target.deliver("upsert, half the columns", (0..ROWS).map(|id| (id, all / 2)));
    target.deliver("upsert, one key again and again", (0..ROWS).map(|_| (7, all / 2)));
    for from in (0..TABLE_ROWS).step_by(50_000) {
        target.deliver("", (from..from + 50_000).map(|id| (id, all)));
    }
    let ids: Vec<u32> = (0..ROWS).map(|_| any(&mut random)).collect();
    target.deliver("of 1 M rows: all columns", ids.iter().map(|id| (*id, all)));
    target.deliver("of 1 M rows: half, first time", ids.iter().map(|id| (*id, all / 2)));
    target.deliver("of 1 M rows: half, second time", ids.iter().map(|id| (*id, all / 2)));
    let others: Vec<u32> = (0..ROWS).map(|_| any(&mut random)).collect();
    target.deliver("of 1 M rows: half, others", others.iter().map(|id| (*id, all / 2)));
    report("of 1 M rows: look up", || look_up(&store, &others));
    report("of 1 M rows: look up again", || look_up(&store, &others));
    report("of 1 M rows: scan all", || {
        let rows = store.scan("dim_t").expect("there").map(|row| row.expect("sound"));
        let mut json = Vec::new();
        let mut bytes = 0;
        for row in rows {
            json.clear();
            row.write_json(&mut json);
            bytes += json.len();
        }
        assert!(bytes > 0);
    });
}

struct Target {
    sink: Box<dyn Sink>,
    epoch: u64,
}

impl Target {
    fn new(store: &DimensionStore) -> Self {
        let mut sink = DimensionSinkFactory { store: store.clone() }.create().expect("made");
        let column = |name: &&str| ((*name).to_owned(), "VARCHAR".to_owned());
        let definition = TableDefinition {
            name: "dim_t".to_owned(),
            columns: COLUMNS.iter().map(column).collect(),
            keys: vec!["id".to_owned()],
            options: vec![("SALT_BUCKETS".to_owned(), "4".to_owned())],
            ..TableDefinition::default()
        };
        let identity =
            SinkIdentity { family: 1, job: "dimensions".into(), sink: "dim".into(), shard: 0 };
        for request in [SinkRequest::Prepare(identity), SinkRequest::EnsureTable(definition)] {
            ask(sink.as_mut(), request);
        }
        Self { sink, epoch: 0 }
    }

    /// Delivers one unit of rows: number, and how many of its columns are named.
    fn deliver(&mut self, name: &str, rows: impl Iterator<Item = (u32, usize)>) {
        let mut writer = RowWriter::new();
        for (id, columns) in rows {
            push(&mut writer, id, columns, self.epoch);
        }
        self.epoch += 1;
        let (epoch, rows) = (self.epoch, writer.rows());
        let header = BlockHeader { rows, epoch, sink: 1, shard: 0, base: 0 };
        let block = Block { header, bytes: writer.into_bytes().into() };
        let unit = Unit { lower: epoch, upper: epoch, rows: u64::from(rows), bytes: 0, crc: 0 };
        let request = SinkRequest::Deliver(unit, vec![Arc::new(block)].into());
        report(name, || ask(self.sink.as_mut(), request));
    }
}

fn push(writer: &mut RowWriter, id: u32, columns: usize, epoch: u64) {
    let id = id.to_string();
    let text = format!("some text {epoch:010}");
    let cells = COLUMNS.iter().take(columns).enumerate().map(|(index, column)| {
        (*column, Some(if index == 0 { id.as_bytes() } else { text.as_bytes() }))
    });
    let mut value = Vec::new();
    push_change(&mut value, "dim_t", DimensionOp::Upsert, cells);
    let (key, value) = (Some(id.as_bytes()), Some(&value[..]));
    writer.push(&OutRow {
        target: 0,
        topic: None,
        op: Op::Insert,
        time_ms: 0,
        key,
        value,
        headers: &[],
    });
}

fn ask(sink: &mut dyn Sink, request: SinkRequest) {
    sink.begin(request);
    let answer = sink.poll(Moment::default());
    assert!(matches!(answer, SinkPoll::Done(_)), "{answer:?}");
}

fn look_up(store: &DimensionStore, ids: &[u32]) {
    let mut lookup = DimensionLookup::new(store.clone());
    for ids in ids.chunks(LOOKUP_KEYS) {
        let key = |id: &u32| {
            let mut key = Vec::new();
            push_lookup_key(&mut key, "dim_t", [Some(id.to_string().as_bytes())]);
            key
        };
        lookup.begin(0, ids.iter().map(key).collect());
        let (_, answers) = lookup.poll(Moment::default()).expect("served at once");
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Row(..))));
    }
}

/// Runs and prints; nothing without a name.
fn report(name: &str, run: impl FnOnce()) {
    let (before, started) = (cpu_ms(), Instant::now());
    run();
    let (after, wall) = (cpu_ms(), started.elapsed().as_secs_f64() * 1e3);
    if !name.is_empty() {
        let (own, all) = (after.0 - before.0, after.1 - before.1);
        println!("{name:34} {own:8.1} ms own cpu {all:8.1} ms cpu {wall:8.1} ms wall");
    }
}

/// Processor time of this thread and of all threads.
fn cpu_ms() -> (f64, f64) {
    let of = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        first.unwrap_or(0.0) / 1e6
    };
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let all = threads.flatten().map(|thread| of(&thread.path())).sum();
    (of(std::path::Path::new("/proc/thread-self")), all)
}
