//! Rows that go from an operator straight into a sink's blocks: the same as those that go by batches.
//!
//! A port that another reader takes as well has no shortcut, so an export makes the slow way of the fast
//! one. Each seed runs both, with crashes and workers, into topics and into a target with limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::batch::build::Stamp;
use engine::batch::schema::{Kind, Schema};
use engine::codec::Verbatim;
use engine::graph::plan::{Asks, Feed, SinkTarget, StatefulSpec, TopicSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::stateful::{Close, KeyedRows, Stateful};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::testing::records::{KEY, Record, Records, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

/// What a row may have at the target, with its key; one of ten has more.
const BYTES_MAX: u64 = 400;
const PARTITIONS: u32 = 3;
const TOPICS: [&str; 2] = ["once", "twice"];

/// Whether somebody else reads the ports.
#[derive(Debug, Clone, Copy)]
enum Way {
    Short,
    Batches,
}

/// Emits each value as it is on one port, and doubled on the other.
struct Doubling(Arc<Schema>);

impl Stateful for Doubling {
    fn close(&mut self, close: &mut Close<'_>) {
        while let Some((_, row)) = close.next_row() {
            let key = row.bytes(KEY).expect("always set");
            let value = row.bytes(VALUE).expect("always set");
            let mut rows = KeyedRows::new(key, Stamp::of(row));
            let value_bytes_max = 2 * value.len() + 100;
            for (port, times) in [(0, 1), (1, 2)] {
                let write = |out: &mut Vec<u8>| out.extend_from_slice(&value.repeat(times));
                close.output.write((port, &self.0), &mut rows, value_bytes_max, write);
            }
        }
    }

    fn load(&mut self, _: u16, _: &[u8], _: &[u8]) {}

    fn entries(&self) -> usize {
        0
    }
}

fn doubling() -> StatefulSpec {
    let schema = || Schema::new("doubled", &[("key", Kind::Slice), ("value", Kind::Slice)]);
    StatefulSpec {
        what: "doubling",
        make: Arc::new(move || Box::new(Doubling(schema()))),
        outputs: 2,
        delay_ms: 0,
        asks: Asks::default(),
    }
}

fn plan(records: &Records, (target, dead): (SinkTarget, Option<u16>), way: Way) -> Arc<JobPlan> {
    let mut job = JobBuilder::new("j");
    let source = job.source("in", records.spec());
    let ports = job.stateful("double", &[(&source.rows, Route::Key(vec![KEY]))], doubling());
    let verbatim = || Arc::new(Verbatim { key: 0, value: 1 });
    let feeds =
        vec![(&ports[0], Feed::result(0, verbatim())), (&ports[1], Feed::uncounted(1, verbatim()))];
    job.sink_with_dead_letters("out", (target, dead), &["once", "twice", "dead"], feeds);
    if let Way::Batches = way {
        job.export("once", &ports[0]);
        job.export("twice", &ports[1]);
    }
    Arc::new(job.build().expect("a good plan"))
}

fn input(seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random::new(seed);
    let mut record = |partition: usize, number: usize| {
        let length = if random.one_in(10) { 180 + random.below(9_000) } else { random.below(150) };
        let filling = "x".repeat(usize::try_from(length).expect("small"));
        let value = format!("{} {partition}-{number} {filling}", 1000 + number);
        (format!("k{partition}-{}", number % 5).into_bytes(), value.into_bytes())
    };
    (0..2).map(|partition| (0..150).map(|number| record(partition, number)).collect()).collect()
}

/// Values by target and key, in their order.
type Rows = BTreeMap<(String, Vec<u8>), Vec<Vec<u8>>>;

fn simulation(seed: u64) -> Simulation {
    let crews: [&[usize]; 3] = [&[1], &[2, 1], &[1, 3]];
    let crew = crews[usize::try_from(seed % 3).expect("below three")];
    let mut simulation =
        Simulation::new(seed, 1_000_000).with_workers(crew, seed.is_multiple_of(2));
    simulation.settings.epoch.interval_ms = Some(20 + seed % 80);
    // Several turns for one close.
    simulation.settings.operator_rows = 7;
    simulation
}

/// What the counters of the job come to.
fn counted(simulation: &Simulation) -> BTreeMap<String, u64> {
    let counters = simulation.counters().into_iter();
    counters.map(|counter| (counter.name, counter.value)).collect()
}

fn to_topics(seed: u64, way: Way) -> (Rows, BTreeMap<String, u64>) {
    let records = Records::new("in", input(seed), seed);
    let specs = TOPICS.map(|name| TopicSpec { name: name.into(), partitions: PARTITIONS });
    let partition = |key: &[u8], count: u32| u32::from(key[key.len() - 1]) % count;
    let target = SinkTarget::Topics(specs.into(), partition);
    let mut simulation = simulation(seed);
    simulation.run(4, &|_, _| vec![plan(&records, (target.clone(), None), way)]);
    let mut rows = Rows::new();
    for topic in TOPICS {
        for (partition, key, value) in simulation.topic(topic) {
            assert_eq!(partition, u32::from(key[key.len() - 1]) % PARTITIONS, "{key:?}");
            rows.entry((topic.to_owned(), key)).or_default().push(value);
        }
    }
    (rows, counted(&simulation))
}

fn to_target(seed: u64, way: Way) -> (Rows, BTreeMap<String, u64>) {
    let records = Records::new("in", input(seed), seed);
    let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..UnitPolicy::EVERY_EPOCH };
    let target = Target::new(seed, policy).with_row_limits(&[BYTES_MAX, BYTES_MAX, u64::MAX]);
    let mut simulation = simulation(seed);
    simulation.run(4, &|_, _| {
        let outside = SinkTarget::Outside(Arc::new(target.afresh()));
        vec![plan(&records, (outside, Some(2)), way)]
    });
    let mut rows = Rows::new();
    for (number, key, value) in target.rows() {
        let place = (number.to_string(), key.unwrap_or_default());
        rows.entry(place).or_default().push(value.expect("no tombstones"));
    }
    // Dead letters have no key: those of several workers come in any order.
    rows.iter_mut().filter(|((to, _), _)| to == "2").for_each(|(_, values)| values.sort());
    (rows, counted(&simulation))
}

#[test]
fn the_short_way_to_topics_is_the_way_by_batches() {
    for seed in seeds(9_001, 20) {
        let short = to_topics(seed, Way::Short);
        assert_eq!(short.1["records_out"], 300, "seed {seed}");
        assert_eq!(short.0.values().map(Vec::len).sum::<usize>(), 600, "seed {seed}");
        assert!(short == to_topics(seed, Way::Batches), "seed {seed}");
    }
}

#[test]
fn the_short_way_to_a_target_is_the_way_by_batches() {
    for seed in seeds(9_101, 20) {
        let short = to_target(seed, Way::Short);
        let large = short.0.iter().filter(|((to, _), _)| to == "2");
        assert!(
            large.map(|(_, rows)| rows.len()).sum::<usize>() > 10,
            "seed {seed}: worth running"
        );
        assert_eq!(short.0.values().map(Vec::len).sum::<usize>(), 600, "seed {seed}");
        assert!(short == to_target(seed, Way::Batches), "seed {seed}");
    }
}
