//! Replay folders: `watershed replay IN` must give `OUT`, with any workers, any epochs, and killed.
//!
//! Each folder of `tests/pipelines` has recorded files in `IN`, the expected dumps in `OUT`, and a
//! `README.md` whose first line names the requirement it proves. Dumps are compared as multisets of
//! JSON; a topic or table that `OUT` does not have must be empty; counters of `OUT` must match, absent
//! means 0.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines");
    let entries = std::fs::read_dir(root).expect("the folder is part of the repository");
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no pipelines");
    folders
}

fn replay(input: &Path, output: &Path, flags: &[&str]) -> ExitStatus {
    Command::new(env!("CARGO_BIN_EXE_watershed"))
        .arg("replay")
        .arg(input)
        .arg("--out")
        .arg(output)
        .args(flags)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("the binary starts")
}

/// All dumps of a folder by relative path, each sorted.
fn dumps(folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut dumps = BTreeMap::new();
    for kind in ["dwd", "dim", "dws", "side"] {
        let Ok(entries) = std::fs::read_dir(folder.join(kind)) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let mut rows = lines(&path);
            rows.sort_by_key(Value::to_string);
            if !rows.is_empty() {
                dumps.insert(format!("{kind}/{name}"), rows);
            }
        }
    }
    dumps
}

fn lines(path: &Path) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn counters(folder: &Path) -> BTreeMap<String, u64> {
    let key = |row: &Value| format!("{}{}", row["name"], row["labels"]);
    let value = |row: &Value| row["value"].as_u64().expect("a count");
    lines(&folder.join("counters.jsonl")).iter().map(|row| (key(row), value(row))).collect()
}

fn assert_same(folder: &Path, output: &Path, how: &str) {
    let expected = dumps(&folder.join("OUT"));
    let observed = dumps(output);
    let names =
        |dumps: &BTreeMap<String, Vec<Value>>| dumps.keys().cloned().collect::<BTreeSet<_>>();
    let place = folder.display();
    assert_eq!(names(&observed), names(&expected), "{place} {how}");
    for (name, rows) in &expected {
        assert_eq!(&observed[name], rows, "{place} {how}: {name}");
    }
    let observed = counters(output);
    for (counter, value) in counters(&folder.join("OUT")) {
        let seen = observed.get(&counter).copied().unwrap_or(0);
        assert_eq!(seen, value, "{place} {how}: {counter}");
    }
}

#[test]
fn every_folder_gives_what_it_must() {
    let ways: [&[&str]; 4] = [
        &["--workers", "1", "--epoch", "1s"],
        &["--workers", "2", "--epoch", "1ms"],
        &["--workers", "8", "--epoch", "1h"],
        &["--workers", "2", "--epoch", "2rows"],
    ];
    for folder in folders() {
        let readme = std::fs::read_to_string(folder.join("README.md"));
        assert!(readme.is_ok_and(|text| !text.is_empty()), "{} has no README.md", folder.display());
        for flags in ways {
            let output = tempfile::tempdir().expect("a temporary folder");
            let status = replay(&folder.join("IN"), output.path(), flags);
            assert!(status.success(), "{} {flags:?}: {status}", folder.display());
            assert_same(&folder, output.path(), &flags.join(" "));
        }
    }
}

#[test]
fn a_killed_replay_goes_on_where_it_was() {
    for folder in folders() {
        let mut kills = 0;
        for seed in 1..=4_u64 {
            let output = tempfile::tempdir().expect("a temporary folder");
            let mut finished = false;
            for attempt in 0..3 {
                let kill = (seed * 100 + attempt).to_string();
                let flags = ["--workers", "2", "--epoch", "2rows", "--kill-at", &kill];
                finished = replay(&folder.join("IN"), output.path(), &flags).success();
                if finished {
                    break;
                }
                kills += 1;
            }
            if !finished {
                // Another number of workers, too: state goes by key group.
                let status = replay(&folder.join("IN"), output.path(), &["--workers", "3"]);
                assert!(status.success(), "{}: {status}", folder.display());
            }
            assert_same(&folder, output.path(), &format!("killed with seed {seed}"));
        }
        assert!(kills > 0, "{}: no replay was ever killed", folder.display());
    }
}
