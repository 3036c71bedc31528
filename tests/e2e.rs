//! The real binary against a real Kafka broker: the golden scenario, and a stream while the process or
//! the broker is killed again and again. What a `read_committed` reader sees at the end must be what
//! the batch oracle says, nothing lost and nothing doubled.

mod support {
    pub(crate) mod broker;
    pub(crate) mod oracle;
}

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use connectors::kafka::murmur2::partition_of;
use engine::checkpoint::restore::Saved;
use engine::random::Random;
use engine::state::fjall::{FjallBackend, FjallOptions};
use jobs::generate::Generator;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::doris::DwsStore;
use support::broker::{produce, read_committed, topic};
use support::oracle::{self, Input, Outcome, PAGE_VIEW, TRAFFIC, sorted};
use xtask::services::kafka::{Broker, Options};
use xtask::services::offline;

/// Partitions of the input topic.
const PARTITIONS: u32 = 3;
/// How long the outcome may take once all input is there.
const LIMIT: Duration = Duration::from_secs(120);
/// Topics whose rows are compared.
const TOPICS: [&str; 7] = [
    "dwd_traffic_page_log",
    "dwd_traffic_start_log",
    "dwd_traffic_display_log",
    "dwd_traffic_action_log",
    "dwd_traffic_error_log",
    "dwd_traffic_unique_visitor_detail",
    "dwd_traffic_user_jump_detail",
];

/// A log record with the key it is produced under.
type Message = (Option<Vec<u8>>, Vec<u8>);

/// A `watershed run` over a job file, on a broker.
struct Watershed {
    folder: tempfile::TempDir,
    /// Before the names of all topics of this test.
    prefix: String,
    bootstrap: String,
    process: Option<Child>,
}

