//! A private copy of a store's directory: what is opened when a store is looked at and must stay as it
//! is.
//!
//! Opening a store writes: it replays its journal, cuts it, makes tables of it and compacts them. So
//! whoever only looks opens a copy outside of the data directory. Tables are never changed once they
//! are written, so the copy has links to them, which makes it cheap; everything else is copied. The
//! holes of a journal that was made long ahead stay holes.
//!
//! The copy lies in the directory for temporary files (`TMPDIR`) and goes with its value; one of a
//! process that was killed stays. The original MUST not change while the copy is open, because of the
//! links: whoever makes one holds the lock of the data directory.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use rustix::fs::SeekFrom;

use crate::crash;

/// Directories whose files are written once (fjall 3: sorted tables, and large values).
const WRITTEN_ONCE: [&str; 2] = ["tables", "blobs"];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A store that was opened on a copy of its own.
pub(crate) struct Looked<T> {
    /// Closed first: fields are dropped in this order.
    store: T,
    _copy: PrivateCopy,
}

impl<T> Looked<T> {
    /// Opens the store in a copy. A panic of the store at damage is left to whoever opens it.
    pub(crate) fn open<E>(
        copy: PrivateCopy,
        open: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<Self, E> {
        let opened = crash::letting_unwind(|| open(&copy.path));
        opened.map(|store| Self { store, _copy: copy })
    }
}

impl<T> Deref for Looked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.store
    }
}

/// A directory that goes with its value.
pub(crate) struct PrivateCopy {
    path: PathBuf,
}

impl PrivateCopy {
    /// Copies the directory `original`.
    pub(crate) fn of(original: &Path) -> anyhow::Result<Self> {
        let copy = Self::make(original);
        copy.with_context(|| {
            let (from, to) = (original.display(), std::env::temp_dir());
            format!("cannot copy \"{from}\" to \"{}\" to look at it", to.display())
        })
    }

    fn make(original: &Path) -> io::Result<Self> {
        let original = original.canonicalize()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("watershed-look-{}-{number}", std::process::id());
        let copy = Self { path: std::env::temp_dir().join(name) };
        // Of an earlier process with this id, which was killed.
        drop(fs::remove_dir_all(&copy.path));
        DirBuilder::new().mode(0o700).create(&copy.path)?;
        copy_dir(&original, &copy.path)?;
        Ok(copy)
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // What cannot be removed is the business of whoever cleans temporary files.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    let linked = from.file_name().is_some_and(|name| WRITTEN_ONCE.iter().any(|once| name == *once));
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy_dir(&from, &to)?;
        } else if linked {
            symlink(&from, &to)?;
        } else {
            copy_file(&from, &to)?;
        }
    }
    Ok(())
}

/// Copies what is between the holes.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut at = 0;
    loop {
        at = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = rustix::fs::seek(&from, SeekFrom::Hole(at))?;
        rustix::fs::seek(&from, SeekFrom::Start(at))?;
        rustix::fs::seek(&to, SeekFrom::Start(at))?;
        io::copy(&mut Read::by_ref(&mut from).take(hole - at), &mut to)?;
        at = hole;
    }
    to.set_len(from.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let tables = dir.path().join("keyspaces/1/tables");
        fs::create_dir_all(&tables).expect("made");
        let mut journal = vec![0; 3 << 20];
        journal[1 << 20] = 7;
        let mut file = File::create(dir.path().join("0.jnl")).expect("made");
        rustix::fs::seek(&file, SeekFrom::Start(1 << 20)).expect("a place");
        io::Write::write_all(&mut file, &[7]).expect("written");
        file.set_len(3 << 20).expect("made longer");
        fs::write(tables.join("9"), b"table").expect("written");
        let copy = PrivateCopy::of(dir.path()).expect("copied");
        let opened = Looked::open(copy, |path| {
            assert_eq!(fs::read(path.join("0.jnl"))?, journal);
            let table = path.join("keyspaces/1/tables/9");
            assert_eq!(fs::read(&table)?, b"table");
            // What a store does that no longer needs it.
            fs::remove_file(table)?;
            fs::write(path.join("0.jnl"), b"")?;
            io::Result::Ok(path.to_owned())
        });
        let looked = opened.expect("opened");
        let path = looked.clone();
        assert!(path.is_dir());
        drop(looked);
        assert!(!path.exists());
        assert_eq!(fs::read(tables.join("9")).expect("there"), b"table");
        assert_eq!(fs::read(dir.path().join("0.jnl")).expect("there"), journal);
    }
}
