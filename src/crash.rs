//! Crash records: why a process died, written by the process itself on its way out.
//!
//! A panic in any thread ends the process at once with exit code 101: the others would go on with
//! half of the engine gone, and the supervisor starts again from the last complete epoch anyway.
//! Before that, `<data>/state/crash/<ms since 1970>-<pid>.json` is written. A kill writes nothing.

use std::cell::Cell;
use std::fs;
use std::io;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossterm::cursor::Show;
use crossterm::terminal::LeaveAlternateScreen;
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::reserve;
use engine::error::{exit, is_no_space};
use serde::{Deserialize, Serialize};

use crate::data_dir::now_ms;

/// Records kept in a directory; the oldest go.
const RECORDS_MAX: usize = 32;

/// What a dying process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CrashRecord {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Its process id.
    pub(crate) pid: u32,
    /// Number of the incarnation; absent before it was known.
    pub(crate) generation: Option<u64>,
    /// Exit code.
    pub(crate) code: u8,
    /// Name of the thread.
    pub(crate) thread: String,
    /// The operator that a worker was at, as `job.uid`, and its epoch.
    #[serde(default)]
    pub(crate) operator: Option<(String, u64)>,
    /// What happened.
    pub(crate) text: String,
    /// File, line and column of a panic.
    pub(crate) location: Option<String>,
    /// Where `RUST_BACKTRACE` asks for it.
    pub(crate) backtrace: Option<String>,
}

static DIR: OnceLock<PathBuf> = OnceLock::new();
/// 0 = not known.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The first thread to panic speaks; others wait for the end.
static DYING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static MAY_UNWIND: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic of any thread ends the process.
pub(crate) fn install() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if MAY_UNWIND.get() || connectors::mysql::reader::is_reading() {
            return;
        }
        if DYING.swap(true, Ordering::SeqCst) {
            return;
        }
        restore_terminal();
        print(info);
        // The panic is on the terminal; that it could not be recorded adds nothing.
        drop(write(&record_of(info)));
        std::process::exit(exit::PANIC.into());
    }));
}

/// Puts back a terminal that a live view has changed, so that the panic can be read.
fn restore_terminal() {
    if crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        let _raw = crossterm::terminal::disable_raw_mode();
        let _screen = crossterm::execute!(std::io::stdout(), LeaveAlternateScreen, Show);
    }
}

/// Records go into `dir` from now on; before, there are none.
pub(crate) fn record_into(dir: PathBuf) {
    // A process works on one directory.
    let _first_wins = DIR.set(dir);
}

/// The generation that records name.
pub(crate) fn set_generation(generation: u64) {
    GENERATION.store(generation, Ordering::SeqCst);
}

/// Runs code whose panics are caught by itself and are errors of its input: on this thread, they do
/// not end the process.
pub(crate) fn letting_unwind<T>(body: impl FnOnce() -> T) -> T {
    let before = MAY_UNWIND.replace(true);
    let result = body();
    MAY_UNWIND.set(before);
    result
}

/// Records an error that ends the process with `code`.
pub(crate) fn record_error(text: &str, code: u8) -> io::Result<()> {
    write(&CrashRecord { code, text: text.to_owned(), ..empty() })
}

/// The record that process `pid` left in `dir`, if it did.
pub(crate) fn record_of_process(dir: &Path, pid: u32) -> Option<CrashRecord> {
    let suffix = format!("-{pid}.json");
    let name = names(dir).into_iter().rev().find(|name| name.ends_with(&suffix))?;
    serde_json::from_slice(&fs::read(dir.join(name)).ok()?).ok()
}

fn empty() -> CrashRecord {
    let generation = GENERATION.load(Ordering::SeqCst);
    CrashRecord {
        at_ms: now_ms(),
        pid: std::process::id(),
        generation: (generation > 0).then_some(generation),
        code: exit::PANIC,
        thread: std::thread::current().name().unwrap_or("unnamed").to_owned(),
        operator: engine::runtime::current::current()
            .map(|current| (format!("{}.{}", current.job, current.uid), current.epoch)),
        text: String::new(),
        location: None,
        backtrace: None,
    }
}

fn record_of(info: &PanicHookInfo<'_>) -> CrashRecord {
    let backtrace = std::backtrace::Backtrace::capture();
    let captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
    CrashRecord {
        text: info.payload_as_str().unwrap_or("a panic without a message").to_owned(),
        location: info.location().map(ToString::to_string),
        backtrace: captured.then(|| backtrace.to_string()),
        ..empty()
    }
}

