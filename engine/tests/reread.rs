//! Reading a source again under a seed: asked for by a row, through crashes, to its end.
//!
//! One job reads and links, another asks: a record that says `ask` makes it request its own name
//! once more. The asking operator keeps in its state what it saw live before and what came again, so
//! that what it says at the end is true of the surviving history only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::piece::Delta;
use engine::checkpoint::writer::TopicMarks;
use engine::codec::Verbatim;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::hash::key_group;
use engine::operator::decode::{REREAD_NAME, REREAD_NUMBER};
use engine::operator::stateful::{Close, Output, Stateful};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::source::reread::Reread;
use engine::testing::records::{KEY, Record, Records, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

const NAMES: u64 = 4;
const ROWS: usize = 0;
const AGAIN: usize = 1;
const ENDS: usize = 2;

/// What the operator knows of one name.
#[derive(Debug, Default, Clone, PartialEq)]
struct Name {
    /// The last request.
    number: u32,
    /// Ends of this request.
    ends: u32,
    /// Everything seen live.
    live: BTreeSet<String>,
    /// What of it was there when the last request was made.
    wanted: BTreeSet<String>,
    /// What came again for it, in order.
    again: Vec<String>,
}

impl Name {
    fn encode(&self) -> Vec<u8> {
        let mut lines = vec![self.number.to_string(), self.ends.to_string()];
        lines.extend(self.live.iter().map(|record| format!("l{record}")));
        lines.extend(self.wanted.iter().map(|record| format!("w{record}")));
        lines.extend(self.again.iter().map(|record| format!("a{record}")));
        lines.join("\n").into_bytes()
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut lines = std::str::from_utf8(bytes).expect("text").lines();
        let mut number = || lines.next().and_then(|line| line.parse().ok()).expect("a number");
        let mut name = Self { number: number(), ends: number(), ..Self::default() };
        for line in lines {
            let (kind, record) = line.split_at(1);
            match kind {
                "l" => drop(name.live.insert(record.to_owned())),
                "w" => drop(name.wanted.insert(record.to_owned())),
                _ => name.again.push(record.to_owned()),
            }
        }
        name
    }

    /// `end <number> <missing> <out of order or doubled>`.
    fn report(&self) -> String {
        let again: BTreeSet<&String> = self.again.iter().collect();
        let missing = self.wanted.iter().filter(|record| !again.contains(record)).count();
        let mut last = BTreeMap::new();
        let mut disorder = 0;
        for record in &self.again {
            let (partition, number) = place(record);
            if last.insert(partition, number).is_some_and(|before| before >= number) {
                disorder += 1;
            }
        }
        format!("end {} {missing} {disorder}", self.number)
    }
}

/// Partition and number of a record `<time> r<partition>-<number> ..`.
fn place(record: &str) -> (u64, u64) {
    let place = record.split(' ').nth(1).expect("a place").trim_start_matches('r');
    let (partition, number) = place.split_once('-').expect("a place");
    (partition.parse().expect("a number"), number.parse().expect("a number"))
}

/// Asks for the name of each record that says so.
#[derive(Default)]
struct Asker {
    names: BTreeMap<String, Name>,
}

impl Asker {
    fn name(&mut self, row: Row<'_>, column: usize) -> (String, &mut Name) {
        let name = text(row.bytes(column));
        (name.clone(), self.names.entry(name).or_default())
    }

    fn again(&mut self, row: Row<'_>) {
        let (_, name) = self.name(row, KEY);
        let number = Reread::number_of(row.order().partition).expect("a row read again");
        if number == name.number {
            name.again.push(text(row.bytes(VALUE)));
        }
    }

    fn end(&mut self, row: Row<'_>, output: &mut Output) {
        let (key, name) = self.name(row, REREAD_NAME);
        if row.int(REREAD_NUMBER) == Some(i64::from(name.number)) {
            name.ends += 1;
            let report = format!("{} {}", name.report(), name.ends);
            let schema = schema();
            let builder = output.row(0, &schema);
            builder.begin();
            for (column, text) in [(KEY, &key), (VALUE, &report)] {
                let slice = builder.append(text.as_bytes());
                builder.slice(column, slice);
            }
            builder.end(Stamp::of(row));
        }
    }

    fn ask(&mut self, row: Row<'_>) -> Reread {
        let (key, name) = self.name(row, KEY);
        name.number += 1;
        name.ends = 0;
        name.again.clear();
        name.wanted.clone_from(&name.live);
        Reread { name: key.into(), number: name.number }
    }
}

impl Stateful for Asker {
    fn close(&mut self, close: &mut Close<'_>) {
        let rows = close.rows;
        let of = |wanted| rows.iter().filter(move |(input, _)| *input == wanted);
        let mut touched = BTreeSet::new();
        for (_, row) in of(AGAIN) {
            self.again(row);
            touched.insert(text(row.bytes(KEY)));
        }
        for (_, row) in of(ENDS) {
            self.end(row, close.output);
            touched.insert(text(row.bytes(REREAD_NAME)));
        }
        for (_, row) in of(ROWS) {
            let (key, name) = self.name(row, KEY);
            name.live.insert(text(row.bytes(VALUE)));
            touched.insert(key);
        }
        for (_, row) in of(ROWS) {
            if text(row.bytes(VALUE)).ends_with("ask") {
                close.asked.reread(self.ask(row));
            }
        }
        for name in touched {
            let (group, value) = (key_group(name.as_bytes()), self.names[&name].encode());
            close.deltas.push(Delta { group, key: name.into_bytes(), value: Some(value) });
        }
    }

    fn load(&mut self, _group: u16, key: &[u8], value: &[u8]) {
        self.names.insert(text(Some(key)), Name::decode(value));
    }

    fn entries(&self) -> usize {
        self.names.len()
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.expect("always set").to_vec()).expect("text")
}

fn schema() -> Arc<Schema> {
    Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

fn plans(records: &Records, target: &Target) -> Vec<Arc<JobPlan>> {
    let mut reading = JobBuilder::new("reading");
    let source = reading.source(
        "in",
        SourceSpec {
            bound_ms: 50,
            reread: Some(|row, name| row.bytes(KEY) == Some(name.as_bytes())),
            ..records.spec()
        },
    );
    for (name, edge) in
        [("rows", &source.rows), ("again", &source.reread), ("ends", &source.reread_ends)]
    {
        reading.export(name, edge);
    }

    let mut asking = JobBuilder::new("asking");
    let inputs = ["rows", "again", "ends"].map(|name| asking.import("reading", name, 0));
    let one_worker = || Route::Key(vec![]);
    let reports = asking.stateful(
        "asker",
        &inputs.each_ref().map(|edge| (edge, one_worker())),
        StatefulSpec {
            what: "asker",
            make: Arc::new(|| Box::new(Asker::default())),
            outputs: 1,
            delay_ms: 0,
            asks: Asks { tables: None, reread: Some(("reading".into(), "in".into())) },
        },
    );
    let verbatim = Arc::new(Verbatim { key: KEY, value: VALUE });
    asking.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["reports"],
        vec![(&reports[0], Feed::result(0, verbatim))],
    );
    [reading, asking].map(|job| Arc::new(job.build().expect("a good plan"))).to_vec()
}

/// Two partitions; a few records ask, the last one of all always does.
fn input(seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random::new(seed);
    let count = 120;
    let mut record = |partition: u64, number: u64| {
        let name = format!("t{}", random.below(NAMES)).into_bytes();
        if random.one_in(40) {
            return (name, b"?".to_vec());
        }
        let last = (partition, number + 1) == (1, count);
        let ask = if last || random.one_in(50) { " ask" } else { "" };
        (name, format!("{} r{partition}-{number}{ask}", 1000 + number).into_bytes())
    };
    (0..2).map(|partition| (0..count).map(|number| record(partition, number)).collect()).collect()
}

/// How often each name is asked for.
fn asks(partitions: &[Vec<Record>]) -> BTreeMap<String, u32> {
    let mut asks = BTreeMap::new();
    for (name, value) in partitions.iter().flatten() {
        if value.ends_with(b"ask") {
            *asks.entry(text(Some(name))).or_default() += 1;
        }
    }
    asks
}

/// Runs a history and returns how many generations it had.
fn check(seed: u64, crashes: u32, interval_ms: u64) -> u32 {
    let partitions = input(seed);
    let records = Records::new("in", partitions.clone(), seed);
    let target = Target::new(seed, UnitPolicy::EVERY_EPOCH);
    let mut simulation = Simulation::new(seed, 1_000_000);
    simulation.settings.epoch.interval_ms = Some(interval_ms);
    simulation.run(crashes, &|_: &TopicMarks, _| plans(&records, &target));
    assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");

    let mut reports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, name, report) in target.rows() {
        let (name, report) = (text(name.as_deref()), text(report.as_deref()));
        reports.entry(name).or_default().push(report);
    }
    for (name, number) in asks(&partitions) {
        let reports = reports.remove(&name).unwrap_or_default();
        // Each at most once and whole; one that was replaced may have none, the last has one.
        let whole = |number: u32| format!("end {number} 0 0 1");
        let allowed: Vec<String> = (1..=number).map(whole).collect();
        let mut rest = allowed.iter();
        let in_order = reports.iter().all(|report| rest.any(|one| one == report));
        assert!(in_order, "seed {seed}: {name} asked {number} times: {reports:?}");
        assert_eq!(reports.last(), allowed.last(), "seed {seed}: {name}: the last one ended");
    }
    assert_eq!(reports, BTreeMap::new(), "seed {seed}: nobody asked");

    let broken = partitions.iter().flatten().filter(|(_, value)| value == b"?").count() as u64;
    let total = partitions.iter().map(Vec::len).sum::<usize>() as u64;
    let counter = |name: &str| {
        let all = simulation.counters();
        all.iter().filter(|counter| counter.name == name).map(|counter| counter.value).sum::<u64>()
    };
    assert_eq!(counter("records_in"), total, "seed {seed}: read again is not read in");
    assert_eq!(counter("dirty"), broken, "seed {seed}");
    simulation.generations
}

#[test]
fn everything_before_comes_again_once_through_crashes() {
    let seeds = seeds(1, 50);
    let generations: u32 = seeds.iter().map(|seed| check(*seed, 6, 5 + seed % 40)).sum();
    if seeds.len() > 1 {
        assert!(generations > 150, "{generations} generations");
    }
}

#[test]
fn a_request_of_the_last_epoch_is_still_answered() {
    for interval_ms in [1, 1_000, 3_600_000] {
        check(3, 0, interval_ms);
    }
}
