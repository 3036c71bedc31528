//! The data directory: what lies where, who owns it, and how it is opened.
//!
//! ```text
//!  <data>/state/lock      held by the process that runs on the directory
//!        /state/db        the state store       /state/outbox   what is not yet delivered
//!        /state/crash     why processes died    /state/quarantine  jobs that are left out
//!        /store/dws       the embedded tables   /store/dim      the dimension tables
//!        /topic           the embedded topic log
//!        /control.sock    the way to ask the process
//! ```
//!
//! Every opener takes the lock first. One that only looks shares it with others that do, keeps owners
//! out, and changes nothing: it opens a private copy of the stores
//! ([`private_copy`](crate::private_copy)).

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use engine::checkpoint::disk::Disk;
use engine::checkpoint::disk::real::{DirLock, LockError, RealDisk};
use engine::checkpoint::restore::Saved;
use engine::error::Fatal;
use engine::state::fjall::{FjallBackend, FjallOptions};
use engine::time::zone::Zone;
use store::doris::{DwsError, DwsStore};
use store::phoenix::{DimensionError, DimensionStore};

use crate::crash;
use crate::private_copy::{Looked, PrivateCopy};

/// How long an opener waits for an owner that is just dying: the kernel frees the lock only after
/// it has freed the memory.
const DYING: Duration = Duration::from_secs(2);
/// Short, for the lock is free for an instant only where somebody asks for the status all the time.
const PAUSE: Duration = Duration::from_millis(2);

/// A data directory, which need not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// A directory that this process owns for as long as the value lives, with its checkpoint.
pub(crate) struct Owned {
    /// The directory's files.
    pub(crate) disk: Arc<dyn Disk>,
    /// Its state store.
    pub(crate) backend: Arc<FjallBackend>,
    /// Freed last: fields are dropped in this order.
    _lock: DirLock,
}

/// A directory as it was when nobody owned it, and perhaps for as long as the value lives.
pub(crate) struct Seen {
    /// The directory's files.
    pub(crate) disk: Arc<dyn Disk>,
    /// A copy of its state store.
    pub(crate) backend: Looked<FjallBackend>,
    /// Freed last.
    _lock: Option<DirLock>,
}

/// The state in a copy.
fn opened(copy: PrivateCopy) -> anyhow::Result<(Looked<FjallBackend>, Saved)> {
    let open = |path: &Path| FjallBackend::open(path, FjallOptions::default());
    let backend = Looked::open(copy, open).map_err(Fatal::disk)?;
    let saved = Saved::read(&*backend)?;
    Ok((backend, saved))
}

impl DataDir {
    /// The directory `root`; nothing is made or opened.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// As named on the command line of `verify` and `inspect`: the directory, or its `state`.
    pub(crate) fn named(path: PathBuf) -> Self {
        match path.parent() {
            Some(parent) if path.join("db").is_dir() => Self::new(match parent.as_os_str() {
                name if name.is_empty() => Path::new("."),
                _ => parent,
            }),
            _ => Self::new(path),
        }
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Records of crashes.
    pub(crate) fn crash(&self) -> PathBuf {
        self.root.join("state/crash")
    }

    /// Who is in quarantine.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("state/quarantine")
    }

    /// The embedded tables.
    pub(crate) fn dws(&self) -> PathBuf {
        self.root.join("store/dws")
    }

    /// The embedded dimension tables.
    pub(crate) fn dim(&self) -> PathBuf {
        self.root.join("store/dim")
    }

    /// The embedded topics.
    pub(crate) fn topics(&self) -> PathBuf {
        self.root.join("topic")
    }