impl Watershed {
    fn new(broker: &Broker, prefix: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bootstrap = broker.bootstrap();
        let input = format!("{prefix}ods_log");
        topic(broker, &input, i32::try_from(PARTITIONS).expect("three"));
        for name in TOPICS {
            topic(broker, &format!("{prefix}{name}"), 2);
        }
        let jobs = format!(
            "[engine]\nepoch.interval = \"100ms\"\nrestart.max = 1000\n\
             [switch]\nsource.idle_timeout = \"0s\"\n\
             [source.ods_log]\nconnector = \"kafka\"\ntopic = \"{input}\"\n\
             properties.bootstrap.servers = \"{bootstrap}\"\n\
             [topics]\nconnector = \"kafka\"\nprefix = \"{prefix}\"\n\
             sink.transactional-id-prefix = \"{prefix}\"\n\
             sink.progress-topic = \"{prefix}progress\"\n\
             properties.bootstrap.servers = \"{bootstrap}\"\n"
        );
        std::fs::write(folder.path().join("jobs.toml"), jobs).expect("a writable folder");
        Self { folder, prefix: prefix.to_owned(), bootstrap, process: None }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, flags: &[&str]) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a writable folder");
        let process = Command::new(env!("CARGO_BIN_EXE_watershed"))
            .arg("--data")
            .arg(self.data())
            .arg("run")
            .arg(self.folder.path().join("jobs.toml"))
            .args(flags)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        self.process = Some(process.expect("the binary starts"));
    }

    fn supervisor(&self) -> u32 {
        self.process.as_ref().expect("started").id()
    }

    /// The process that runs the engine, once the supervisor has started one.
    fn engine(&self) -> Option<u32> {
        children_of(self.supervisor()).into_iter().next()
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Waits until an engine has died by SIGKILL, as its supervisor tells.
    fn await_death(&self) {
        let started = Instant::now();
        while !self.log().contains("was ended by signal 9") {
            assert!(started.elapsed() < LIMIT, "nobody died:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Kills the supervisor, whose death takes the engine along.
    fn kill_all(&mut self) {
        let mut process = self.process.take().expect("started");
        process.kill().expect("it is ours");
        process.wait().expect("it was killed");
    }

    /// Asks for a stop and waits for it.
    fn stop(&mut self) {
        signal(self.supervisor(), Signal::TERM);
        let mut process = self.process.take().expect("started");
        let status = process.wait().expect("it is ours");
        assert!(status.success(), "stopped with {status}:\n{}", self.log());
    }

    fn records(&self, name: &str) -> Vec<Value> {
        let records = read_committed(&self.bootstrap, &format!("{}{name}", self.prefix));
        let value = |record: &support::broker::Record| {
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("JSON")
        };
        sorted(records.iter().map(value))
    }

    /// Waits until the topics hold as many records as they must.
    fn await_topics(&self, expected: &Outcome) {
        let started = Instant::now();
        for name in TOPICS {
            loop {
                let (seen, wanted) = (self.records(name).len(), expected.topic(name).len());
                if seen >= wanted {
                    break;
                }
                assert!(
                    started.elapsed() < LIMIT,
                    "{name}: {seen} of {wanted} records after {LIMIT:?}:\n{}",
                    self.log()
                );
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    }

    /// After the stop: topics, tables and counters are those of the oracle.
    fn assert_outcome(&self, expected: &Outcome) {
        for name in TOPICS {
            let (seen, wanted) = (self.records(name), expected.topic(name));
            assert_eq!(seen.len(), wanted.len(), "{name}");
            assert_eq!(seen, wanted, "{name}");
        }
        let tables = DwsStore::open(&self.data().join("store/dws")).expect("the process has ended");
        for table in [TRAFFIC, PAGE_VIEW] {
            let rows = tables.rows(table).expect("a readable table");
            let rows = rows.iter().map(|row| serde_json::from_slice(row).expect("JSON"));
            assert_eq!(sorted(rows), expected.table(table), "{table}");
        }
        let counters = counters(&self.data());
        for ((name, labels), value) in &expected.counters {
            let seen = counters.iter().find(|(known, of, _)| known == name && of == labels);
            assert_eq!(seen.map(|(_, _, value)| value), Some(value), "{name}{{{labels}}}");
        }
    }
}

impl Drop for Watershed {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _already_gone = process.kill();
            let _already_gone = process.wait();
        }
        if std::thread::panicking() {
            let _unprinted = writeln!(std::io::stderr(), "--- log of watershed\n{}", self.log());
        }
    }
}

fn counters(data: &Path) -> Vec<(String, String, u64)> {
    let backend = FjallBackend::open(&data.join("state/db"), FjallOptions::default());
    let saved = Saved::read(&backend.expect("the process has ended")).expect("a checkpoint");
    let labels = |labels: &[(String, String)]| {
        let texts: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        texts.join(",")
    };
    let rows = saved.counters();
    rows.into_iter().map(|row| (row.name, labels(&row.labels), row.value)).collect()
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have ended a moment ago: that is what a random instant means.
    let _gone = kill_process(pid, signal);
}

fn children_of(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Records that let every partition's watermark pass everything before them.
fn end_marks(time_ms: i64) -> Vec<Message> {
    let mids = (0..).map(|number| format!("end_{number}"));
    let mut partitions: Vec<u32> = Vec::new();
    let mut messages = Vec::new();
    for mid in mids {
        let partition = partition_of(mid.as_bytes(), PARTITIONS);
        if !partitions.contains(&partition) {
            partitions.push(partition);
            let value = format!(
                "{{\"common\":{{\"is_new\":\"0\",\"mid\":\"{mid}\"}},\"err\":{{}},\"ts\":{time_ms}}}"
            );
            messages.push((Some(mid.into_bytes()), value.into_bytes()));
        }
        if messages.len() == PARTITIONS as usize {
            return messages;
        }
    }
    unreachable!("some device falls into every partition")
}

/// What the oracle makes of `messages` in their partitions.
fn expected(messages: &[Message]) -> Outcome {
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    for (key, value) in messages {
        let key = key.as_deref().expect("all messages of these tests have keys");
        partitions[partition_of(key, PARTITIONS) as usize].push(value.clone());
    }
    oracle::outcome(&Input { partitions }, &oracle::Settings::default())
}

fn golden() -> Vec<Message> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines/golden/IN/ods_log.jsonl");
    let text = std::fs::read_to_string(path).expect("part of the repository");
    let message = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let mid = record["common"]["mid"].as_str().expect("a device");
        (Some(mid.as_bytes().to_vec()), line.as_bytes().to_vec())
    };
    text.lines().map(message).collect()
}

/// A dense stream in the past, broken and late records included.
fn generated(seed: u64, records: usize) -> (Vec<Message>, i64) {
    let start_ms = 1_651_330_800_000;
    let settings = jobs::generate::Settings {
        seed,
        start_ms,
        records_per_second: 20,
        records: None,
        mids: 400,
        ..jobs::generate::Settings::default()
    };
    let mut cursor = Generator::new(settings).open(0);
    let mut messages = Vec::with_capacity(records);
    let mut line = Vec::new();
    while messages.len() < records {
        line.clear();
        let made = cursor.next(&mut line).expect("an endless stream");
        let key = made.key.map_or_else(|| b"broken".to_vec(), |range| line[range].to_vec());
        messages.push((Some(key), line.clone()));
    }
    let seconds = i64::try_from(records / 20).expect("few");
    (messages, start_ms + seconds * 1000 + 600_000)
}

#[test]
fn the_golden_scenario_through_kafka() {
    if offline() {
        return;
    }
    let mut messages = golden();
    messages.extend(end_marks(1_651_288_500_000));
    let mut watershed = Watershed::new(Broker::shared(), "golden_");
    watershed.start();
    produce(&watershed.bootstrap, "golden_ods_log", messages.iter().cloned());
    let expected = expected(&messages);
    watershed.await_topics(&expected);
    watershed.stop();
    watershed.assert_outcome(&expected);
    for (table, rows) in [(TRAFFIC, 5), (PAGE_VIEW, 2)] {
        assert_eq!(expected.table(table).len(), rows, "the golden rows");
    }
}

/// Feeds `messages` in small steps for about `spread` on a thread of its own.
fn feed(
    bootstrap: String,
    topic: String,
    messages: Vec<Message>,
    spread: Duration,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let steps = 40;
        for chunk in messages.chunks(messages.len().div_ceil(steps)) {
            produce(&bootstrap, &topic, chunk.iter().cloned());
            std::thread::park_timeout(spread / 40);
        }
    })
}

