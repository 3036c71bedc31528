//! Embedded topics of the real process stay within `retention.bytes`; a reader that was away for too
//! long is told which records it has lost, and nothing is passed over in silence.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jobs::generate::{Cursor, Generator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for anything here; it takes a fraction of it even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
const PAGES: &str = "dwd_traffic_page_log";
const MIB: u64 = 1 << 20;
/// So many records that the first file of each partition goes, however they were cut into epochs: some 2.6
/// MB for each, of which 1 MiB is kept, and a file is at most a block (1 MiB) and an eighth of that.
const MANY: usize = 60_000;

/// Logs without end, of which every call takes the next.
fn logs() -> Cursor {
    let settings = jobs::generate::Settings {
        seed: 8,
        start_ms: 1_651_330_800_000,
        records_per_second: 50,
        records: None,
        mids: 500,
        ..jobs::generate::Settings::default()
    };
    Generator::new(settings).open(0)
}

/// Appends so many records to the file that the log job reads.
fn append(dir: &Path, logs: &mut Cursor, records: usize) {
    let mut lines = Vec::new();
    for _ in 0..records {
        logs.next(&mut lines).expect("an endless stream");
        lines.push(b'\n');
    }
    let path = dir.join("ods_log.jsonl");
    let mut file = fs::File::options().create(true).append(true).open(path).expect("writable");
    file.write_all(&lines).expect("written");
}

/// Writes the job files: `log.toml` from the file to topics, `uv.toml` from the page topic on.
fn job_files(dir: &Path) {
    let engine = "[engine]\nepoch.interval = \"20ms\"\nrestart.max = 1\n";
    let log = "[source.ods_log]\nconnector = \"file\"\npath = \"ods_log.jsonl\"\n\
               [[job]]\nname = \"log_split\"\nretention.bytes = \"1MiB\"\n";
    fs::write(dir.join("log.toml"), format!("{engine}{log}")).expect("written");
    let uv = "[[job]]\nname = \"unique_visitor\"\n";
    fs::write(dir.join("uv.toml"), format!("{engine}{uv}")).expect("written");
}

fn watershed(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.current_dir(dir).arg("--data").arg("d").args(arguments).stdin(Stdio::null());
    command
}

fn expect(dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        watershed(dir, arguments).output().expect("the binary starts");
    assert!(status.success(), "{arguments:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// First and next offset of each partition of the page topic.
fn pages(dir: &Path) -> Vec<(u64, u64)> {
    let list: Value =
        serde_json::from_str(&expect(dir, &["topic", "list", "--json"])).expect("JSON");
    let rows = list.as_array().expect("a list").iter().filter(|row| row["topic"] == PAGES);
    let number = |value: &Value| value.as_u64().expect("a number");
    rows.map(|row| (number(&row["first_offset"]), number(&row["next_offset"]))).collect()
}

#[test]
fn a_topic_keeps_what_its_job_says_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    job_files(dir);
    append(dir, &mut logs(), MANY);
    expect(dir, &["run", "log.toml", "--workers", "2"]);
    let partitions = pages(dir);
    assert_eq!(partitions.len(), 4);
    for (number, (first, next)) in partitions.iter().enumerate() {
        assert!(*first > 0 && first < next, "{partitions:?}");
        let files = fs::read_dir(dir.join("d/topic").join(PAGES).join(number.to_string()));
        let sizes = files.expect("there").map(|file| file.expect("readable").metadata());
        let bytes: u64 = sizes.map(|meta| meta.expect("readable").len()).sum();
        // Whole files go, and one is as large as a block where that is larger than an eighth.
        assert!((MIB..3 * MIB).contains(&bytes), "partition {number} has {bytes} bytes");
    }
    let kept: u64 = partitions.iter().map(|(first, next)| next - first).sum();
    let dumped = expect(dir, &["topic", "dump", PAGES]);
    assert_eq!(dumped.lines().count() as u64, kept);
    let verified = expect(dir, &["verify"]);
    assert!(!verified.contains("DAMAGED"), "{verified}");
}

/// A supervised engine that does not end by itself.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended where the test passed.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Service {
    fn start(dir: &Path) -> Self {
        let mut command = watershed(dir, &["run", "uv.toml", "--workers", "1"]);
        Self(command.stderr(Stdio::piped()).spawn().expect("the binary starts"))
    }

    /// Its end: code and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let stream = self.0.stderr.as_mut().expect("piped");
        stream.read_to_string(&mut said).expect("text");
        (self.0.wait().expect("it ends").code(), said)
    }
}

/// Records of the page topic that the visitor job has read.
fn read(dir: &Path) -> u64 {
    let output = watershed(dir, &["status", "--json"]).output().expect("the binary starts");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let counters = status["counters"].as_array().into_iter().flatten();
    let of_job = |counter: &&Value| {
        counter["name"] == "records_in" && counter["labels"]["job"] == "unique_visitor"
    };
    counters.filter(of_job).filter_map(|counter| counter["value"].as_u64()).sum()
}

#[test]
fn a_reader_that_was_away_for_too_long_is_told_what_it_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    job_files(dir);
    let mut logs = logs();
    append(dir, &mut logs, 1_000);
    expect(dir, &["run", "log.toml", "--workers", "1"]);
    let first_run = pages(dir);
    let there: u64 = first_run.iter().map(|(_, next)| next).sum();

    let mut service = Service::start(dir);
    let begun = Instant::now();
    while read(dir) < there {
        let ended = service.0.try_wait().expect("a child of ours");
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?} {}", read(dir));
    }
    let pid = i32::try_from(service.0.id()).ok().and_then(Pid::from_raw).expect("an id");
    kill_process(pid, Signal::TERM).expect("it lives");
    assert_eq!(service.end().0, Some(0));

    append(dir, &mut logs, MANY);
    expect(dir, &["run", "log.toml", "--workers", "1"]);
    let passed =
        pages(dir).into_iter().zip(&first_run).all(|((first, _), (_, read))| first > *read);
    assert!(passed, "{:?} after {first_run:?}", pages(dir));
    let (code, said) = Service::start(dir).end();
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(&format!("of topic partition \"{PAGES}/")), "{said}");
    assert!(said.contains("is lost: it begins at ") && said.contains("retention"), "{said}");

    // Told to, it goes on with what is left.
    let uv = fs::read_to_string(dir.join("uv.toml")).expect("written above");
    let topics = "[topics]\non-lost-position = \"earliest\"\n";
    fs::write(dir.join("uv.toml"), uv.replace("[[job]]", &format!("{topics}[[job]]")))
        .expect("written");
    let left: u64 = pages(dir).iter().map(|(first, next)| next - first).sum();
    let mut service = Service::start(dir);
    let begun = Instant::now();
    while read(dir) < there + left {
        let ended = service.0.try_wait().expect("a child of ours");
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?} {}", read(dir));
    }
    kill_process(Pid::from_child(&service.0), Signal::TERM).expect("it lives");
    let (code, said) = service.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("going on at the oldest record").count(), 4, "{said}");
}
