//! `watershed demo` as a user starts it: to the end, on a terminal, and through SIGKILL.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

/// Enough that a debug build is busy for seconds.
const RECORDS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// Exit code of a process that finds its directory in use.
const IN_USE: i32 = 76;

fn watershed(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn demo(data: &Path, records: u64) -> Command {
    let records = records.to_string();
    let arguments =
        ["demo", "--seed", "7", "--records", &records, "--exit-when-done", "--json", "--days", "2"];
    watershed(data, &arguments)
}

/// Runs to the end. The process of an earlier start may take a moment to die with its supervisor.
fn finish(data: &Path, records: u64) -> Value {
    let begun = Instant::now();
    loop {
        let Output { status, stdout, stderr } = demo(data, records).output().expect("it starts");
        if status.code() == Some(IN_USE) && begun.elapsed() < PATIENCE {
            continue;
        }
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{status}: {stderr}");
        let stdout = String::from_utf8(stdout).expect("text");
        let last = stdout.lines().last().expect("a last line");
        return serde_json::from_str(last).expect("a JSON object");
    }
}

fn counts(summary: &Value, kind: &str) -> BTreeMap<String, u64> {
    serde_json::from_value(summary[kind].clone()).expect("counts by name")
}

/// Bytes in all partitions of a topic.
fn topic_bytes(data: &Path, topic: &str) -> u64 {
    let partitions = fs::read_dir(data.join("topic").join(topic)).into_iter().flatten().flatten();
    let files = partitions.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// Kills the process once a topic has grown beyond `bytes`; answers how large it was.
fn kill_when(child: &mut Child, data: &Path, topic: &str, bytes: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let size = topic_bytes(data, topic);
        let ended = child.try_wait().expect("a child of ours");
        assert!(ended.is_none(), "ended by itself before it was killed: {ended:?}");
        if size > bytes {
            child.kill().expect("it runs");
            let status = child.wait().expect("a child of ours");
            assert_eq!(status.signal(), Some(9));
            return size;
        }
        assert!(begun.elapsed() < PATIENCE, "{topic} does not grow beyond {bytes}: {size}");
        std::thread::yield_now();
    }
}

#[test]
fn ends_by_itself_with_a_summary() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let summary = finish(&data, 5_000);
    assert_eq!(summary["records"], 5_000);
    for number in ["seconds", "cpu_seconds", "peak_rss_bytes"] {
        assert!(summary[number].as_f64().is_some_and(|number| number > 0.0), "{summary}");
    }
    let (topics, tables) = (counts(&summary, "topics"), counts(&summary, "tables"));
    assert_eq!(topics["ods_log"], 5_000);
    for topic in ["page_log", "start_log", "display_log", "action_log", "error_log"] {
        assert!(topics[&format!("dwd_traffic_{topic}")] > 0, "{topic}: {summary}");
    }
    for topic in
        ["dwd_traffic_unique_visitor_detail", "dwd_traffic_user_jump_detail", "log_split_dead"]
    {
        assert!(topics[topic] > 0, "{topic}: {summary}");
    }
    assert_eq!(tables.len(), 2, "{summary}");
    assert!(tables.values().all(|rows| *rows > 0), "{summary}");
    let dimensions = counts(&summary, "dimensions");
    assert_eq!(dimensions.len(), 16, "{summary}");
    assert!(dimensions.values().all(|rows| *rows > 0), "also those configured late: {summary}");
    // A fifth of the logs, behind the bootstrap; that of the other tests is as long.
    assert!(topics["ods_db"] > 2_000, "{summary}");
    // A second start finds everything done.
    let again = finish(&data, 5_000);
    assert_eq!((counts(&again, "topics"), counts(&again, "tables")), (topics, tables));
    assert_eq!(counts(&again, "dimensions"), dimensions);
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).expect("a process id");
    kill_process(Pid::from_raw(pid).expect("not zero"), signal).expect("it lives");
}

