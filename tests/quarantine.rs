//! A job that panics again and again in the real process: after the third time it is left out with
//! what reads from it, and the others run on and deliver what they would have delivered anyway.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jobs::generate::Generator;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::doris::DwsStore;
use tempfile::TempDir;

/// Longest wait for anything here; it takes a fraction of it even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
const TRAFFIC: &str = "dws_traffic_vc_ch_ar_is_new_page_view_window";
const PAGE_VIEW: &str = "dws_traffic_page_view_window";
/// What the jobs that stay write.
const TOPICS: [&str; 7] = [
    "dwd_traffic_page_log",
    "dwd_traffic_start_log",
    "dwd_traffic_display_log",
    "dwd_traffic_action_log",
    "dwd_traffic_error_log",
    "dwd_traffic_unique_visitor_detail",
    "log_split_dead",
];

/// A folder with generated logs, and what marks one page record in their middle.
fn recorded(records: usize) -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = jobs::generate::Settings {
        seed: 5,
        start_ms: 1_651_330_800_000,
        records_per_second: 20,
        records: None,
        mids: 300,
        ..jobs::generate::Settings::default()
    };
    let mut cursor = Generator::new(settings).open(0);
    let (mut lines, mut line, mut marker) = (Vec::new(), Vec::new(), None);
    for number in 0..records {
        line.clear();
        cursor.next(&mut line).expect("an endless stream");
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        if number > records / 2 && marker.is_none() && value["page"]["page_id"].is_string() {
            marker = value["ts"].as_i64().map(|ts| format!("\"ts\":{ts}"));
        }
        lines.extend_from_slice(&line);
        lines.push(b'\n');
    }
    fs::write(dir.path().join("ods_log.jsonl"), lines).expect("written");
    (dir, marker.expect("a page in the second half"))
}

/// Writes a job file over the recorded logs, with these jobs or all.
fn job_file(dir: &Path, jobs: &[&str]) {
    let mut text = "[engine]\nepoch.interval = \"20ms\"\n[switch]\nsource.idle_timeout = \"0s\"\n\
                    [source.ods_log]\nconnector = \"file\"\npath = \"ods_log.jsonl\"\n"
        .to_owned();
    for job in jobs {
        text.push_str(&format!("[[job]]\nname = \"{job}\"\n"));
    }
    fs::write(dir.join("jobs.toml"), text).expect("written");
}

fn watershed(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.current_dir(dir).args(arguments).stdin(Stdio::null());
    command
}

/// Runs to the end, which must be a good one; answers what was said on standard error.
fn run(dir: &Path, data: &str, arguments: &[&str]) -> String {
    let all = [&["--data", data, "run", "jobs.toml", "--workers", "2"], arguments].concat();
    let Output { status, stderr, .. } = watershed(dir, &all).output().expect("it starts");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{status}: {said}");
    said
}

fn status(dir: &Path, data: &str) -> Value {
    let output = watershed(dir, &["--data", data, "status", "--json"]).output();
    serde_json::from_slice(&output.expect("it starts").stdout).unwrap_or_default()
}

/// Jobs that are left out, by name, sorted.
fn quarantined(status: &Value) -> Vec<&str> {
    let left = status["quarantined"].as_array().into_iter().flatten();
    let mut names: Vec<_> = left.filter_map(|left| left["job"].as_str()).collect();
    names.sort_unstable();
    names
}

fn dumped(dir: &Path, data: &str, topic: &str) -> Vec<Vec<u8>> {
    let output = watershed(dir, &["--data", data, "topic", "dump", topic]).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut records: Vec<_> =
        output.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert!(records.len() > 1, "{topic} is empty");
    records.sort();
    records
}

fn table(dir: &Path, data: &str, name: &str) -> Vec<Vec<u8>> {
    let store = DwsStore::open(&dir.join(data).join("store/dws")).expect("nothing runs");
    store.rows(name).expect("readable")
}

/// The operators that crash records blame.
fn blamed(dir: &Path, data: &str) -> Vec<String> {
    let records = fs::read_dir(dir.join(data).join("state/crash")).expect("there");
    let operator = |entry: std::io::Result<fs::DirEntry>| {
        let text = fs::read(entry.expect("readable").path()).expect("readable");
        let record: Value = serde_json::from_slice(&text).expect("JSON");
        record["operator"][0].as_str().unwrap_or("nobody").to_owned()
    };
    records.map(operator).collect()
}

