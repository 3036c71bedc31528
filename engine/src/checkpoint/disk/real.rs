//! The real disk and the lock that makes a data directory the property of one process.
//!
//! Every path is taken relative to the root given at the start. What the caller may lean on:
//! a directory is durable when [`Disk::create_dir`] returns, a file's bytes when
//! [`AppendFile::sync`] returns, a file's name when [`Disk::sync_dir`] of its directory returns.
#![expect(clippy::disallowed_methods, reason = "this is the one place that opens files")]

mod file;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use rustix::fs::FallocateFlags;

use super::{AppendFile, Disk, DiskTask};
use file::RealFile;

/// A file from which on its removal is felt.
const LARGE_BYTES: u64 = 8 << 20;
/// Files written and synced at the same time, at most.
const TASK_THREADS: usize = 8;

/// Files below one directory of the machine.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Opens the directory `root`, making it (and its parents) if it is absent.
    pub fn open(root: &Path) -> io::Result<RealDisk> {
        create_durable(root)?;
        Ok(RealDisk { root: root.to_owned() })
    }

    /// The place of `path`; refuses what would lead out of the root.
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(path));
        }
        let text = format!("path {path:?} is not a plain path below the data directory");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    /// Names in `dir` that are files (`files`) or directories, sorted, with their sizes.
    fn entries(&self, dir: &str, files: bool) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(self.place(dir)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let meta = entry.metadata()?;
            let wanted = if files { meta.is_file() } else { meta.is_dir() };
            // A name that is not UTF-8 was not made by us.
            if let (true, Ok(name)) = (wanted, entry.file_name().into_string()) {
                found.push((name, meta.len()));
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        create_durable(&self.place(dir)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.entries(dir, true)
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        Ok(self.entries(dir, false)?.into_iter().map(|(name, _)| name).collect())
    }

    fn append_to(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(self.place(path)?)?;
        let length = file.metadata()?.len();
        Ok(Box::new(RealFile::new(file, length)))
    }

    fn overwrite(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().write(true).open(self.place(path)?)?;
        Ok(Box::new(RealFile::new(file, 0)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from)?, self.place(to)?)
    }

    fn read_at(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.place(path)?)?;
        // The size bounds the allocation: a length read from a damaged file may be absurd.
        let left = file.metadata()?.len().saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        // Not into zeros: writing them would cost a third of the read.
        let mut bytes = Vec::with_capacity(length);
        let mut file = &file;
        file.seek(SeekFrom::Start(offset))?;
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.place(path)?)?;
        let found = file.metadata()?.len();
        if length > found {
            let text = format!("cannot cut {path:?} to {length} bytes: it has {found}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        file.set_len(length)?;
        file.sync_all()
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.place(path)?;
        let temporary = self.place(&format!("{path}.tmp"))?;
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &target)?;
        sync_parent(&target)
    }

    fn allocate(&self, path: &str, bytes: u64) -> io::Result<()> {
        let path = self.place(path)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A journalling file system only notes the extents: this takes no time, whatever the size.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.place(path)?;
        let held = large(&path);
        let removed = match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if let Some(held) = held {
            // Without a thread it is given back here and now.
            drop(thread::Builder::new().name("disk".to_owned()).spawn(move || drop(held)));
        }
        removed
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.place(dir)?)?.sync_all()
    }

    /// Threads that live as long as the tasks: to begin them costs some 20 us, a sync a millisecond or
    /// more, most of which the file system's journal takes, once for all who wait for it.
    fn together(&self, tasks: Vec<DiskTask<'_>>) {
        let threads = tasks.len().min(TASK_THREADS);
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().expect("nothing panics under this lock").next();
        let run = || std::iter::from_fn(next).for_each(|task| task());
        thread::scope(|scope| {
            for _ in 1..threads {
                let begun = thread::Builder::new().name("disk".to_owned()).spawn_scoped(scope, run);
                // Without this one the others do its share.
                drop(begun);
            }
            run();
        });
    }
}

/// The file, open, if it is a large one. While a file is open its removal takes only its name: to give
/// its pages and blocks back takes 0.1 s for 256 MiB, for which an epoch should not wait.
fn large(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    (file.metadata().ok()?.len() >= LARGE_BYTES).then_some(file)
}

/// Makes `dir` and its parents; each new name is durable on return.
fn create_durable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_durable(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_parent(dir),
    }
}

