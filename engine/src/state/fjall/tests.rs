//! What every state store does, and what fjall does with a damaged journal (engine.md 25.9).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::*;
use crate::state::backend::Entry;

mod folds;
mod model;

/// The contract of [`StateBackend`], without crashes.
pub(in crate::state) fn contract(backend: &dyn StateBackend) {
    let (one, two): (Arc<str>, Arc<str>) = ("state/one".into(), "two".into());
    let old = backend.view().unwrap();
    let mut batch = StateBatch::default();
    for key in [&[1, 0][..], &[1, 1], &[1, 2], &[2], &[1], &[0xff, 0xff], &[0xff, 0xff, 7]] {
        batch.put(&one, key.to_vec(), key.to_vec());
    }
    batch.put(&two, vec![1], b"first".to_vec());
    batch.put(&two, vec![1], b"later write wins".to_vec());
    batch.put(&two, vec![2], Vec::new());
    batch.put(&two, vec![3], vec![0; 100_000]);
    batch.delete(&two, vec![4]);
    backend.commit(batch, Durability::Synced).unwrap();
    backend.commit(StateBatch::default(), Durability::Lazy).unwrap();

    let view = backend.view().unwrap();
    assert_eq!(backend.spaces().unwrap(), ["state/one", "two"]);
    assert_eq!(view.get("two", &[1]).unwrap().unwrap(), b"later write wins");
    assert_eq!(view.get("two", &[2]).unwrap(), Some(Vec::new()));
    assert_eq!(view.get("two", &[3]).unwrap().unwrap().len(), 100_000);
    assert_eq!(view.get("two", &[4]).unwrap(), None);
    assert_eq!(view.get("none", &[1]).unwrap(), None);
    check_scans(&*view);

    let mut batch = StateBatch::default();
    batch.delete(&one, vec![1, 1]);
    batch.put(&two, vec![2], b"new".to_vec());
    backend.commit(batch, Durability::Lazy).unwrap();
    check_scans(&*view);
    assert_eq!(view.get("two", &[2]).unwrap(), Some(Vec::new()), "a view does not change");
    assert_eq!(old.get("two", &[2]).unwrap(), None);
    assert_eq!(old.scan("state/one", b"", b"", 9).unwrap(), []);
    assert_eq!(backend.view().unwrap().get("state/one", &[1, 1]).unwrap(), None);

    backend.drop_space("state/one").unwrap();
    backend.drop_space("state/one").unwrap();
    assert_eq!(backend.spaces().unwrap(), ["two"]);
    assert_eq!(backend.view().unwrap().scan("state/one", b"", b"", 9).unwrap(), []);
    check_scans(&*view);
    let mut batch = StateBatch::default();
    batch.put(&one, vec![9], vec![9]);
    backend.commit(batch, Durability::Synced).unwrap();
    assert_eq!(backend.view().unwrap().scan("state/one", b"", b"", 9).unwrap().len(), 1);

    for (space, length) in [("two", 0), ("two", KEY_BYTES_MAX + 1), ("", 1)] {
        let mut batch = StateBatch::default();
        batch.put(&two, vec![8], vec![8]);
        batch.put(&space.into(), vec![8; length], vec![]);
        let error = backend.commit(batch, Durability::Synced).unwrap_err();
        assert!(error.to_string().contains("a key has 1 to 65535 bytes"), "{error}");
    }
    assert_eq!(backend.view().unwrap().get("two", &[8]).unwrap(), None);
    let empty = AssertUnwindSafe(|| backend.commit(StateBatch::default(), Durability::Synced));
    assert!(catch_unwind(empty).is_err(), "an empty batch would not be synced");
}

