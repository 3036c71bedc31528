//! The warehouse under a seed: all log jobs, generated logs, crashes at any point; the outcome must
//! be that of the batch oracle, whatever the seed.
//!
//! `WATERSHED_SEED=n cargo test --test simulation` repeats a failure.

mod support {
    pub(crate) mod oracle;
}

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use connectors::topic::source::TopicSourceFactory;
use engine::batch::build::{RAW_KEY, RAW_VALUE, Stamp, raw_schema};
use engine::batch::schema::Schema;
use engine::batch::{Batch, Slice};
use engine::checkpoint::disk::Disk;
use engine::checkpoint::layout::topic_dir;
use engine::checkpoint::writer::TopicMarks;
use engine::codec::{Decoded, Decoder, Verbatim};
use engine::graph::plan::{Feed, SinkTarget, SourceSpec, TopicSpec};
use engine::graph::{JobBuilder, JobPlan};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::source::{SourceFactory, Start};
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;
use jobs::dwd::log_split::TOPICS;
use jobs::generate::Generator;
use jobs::{Job, Outside, Settings};
use serde_json::Value;
use support::oracle::{self, Input, Outcome, PAGE_VIEW, TRAFFIC, sorted};

/// 2022-04-30 23:00 in the warehouse: an hour before a midnight.
const END_MS: i64 = 1_651_330_800_000 + 4_000_000;
const PARTITIONS: u32 = 3;

fn partitioner(key: &[u8], partitions: u32) -> u32 {
    key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
}

/// Logs of a dense hour around midnight, dealt to partitions by device.
fn generated(seed: u64, records: u64) -> Input {
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    for (key, line) in keyed(seed, records) {
        partitions[partitioner(&key, PARTITIONS) as usize].push(line);
    }
    Input { partitions }
}

/// The same logs in order, each with its device.
fn keyed(seed: u64, records: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let settings = jobs::generate::Settings {
        seed,
        start_ms: END_MS - 600_000,
        records_per_second: 4,
        records: None,
        mids: 40,
        ..jobs::generate::Settings::default()
    };
    let mut cursor = Generator::new(settings).open(0);
    let mut messages = Vec::new();
    for _ in 0..records {
        let mut line = Vec::new();
        let made = cursor.next(&mut line).expect("an endless stream");
        let key = made.key.map_or(Vec::new(), |range| line[range].to_vec());
        messages.push((key, line));
    }
    messages
}

fn plans_of(jobs: &[Job], source: Arc<dyn SourceFactory>, target: &Target) -> Vec<Arc<JobPlan>> {
    let settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
    let outside = Outside {
        source: &|_topic| (source.clone(), Start::Earliest),
        topics: &|names| {
            let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 2 };
            SinkTarget::Topics(names.iter().map(spec).collect(), partitioner)
        },
        topic_prefix: "",
        table: &|_name| SinkTarget::Outside(Arc::new(target.clone())),
        dimensions: &|| unreachable!("no dimensions here"),
        publish: &|_job| true,
    };
    jobs::plans(jobs, &settings, &outside).expect("good plans")
}

/// Topics of the jobs by the oracle's names of side outputs.
fn side_name(topic: &str) -> Option<String> {
    if topic == "log_split_dead" {
        return Some("dirty_log".to_owned());
    }
    let late = topic.strip_suffix("_late").map(|job| format!("late_{job}"));
    late.or_else(|| topic.strip_suffix("_future").map(|job| format!("future_{job}")))
}

/// What a history gave, in the oracle's form.
fn observed(simulation: &Simulation, target: &Target, topics: &dyn Fn(&str) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    let saved = simulation.saved();
    let names = saved.topics.keys().map(|(topic, _)| topic.to_string());
    let names: Vec<String> = names.filter(|topic| topics(topic)).collect();
    for name in names.into_iter().collect::<std::collections::BTreeSet<_>>() {
        for (_, _, value) in simulation.topic(&name) {
            match side_name(&name) {
                Some(side) => outcome.side.entry(side).or_default().push((String::new(), value)),
                None => {
                    let value = serde_json::from_slice(&value).expect("topics hold JSON");
                    outcome.topics.entry(name.clone()).or_default().push(value);
                }
            }
        }
    }
    // A table keeps the last row of a key.
    let mut rows: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
    for (_, key, value) in target.rows() {
        let value = serde_json::from_slice(&value.expect("a row")).expect("tables hold JSON");
        rows.insert(key.unwrap_or_default(), value);
    }
    for row in rows.into_values() {
        let table = if row.get("pv_ct").is_some() { TRAFFIC } else { PAGE_VIEW };
        outcome.tables.entry(table.to_owned()).or_default().push(row);
    }
    for counter in simulation.counters() {
        let labels: Vec<String> =
            counter.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        outcome.counters.insert((counter.name, labels.join(",")), counter.value);
    }
    outcome
}