fn write(record: &CrashRecord) -> io::Result<()> {
    let Some(dir) = DIR.get() else { return Ok(()) };
    fs::create_dir_all(dir)?;
    let old = names(dir);
    for name in old.iter().take((old.len() + 1).saturating_sub(RECORDS_MAX)) {
        fs::remove_file(dir.join(name))?;
    }
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    // Fourteen digits last until the year 5138, and names sort by time.
    let path = dir.join(format!("{:014}-{}.json", record.at_ms, record.pid));
    with_room(|| fs::write(&path, &text), free_reserve)
}

/// Writes, and on a full disk once more after making room.
fn with_room(write: impl Fn() -> io::Result<()>, make_room: impl FnOnce()) -> io::Result<()> {
    match write() {
        Err(error) if is_no_space(&error) => {
            make_room();
            write()
        }
        other => other,
    }
}

/// Gives back the space that the directory holds back, for what is left to be said.
pub(crate) fn free_reserve() {
    // `<data>/state/crash` knows where `<data>` is. Where it fails, there is no room, as before.
    if let Some(root) = DIR.get().and_then(|dir| dir.ancestors().nth(2)) {
        let _no_room = RealDisk::open(root).and_then(|disk| reserve::free(&disk));
    }
}

/// Names of the records in `dir`, oldest first.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Not a test of itself: what the tests below start in a process of its own, because a panic
    /// ends the process.
    #[test]
    fn victim() {
        let (Ok(dir), Ok(fate)) = (std::env::var("CRASH_DIR"), std::env::var("CRASH_FATE")) else {
            return;
        };
        install();
        record_into(dir.into());
        set_generation(7);
        match fate.as_str() {
            "panic" => {
                let thread = std::thread::Builder::new().name("source log_split.ods_log".into());
                let thread = thread.spawn(|| panic!("the sky fell")).expect("a thread");
                drop(thread.join());
                std::process::exit(99);
            }
            "unwind" => {
                let caught = letting_unwind(|| std::panic::catch_unwind(|| panic!("quiet")));
                assert!(caught.is_err());
                std::process::exit(42);
            }
            _ => {
                record_error("no space", exit::DISK).expect("written");
                std::process::exit(exit::DISK.into());
            }
        }
    }

    fn die(dir: &Path, fate: &str) -> (Option<i32>, Option<CrashRecord>) {
        let mut child = Command::new(std::env::current_exe().expect("known"));
        child.args(["--exact", "crash::tests::victim"]);
        child.env("CRASH_DIR", dir).env("CRASH_FATE", fate).env_remove("RUST_BACKTRACE");
        let child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = child.spawn().expect("started");
        let code = child.wait().expect("ended").code();
        (code, record_of_process(dir, child.id()))
    }

    #[test]
    fn a_panic_of_any_thread_ends_the_process_with_a_record() {
        let dir = tempfile::tempdir().expect("a directory");
        let (code, record) = die(dir.path(), "panic");
        assert_eq!(code, Some(101));
        let record = record.expect("recorded");
        assert_eq!(record.thread, "source log_split.ods_log");
        assert_eq!(record.text, "the sky fell");
        assert_eq!((record.generation, record.code), (Some(7), 101));
        assert!(record.location.expect("a panic has one").contains("crash.rs"));
    }

    #[test]
    fn a_panic_that_is_caught_where_it_is_expected_ends_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(die(dir.path(), "unwind"), (Some(42), None));
    }

    #[test]
    fn room_is_made_once_and_only_where_it_helps() {
        let full = Cell::new(true);
        let write = || if full.get() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        assert!(with_room(write, || full.set(false)).is_ok());
        assert!(with_room(write, || unreachable!("there was room")).is_ok());
        full.set(true);
        assert!(with_room(write, || ()).is_err(), "no room could be made");
        let denied = || Err(io::ErrorKind::PermissionDenied.into());
        assert!(with_room(denied, || unreachable!("room does not help")).is_err());
    }

    #[test]
    fn old_records_go() {
        let dir = tempfile::tempdir().expect("a directory");
        for number in 0..40 {
            fs::write(dir.path().join(format!("{number:014}-1.json")), "{}").expect("written");
        }
        let (code, record) = die(dir.path(), "error");
        assert_eq!((code, record.expect("recorded").text.as_str()), (Some(74), "no space"));
        let names = names(dir.path());
        assert_eq!(names.len(), RECORDS_MAX);
        assert_eq!(names[0], format!("{:014}-1.json", 9));
    }
}