/// Prefix, after, limit, expected keys.
fn check_scans(view: &dyn StateView) {
    let cases: [(&[u8], &[u8], usize, &[&[u8]]); 12] = [
        (&[1], &[], 9, &[&[1], &[1, 0], &[1, 1], &[1, 2]]),
        (&[1], &[], 2, &[&[1], &[1, 0]]),
        (&[1], &[1, 0], 2, &[&[1, 1], &[1, 2]]),
        (&[1], &[1, 0, 5], 1, &[&[1, 1]]),
        (&[1], &[1, 2], 9, &[]),
        (&[1], &[2], 9, &[]),
        (&[1], &[0], 1, &[&[1]]),
        (&[1], &[1], 1, &[&[1, 0]]),
        (&[], &[2], 9, &[&[0xff, 0xff], &[0xff, 0xff, 7]]),
        (&[0xff, 0xff], &[0xff, 0xff], 9, &[&[0xff, 0xff, 7]]),
        (&[3], &[], 9, &[]),
        (&[], &[], 0, &[]),
    ];
    for (prefix, after, limit, expected) in cases {
        let found = view.scan("state/one", prefix, after, limit).unwrap();
        assert!(found.iter().all(|(key, value)| key == value));
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, expected, "prefix {prefix:?} after {after:?} limit {limit}");
    }
    assert_eq!(view.scan("none", b"", b"", 9).unwrap(), []);
    let last: [(&[u8], usize, &[&[u8]]); 5] = [
        (&[1], 2, &[&[1, 1], &[1, 2]]),
        (&[1], 9, &[&[1], &[1, 0], &[1, 1], &[1, 2]]),
        (&[], 1, &[&[0xff, 0xff, 7]]),
        (&[3], 9, &[]),
        (&[], 0, &[]),
    ];
    for (prefix, limit, expected) in last {
        let entries = view.last("state/one", prefix, limit).unwrap();
        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, expected, "last {limit} of {prefix:?}");
    }
    assert_eq!(view.last("none", b"", 9).unwrap(), []);
}

fn reopen(path: &Path) -> Result<FjallBackend, StateError> {
    FjallBackend::open(path, FjallOptions::default())
}

/// One checkpoint: the epoch, and a row of state per epoch, in two spaces.
fn checkpoint(backend: &FjallBackend, epoch: u64) {
    commit_epoch(backend, epoch, Durability::Synced);
}

fn commit_epoch(backend: &FjallBackend, epoch: u64, durability: Durability) {
    let mut batch = StateBatch::default();
    batch.put(&"complete".into(), b"group".to_vec(), epoch.to_be_bytes().to_vec());
    batch.put(&"state/job".into(), epoch.to_be_bytes().to_vec(), epoch.to_be_bytes().to_vec());
    backend.commit(batch, durability).unwrap();
}

/// The epoch that is complete, and the rows of state there are.
fn found(backend: &FjallBackend) -> Result<(u64, Vec<u64>), StateError> {
    let view = backend.view()?;
    let number = |bytes: &[u8]| bytes.try_into().map_or(u64::MAX, u64::from_be_bytes);
    let complete = view.get("complete", b"group")?;
    let rows = view.scan("state/job", b"", b"", 99)?;
    let rows = rows.iter().map(|(key, value)| {
        assert_eq!(key, value, "a value that was never written");
        number(key)
    });
    Ok((complete.map_or(0, |bytes| number(&bytes)), rows.collect()))
}

/// A copy of the files as a process killed now would leave them, with the journal's used bytes.
fn copy_of(path: &Path) -> (tempfile::TempDir, Vec<u8>) {
    let copied = (0..100).find_map(|_try| {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(path, copy.path()).ok().map(|()| copy)
    });
    let copy = copied.expect("threads of the store stop changing its files");
    let journal = fs::read(journal_in(path)).unwrap();
    let used = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (copy, journal[..used].to_vec())
}

fn journal_in(path: &Path) -> PathBuf {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut journals = names.filter(|path| path.extension().is_some_and(|end| end == "jnl"));
    let journal = journals.next().expect("there is a journal");
    assert_eq!(journals.next(), None, "there is one journal");
    journal
}

/// Copies all files but the journal, which is 64 MiB of mostly nothing; an error if some came or went
/// meanwhile, for then the copy is of no one moment.
fn copy_dir(source: &Path, target: &Path) -> io::Result<()> {
    let paths = paths_in(source)?;
    for path in &paths {
        let place = target.join(path.strip_prefix(source).unwrap());
        if path.is_dir() {
            fs::create_dir(place)?;
        } else if path.extension().is_some_and(|end| end == "jnl") {
            File::create(place)?;
        } else {
            fs::copy(path, place)?;
        }
    }
    if paths_in(source)? == paths { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) }
}

/// Files and directories, each directory before what is in it.
fn paths_in(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            paths.append(&mut paths_in(&path)?);
        }
        paths.insert(path);
    }
    Ok(paths)
}

/// A database after `epochs` checkpoints, killed.
fn killed_after(epochs: u64) -> (tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let backend = reopen(dir.path()).unwrap();
    (1..=epochs).for_each(|epoch| checkpoint(&backend, epoch));
    copy_of(dir.path())
}

/// Opens a copy of the database with this journal.
fn open_with(image: &Path, journal: &[u8]) -> Result<(u64, Vec<u64>), StateError> {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(image, copy.path()).unwrap();
    fs::write(journal_in(copy.path()), journal).unwrap();
    found(&reopen(copy.path())?)
}

