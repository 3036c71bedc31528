//! A disk in memory that loses, at a crash, what a real one may lose.
//!
//! Synced bytes stay. Of a file's unsynced bytes a random prefix stays, and a byte of it may be
//! wrong. A file whose directory was not synced after it was made may be gone altogether, a file
//! removed without that may be back, a renamed one may have its old name. What is written over and
//! not synced may be as it was. Directories stay. Handles from before the crash are dead, as
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
        let bytes = inner.file(path)?.content();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, good enough to reach every branch.
    fn random(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |below| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 33) % below
        }
    }

    /// `d/f` with `synced` durable bytes and `rest` more.
    fn disk(synced: &[u8], rest: &[u8], named: bool) -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir("d").unwrap();
        let mut file = disk.append_to("d/f").unwrap();
        file.append(synced).unwrap();
        file.sync().unwrap();
        file.append(rest).unwrap();
        if named {
            disk.sync_dir("d").unwrap();
        }
        disk
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
        let (mut lengths, mut torn) = (BTreeSet::new(), 0);
        for seed in 0..500 {
            let disk = disk(b"durable", &[0xaa; 5], true);
            disk.crash(&mut random(seed));
            let bytes = disk.read_at("d/f", 0, 100).unwrap();
            assert!(bytes.starts_with(b"durable"));
            lengths.insert(bytes.len());
            torn += usize::from(bytes[7..].iter().any(|byte| *byte != 0xaa));
        }
        assert_eq!(lengths, (7..=12).collect());
        assert!((100..400).contains(&torn), "{torn}");
    }

    #[test]
    fn names_are_durable_only_after_the_directory_was_synced() {
        let mut lost = 0;
        for seed in 0..100 {
            let disk = disk(b"x", b"", false);
            disk.crash(&mut random(seed));
            lost += usize::from(disk.list("d").unwrap().is_empty());
        }
        assert!((20..80).contains(&lost), "{lost}");
    }

    #[test]
    fn a_removed_file_may_come_back_until_the_directory_was_synced() {
        let mut back = 0;
        for seed in 0..100 {
            let disk = disk(b"x", b"", true);
            disk.remove("d/f").unwrap();
            assert_eq!(disk.list("d").unwrap(), []);
            let synced = seed % 2 == 0;
            if synced {
                disk.sync_dir("d").unwrap();
            }
            disk.crash(&mut random(seed));
            let found = !disk.list("d").unwrap().is_empty();
            assert!(!(synced && found));
            back += usize::from(found);
        }
        assert!((10..45).contains(&back), "{back}");
    }

    #[test]
    fn what_is_written_over_may_be_as_it_was_until_it_was_synced() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let disk = disk(b"before", b"", true);
            let mut file = disk.overwrite("d/f").unwrap();
            file.append(b"AB").unwrap();
            file.sync().unwrap();
            file.append(b"CD").unwrap();
            assert_eq!(disk.read_at("d/f", 0, 9).unwrap(), b"ABCDre");
            disk.crash(&mut random(seed));
            let bytes = disk.read_at("d/f", 0, 9).unwrap();
            assert!(bytes.starts_with(b"AB") && bytes.ends_with(b"re"), "{bytes:?}");
            seen.insert(bytes);
        }
        for whole in [b"ABfore", b"ABCore", b"ABCDre"] {
            assert!(seen.contains(&whole[..]), "{seen:?}");
        }
        assert!(seen.len() > 3, "and torn ones: {seen:?}");
    }

    #[test]
    fn a_renamed_file_may_have_its_old_name_until_the_directory_was_synced() {
        let mut back = 0;
        for seed in 0..100 {
            let disk = disk(b"x", b"", true);
            disk.rename("d/f", "d/g").unwrap();
            let synced = seed % 2 == 0;
            if synced {
                disk.sync_dir("d").unwrap();
            }
            disk.crash(&mut random(seed));
            let found = disk.list("d").unwrap() == [("f".to_owned(), 1)];
            assert!(found || disk.list("d").unwrap() == [("g".to_owned(), 1)]);
            assert!(!(synced && found));
            back += usize::from(found);
        }
        assert!((10..45).contains(&back), "{back}");
    }

    #[test]
    fn faults_begin_when_told_and_stay() {
        let disk = disk(b"", b"", true);
        let mut file = disk.append_to("d/f").unwrap();
        let before = disk.writes();
        disk.fail_after(2, Fault::NoSpace);
        file.append(b"abcd").unwrap();
        file.sync().unwrap();
        for _ in 0..2 {
            assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        disk.fail_after(0, Fault::Io);
        assert_eq!(file.append(b"efgh").unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(disk.read_at("d/f", 0, 10).unwrap(), b"abcdef");
        disk.heal();
        file.sync().unwrap();
        assert_eq!(disk.writes() - before, 6);
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = disk(b"", b"", true);
        disk.limit_bytes(5);
        let mut file = disk.append_to("d/f").unwrap();
        file.append(b"abc").unwrap();
        assert_eq!(file.append(b"defg").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.bytes(), file.length()), (5, 3));
        assert_eq!(disk.replace("d/g", b"1").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn handles_die_with_their_process() {
        let disk = disk(b"", b"", true);
        let mut file = disk.append_to("d/f").unwrap();
        disk.crash(&mut random(1));
        assert!(file.append(b"ghost").is_err());
        assert!(file.sync().is_err());
        assert_eq!(disk.bytes(), 0);
    }

    #[test]
    fn behaves_as_the_real_disk_while_nothing_goes_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let real = crate::checkpoint::disk::real::RealDisk::open(dir.path()).unwrap();
        assert_eq!(trace(&SimDisk::new()), trace(&real));
    }

    /// What a disk answers to a fixed list of calls.
    fn trace(disk: &dyn Disk) -> Vec<String> {
        let mut said = Vec::new();
        let mut say = |answer: io::Result<String>| {
            said.push(answer.unwrap_or_else(|error| format!("{:?}", error.kind())));
        };
        let text = |unit: io::Result<()>| unit.map(|()| "done".to_owned());
        say(disk.append_to("a/b/f").map(|file| file.length().to_string()));
        say(text(disk.create_dir("a/b")));
        say(text(disk.create_dir("a/b")));
        say(disk.append_to("a/b/f").and_then(|mut file| {
            file.append(b"123456")?;
            file.sync()?;
            Ok(file.length().to_string())
        }));
        say(disk.append_to("a/b/f").map(|file| file.length().to_string()));
        say(text(disk.truncate("a/b/f", 4)));
        say(text(disk.truncate("a/b/f", 9)));
        say(text(disk.truncate("a/b/none", 0)));
        say(disk.read_at("a/b/f", 1, 9).map(|bytes| format!("{bytes:?}")));
        say(disk.read_at("a/b/f", 9, 9).map(|bytes| format!("{bytes:?}")));
        say(disk.read_at("a/b/none", 0, 9).map(|bytes| format!("{bytes:?}")));
        say(text(disk.replace("a/b/e", b"xy")));
        say(disk.list("a/b").map(|files| format!("{files:?}")));
        say(disk.list("a").map(|files| format!("{files:?}")));
        say(disk.list("none").map(|files| format!("{files:?}")));
        say(disk.list_dirs("a").map(|dirs| format!("{dirs:?}")));
        say(disk.list_dirs("a/b").map(|dirs| format!("{dirs:?}")));
        say(text(disk.allocate("a/b/r", 100)));
        say(text(disk.allocate("a/b/f", 2)));
        say(disk.list("a/b").map(|files| format!("{files:?}")));
        say(text(disk.rename("a/b/none", "a/b/x")));
        say(disk.overwrite("a/b/none").map(|file| file.length().to_string()));
        say(text(disk.sync_dir("a/b")));
        say(text(disk.rename("a/b/f", "a/b/x")));
        say(disk.overwrite("a/b/x").and_then(|mut file| {
            file.append(b"ab")?;
            file.sync()?;
            Ok(file.length().to_string())
        }));
        say(disk.read_at("a/b/x", 0, 9).map(|bytes| format!("{bytes:?}")));
        say(disk.list("a/b").map(|files| format!("{files:?}")));
        say(text(disk.truncate("a/b/x", 3)));
        say(disk.append_to("a/b/x").and_then(|mut file| {
            file.append(b"z")?;
            Ok(file.length().to_string())
        }));
        say(disk.read_at("a/b/x", 0, 9).map(|bytes| format!("{bytes:?}")));
        say(text(disk.remove("a/b/e")));
        say(text(disk.remove("a/b/e")));
        say(text(disk.sync_dir("a/b")));
        said
    }
}