fn assert_same(seed: u64, observed: &Outcome, expected: &Outcome) {
    // Counts first: they say in a line what the records say in a thousand.
    let counts = |outcome: &Outcome| {
        let topics = outcome.topics.iter().map(|(topic, records)| (topic.clone(), records.len()));
        topics.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(counts(observed), counts(expected), "seed {seed}: {:#?}", observed.counters);
    for (topic, records) in &expected.topics {
        assert_eq!(observed.topic(topic), sorted(records.iter().cloned()), "seed {seed}: {topic}");
    }
    assert_eq!(observed.topics.len(), expected.topics.len(), "seed {seed}: topics");
    for table in [TRAFFIC, PAGE_VIEW] {
        assert_eq!(observed.table(table), expected.table(table), "seed {seed}: {table}");
    }
    for (side, rows) in &expected.side {
        let count = observed.side.get(side).map_or(0, Vec::len);
        assert_eq!(count, rows.len(), "seed {seed}: {side}");
    }
    assert_eq!(observed.side.len(), expected.side.len(), "seed {seed}: side outputs");
    let dws = |labels: &str| labels.starts_with("job=dws_");
    for ((name, labels), value) in &expected.counters {
        let seen = observed.counters.get(&(name.clone(), labels.clone())).copied();
        assert_eq!(seen, Some(*value), "seed {seed}: {name}{{{labels}}}");
    }
    for (name, labels) in observed.counters.keys() {
        // Ours alone: how many windows fired, and what a DWS job took in.
        let extra = name == "windows_fired" || (name == "records_in" && dws(labels));
        let known = expected.counters.contains_key(&(name.clone(), labels.clone()));
        assert!(extra || known, "seed {seed}: unexpected counter {name}{{{labels}}}");
    }
}

/// Few devices whose pages come in any order, doubled and late, with times that touch every bound:
/// the edges of windows, of `within`, of the out-of-orderness, of midnight.
fn any_order(seed: u64) -> Input {
    let mut random = Random::new(seed);
    let midnight = 1_651_334_400_000_i64;
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    let mut now = midnight - 40_000;
    for _ in 0..60 {
        let mid = format!("mid_{}", random.below(4));
        // Steps and delays on and around the bounds of 3 s, 10 s and 18 s.
        let edges = [0, 1, 999, 1_000, 2_999, 3_000, 3_001, 9_999, 10_000, 17_999, 18_000, 31_000];
        now += i64::try_from(random.below(2_500)).expect("small");
        let back = if random.one_in(3) { edges[random.index(edges.len())] } else { 0 };
        let page = ["home", "good_detail", "mine"][random.index(3)];
        let last = if random.one_in(2) { "" } else { "\"last_page_id\":\"x\"," };
        let is_new = random.below(2);
        let line = format!(
            "{{\"common\":{{\"mid\":\"{mid}\",\"is_new\":\"{is_new}\",\"vc\":\"v\"}},\
             \"page\":{{{last}\"page_id\":\"{page}\",\"during_time\":5}},\"ts\":{}}}",
            now - back
        );
        let place = partitioner(mid.as_bytes(), PARTITIONS) as usize;
        for _ in 0..1 + u64::from(random.one_in(10)) {
            partitions[place].push(line.clone().into_bytes());
        }
    }
    Input { partitions }
}

fn check(seed: u64, records: u64, crashes: u32, interval_ms: u64) -> u32 {
    check_input(seed, &generated(seed, records), crashes, interval_ms)
}

fn check_input(seed: u64, input: &Input, crashes: u32, interval_ms: u64) -> u32 {
    check_with(&[1], seed, input, crashes, interval_ms)
}

/// `crew`: workers by generation, over and over.
fn check_with(crew: &[usize], seed: u64, input: &Input, crashes: u32, interval_ms: u64) -> u32 {
    let target = Target::new(seed, UnitPolicy::EVERY_EPOCH);
    let history = History { jobs: &Job::LOGS, crew, seed, input, crashes, interval_ms };
    let simulation = history.run(&target);
    assert_same(seed, &observed(&simulation, &target, &|_| true), &expected(input));
    simulation.generations
}

/// A day after the last record.
const CLOCK_MS: i64 = END_MS + 86_400_000;

fn expected(input: &Input) -> Outcome {
    oracle::outcome(input, &oracle::Settings { clock_ms: CLOCK_MS, ..oracle::Settings::default() })
}

/// What is run under a seed.
struct History<'h> {
    jobs: &'h [Job],
    /// Workers by generation, over and over.
    crew: &'h [usize],
    seed: u64,
    input: &'h Input,
    crashes: u32,
    interval_ms: u64,
}