#[test]
fn keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract(&reopen(dir.path()).unwrap());
    let backend = reopen(dir.path()).unwrap();
    assert_eq!(backend.spaces().unwrap(), ["state/one", "two"]);
    let view = backend.view().unwrap();
    assert_eq!(view.scan("state/one", b"", b"", 9).unwrap(), [(vec![9], vec![9])]);
    assert_eq!(view.get("two", &[2]).unwrap().unwrap(), b"new");
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = reopen(dir.path()).unwrap();
    let error = reopen(dir.path()).err().unwrap();
    assert_eq!(error.to_string(), "could not open state: FjallError: Locked");
}

#[test]
fn a_kill_leaves_every_synced_batch_whole() {
    let (image, journal) = killed_after(3);
    assert_eq!(open_with(image.path(), &journal).unwrap(), (3, vec![1, 2, 3]));
}

#[test]
fn a_journal_cut_anywhere_ends_with_the_last_whole_batch() {
    let (image, journal) = killed_after(3);
    let mut last = 0;
    for length in (0..=journal.len()).step_by(3).chain([journal.len()]) {
        let (epoch, rows) = open_with(image.path(), &journal[..length]).unwrap();
        assert_eq!(rows, (1..=epoch).collect::<Vec<_>>(), "both spaces end together");
        assert!(epoch >= last);
        last = epoch;
    }
    assert_eq!(last, 3);
}

/// Pins what fjall does with one flipped bit, so that a new version that does otherwise is noticed.
/// What matters to the engine: a flip can cut the tail in silence, and it can leave the spaces of
/// one batch in disagreement. It has never produced a value that was not written.
#[test]
fn a_flipped_bit_in_the_journal_is_found_or_cuts_or_disagrees() {
    let (image, journal) = killed_after(3);
    let mut count = BTreeMap::new();
    for at in 0..journal.len() {
        let mut journal = journal.clone();
        journal[at] ^= 1 << (at % 8);
        let outcome = match open_with(image.path(), &journal) {
            Err(error) if error.message.starts_with("the store is damaged") => "panic",
            Err(_) => "error",
            Ok((3, rows)) if rows == [1, 2, 3] => "nothing lost",
            Ok((epoch, rows)) if rows == (1..=epoch).collect::<Vec<_>>() => "tail cut in silence",
            Ok(_) => "spaces disagree",
        };
        *count.entry(outcome).or_insert(0) += 1;
    }
    let expected = BTreeMap::from([
        ("panic", 48),
        ("error", 282),
        ("nothing lost", 9),
        ("tail cut in silence", 45),
        ("spaces disagree", 15),
    ]);
    assert_eq!(count, expected, "fjall {} bytes of journal", journal.len());
}

#[test]
fn views_stay_consistent_while_commits_and_folds_go_on() {
    for fold_bytes in [0, 300, FjallOptions::default().fold_bytes] {
        let dir = tempfile::tempdir().unwrap();
        let options = FjallOptions { fold_bytes, ..FjallOptions::default() };
        let backend = FjallBackend::open(dir.path(), options).unwrap();
        let (writer, checked) = (&backend, std::sync::atomic::AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=60).for_each(|epoch| checkpoint(writer, epoch)));
            let mut last = 0;
            while last < 60 {
                let (epoch, rows) = found(&backend).unwrap();
                assert_eq!(rows, (1..=epoch).collect::<Vec<_>>());
                assert!(epoch >= last);
                last = epoch;
                checked.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(checked.into_inner() > 0);
    }
}

#[test]
fn more_state_than_a_memtable_is_flushed_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = FjallOptions { memtable_bytes: 64 << 10, ..FjallOptions::default() };
    let backend = FjallBackend::open(dir.path(), options).unwrap();
    let space: Arc<str> = "state/job".into();
    for round in 0..40u32 {
        let mut batch = StateBatch::default();
        for key in 0..100u32 {
            let key = (round * 100 + key).to_be_bytes().to_vec();
            batch.put(&space, key.clone(), key.repeat(30));
        }
        backend.commit(batch, Durability::Lazy).unwrap();
    }
    drop(backend);
    let backend = FjallBackend::open(dir.path(), options).unwrap();
    let view = backend.view().unwrap();
    let (mut after, mut count) = (Vec::new(), 0u32);
    loop {
        let entries = view.scan("state/job", b"", &after, 333).unwrap();
        for (key, value) in &entries {
            assert_eq!(key, &count.to_be_bytes());
            assert_eq!(value, &key.repeat(30));
            count += 1;
        }
        match entries.into_iter().next_back() {
            Some((key, _)) => after = key,
            None => break,
        }
    }
    assert_eq!(count, 4000);
}
