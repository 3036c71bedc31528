//! The real process stops with so many workers and starts with so many others, for every two numbers
//! from 1 to 4: the results are those of one worker, state is not written anew, and units that wait
//! for delivery keep the shard they were planned with.
//!
//! Log jobs and dimensions run together on generated records. Every stop is a kill at a named point,
//! most of them where units are planned and not delivered.

#[path = "support/shop.rs"]
#[expect(dead_code, reason = "the oracle of dimensions is not asked here")]
mod shop;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use jobs::generate::Generator;
use serde_json::Value;

const START_MS: i64 = 1_651_330_800_000;
/// Records that make state, before the number of workers changes for the first time.
const BULK: usize = 6_000;
/// Records while it changes.
const REST: usize = 1_500;
/// Between two barriers everything is complete and delivered, so that every life gets somewhere.
const BARRIER_EVERY: usize = 50;
/// Every ordered pair of different numbers from 1 to 4, once.
const WALK: [u32; 13] = [1, 2, 1, 3, 1, 4, 2, 3, 2, 4, 3, 4, 1];
/// Where the lives end, in turns.
const ENDS: [&str; 3] = ["published:3", "batch_synced:4", "published:4"];

/// Log lines, changes of a shop and config rows, in one order of arrival.
fn recorded(folder: &Path) {
    let settings = jobs::generate::Settings {
        seed: 31,
        start_ms: START_MS,
        records_per_second: 400,
        records: None,
        mids: 3_000,
        ..jobs::generate::Settings::default()
    };
    let mut logs = Generator::new(settings).open(0);
    let changes = shop::changes(31, u64::try_from(BULK + REST).expect("few") / 5);
    let events = shop::widening(31);
    let (mut lines, mut timeline) = (Vec::new(), String::new());
    let mut line = |at: i64, source: &str, number: usize| {
        let barrier = format!("{{\"at\":{at},\"barrier\":true}}\n");
        // How many rows come before their configuration is counted, so it must not be by chance.
        let alone = source == "table_process";
        timeline += if alone { &barrier } else { "" };
        timeline += &format!("{{\"at\":{at},\"source\":\"{source}\",\"line\":{number}}}\n");
        let due = source == "ods_log" && number > BULK && number.is_multiple_of(BARRIER_EVERY);
        timeline += if alone || due { &barrier } else { "" };
    };
    let mut configured = 0;
    for number in 1..=BULK + REST {
        let at = START_MS + i64::try_from(number).expect("few") * 5;
        logs.next(&mut lines).expect("an endless stream");
        lines.push(b'\n');
        line(at, "ods_log", number);
        if number.is_multiple_of(5) {
            line(at, "ods_db", number / 5);
        }
        // The first before everything, the others while the number of workers changes.
        let due = number == 1 || (number > BULK && number.is_multiple_of(77));
        if due && configured < events.len() {
            configured += 1;
            line(at, "table_process", configured);
        }
    }
    assert_eq!(configured, events.len());
    let joined = |records: Vec<Vec<u8>>| [records.join(&b'\n'), b"\n".to_vec()].concat();
    let changes = changes.iter().map(|change| change.json(START_MS / 1000)).collect();
    let events = events.iter().map(shop::ConfigEvent::json).collect();
    fs::create_dir(folder).expect("made");
    fs::write(folder.join("ods_log.jsonl"), lines).expect("written");
    fs::write(folder.join("ods_db.jsonl"), joined(changes)).expect("written");
    fs::write(folder.join("table_process.jsonl"), joined(events)).expect("written");
    fs::write(folder.join("timeline.jsonl"), timeline).expect("written");
}

fn replay(folder: &Path, output: &str, workers: u32, flags: &[&str]) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.current_dir(folder).args(["replay", "in", "--out", output]);
    command.args(["--workers", &workers.to_string()]).args(flags);
    command.stdout(Stdio::null()).status().expect("the binary starts")
}

/// Every dump and its lines, sorted.
fn dumps(output: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut dumps = BTreeMap::new();
    for kind in ["dwd", "dws", "dim", "side", ""] {
        let entries = fs::read_dir(output.join(kind)).expect("written by the replay");
        for path in entries.map(|entry| entry.expect("readable").path()) {
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let text = fs::read_to_string(&path).expect("a dump is text");
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                dumps.insert(path.strip_prefix(output).expect("below").to_owned(), lines);
            }
        }
    }
    dumps
}