impl History<'_> {
    fn run(&self, target: &Target) -> Simulation {
        let Self { seed, crew, .. } = *self;
        let keyed = |messages: &Vec<Vec<u8>>| {
            messages.iter().map(|message| (Vec::new(), message.clone())).collect()
        };
        let partitions = self.input.partitions.iter().map(keyed).collect();
        let records = Records::new("ods_log", partitions, seed);
        let binary = seed.is_multiple_of(2);
        let mut simulation = Simulation::new(seed, CLOCK_MS).with_workers(crew, binary);
        simulation.settings.epoch.interval_ms = Some(self.interval_ms);
        let plans = |_: &_, _| plans_of(self.jobs, Arc::new(records.clone()), target);
        simulation.run(self.crashes, &plans);
        assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
        simulation
    }
}

/// Where no job reads its page rows they go another way to their topic.
#[test]
fn the_log_split_writes_the_same_alone() {
    for seed in seeds(6_000, 20) {
        let input = if seed % 2 == 0 { any_order(seed) } else { generated(seed, 300) };
        let target = Target::new(seed, UnitPolicy::EVERY_EPOCH);
        let (jobs, crew, interval_ms) = (&[Job::LogSplit], &[1, 3, 2], 10 + seed % 60);
        let history = History { jobs, crew, seed, input: &input, crashes: 3, interval_ms };
        let seen = observed(&history.run(&target), &target, &|_| true);
        let expected = expected(&input);
        for topic in TOPICS {
            assert_eq!(seen.topic(topic), expected.topic(topic), "seed {seed}: {topic}");
        }
        assert!(!seen.topic(TOPICS[0]).is_empty(), "seed {seed}: no page at all");
        for ((name, labels), value) in &seen.counters {
            let labels = (name.clone(), labels.clone());
            assert_eq!(expected.counters.get(&labels), Some(value), "seed {seed}: {labels:?}");
        }
    }
}

#[test]
fn crashes_do_not_change_the_outcome() {
    let seeds = seeds(1, 50);
    let generations: u32 = seeds.iter().map(|&seed| check(seed, 400, 5, 10 + seed % 60)).sum();
    assert!(seeds.len() == 1 || generations > 100, "only {generations} generations");
}

/// S2: with two and three workers, and with a number that changes at every crash.
#[test]
fn workers_do_not_change_the_outcome() {
    let crews: [&[usize]; 4] = [&[2], &[3], &[1, 3, 2], &[4, 1]];
    for seed in seeds(4_000, 50) {
        let crew = crews[usize::try_from(seed % 4).expect("below four")];
        let input = if seed % 5 == 0 { any_order(seed) } else { generated(seed, 300) };
        check_with(crew, seed, &input, 3, 10 + seed % 60);
    }
}

#[test]
fn jumps_visitors_and_windows_follow_event_time_in_any_order() {
    for seed in seeds(1_000, 150) {
        check_input(seed, &any_order(seed), u32::from(seed % 3 == 0), 1 + seed % 40);
    }
}

/// The golden scenario, log part, with `ods_log` an embedded topic that another job writes.
#[test]
fn the_golden_scenario_through_embedded_topics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pipelines/golden/IN/ods_log.jsonl");
    let text = std::fs::read_to_string(path).expect("part of the repository");
    let messages: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
    for seed in seeds(1, 5) {
        let keyed = messages.iter().map(|message| (mid_of(message), message.clone())).collect();
        let (target, mut simulation) =
            (Target::new(seed, UnitPolicy::EVERY_EPOCH), Simulation::new(seed, END_MS));
        let finished = through_topic(&mut simulation, &target, keyed, seed, 0);
        assert!(finished, "seed {seed}: not finished");
        let seen = observed(&simulation, &target, &|_| true);
        let input = Input { partitions: vec![messages.clone()] };
        let expected = oracle::outcome(&input, &oracle::Settings::default());
        for (topic, records) in &expected.topics {
            assert_eq!(seen.topic(topic), sorted(records.iter().cloned()), "seed {seed}: {topic}");
        }
        for (table, rows) in [(TRAFFIC, 5), (PAGE_VIEW, 2)] {
            assert_eq!(seen.table(table), expected.table(table), "seed {seed}: {table}");
            assert_eq!(seen.table(table).len(), rows, "the golden rows");
        }
    }
}