/// What the running demo says of itself once `good` holds.
fn status_when(data: &Path, good: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let output = watershed(data, &["status", "--json"]).output().expect("it starts");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if status["running"] == true && good(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
}

/// Config rows, rows of the shop, and a second start that goes on without reading them again.
#[test]
fn a_live_demo_has_a_shop_whose_dimensions_appear() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path();
    let begin = || {
        let mut command = watershed(data, &["demo", "--rate", "100", "--workers", "1"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.expect("it starts")
    };
    // Most of the bootstrap.
    let mut upserts = 1_000;
    for generation in 1..=2 {
        let mut child = begin();
        let status = status_when(data, |status| {
            let dimensions = &status["dimensions"];
            status["generation"] == generation
                && dimensions["config_applied"]["r"] == 14
                && dimensions["upserts"].as_u64() > Some(upserts)
        });
        upserts = status["dimensions"]["upserts"].as_u64().expect("a number");
        assert_eq!(status["dimensions"]["config_rejected"], 0);
        signal(&child, Signal::TERM);
        assert_eq!(child.wait().expect("a child of ours").code(), Some(0));
    }
    let table = rows_of(data, "dim_base_province");
    assert_eq!(table.len(), 34);
}

/// Under `script`, `expect` or a CI that gives its jobs a terminal, nobody answers when a program asks
/// where the cursor is.
#[test]
fn the_live_view_needs_no_answer_of_the_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut ours, theirs) = pseudo_terminal();
    let shared = || Stdio::from(theirs.try_clone().expect("a descriptor"));
    let mut command = watershed(dir.path(), &["demo", "--rate", "100", "--workers", "1"]);
    command.stdin(shared()).stdout(shared()).stderr(shared());
    let mut child = command.spawn().expect("it starts");
    drop((command, theirs));
    let begun = Instant::now();
    let mut screen = Vec::new();
    let mut shows = |text: &str| {
        while !String::from_utf8_lossy(&screen).contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text}: {}", String::from_utf8_lossy(&screen));
            let mut bytes = [0; 4096];
            let read = ours.read(&mut bytes).expect("the demo has the terminal open");
            screen.extend_from_slice(&bytes[..read]);
        }
    };
    shows("ods_log");
    assert_eq!(
        status_when(dir.path(), |_running| true)["generation"],
        1,
        "it was not started again"
    );
    ours.write_all(b"q").expect("a key");
    // The two who had it are gone: nothing can be read any more.
    let end = std::io::copy(&mut ours, &mut std::io::sink());
    assert_eq!(child.wait().expect("a child of ours").code(), Some(0), "{end:?}");
}

/// A terminal of 40 lines of 120 characters: our end, and that of the program.
fn pseudo_terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&ours).expect("ours");
    unlockpt(&ours).expect("ours");
    let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("ours");
    let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY);
    (ours.into(), theirs.expect("the other end").into())
}

/// The rows of a dimension table, sorted.
fn rows_of(data: &Path, table: &str) -> Vec<String> {
    let output = watershed(data, &["inspect", "--table", table]).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

#[test]
fn another_stream_in_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    finish(dir.path(), 10);
    let refused = demo(dir.path(), 11).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    for part in ["10 records", "not with", "11 records", "--data"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn killed_and_started_again_it_gives_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let (killed, whole) = (dir.path().join("killed"), dir.path().join("whole"));
    let mut size = 0;
    for topic in ["ods_log", "dwd_traffic_page_log", "dwd_traffic_page_log"] {
        let mut command = demo(&killed, RECORDS);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let bytes = if topic == "ods_log" { 0 } else { size };
        let reached = kill_when(&mut child, &killed, topic, bytes);
        size = if topic == "ods_log" { 0 } else { reached };
    }
    let resumed = finish(&killed, RECORDS);
    // The same days, which end when the first of the two was started.
    fs::create_dir(&whole).expect("a directory");
    fs::copy(killed.join("demo.json"), whole.join("demo.json")).expect("begun by the first start");
    let uninterrupted = finish(&whole, RECORDS);
    assert_eq!(resumed["records"], RECORDS);
    for kind in ["topics", "tables", "dimensions"] {
        assert_eq!(counts(&resumed, kind), counts(&uninterrupted, kind), "{kind}");
    }
    for topic in ["dwd_traffic_unique_visitor_detail", "dwd_traffic_user_jump_detail"] {
        assert!(dumped(&killed, topic) == dumped(&whole, topic), "{topic}");
    }
    // One that changes, one configured late, one widened, one removed and configured again.
    for table in ["dim_user_info", "dim_coupon_range", "dim_base_trademark", "dim_activity_sku"] {
        assert_eq!(rows_of(&killed, table), rows_of(&whole, table), "{table}");
    }
}

/// The records of a topic, sorted: between keys there is no order.
fn dumped(data: &Path, topic: &str) -> Vec<Vec<u8>> {
    let output = watershed(data, &["topic", "dump", topic]).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut records: Vec<_> =
        output.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert!(records.len() > 1, "{topic} is empty");
    records.sort();
    records
}
