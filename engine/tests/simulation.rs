//! The engine under a seed: three linked jobs, crashes at any point, results equal to naive ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::batch::build::BatchBuilder;
use engine::batch::key;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::writer::TopicMarks;
use engine::codec::Verbatim;
use engine::counter::{Counters, StoredCounter};
use engine::crash_point::CrashPoint;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec, TopicSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::{Codec, Keyed, KeyedLogic, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::Output;
use engine::operator::window::{Aggregate, PARTIAL_KEY, PORT_LATE, WindowFinal, WindowPartial};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::source::Start;
use engine::testing::records::{KEY, Record, Records, TimedDecoder, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::{Target, TargetRow};
use engine::time::window::Tumbling;

const BOUND_MS: i64 = 50;
const WINDOWS: Tumbling = Tumbling { size_ms: 100, lateness_ms: 100 };

/// A number as state.
#[derive(Debug, Default, Clone, PartialEq)]
struct Number(u64);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// Appends to each value how many records of its key came before: depends on order alone.
struct Numbering {
    schema: Arc<Schema>,
}

impl KeyedLogic for Numbering {
    type State = Number;

    fn row(
        &mut self,
        row: Row<'_>,
        mut state: Slot<'_, Number>,
        output: &mut Output,
        _counters: &mut Counters,
    ) {
        let number = state.get().map_or(0, |number| number.0);
        state.set(Number(number + 1));
        let value = row.bytes(VALUE).expect("always set");
        write_row(output.row(0, &self.schema), row, &[value, format!(" #{number}").as_bytes()]);
    }
}

fn write_row(builder: &mut BatchBuilder, row: Row<'_>, value: &[&[u8]]) {
    builder.begin();
    let key = builder.append(row.bytes(KEY).expect("always set"));
    builder.slice(KEY, key);
    let value =
        builder.append_with(|out| value.iter().for_each(|part| out.extend_from_slice(part)));
    builder.slice(VALUE, value);
    builder.end(engine::batch::build::Stamp::of(row));
}

fn schema() -> Arc<Schema> {
    Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

/// Passes the first record of each key in event-time order, for ever.
struct First {
    schema: Arc<Schema>,
}

impl OrderedLogic for First {
    type State = Number;

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool {
        kept.copy(row);
        true
    }

    fn takes_late(&self) -> bool {
        true
    }

    fn late(&mut self, _row: Row<'_>, _output: &mut Output, _counters: &mut Counters) -> bool {
        unreachable!("late rows take their turn")
    }

    fn row(
        &mut self,
        event: Event<'_>,
        mut state: Slot<'_, Number>,
        context: &mut OrderedContext<'_>,
    ) {
        if event.late {
            context.counters.add("late", 1);
        }
        if state.get().is_none() {
            state.set(Number(1));
            context.output.copy(0, event.row);
        }
    }

    fn timer(&mut self, _: i64, _: Slot<'_, Number>, _: &mut OrderedContext<'_>) {}
}

/// Counts records per key, and first records a thousandfold.
#[derive(Clone)]
struct Count {
    schema: Arc<Schema>,
}

impl Aggregate for Count {
    type Sum = Number;

    fn group(&self, _input: usize, row: Row<'_>, group: &mut Vec<u8>) -> bool {
        key::push_bytes(group, row.bytes(KEY));
        true
    }

    fn add(&self, input: usize, _row: Row<'_>, sum: &mut Number) {
        sum.0 += if input == 0 { 1 } else { 1000 };
    }

    fn merge(&self, sum: &mut Number, other: &Number) {
        sum.0 += other.0;
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn emit(&self, start: i64, group: &[u8], sum: &Number, row: &mut BatchBuilder) {
        let place = row.append_with(|out| {
            key::push_int(out, start);
            out.extend_from_slice(group);
        });
        row.slice(KEY, place);
        let sum = row.append(sum.0.to_string().as_bytes());
        row.slice(VALUE, sum);
    }
}

fn verbatim() -> Arc<Verbatim> {
    Arc::new(Verbatim { key: KEY, value: VALUE })
}

fn plans(records: &Records, target: &Target) -> Vec<Arc<JobPlan>> {
    let by_key = Route::Key(vec![KEY]);
    let mut job = JobBuilder::new("numbers");
    let source = job.source(
        "in",
        SourceSpec {
            factory: Arc::new(records.clone()),
            start: Start::Earliest,
            decoder: Arc::new(|| Box::new(TimedDecoder::default())),
            bound_ms: BOUND_MS,
            idle_timeout_ms: 0,
            future_hold_ms: i64::MAX,
            future_skew_ms: i64::MAX,
            reread: None,
        },
    );
    let numbered = job.stateful(
        "numbering",
        &[(&source.rows, by_key.clone())],
        StatefulSpec {
            what: "keyed",
            make: Arc::new(|| {
                let key = Route::Key(vec![KEY]);
                Box::new(Keyed::new(key, Numbering { schema: schema() }))
            }),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let topics = ["numbered", "dead"].map(|name| TopicSpec { name: name.into(), partitions: 2 });
    job.sink(
        "topics",
        SinkTarget::Topics(topics.to_vec(), |key, partitions| {
            key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
        }),
        &["numbered", "dead"],
        vec![
            (&numbered[0], Feed::result(0, verbatim())),
            (&source.dead, Feed::uncounted(1, Arc::new(Verbatim { key: 0, value: 0 }))),
        ],
    );
    job.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["numbered"],
        vec![(&numbered[0], Feed::result(0, verbatim()))],
    );
    job.export("rows", &numbered[0]);

    let mut first = JobBuilder::new("first");
    let rows = first.import("numbers", "rows", 0);
    let firsts = first.stateful(
        "first",
        &[(&rows, by_key.clone())],
        StatefulSpec {
            what: "ordered",
            make: Arc::new(|| {
                Box::new(Ordered::new(Route::Key(vec![KEY]), First { schema: schema() }))
            }),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    first.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["_", "first"],
        vec![(&firsts[0], Feed::result(1, verbatim()))],
    );
    first.export("rows", &firsts[0]);

    let mut windows = JobBuilder::new("windows");
    let rows = windows.import("numbers", "rows", 0);
    let firsts = windows.import("first", "rows", 0);
    let partial = windows.stateful(
        "partial",
        &[(&rows, Route::Local), (&firsts, Route::Local)],
        StatefulSpec {
            what: "window partial",
            make: Arc::new(|| Box::new(WindowPartial::new(Count { schema: schema() }, WINDOWS))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let totals = windows.stateful(
        "final",
        &[(&partial[0], Route::Key(vec![PARTIAL_KEY]))],
        StatefulSpec {
            what: "window",
            make: Arc::new(|| Box::new(WindowFinal::new(Count { schema: schema() }, WINDOWS))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    windows.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["_", "_", "w", "late"],
        vec![
            (&totals[0], Feed::uncounted(2, verbatim())),
            (&partial[PORT_LATE], Feed::uncounted(3, verbatim())),
        ],
    );
    [job, first, windows].map(|job| Arc::new(job.build().expect("a good plan"))).to_vec()
}

/// Two partitions; times mostly grow, some are late, some very late, some broken.
fn input(seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random::new(seed);
    (0..2u64)
        .map(|partition| {
            let mut time = 1000;
            (0..150)
                .map(|number| {
                    time += random.below(12);
                    let back = match random.below(20) {
                        0 => random.below(120),
                        1 => random.below(600),
                        _ => random.below(10),
                    };
                    let key = format!("{partition}-{}", random.below(9)).into_bytes();
                    let value = format!("{} r{partition}-{number}", time.saturating_sub(back));
                    let broken = random.one_in(40);
                    (key, if broken { b"?".to_vec() } else { value.into_bytes() })
                })
                .collect()
        })
        .collect()
}

/// What the jobs must give, computed naively from the whole input.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    numbered: BTreeMap<Vec<u8>, Vec<String>>,
    dead: usize,
    first: BTreeSet<String>,
    windows: BTreeMap<(i64, Vec<u8>), u64>,
    late: BTreeSet<String>,
}

fn oracle(partitions: &[Vec<Record>]) -> Expected {
    let mut expected = Expected::default();
    for records in partitions {
        let mut peak = None::<i64>;
        let mut events = Vec::new();
        for (key, value) in records {
            let text = String::from_utf8(value.clone()).expect("text");
            let Ok(time) = text.split(' ').next().unwrap_or("").parse::<i64>() else {
                expected.dead += 1;
                continue;
            };
            let watermark = peak.map_or(i64::MIN, |peak| peak - BOUND_MS - 1);
            let rows = expected.numbered.entry(key.clone()).or_default();
            let numbered = format!("{text} #{}", rows.len());
            rows.push(numbered.clone());
            let behind = (time <= watermark).then_some(watermark);
            peak = Some(peak.map_or(time, |peak| peak.max(time)));
            events.push((
                behind.unwrap_or(time),
                behind.is_some(),
                events.len(),
                time,
                key,
                numbered,
                behind,
            ));
        }
        let mut count = |time: i64, key: &Vec<u8>, text: &String, behind: Option<i64>, by: u64| {
            let start = WINDOWS.start_of(time);
            if behind.is_some_and(|behind| WINDOWS.last_of(start) + 100 <= behind) {
                expected.late.insert(format!("{by} {text}"));
            } else {
                *expected.windows.entry((start, key.clone())).or_default() += by;
            }
        };
        for (_, _, _, time, key, text, behind) in &events {
            count(*time, key, text, *behind, 1);
        }
        events.sort_by_key(|event| (event.0, event.1, event.2));
        let mut seen = BTreeSet::new();
        for (_, _, _, time, key, text, behind) in &events {
            if seen.insert((*key).clone()) {
                expected.first.insert(text.clone());
                count(*time, key, text, *behind, 1000);
            }
        }
    }
    expected
}

fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_default()).expect("text")
}

/// Brings what was delivered into the oracle's form; panics on anything doubled.
fn observed(rows: &[TargetRow], expected: &Expected) -> Expected {
    let mut seen = Expected { dead: expected.dead, ..Expected::default() };
    for (target, key, value) in rows {
        let key_bytes = key.clone().expect("all rows have keys");
        match target {
            0 => seen.numbered.entry(key_bytes).or_default().push(text(value)),
            1 => assert!(seen.first.insert(text(value)), "doubled: {}", text(value)),
            2 => {
                let parts = key::parts(&key_bytes).expect("a key of ours");
                let [key::Part::Int(start), key::Part::Bytes(group)] = &parts[..] else {
                    panic!("not a window key: {parts:?}")
                };
                let sum = text(value).parse().expect("a number");
                seen.windows.insert((*start, group.clone()), sum);
            }
            3 => {
                // A late first record is refused twice: as a record and as a first one.
                let once = format!("1 {}", text(value));
                if !seen.late.insert(once) {
                    assert!(seen.late.insert(format!("1000 {}", text(value))), "thrice");
                }
            }
            other => panic!("no target {other}"),
        }
    }
    seen
}

fn check(seed: u64, crashes: u32, interval_ms: u64, policy: UnitPolicy) -> Ran {
    let simulation = Simulation::new(seed, 1_000_000);
    check_in(simulation, seed, crashes, interval_ms, policy)
}

fn check_in(
    mut simulation: Simulation,
    seed: u64,
    crashes: u32,
    interval_ms: u64,
    policy: UnitPolicy,
) -> Ran {
    let partitions = input(seed);
    let expected = oracle(&partitions);
    let records = Records::new("in", partitions.clone(), seed);
    let target = Target::new(seed, policy);
    simulation.settings.epoch.interval_ms = Some(interval_ms);
    // Every other history has so small files that each block needs a new one, and old ones go.
    if seed.is_multiple_of(2) {
        simulation.settings.log.file_bytes = 300;
    }
    simulation.run(crashes, &|_: &TopicMarks, _| plans(&records, &target));

    assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
    assert_eq!(observed(&target.rows(), &expected), expected, "seed {seed}");
    let mut by_key: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (_, key, value) in simulation.topic("numbered") {
        by_key.entry(key).or_default().push(text(&Some(value)));
    }
    assert_eq!(by_key, expected.numbered, "seed {seed}: topic");
    assert_eq!(simulation.topic("dead").len(), expected.dead, "seed {seed}: dead letters");
    let counter = |name: &str| {
        let all = simulation.counters();
        let of_source = |counter: &&StoredCounter| {
            counter.name == name && (name != "records_in" || counter.labels[0].1 == "numbers")
        };
        all.iter().filter(of_source).map(|counter| counter.value).sum::<u64>()
    };
    let total = partitions.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(counter("records_in"), total, "seed {seed}: no record counted twice or not at all");
    assert_eq!(counter("dirty"), expected.dead as u64, "seed {seed}");
    assert_eq!(counter("windows_fired"), expected.windows.len() as u64, "seed {seed}");
    Ran {
        generations: simulation.generations,
        repeated: target.repeated(),
        deaths: simulation.deaths,
    }
}

/// What a history was like.
#[derive(Default)]
struct Ran {
    generations: u32,
    repeated: u64,
    deaths: BTreeMap<CrashPoint, u32>,
}

#[test]
fn crashes_lose_nothing_and_double_nothing() {
    let mut all = Ran::default();
    let seeds = seeds(1, 50);
    for &seed in &seeds {
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..LAZY };
        let ran = check(seed, 8, 20 + seed % 80, policy);
        all.generations += ran.generations;
        all.repeated += ran.repeated;
        for (point, deaths) in ran.deaths {
            *all.deaths.entry(point).or_default() += deaths;
        }
    }
    // That the histories are worth running: they do die, and replies do get lost.
    if seeds.len() > 1 {
        assert!(all.generations > 150, "{} generations", all.generations);
        assert!(all.repeated > 0, "no unit was ever sent twice");
        // The sinks have transactions in Kafka only, and one worker has one shard.
        let elsewhere =
            [CrashPoint::TransactionBegun, CrashPoint::HalfSent, CrashPoint::BetweenShards];
        for point in CrashPoint::ALL.into_iter().filter(|point| !elsewhere.contains(point)) {
            assert!(all.deaths.contains_key(&point), "nobody died at {point}: {:?}", all.deaths);
        }
    }
}

const LAZY: UnitPolicy =
    UnitPolicy { epochs_max: 3, rows_max: u64::MAX, bytes_max: u64::MAX, interval_ms: i64::MAX };

/// S2: workers in threads of their own that take turns; the number changes from life to life.
#[test]
fn workers_lose_nothing_and_double_nothing() {
    let crews: [&[usize]; 5] = [&[2], &[3], &[1, 4, 2], &[3, 1], &[2, 4]];
    let mut all = Ran::default();
    let seeds = seeds(5_001, 50);
    for &seed in &seeds {
        let crew = crews[usize::try_from(seed % 5).expect("below five")];
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..LAZY };
        let simulation =
            Simulation::new(seed, 1_000_000).with_workers(crew, seed.is_multiple_of(2));
        let ran = check_in(simulation, seed, 5, 20 + seed % 80, policy);
        all.generations += ran.generations;
        all.repeated += ran.repeated;
    }
    if seeds.len() > 1 {
        assert!(all.generations > 120, "{} generations", all.generations);
        assert!(all.repeated > 0, "no unit was ever sent twice");
    }
}

/// One seed is one history, also with threads: the outside sees the same rows in the same order.
#[test]
fn a_seed_repeats_its_history_with_workers_too() {
    let history = |seed, binary| {
        let records = Records::new("in", input(seed), seed);
        let target = Target::new(seed, LAZY);
        let mut simulation = Simulation::new(seed, 1_000_000).with_workers(&[3, 2], binary);
        simulation.run(3, &|_: &TopicMarks, _| plans(&records, &target));
        let deliveries = format!("{:?}", target.rows());
        (deliveries, simulation.topic("numbered"), simulation.generations)
    };
    for seed in seeds(31, 4) {
        let first = history(seed, false);
        assert!(first == history(seed, false), "seed {seed}: another history");
        if seed == 31 {
            assert!(history(32, true) == history(32, true), "as bytes");
            assert!(first.0 != history(33, false).0, "another seed, another history");
        }
    }
}

#[test]
fn results_do_not_depend_on_where_epochs_are_cut() {
    for interval_ms in [1, 1_000, 3_600_000] {
        check(7, 0, interval_ms, UnitPolicy::EVERY_EPOCH);
    }
}
