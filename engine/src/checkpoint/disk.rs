//! The disk as the engine sees it: append-only files, explicit syncs, and nothing else.
//!
//! [`Disk`] is the only way the engine's own files (outbox, topic log, lock, reserve) are touched,
//! so that a simulated disk can tear writes, lose what was not synced, flip bits and run out of
//! space. Paths are relative to the data directory and use `/`.
//!
//! An error of `sync` or `append` is final: the caller MUST stop the process (exit code 74) and
//! MUST NOT call again, because after a failed fsync the kernel may have dropped the pages.

pub mod real;

use std::io;

/// A directory tree of append-only files.
pub trait Disk: Send + Sync {
    /// Makes the directory and its parents; no error if it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Names and sizes of the plain files directly in `dir`, sorted by name; empty if there is no
    /// such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>>;
    /// Names of the directories directly in `dir`, sorted; empty if there is no such directory.
    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Opens for appending, creating the file if it is absent. A created file's name is durable
    /// only after [`Disk::sync_dir`].
    fn append_to(&self, path: &str) -> io::Result<Box<dyn AppendFile>>;
    /// Opens a file that exists for writing over what it holds, from its beginning: its length counts
    /// from 0, and what is not written over stays behind it until [`Disk::truncate`].
    fn overwrite(&self, path: &str) -> io::Result<Box<dyn AppendFile>>;
    /// Gives a file another name in its directory, in the place of a file that has it. The names are
    /// durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Reads up to `length` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Cuts the file to `length` bytes and syncs it.
    fn truncate(&self, path: &str, length: u64) -> io::Result<()>;
    /// Replaces `path` by `bytes` atomically: temporary file, sync, rename, directory sync.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// Gives the file, made if it is absent, its full length of `bytes` with space on the disk behind
    /// all of it. An error of kind `Unsupported` where the file system cannot; after one for want of
    /// space a part may have been given. Not durable.
    fn allocate(&self, path: &str, bytes: u64) -> io::Result<()>;
    /// Removes the file; no error if it is absent.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Runs tasks that write and sync different files, in any order or at the same time, and returns
    /// when all have ended. A disk takes several syncs in hardly more time than one.
    fn together(&self, tasks: Vec<DiskTask<'_>>) {
        tasks.into_iter().for_each(|task| task());
    }
}

/// Work on a file of its own, that keeps its own result.
pub type DiskTask<'a> = Box<dyn FnOnce() + Send + 'a>;

/// One open file that only grows.
pub trait AppendFile: Send {
    /// Bytes in the file, including those not yet synced; without those still to be written over.
    fn length(&self) -> u64;
    /// Appends all of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all appended bytes durable (`fdatasync`). Before it a reader may find fewer than were
    /// appended.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether somebody reads soon what is appended from now on, as is thought of a file at first. It
    /// only decides what stays in memory.
    fn expect_reads(&mut self, soon: bool) -> io::Result<()>;
}
