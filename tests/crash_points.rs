//! The real process killed at every crash point of the engine, on real files: run again, it gives
//! what an uninterrupted run gives. The points inside a Kafka transaction are in `tests/e2e.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use engine::crash_point::CrashPoint;
use jobs::generate::Generator;

const RECORDS: usize = 500;
/// Lines between two barriers: before the next line all that was made so far is complete and
/// delivered, so every run passes every point some times.
const BARRIER_EVERY: usize = 50;

fn recorded(folder: &Path) {
    let start_ms = 1_651_330_800_000_i64;
    let settings = jobs::generate::Settings {
        seed: 25,
        start_ms,
        records_per_second: 20,
        records: None,
        mids: 200,
        ..jobs::generate::Settings::default()
    };
    let mut cursor = Generator::new(settings).open(0);
    let (mut lines, mut timeline) = (Vec::new(), String::new());
    let mut at = start_ms;
    for number in 1..=RECORDS {
        at += 50;
        cursor.next(&mut lines).expect("an endless stream");
        lines.push(b'\n');
        timeline += &format!("{{\"at\":{at},\"source\":\"ods_log\",\"line\":{number}}}\n");
        if number % BARRIER_EVERY == 0 {
            timeline += &format!("{{\"at\":{at},\"barrier\":true}}\n");
        }
    }
    fs::create_dir(folder).expect("made");
    fs::write(folder.join("ods_log.jsonl"), lines).expect("written");
    fs::write(folder.join("timeline.jsonl"), timeline).expect("written");
}

fn replay(input: &Path, output: &Path, flags: &[&str]) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.arg("replay").arg(input).arg("--out").arg(output);
    command.args(["--workers", "2", "--epoch", "25rows"]).args(flags);
    command.stdout(Stdio::null()).status().expect("the binary starts")
}

/// Every dump and its lines, sorted.
fn dumps(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut dumps = BTreeMap::new();
    for kind in ["dwd", "dws", "side", ""] {
        let entries = fs::read_dir(folder.join(kind)).expect("written by the replay");
        for path in entries.map(|entry| entry.expect("readable").path()) {
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let text = fs::read_to_string(&path).expect("a dump is text");
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                let name = path.strip_prefix(folder).expect("it lies there").display();
                dumps.insert(name.to_string(), lines);
            }
        }
    }
    dumps
}

/// What leads to the point, each run dying in its turn: how the runs before must have died, and the
/// times the point is passed until the process dies at it.
fn path_to(point: CrashPoint) -> (Option<&'static str>, &'static str) {
    match point {
        CrashPoint::BeforeBlock => (None, "before_block:40"),
        CrashPoint::BlockWritten => (None, "block_written:33"),
        CrashPoint::LogsSynced => (None, "logs_synced:3"),
        CrashPoint::InsideBatch => (None, "inside_batch:4"),
        CrashPoint::BatchSynced => (None, "batch_synced:5"),
        CrashPoint::Published => (None, "published:6"),
        CrashPoint::ReplyUnseen => (None, "reply_unseen:3"),
        CrashPoint::ReplySeen => (None, "reply_seen:4"),
        CrashPoint::BetweenShards => (None, "between_shards:3"),
        // Two of the operators that have state by then.
        CrashPoint::BeforeEndMark => (Some("batch_synced:4"), "before_end_mark:2"),
        CrashPoint::AfterEndMark => (Some("batch_synced:4"), "after_end_mark:3"),
        CrashPoint::Draining => (Some("published:3"), "draining"),
        // One of two workers has the third of five jobs.
        CrashPoint::JobApplied => (Some("batch_synced:3"), "job_applied:5"),
        CrashPoint::GenerationWritten => (Some("batch_synced:2"), "generation_written"),
        CrashPoint::TransactionBegun | CrashPoint::HalfSent => unreachable!("left out below"),
    }
}

#[test]
fn killed_at_any_point_it_goes_on_as_if_nothing_had_been() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, whole) = (dir.path().join("in"), dir.path().join("whole"));
    recorded(&input);
    assert!(replay(&input, &whole, &[]).success());
    let expected = dumps(&whole);
    assert!(expected.len() > 8, "{:?}", expected.keys());
    let of_kafka = [CrashPoint::TransactionBegun, CrashPoint::HalfSent];
    let points = CrashPoint::ALL.into_iter().filter(|point| !of_kafka.contains(point));
    let mut killed = BTreeSet::new();
    for point in points {
        let output = dir.path().join(point.name());
        let (before, at) = path_to(point);
        for at in before.into_iter().chain([at]) {
            let status = replay(&input, &output, &["--crash-at", at]);
            assert_eq!(status.signal(), Some(9), "{point}: not killed at {at}, but {status}");
        }
        killed.insert(point);
        let status = replay(&input, &output, &[]);
        assert!(status.success(), "after {point}: {status}");
        let seen = dumps(&output);
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{point}");
        for (name, lines) in &expected {
            assert!(seen[name] == *lines, "after {point}, {name} differs");
        }
        fs::remove_dir_all(&output).expect("of no more use");
    }
    assert_eq!(killed.len(), 14, "{killed:?}");
}