/// Runs all jobs on an embedded topic `ods_log` that another job fills with `messages`; answers
/// whether they came to an end.
fn through_topic(
    simulation: &mut Simulation,
    target: &Target,
    messages: Vec<(Vec<u8>, Vec<u8>)>,
    seed: u64,
    crashes: u32,
) -> bool {
    let count = messages.len() as u64;
    let records = Records::new("log files", vec![messages], seed);
    let (marks, all_there) =
        (RefCell::new(TopicMarks::default()), Arc::new(AtomicBool::new(false)));
    let until = all_there.clone();
    let make = |topics: &TopicMarks, disk: Arc<dyn Disk>| {
        marks.replace(topics.clone());
        let written = TopicSpec { name: "ods_log".to_owned(), partitions: PARTITIONS };
        let mut plans = vec![feeder(&records, SinkTarget::Topics(vec![written], partitioner))];
        let source = TopicSourceFactory {
            topic: "ods_log".to_owned(),
            partitions: PARTITIONS,
            disk,
            marks: topics.clone(),
            until: Some(until.clone()),
            snapshot: false,
            on_lost_position: connectors::kafka::config::OnLostPosition::Stop,
        };
        plans.extend(plans_of(&Job::LOGS, Arc::new(source), target));
        plans
    };
    let announce_end = || {
        let rows = marks.borrow().all().into_iter().filter(|((topic, _), _)| &**topic == "ods_log");
        let written: u64 = rows.map(|(_, mark)| mark.next_base).sum();
        all_there.store(written == count, Ordering::SeqCst);
        false
    };
    for crash in 1..=u64::from(crashes) {
        if simulation.run_until(500 * crash + seed % 400, &make, &announce_end) {
            return true;
        }
        simulation.crash();
    }
    simulation.run_until(2_000_000, &make, &announce_end)
}

/// Retention of one byte: every file of `ods_log` goes as soon as it may. The jobs read that topic,
/// die and go on, and miss nothing.
#[test]
fn retention_takes_nothing_that_is_still_to_be_read() {
    let mut removed = 0;
    for seed in seeds(1, 20) {
        let target = Target::new(seed, UnitPolicy::EVERY_EPOCH);
        let mut simulation = Simulation::new(seed, CLOCK_MS);
        simulation.settings.epoch.interval_ms = Some(10);
        simulation.settings.retention.by_topic = [("ods_log".to_owned(), 1)].into();
        let finished = through_topic(&mut simulation, &target, keyed(seed, 300), seed, 4);
        assert!(finished, "seed {seed}: not finished");
        let expected = expected(&generated(seed, 300));
        // Of `ods_log` itself only the end is left.
        let ours = |topic: &str| expected.topics.contains_key(topic);
        let seen = observed(&simulation, &target, &ours);
        for (topic, records) in &expected.topics {
            assert_eq!(seen.topic(topic), sorted(records.iter().cloned()), "seed {seed}: {topic}");
        }
        for table in [TRAFFIC, PAGE_VIEW] {
            assert_eq!(seen.table(table), expected.table(table), "seed {seed}: {table}");
        }
        for partition in 0..PARTITIONS {
            let files = simulation.disk.list(&topic_dir("ods_log", partition)).expect("there");
            removed +=
                u32::from(!files.iter().any(|(name, _)| name.starts_with("00000000000000000000")));
        }
    }
    assert!(removed > 30, "only {removed} of 60 partitions lost their first file");
}

fn mid_of(message: &[u8]) -> Vec<u8> {
    let record: Value = serde_json::from_slice(message).expect("golden JSON");
    record["common"]["mid"].as_str().expect("a device").as_bytes().to_vec()
}

/// A job that writes records as they are into an embedded topic.
fn feeder(records: &Records, target: SinkTarget) -> Arc<JobPlan> {
    let mut job = JobBuilder::new("feeder");
    let source = job.source(
        "in",
        SourceSpec {
            factory: Arc::new(records.clone()),
            start: Start::Earliest,
            decoder: Arc::new(|| Box::new(AsTheyAre(raw_schema()))),
            bound_ms: 0,
            idle_timeout_ms: 0,
            future_hold_ms: i64::MAX,
            future_skew_ms: i64::MAX,
            reread: None,
        },
    );
    let verbatim = Arc::new(Verbatim { key: RAW_KEY, value: RAW_VALUE });
    job.sink("topics", target, &["ods_log"], vec![(&source.rows, Feed::result(0, verbatim))]);
    Arc::new(job.build().expect("a good plan"))
}

/// Passes key and value on; what is read later decides what they mean.
struct AsTheyAre(Arc<Schema>);

impl Decoder for AsTheyAre {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for row in input.rows() {
            let key = row.bytes(RAW_KEY).unwrap_or_default().len();
            let value = row.bytes(RAW_VALUE).unwrap_or_default().len();
            let narrow = |length: usize| u32::try_from(length).expect("a short record");
            out.rows.begin_over(row);
            out.rows.slice(RAW_KEY, Slice { start: narrow(value), length: narrow(key) });
            out.rows.slice(RAW_VALUE, Slice { start: 0, length: narrow(value) });
            out.rows.end(Stamp { time: 0, ..Stamp::of(row) });
        }
    }
}

#[test]
fn cuts_do_not_change_the_outcome() {
    for interval_ms in [1, 1_000, 3_600_000] {
        check(99, 2_000, 0, interval_ms);
    }
}
