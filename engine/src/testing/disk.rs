//! A disk in memory that loses, at a crash, what a real one may lose.
//!
//! Synced bytes stay. Of a file's unsynced bytes a random prefix stays, and a byte of it may be
//! wrong. A file whose directory was not synced after it was made may be gone altogether, a file
//! removed without that may be back, a renamed one may have its old name. What is written over and
//! not synced may be as it was. Of a file that nobody is expected to read soon, only what is synced can
//! be read. Directories stay. Handles from before the crash are dead, as
//! their process is. Everything random comes from the caller, so a seed repeats a history.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::disk::{AppendFile, Disk};

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full.
    NoSpace,
    /// The device does not answer.
    Io,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Fault::NoSpace => io::ErrorKind::StorageFull.into(),
            Fault::Io => io::Error::other("simulated device error"),
        }
    }
}

/// The simulated disk; clones share the same files.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, SimFile>,
    /// Removed, but a crash may bring them back.
    removed: BTreeMap<String, SimFile>,
    dirs: BTreeSet<String>,
    capacity: Option<u64>,
    fault: Option<(u64, Fault)>,
    writes: u64,
    /// Crashes so far: handles of an earlier life are refused.
    life: u64,
}

#[derive(Debug, Default, Clone)]
struct SimFile {
    bytes: Vec<u8>,
    /// What the file holds where it is being written over: the part behind `bytes` is still there.
    old: Vec<u8>,
    /// Bytes that survive a crash.
    synced: usize,
    /// Whether the name survives a crash.
    named: bool,
    /// The name it had, which a crash may give back.
    renamed: Option<String>,
    /// Whether nobody is expected to read it soon.
    is_read_late: bool,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// The power goes. `random(n)` gives a number below `n`.
    pub fn crash(&self, random: &mut dyn FnMut(u64) -> u64) {
        let mut inner = self.lock();
        inner.life += 1;
        for (path, file) in std::mem::take(&mut inner.removed) {
            if random(2) == 0 {
                inner.files.entry(path).or_insert(file);
            }
        }
        inner.files.retain(|_, file| {
            let kept = file.named || random(2) == 0;
            file.crash(random);
            kept
        });
        for (path, mut file) in std::mem::take(&mut inner.files) {
            let before = file.renamed.take().filter(|_| random(2) == 0);
            inner.files.insert(before.unwrap_or(path), file);
        }
    }

    /// Lets `writes` more writes and syncs pass; all that follow fail, until [`SimDisk::heal`].
    pub fn fail_after(&self, writes: u64, fault: Fault) {
        let mut inner = self.lock();
        inner.fault = Some((inner.writes + writes, fault));
    }

    /// Ends the fault of [`SimDisk::fail_after`] and the limit of [`SimDisk::limit_bytes`].
    pub fn heal(&self) {
        let mut inner = self.lock();
        inner.fault = None;
        inner.capacity = None;
    }

    /// Makes the disk hold at most `capacity` bytes.
    pub fn limit_bytes(&self, capacity: u64) {
        self.lock().capacity = Some(capacity);
    }

    /// Inverts bit `offset % 8` of the byte at `offset`, behind everybody's back.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip_bit(&self, path: &str, offset: u64) {
        let mut inner = self.lock();
        let file = inner.files.get_mut(path).expect("the file to damage exists");
        let at = usize::try_from(offset).expect("a file in memory is small");
        let bytes = if at < file.bytes.len() { &mut file.bytes } else { &mut file.old };
        bytes[at] ^= 1 << (at % 8);
    }

    /// Paths of the files that nobody is expected to read soon.
    pub fn read_late(&self) -> Vec<String> {
        let inner = self.lock();
        let late = inner.files.iter().filter(|(_, file)| file.is_read_late);
        late.map(|(path, _)| path.clone()).collect()
    }

    /// Writes and syncs so far, failed ones included.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Bytes in all files.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimFile {
    /// All that is in the file.
    fn content(&self) -> Vec<u8> {
        let behind = self.old.get(self.bytes.len()..).unwrap_or_default();
        [&self.bytes, behind].concat()
    }

    fn length(&self) -> usize {
        self.bytes.len().max(self.old.len())
    }

    /// Keeps a random part of the unsynced tail, perhaps with one wrong byte.
    fn crash(&mut self, random: &mut dyn FnMut(u64) -> u64) {
        let tail = self.bytes.len() - self.synced;
        let kept = pick(random, tail + 1);
        self.bytes.truncate(self.synced + kept);
        if kept > 0 {
            let at = self.synced + pick(random, kept);
            match random(4) {
                0 => self.bytes[at] = 0,
                1 => self.bytes[at] ^= 1 << pick(random, 8),
                _ => {}
            }
        }
        self.bytes = self.content();
        self.old.clear();
        self.synced = self.bytes.len();
        self.named = true;
    }
}

/// A random index below `count`.
fn pick(random: &mut dyn FnMut(u64) -> u64, count: usize) -> usize {
    usize::try_from(random(count as u64)).expect("the number is below a usize")
}

