//! `verify`, `inspect`, `status` and `topic` change nothing in a data directory, whatever state it was
//! left in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use engine::hash::hash_bytes;

const PATIENCE: Duration = Duration::from_secs(120);
/// Shows a dimension table of the demo.
const TABLE: [&str; 3] = ["inspect", "--table", "dim_base_province"];

fn watershed(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// What may not change of a file: mode, size, time of change of its bytes (of the directory, of its
/// names), and the bytes.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    mode: u32,
    size: u64,
    modified: (i64, i64),
    links: u64,
    content: u64,
}

fn traces(root: &Path) -> BTreeMap<PathBuf, Trace> {
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).expect("there");
        let content = if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            left.extend(entries.map(|entry| entry.expect("readable").path()));
            0
        } else if meta.is_file() {
            hash_bytes(&fs::read(&path).expect("readable"))
        } else {
            0
        };
        let trace = Trace {
            mode: meta.mode(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            links: meta.nlink(),
            content,
        };
        found.insert(path, trace);
    }
    found
}

fn topic_bytes(data: &Path) -> u64 {
    let partitions = fs::read_dir(data.join("topic/dwd_traffic_page_log")).into_iter().flatten();
    let files = partitions.flatten().flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten());
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}

/// A directory that a kill has left in the middle of its work, with a dimension table to look at: who
/// is killed before there is one is started again.
fn killed(data: &Path) {
    let begun = Instant::now();
    kill_demo(data);
    while !watershed(data, &TABLE).output().expect("it starts").status.success() {
        assert!(begun.elapsed() < PATIENCE, "the table does not come");
        kill_demo(data);
    }
}

/// Lets the demo write 200 kB more to a topic, and kills it there.
fn kill_demo(data: &Path) {
    let mut demo = watershed(data, &["demo", "--rate", "20000", "--workers", "1"]);
    let mut child = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let (size, begun) = (topic_bytes(data), Instant::now());
    while topic_bytes(data) < size + 200_000 {
        assert!(begun.elapsed() < PATIENCE, "nothing comes of it");
        std::thread::yield_now();
    }
    child.kill().expect("it runs");
    child.wait().expect("a child of ours");
    // The process itself dies with its supervisor.
    while !watershed(data, &["verify"]).output().expect("it starts").status.success() {
        assert!(begun.elapsed() < PATIENCE, "it does not die");
    }
}

fn succeeds(data: &Path, scratch: &Path, arguments: &[&str]) -> String {
    let mut command = watershed(data, arguments);
    let Output { status, stdout, stderr } =
        command.env("TMPDIR", scratch).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {status}: {stderr}");
    String::from_utf8(stdout).expect("text")
}

/// Everything that looks at a directory.
fn look(data: &Path, scratch: &Path) -> Vec<String> {
    let commands: [&[&str]; 6] = [
        &["verify"],
        &["inspect"],
        &TABLE,
        &["inspect", "--json"],
        &["status"],
        &["topic", "list"],
    ];
    commands.iter().map(|arguments| succeeds(data, scratch, arguments)).collect()
}

/// Takes all rights to write away from a tree, or gives them back.
fn set_writable(root: &Path, writable: bool) {
    for path in traces(root).into_keys() {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        let mode = if writable { mode | 0o200 } else { mode & !0o222 };
        // A socket that nobody listens at has its mode, too.
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    }
}

#[test]
fn looking_changes_nothing_in_a_directory_left_by_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, scratch) = (dir.path().join("data"), dir.path().join("scratch"));
    fs::create_dir(&scratch).expect("made");
    killed(&data);
    let before = traces(&data);
    assert!(before.len() > 50, "{}", before.len());
    let seen = look(&data, &scratch);
    assert!(seen[0].contains("good     state: "), "{}", seen[0]);
    assert_eq!(traces(&data), before);
    // Nothing is left behind elsewhere either.
    assert_eq!(fs::read_dir(&scratch).expect("there").count(), 0);
    // Nor is anything needed: the same from a directory that may not be written.
    set_writable(&data, false);
    let before = traces(&data);
    assert_eq!(look(&data, &scratch), seen);
    assert_eq!(traces(&data), before);
    set_writable(&data, true);
    // And what was looked at goes on.
    let more = ["demo", "--rate", "20000", "--workers", "1"];
    let mut demo = watershed(&data, &more);
    let mut child = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let (size, begun) = (topic_bytes(&data), Instant::now());
    while topic_bytes(&data) <= size {
        assert!(begun.elapsed() < PATIENCE, "it does not go on");
        std::thread::yield_now();
    }
    // Whoever runs is not disturbed: these two are refused, the others ask it.
    for command in ["verify", "inspect"] {
        let refused = watershed(&data, &[command]).output().expect("it starts");
        assert_eq!(refused.status.code(), Some(76), "{command}");
    }
    child.kill().expect("it runs");
    child.wait().expect("a child of ours");
}