    /// The socket of the running process.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    fn db(&self) -> PathBuf {
        self.root.join("state/db")
    }

    /// Makes the directory if it is absent, takes and opens it. Refused while another process owns
    /// it; one that is just dying is waited for.
    /// `purpose` is what a refused process is told about this one. `tables` opens what lies beside the
    /// state, at the same time: each store replays a journal of its own.
    pub(crate) fn own_with<T: Send>(
        &self,
        purpose: &str,
        tables: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<(Owned, T)> {
        let is_held = |error: &LockError| matches!(error, LockError::Held { .. });
        let lock = patiently(|| self.lock(purpose), is_held)?;
        std::thread::scope(|scope| {
            let tables = scope.spawn(tables);
            let owned = self.open(lock);
            let tables = tables.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((owned?, tables?))
        })
    }

    /// As [`DataDir::own_with`], without tables.
    #[cfg(test)]
    pub(crate) fn own(&self, purpose: &str) -> anyhow::Result<Owned> {
        self.own_with(purpose, || Ok(())).map(|(owned, ())| owned)
    }

    fn open(&self, lock: DirLock) -> anyhow::Result<Owned> {
        let disk = RealDisk::open(&self.root).map_err(|error| self.disk_fault(error))?;
        let backend = patiently(|| self.open_store(), |error| error.message.contains("Locked"));
        Ok(Owned { disk: Arc::new(disk), backend: Arc::new(backend?), _lock: lock })
    }

    /// Opens the directory to look at it, where something has run before and nothing runs; with what
    /// the last complete checkpoint says. Changes nothing, and does not wait.
    pub(crate) fn look(&self) -> anyhow::Result<(Seen, Saved)> {
        self.check_exists()?;
        let lock = DirLock::share(&self.state())?;
        let disk = self.shared_disk()?;
        let (backend, saved) = opened(PrivateCopy::of(&self.db())?)?;
        Ok((Seen { disk, backend, _lock: Some(lock) }, saved))
    }

    /// As [`DataDir::look`], but keeps nobody out for longer than it takes to copy the state: an owner
    /// that comes meanwhile may be a reason to fail.
    pub(crate) fn glance(&self) -> anyhow::Result<(Seen, Saved)> {
        self.check_exists()?;
        let lock = DirLock::share(&self.state())?;
        let copy = PrivateCopy::of(&self.db())?;
        drop(lock);
        let (backend, saved) = opened(copy)?;
        Ok((Seen { disk: self.shared_disk()?, backend, _lock: None }, saved))
    }

    /// Whether a process owns the directory.
    pub(crate) fn is_owned(&self) -> bool {
        matches!(DirLock::share(&self.state()), Err(LockError::Held { .. }))
    }

    /// The embedded tables, to look at while the lock is shared; `None` where there are none.
    pub(crate) fn look_at_dws(&self) -> anyhow::Result<Option<Result<Looked<DwsStore>, DwsError>>> {
        let path = self.dws();
        let copy = path.is_dir().then(|| PrivateCopy::of(&path)).transpose()?;
        Ok(copy.map(|copy| Looked::open(copy, DwsStore::open)))
    }

    /// The dimension tables, likewise.
    pub(crate) fn look_at_dim(
        &self,
    ) -> anyhow::Result<Option<Result<Looked<DimensionStore>, DimensionError>>> {
        let path = self.dim();
        let copy = path.is_dir().then(|| PrivateCopy::of(&path)).transpose()?;
        Ok(copy.map(|copy| Looked::open(copy, DimensionStore::open)))
    }

    /// The files of a directory that another process may own.
    pub(crate) fn shared_disk(&self) -> anyhow::Result<Arc<dyn Disk>> {
        self.check_exists()?;
        Ok(Arc::new(RealDisk::open(&self.root).map_err(|error| self.disk_fault(error))?))
    }

    /// Whether there is a state store.
    pub(crate) fn has_state(&self) -> bool {
        self.db().is_dir()
    }

    fn check_exists(&self) -> anyhow::Result<()> {
        if !self.has_state() {
            bail!("nothing has run in \"{}\" yet: it has no state", self.root.display());
        }
        Ok(())
    }

    fn lock(&self, purpose: &str) -> Result<DirLock, LockError> {
        let holder = format!("{purpose}, started {}", now_text());
        DirLock::acquire(&self.state(), &holder)
    }

    /// A panic of the store at a damaged journal is an error like others.
    fn open_store(&self) -> Result<FjallBackend, Fatal> {
        let open = || FjallBackend::open(&self.db(), FjallOptions::default());
        crash::letting_unwind(open).map_err(Fatal::disk)
    }

    fn disk_fault(&self, error: std::io::Error) -> anyhow::Error {
        let fault = Fatal::disk(error);
        Err::<(), _>(fault)
            .with_context(|| format!("cannot open data directory \"{}\"", self.root.display()))
            .expect_err("it is an error")
    }
}

/// Tries again for a while where the answer is one that passes.
fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if passes(&error) && begun.elapsed() < DYING => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Bytes that a file, or the files below a directory, take on the disk: a journal that is made long
/// ahead counts what is in it. What cannot be read counts nothing.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    /// The unit of `st_blocks` (stat(2)).
    const BLOCK_BYTES: u64 = 512;
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => meta.blocks() * BLOCK_BYTES,
        Ok(_) => {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| bytes_below(&entry.path())).sum()
        }
        Err(_) => 0,
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn now_text() -> String {
    let mut text = String::new();
    let zone = Zone::named("UTC").expect("in every zone database");
    zone.write_time(now_ms(), &mut text).expect("a string takes anything");
    text + " UTC"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_stands_for_its_data_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        assert_eq!(DataDir::named(state.clone()).root(), state);
        std::fs::create_dir_all(state.join("db")).expect("made");
        assert_eq!(DataDir::named(state).root(), dir.path());
        assert_eq!(DataDir::named(dir.path().into()).root(), dir.path());
    }

    #[test]
    fn only_what_has_run_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path().join("none"));
        let error = data.look().err().expect("refused");
        assert!(error.to_string().contains("nothing has run in"), "{error}");
        assert!(!data.root().exists(), "reading makes nothing");
        drop(data.own("test").expect("made"));
        let (_seen, saved) = data.look().expect("it is there now");
        assert_eq!(saved.generation, 0);
    }

    #[test]
    fn there_is_one_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path());
        let owned = data.own("test").expect("free");
        for error in [data.own("test").err(), data.look().err()] {
            let error = error.expect("taken");
            assert!(error.to_string().contains("held by pid"), "{error}");
            assert_eq!(crate::exit::code_of(&error), 76);
        }
        drop(owned);
        // Those that look do not disturb each other.
        let seen = [data.look().expect("free again"), data.look().expect("still free")];
        let error = data.own("test").err().expect("taken");
        assert!(error.to_string().contains("held by a command that reads it"), "{error}");
        drop(seen);
        data.own("test").expect("free again");
    }
}