impl Inner {
    fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.length() as u64).sum()
    }

    /// Counts a write or sync and fails it where a fault is due.
    fn write(&mut self) -> io::Result<()> {
        let number = self.writes;
        self.writes += 1;
        match self.fault {
            Some((from, fault)) if number >= from => Err(fault.error()),
            _ => Ok(()),
        }
    }

    /// The bytes of `wanted` that still fit.
    fn room(&self, wanted: usize) -> usize {
        let left = self.capacity.map_or(u64::MAX, |limit| limit.saturating_sub(self.bytes()));
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn file(&mut self, path: &str) -> io::Result<&mut SimFile> {
        self.files.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let due = self.write();
        // A failed write may have written a part.
        let file = self.file(path)?;
        // What is written over takes no more room.
        let over = file.length() - file.bytes.len();
        let part = match due.is_err() {
            true => bytes.len() / 2,
            false => bytes.len().min(over + self.room(bytes.len().saturating_sub(over))),
        };
        self.file(path)?.bytes.extend_from_slice(&bytes[..part]);
        due?;
        if part < bytes.len() { Err(Fault::NoSpace.error()) } else { Ok(()) }
    }
}

/// The directory of `path`; empty for the root.
fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The name of `path` where it lies directly in `dir`.
fn name_in<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    (dir_of(path) == dir).then(|| path.rsplit('/').next())?
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let mut dir = dir;
        while !dir.is_empty() {
            inner.dirs.insert(dir.to_owned());
            dir = dir_of(dir);
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let named = |(path, file): (&String, &SimFile)| {
            Some((name_in(path, dir)?.to_owned(), file.length() as u64))
        };
        Ok(self.lock().files.iter().filter_map(named).collect())
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        let inner = self.lock();
        Ok(inner.dirs.iter().filter_map(|path| Some(name_in(path, dir)?.to_owned())).collect())
    }

    fn append_to(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        let mut inner = self.lock();
        if !dir_of(path).is_empty() && !inner.dirs.contains(dir_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let length = inner.files.entry(path.to_owned()).or_default().length() as u64;
        Ok(Box::new(Handle { disk: self.clone(), path: path.to_owned(), life: inner.life, length }))
    }

    fn overwrite(&self, path: &str) -> io::Result<Box<dyn AppendFile>> {
        let mut inner = self.lock();
        let file = inner.file(path)?;
        assert_eq!(file.synced, file.bytes.len(), "a file is written over once it is synced");
        file.old = file.content();
        (file.bytes, file.synced) = (Vec::new(), 0);
        let (path, life) = (path.to_owned(), inner.life);
        Ok(Box::new(Handle { disk: self.clone(), path, life, length: 0 }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.write()?;
        inner.file(from)?;
        let mut file = inner.files.remove(from).expect("it is there");
        assert!(file.named && file.renamed.is_none(), "a name is synced before the next one");
        file.renamed = Some(from.to_owned());
        inner.removed.remove(to);
        inner.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn read_at(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.lock();
        let file = inner.file(path)?;
        let mut bytes = file.content();
        if file.is_read_late {
            bytes.truncate(file.synced);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let stop = start.saturating_add(length).min(bytes.len());
        Ok(bytes[start..stop].to_vec())
    }

    fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.write()?;
        let file = inner.file(path)?;
        match usize::try_from(length).ok().filter(|length| *length <= file.length()) {
            None => Err(io::ErrorKind::InvalidInput.into()),
            Some(length) => {
                file.bytes = file.content();
                file.old.clear();
                file.bytes.truncate(length);
                file.synced = length;
                Ok(())
            }
        }
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.write()?;
        if inner.room(bytes.len()) < bytes.len() {
            return Err(Fault::NoSpace.error());
        }
        inner.removed.remove(path);
        let (bytes, synced) = (bytes.to_vec(), bytes.len());
        let file = SimFile { bytes, synced, named: true, ..SimFile::default() };
        inner.files.insert(path.to_owned(), file);
        Ok(())
    }

    fn allocate(&self, path: &str, bytes: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.write()?;
        let length = usize::try_from(bytes).expect("a file in memory is small");
        let found = inner.files.get(path).map_or(0, |file| file.bytes.len());
        let wanted = length.saturating_sub(found);
        let given = inner.room(wanted);
        let file = inner.files.entry(path.to_owned()).or_default();
        file.bytes.resize(found + given, 0);
        if given < wanted { Err(Fault::NoSpace.error()) } else { Ok(()) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(file) = inner.files.remove(path).filter(|file| file.named) {
            inner.removed.insert(path.to_owned(), file);
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.write()?;
        inner.removed.retain(|path, _| dir_of(path) != dir);
        for (_, file) in inner.files.iter_mut().filter(|(path, _)| dir_of(path) == dir) {
            file.named = true;
            file.renamed = None;
        }
        Ok(())
    }
}

/// An open file of one life of the process.
struct Handle {
    disk: SimDisk,
    path: String,
    life: u64,
    length: u64,
}

impl Handle {
    fn alive(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.lock();
        if inner.life == self.life {
            return Ok(inner);
        }
        Err(io::Error::other("the process that held this file has crashed"))
    }
}

impl AppendFile for Handle {
    fn length(&self) -> u64 {
        self.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.alive()?.append(&self.path, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.alive()?;
        inner.write()?;
        let file = inner.file(&self.path)?;
        file.synced = file.bytes.len();
        Ok(())
    }

    fn expect_reads(&mut self, soon: bool) -> io::Result<()> {
        self.alive()?.file(&self.path)?.is_read_late = !soon;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