/// Makes the name of `path` durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Exclusive ownership of a data directory, given up when this value is dropped or the process
/// dies in whatever way: the kernel holds the lock, the file only tells who has it.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns it.
    #[error("cannot use data directory {}: held by {holder}", root.display())]
    Held {
        /// The directory.
        root: PathBuf,
        /// What the owner wrote about itself: its process id and the text it was started with.
        holder: String,
    },
    /// The lock file cannot be used at all.
    #[error("cannot lock data directory {}", root.display())]
    Io {
        /// The directory.
        root: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl DirLock {
    /// Takes `root` (made if absent) through an exclusive lock on `root/lock`, and writes this
    /// process's id and `holder` (say `started 2022-06-09T08:00:00Z`) into it. Never waits.
    pub fn acquire(root: &Path, holder: &str) -> Result<DirLock, LockError> {
        let failed = |source| LockError::Io { root: root.to_owned(), source };
        create_durable(root).map_err(failed)?;
        let path = root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held_or_read(root, &mut file)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let text = format!("pid {}, {holder}\n", std::process::id());
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(DirLock { _file: file })
    }

    /// Keeps owners out of `root` while it is read, beside other readers. Writes nothing: what the
    /// file says is still the last owner. Never waits.
    pub fn share(root: &Path) -> Result<DirLock, LockError> {
        let failed = |source| LockError::Io { root: root.to_owned(), source };
        let mut file = File::open(root.join("lock")).map_err(failed)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(held(root, &mut file)),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The refusal of an owner: readers have not written their names.
fn held_or_read(root: &Path, file: &mut File) -> LockError {
    match file.try_lock_shared() {
        Ok(()) => {
            let holder = "a command that reads it".to_owned();
            LockError::Held { root: root.to_owned(), holder }
        }
        Err(_owned) => held(root, file),
    }
}

/// The refusal, in the words of the owner.
fn held(root: &Path, file: &mut File) -> LockError {
    let mut text = String::new();
    let holder = match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        // It took the lock an instant ago and has not written its name yet.
        _ => "a process that has not yet said its name".to_owned(),
    };
    LockError::Held { root: root.to_owned(), holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&dir.path().join("a/b")).unwrap();
        (dir, disk)
    }

    #[test]
    fn appends_reads_and_truncates() {
        let (_dir, disk) = disk();
        disk.create_dir("x/y").unwrap();
        let mut file = disk.append_to("x/y/f").unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.sync().unwrap();
        disk.sync_dir("x/y").unwrap();
        assert_eq!(file.length(), 11);
        assert_eq!(disk.read_at("x/y/f", 6, 100).unwrap(), b"world");
        assert_eq!(disk.read_at("x/y/f", 6, 2).unwrap(), b"wo");
        assert_eq!(disk.read_at("x/y/f", 60, 2).unwrap(), b"");
        disk.truncate("x/y/f", 5).unwrap();
        assert_eq!(disk.append_to("x/y/f").unwrap().length(), 5);
        let longer = disk.truncate("x/y/f", 6).unwrap_err();
        assert_eq!(longer.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn all_tasks_have_ended_when_together_returns() {
        let (_dir, disk) = disk();
        for count in [0, 1, TASK_THREADS, 5 * TASK_THREADS] {
            let mut lengths = vec![0; count];
            let sync = |(number, length): (usize, &mut u64)| {
                let mut file = disk.append_to(&format!("{count}-{number}")).unwrap();
                file.append(b"x").unwrap();
                file.sync().unwrap();
                *length = file.length();
            };
            let tasks = lengths.iter_mut().enumerate();
            disk.together(tasks.map(|task| Box::new(|| sync(task)) as _).collect());
            assert_eq!(lengths, vec![1; count]);
        }
    }

    #[test]
    fn lists_sorted_and_replaces() {
        let (_dir, disk) = disk();
        assert_eq!(disk.list("none").unwrap(), []);
        assert_eq!(disk.list_dirs("none").unwrap(), [""; 0]);
        disk.create_dir("d/sub").unwrap();
        disk.replace("d/b", b"12").unwrap();
        disk.replace("d/a", b"1").unwrap();
        disk.replace("d/b", b"123").unwrap();
        assert_eq!(disk.list("d").unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 3)]);
        assert_eq!(disk.list_dirs("d").unwrap(), ["sub"]);
        disk.remove("d/a").unwrap();
        disk.remove("d/a").unwrap();
        assert_eq!(disk.list("d").unwrap().len(), 1);
        assert_eq!(disk.read_at("d/a", 0, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_is_gone_when_remove_returns_whatever_the_size() {
        let (_dir, disk) = disk();
        for bytes in [1, LARGE_BYTES] {
            disk.allocate("f", bytes).unwrap();
            disk.remove("f").unwrap();
            assert_eq!(disk.list("").unwrap(), [], "{bytes}");
            assert_eq!(disk.append_to("f").unwrap().length(), 0, "{bytes}");
        }
    }

    #[test]
    fn refuses_paths_that_leave_the_root() {
        let (_dir, disk) = disk();
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            assert_eq!(disk.remove(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn readers_keep_owners_out_and_write_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(DirLock::share(dir.path()), Err(LockError::Io { .. })));
        drop(DirLock::acquire(dir.path(), "the last").unwrap());
        let text = || std::fs::read_to_string(dir.path().join("lock")).unwrap();
        let before = text();
        let readers = [DirLock::share(dir.path()).unwrap(), DirLock::share(dir.path()).unwrap()];
        let refused = DirLock::acquire(dir.path(), "x").unwrap_err().to_string();
        assert!(refused.ends_with("held by a command that reads it"), "{refused}");
        assert_eq!(text(), before);
        drop(readers);
        let _owner = DirLock::acquire(dir.path(), "y").unwrap();
        let refused = DirLock::share(dir.path()).unwrap_err().to_string();
        assert!(refused.ends_with(", y"), "{refused}");
    }

    #[test]
    fn a_second_owner_is_refused_with_the_name_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path(), "started at eight").unwrap();
        let LockError::Held { holder, .. } = DirLock::acquire(dir.path(), "x").unwrap_err() else {
            panic!("the second owner was let in or failed otherwise");
        };
        assert_eq!(holder, format!("pid {}, started at eight", std::process::id()));
        drop(first);
        DirLock::acquire(dir.path(), "started at nine and much longer").unwrap();
        DirLock::acquire(dir.path(), "short").unwrap();
        let text = std::fs::read_to_string(dir.path().join("lock")).unwrap();
        assert_eq!(text, format!("pid {}, short\n", std::process::id()));
    }
}