#[test]
fn a_job_that_keeps_failing_is_left_out_and_the_others_deliver() {
    let (dir, marker) = recorded(3_000);
    let dir = dir.path();
    job_file(dir, &["log_split", "unique_visitor", PAGE_VIEW]);
    run(dir, "without", &[]);
    job_file(dir, &[]);
    let said = run(dir, "with", &["--panic-at", &format!("user_jump.jump={marker}")]);
    assert_eq!(said.matches("the process failed with code 101").count(), 3, "{said}");
    assert!(said.contains("in quarantine after repeated faults: user_jump.jump"), "{said}");
    assert!(said.contains("ERROR job does not run job=user_jump: it failed again"), "{said}");
    assert_eq!(blamed(dir, "with"), ["user_jump.jump"; 3]);
    for topic in TOPICS {
        assert!(dumped(dir, "with", topic) == dumped(dir, "without", topic), "{topic}");
    }
    let rows = table(dir, "without", PAGE_VIEW);
    assert!(!rows.is_empty() && table(dir, "with", PAGE_VIEW) == rows, "{PAGE_VIEW}");
}

/// A live demo, killed if the test fails.
struct Demo<'a> {
    dir: &'a Path,
    process: Child,
}

impl Drop for Demo<'_> {
    fn drop(&mut self) {
        // It has ended where the test passed.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl<'a> Demo<'a> {
    fn start(dir: &'a Path, faults: &[&str]) -> Self {
        let mut command = watershed(dir, &["demo", "--data", "d", "--rate", "300"]);
        command.args(["--workers", "2"]).args(faults).stdout(Stdio::null()).stderr(Stdio::piped());
        Self { dir, process: command.spawn().expect("it starts") }
    }

    /// Waits until the log jobs have completed two more epochs in this generation.
    fn until_two_epochs_of(&mut self, generation: u64) -> Value {
        let (begun, mut first) = (Instant::now(), None);
        loop {
            let status = status(self.dir, "d");
            if status["running"] == true && status["generation"] == generation {
                let complete = complete(&status, "log_split");
                if complete > 1 + *first.get_or_insert(complete) {
                    return status;
                }
            }
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?} {status}");
        }
    }

    /// Stops it as asked; answers what it said.
    fn stop(mut self) -> String {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(pid, Signal::TERM).expect("it lives");
        let mut said = String::new();
        let stream = self.process.stderr.as_mut().expect("piped");
        stream.read_to_string(&mut said).expect("text");
        assert_eq!(self.process.wait().expect("it ends").code(), Some(0), "{said}");
        said
    }
}

fn complete(status: &Value, group: &str) -> u64 {
    let groups = status["groups"].as_array().into_iter().flatten();
    let found = groups.filter(|of| of["name"] == group).find_map(|of| of["complete"].as_u64());
    found.unwrap_or(0)
}

#[test]
fn status_shows_who_is_left_out_while_the_others_run_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut demo = Demo::start(dir.path(), &[]);
    assert_eq!(quarantined(&demo.until_two_epochs_of(1)), [""; 0]);
    demo.stop();
    // Three generations fail, the next leaves the job out.
    let mut demo = Demo::start(dir.path(), &["--panic-at", "user_jump.jump=good_detail"]);
    assert_eq!(quarantined(&demo.until_two_epochs_of(5)), [TRAFFIC, "user_jump"]);
    // Killed with its supervisor, it is left out from the start: the fault is not met again.
    drop(demo);
    assert_eq!(blamed(dir.path(), "d").len(), 3);
    let mut demo = Demo::start(dir.path(), &["--panic-at", "user_jump.jump=good_detail"]);
    assert_eq!(quarantined(&demo.until_two_epochs_of(6)), [TRAFFIC, "user_jump"]);
    let said = demo.stop();
    assert!(said.contains("in quarantine after repeated faults: user_jump.jump"), "{said}");
    assert!(said.contains("ERROR job does not run job=user_jump: it failed again"), "{said}");
    assert_eq!(blamed(dir.path(), "d").len(), 3, "{said}");
    assert_eq!(quarantined(&status(dir.path(), "d")), [TRAFFIC, "user_jump"]);
    // After a stop it would be tried again, but it would go on behind a gap.
    let mut demo = Demo::start(dir.path(), &[]);
    assert_eq!(quarantined(&demo.until_two_epochs_of(7)), [TRAFFIC, "user_jump"]);
    let said = demo.stop();
    let why = "ERROR job does not run job=user_jump: group \"log_split\" went on without it";
    assert!(said.contains(why), "{said}");
}