#[test]
fn killed_twenty_times_it_loses_and_doubles_nothing() {
    if offline() {
        return;
    }
    let (mut messages, end_ms) = generated(11, 8_000);
    messages.extend(end_marks(end_ms));
    let expected = expected(&messages);
    let mut watershed = Watershed::new(Broker::shared(), "kill_");
    let topic = "kill_ods_log".to_owned();
    watershed.start();
    let feeder = feed(watershed.bootstrap.clone(), topic, messages, Duration::from_secs(25));
    let mut random = Random::new(20);
    let (mut kills, mut engine_kills) = (0, 0);
    while kills < 20 {
        std::thread::park_timeout(Duration::from_millis(random.below(1800)));
        if kills % 5 == 4 {
            // The engine alone: its supervisor starts the next one.
            if let Some(engine) = watershed.engine() {
                signal(engine, Signal::KILL);
                engine_kills += 1;
                kills += 1;
            }
        } else {
            watershed.kill_all();
            watershed.start();
            kills += 1;
        }
    }
    assert!(engine_kills > 0, "the engine was never killed alone");
    feeder.join().expect("all records were produced");
    watershed.await_topics(&expected);
    watershed.stop();
    watershed.assert_outcome(&expected);
}

/// The crash points inside a transaction; the others need no broker (`tests/crash_points.rs`).
#[test]
fn killed_inside_a_transaction_it_loses_and_doubles_nothing() {
    if offline() {
        return;
    }
    let (mut messages, end_ms) = generated(13, 1_000);
    messages.extend(end_marks(end_ms));
    let expected = expected(&messages);
    for at in ["transaction_begun:3", "half_sent:2"] {
        let prefix = format!("{}_", at.replace(':', "_"));
        let mut watershed = Watershed::new(Broker::shared(), &prefix);
        watershed.start_with(&["--crash-at", at]);
        produce(&watershed.bootstrap, &format!("{prefix}ods_log"), messages.iter().cloned());
        watershed.await_death();
        watershed.kill_all();
        watershed.start();
        watershed.await_topics(&expected);
        watershed.stop();
        watershed.assert_outcome(&expected);
    }
}

#[test]
fn a_killed_broker_loses_and_doubles_nothing() {
    if offline() {
        return;
    }
    let (mut messages, end_ms) = generated(12, 4_000);
    messages.extend(end_marks(end_ms));
    let expected = expected(&messages);
    let mut broker = Broker::start(&Options::default()).expect("a broker");
    let mut watershed = Watershed::new(&broker, "broker_");
    watershed.start();
    let (first, second) = messages.split_at(messages.len() / 2);
    produce(&watershed.bootstrap, "broker_ods_log", first.iter().cloned());
    let mut random = Random::new(3);
    for _ in 0..2 {
        std::thread::park_timeout(Duration::from_millis(200 + random.below(800)));
        broker.kill().expect("it was running");
        broker.restart().expect("it starts again");
    }
    produce(&watershed.bootstrap, "broker_ods_log", second.iter().cloned());
    watershed.await_topics(&expected);
    watershed.stop();
    watershed.assert_outcome(&expected);
}