/// What a life has left behind.
struct Left {
    /// Bytes of keyed state.
    state: u64,
    /// Bytes that were ever written to the journal of the state store.
    journal: u64,
    /// Last epoch delivered, by sink and shard.
    delivered: BTreeMap<(String, u64), u64>,
    /// Last epoch of the units that wait, likewise.
    waiting: BTreeMap<(String, u64), u64>,
}

fn look(data: &Path) -> Left {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    let output = command.arg("inspect").arg(data).arg("--json").output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    let all = |value: &Value| value.as_array().expect("a list").clone();
    let operators = all(&seen["jobs"]).into_iter().flat_map(|job| all(&job["operators"]));
    let (mut delivered, mut waiting) = (BTreeMap::new(), BTreeMap::new());
    for sink in all(&seen["sinks"]) {
        let name = format!("{}.{}", sink["job"], sink["sink"]);
        let shard = (name, sink["shard"].as_u64().expect("a number"));
        delivered.insert(shard.clone(), sink["delivered"].as_u64().expect("a number"));
        if let Some(last) = all(&sink["units"]).iter().filter_map(|unit| unit[1].as_u64()).max() {
            waiting.insert(shard, last);
        }
    }
    let state = operators.map(|operator| operator["bytes"].as_u64().expect("a number")).sum();
    Left { state, journal: journal(&data.join("state/db")), delivered, waiting }
}

/// The journal is made long ahead; what is behind its last byte that is not zero was never written.
fn journal(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("there").map(|entry| entry.expect("readable").path());
    let journals = files.filter(|path| path.extension().is_some_and(|kind| kind == "jnl"));
    let written = |path: PathBuf| {
        let bytes = fs::read(path).expect("readable");
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    };
    journals.map(written).sum()
}

#[test]
fn any_number_of_workers_goes_on_where_another_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    recorded(&dir.join("in"));
    assert!(replay(dir, "whole", 1, &["--epoch", "500rows"]).success());
    let data = dir.join("walked/.watershed");
    // State is made, by as many workers as the walk begins with.
    let status =
        replay(dir, "walked", WALK[0], &["--epoch", "500rows", "--crash-at", "published:18"]);
    assert_eq!(status.signal(), Some(9), "{status}");
    let (mut before, mut pairs, mut shrunk) = (look(&data), BTreeSet::new(), 0);
    let mut waited: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for (pair, end) in WALK.windows(2).zip(ENDS.iter().cycle()) {
        let (from, to) = (pair[0], pair[1]);
        let status = replay(dir, "walked", to, &["--epoch", "25rows", "--crash-at", end]);
        assert_eq!(status.signal(), Some(9), "{from} to {to}: {status}");
        let left = look(&data);
        let (state, written) = (before.state, left.journal - before.journal);
        assert!(written < state / 4, "{from} to {to}: {written} bytes written, {state} of state");
        assert!(written > 0, "{from} to {to} did nothing");
        // Of shards that the new number of workers has no more.
        shrunk += before.waiting.keys().filter(|(_, shard)| *shard >= u64::from(to)).count();
        for (shard, epoch) in &left.waiting {
            let last = waited.entry(shard.clone()).or_default();
            *last = epoch.max(last).to_owned();
        }
        pairs.insert((from, to));
        before = left;
    }
    assert_eq!(pairs.len(), 12);
    assert!(shrunk > 3, "only {shrunk} shards waited that had no worker any more");
    assert!(replay(dir, "walked", 2, &["--epoch", "500rows"]).success());
    let end = look(&data);
    // That the very last units were delivered is noted by their sink alone: no batch followed.
    let orphans = end.waiting.keys().filter(|(_, shard)| *shard >= 2).count();
    assert_eq!(orphans, 0, "{:?}", end.waiting);
    for (shard, epoch) in waited {
        let delivered = end.delivered.get(&shard);
        assert!(delivered.is_some_and(|delivered| *delivered >= epoch), "{shard:?}: {delivered:?}");
    }
    let (expected, seen) = (dumps(&dir.join("whole")), dumps(&dir.join("walked")));
    assert!(expected.len() > 15, "{:?}", expected.keys());
    assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    // How much is read again depends on how far the changes had come when their config row came; what
    // becomes of it does not.
    let depends = |line: &&String| line.contains("\"backfill_rows\"");
    for (name, lines) in &expected {
        let lines: BTreeSet<_> = lines.iter().filter(|line| !depends(line)).collect();
        let found: BTreeSet<_> = seen[name].iter().filter(|line| !depends(line)).collect();
        let differ: Vec<_> = lines.symmetric_difference(&found).take(10).collect();
        assert!(
            differ.is_empty() && seen[name].len() == expected[name].len(),
            "{name:?}: {differ:#?}"
        );
    }
}
