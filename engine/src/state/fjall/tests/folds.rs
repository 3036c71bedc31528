//! Folds that are cut short, and what they leave.

use super::*;
use crate::state::backend::StateWrite;

/// A fold that ends when so many spaces have their tables; with one more than there are spaces it ends
/// before the deltas are removed.
pub(super) fn die_folding(backend: &FjallBackend, spaces: usize) {
    let fold = backend.store.begin_fold().unwrap();
    let layers = fold.unfolded.layers().unwrap();
    for (space, layer) in layers.into_iter().take(spaces) {
        backend.store.database.persist(fjall::PersistMode::SyncData).unwrap();
        fold::ingest(&fold.spaces.named[space], &layer).unwrap();
    }
}

fn unfolded(backend: &FjallBackend) -> usize {
    backend.store.view().unwrap().unfolded.deltas.len()
}

fn rows(backend: &FjallBackend, space: &str) -> Vec<Entry> {
    backend.view().unwrap().scan(space, b"", b"", 99).unwrap()
}

fn write(space: &str, key: u8, value: Option<u8>) -> StateWrite {
    StateWrite { space: space.into(), key: vec![key], value: value.map(|value| vec![value]) }
}

fn commit(backend: &FjallBackend, writes: &[StateWrite]) {
    let batch = StateBatch { writes: writes.to_vec() };
    backend.commit(batch, Durability::Synced).unwrap();
}

/// Two spaces with tables, and deltas over them that put, replace and delete.
fn two_spaces(backend: &FjallBackend) {
    for space in ["state/one", "state/two"] {
        commit(backend, &[write(space, 1, Some(1)), write(space, 2, Some(1))]);
    }
    backend.store.fold().unwrap();
    commit(backend, &[write("state/one", 1, None), write("state/two", 1, Some(2))]);
    commit(backend, &[write("state/one", 3, Some(3)), write("state/two", 2, None)]);
}

fn check_two_spaces(backend: &FjallBackend) {
    assert_eq!(rows(backend, "state/one"), [(vec![2], vec![1]), (vec![3], vec![3])]);
    assert_eq!(rows(backend, "state/two"), [(vec![1], vec![2])]);
}

#[test]
fn a_fold_killed_anywhere_is_done_again() {
    for spaces in 0..=2 {
        let dir = tempfile::tempdir().unwrap();
        let backend = reopen(dir.path()).unwrap();
        two_spaces(&backend);
        die_folding(&backend, spaces);
        check_two_spaces(&backend);
        drop(backend);
        let backend = reopen(dir.path()).unwrap();
        check_two_spaces(&backend);
        assert_eq!(unfolded(&backend), 4);
        let view = backend.view().unwrap();
        // What is written meanwhile is newer than what the second fold brings.
        commit(&backend, &[write("state/one", 2, Some(9)), write("state/two", 1, None)]);
        backend.store.fold().unwrap();
        assert_eq!(unfolded(&backend), 0);
        assert_eq!(rows(&backend, "state/one"), [(vec![2], vec![9]), (vec![3], vec![3])]);
        assert_eq!(rows(&backend, "state/two"), []);
        assert_eq!(view.get("state/one", &[2]).unwrap(), Some(vec![1]));
        assert_eq!(view.get("state/two", &[1]).unwrap(), Some(vec![2]));
    }
}

/// The spaces of a commit end together also where the machine died: what was synced when the fold
/// began is there, and of what came later any part may be missing, the removal of the deltas included.
#[test]
fn a_journal_cut_behind_a_fold_ends_with_a_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    let backend = reopen(dir.path()).unwrap();
    (1..=3).for_each(|epoch| commit_epoch(&backend, epoch, Durability::Lazy));
    die_folding(&backend, 1);
    let synced = copy_of(dir.path()).1.len();
    backend.store.fold().unwrap();
    assert_eq!(unfolded(&backend), 0);
    (4..=6).for_each(|epoch| commit_epoch(&backend, epoch, Durability::Lazy));
    drop(backend);
    let (image, journal) = copy_of(dir.path());
    let mut epochs = Vec::new();
    for length in synced..=journal.len() {
        let (epoch, rows) = open_with(image.path(), &journal[..length]).unwrap();
        assert_eq!(rows, (1..=epoch).collect::<Vec<_>>(), "cut at {length}");
        epochs.push(epoch);
    }
    epochs.dedup();
    assert_eq!(epochs, [3, 4, 5, 6]);
}

/// A fold makes durable what it takes to tables first. Of a commit that is still in the process's own
/// memory a kill would leave the rows, which are tables by then, and nothing of its other space.
#[test]
fn what_a_fold_takes_to_tables_is_in_the_journal_before() {
    let dir = tempfile::tempdir().unwrap();
    let backend = reopen(dir.path()).unwrap();
    (1..=3).for_each(|epoch| commit_epoch(&backend, epoch, Durability::Lazy));
    let (store, four) = (&backend.store, 4_u64.to_be_bytes());
    let spaces = store.handles().clone();
    let row = StateWrite { space: "state/job".into(), key: four.into(), value: Some(four.into()) };
    let mut batch = store.database.batch().durability(None);
    batch.insert(&spaces.named["complete"], "group", four);
    for bytes in delta::encode(vec![row]) {
        batch.insert(spaces.deltas.as_ref().unwrap(), delta::encode_key(3, "state/job"), bytes);
    }
    batch.commit().unwrap();
    let (image, journal) = copy_of(dir.path());
    assert_eq!(open_with(image.path(), &journal).unwrap(), (3, vec![1, 2, 3]), "it can be lost");
    assert!(store.begin_fold().unwrap().ingest(store).unwrap());
    let (image, journal) = copy_of(dir.path());
    assert_eq!(open_with(image.path(), &journal).unwrap(), (4, vec![1, 2, 3, 4]));
}

/// Deltas of a space that was dropped do not come back, whatever the journal loses.
#[test]
fn what_was_dropped_stays_dropped() {
    for folded in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let backend = reopen(dir.path()).unwrap();
        (1..=3).for_each(|epoch| commit_epoch(&backend, epoch, Durability::Lazy));
        if folded {
            backend.store.fold().unwrap();
        }
        let view = backend.view().unwrap();
        backend.drop_space("state/job").unwrap();
        let synced = copy_of(dir.path()).1.len();
        assert_eq!(view.scan("state/job", b"", b"", 9).unwrap().len(), 3);
        drop(view);
        commit_epoch(&backend, 7, Durability::Lazy);
        assert_eq!(found(&backend).unwrap(), (7, vec![7]));
        drop(backend);
        let (image, journal) = copy_of(dir.path());
        for length in synced..=journal.len() {
            let found = open_with(image.path(), &journal[..length]).unwrap();
            assert!([(3, vec![]), (7, vec![7])].contains(&found), "{found:?}");
        }
    }
}

#[test]
fn a_directory_without_deltas_goes_on_with_them_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let direct = FjallOptions { by_delta: None, ..FjallOptions::default() };
    let backend = FjallBackend::open(dir.path(), direct).unwrap();
    (1..=2).for_each(|epoch| checkpoint(&backend, epoch));
    assert!(backend.store.handles().deltas.is_none());
    drop(backend);
    let backend = reopen(dir.path()).unwrap();
    assert_eq!(found(&backend).unwrap(), (2, vec![1, 2]));
    checkpoint(&backend, 3);
    assert_eq!(unfolded(&backend), 1);
    assert_eq!(backend.spaces().unwrap(), ["complete", "state/job"]);
    drop(backend);
    // Its journal has entries of the space and a delta over them.
    let backend = reopen(dir.path()).unwrap();
    assert_eq!(found(&backend).unwrap(), (3, vec![1, 2, 3]));
    backend.store.fold().unwrap();
    checkpoint(&backend, 4);
    drop(backend);
    let backend = FjallBackend::open(dir.path(), direct).unwrap();
    assert_eq!((found(&backend).unwrap(), unfolded(&backend)), ((4, vec![1, 2, 3, 4]), 0));
    commit(
        &backend,
        &[StateWrite { key: 4_u64.to_be_bytes().into(), ..write("state/job", 0, None) }],
    );
    assert_eq!(found(&backend).unwrap(), (4, vec![1, 2, 3]));
}

/// Folds begin by themselves, and what waits for them is bounded.
#[test]
fn deltas_are_folded_behind() {
    let dir = tempfile::tempdir().unwrap();
    let options = FjallOptions { fold_bytes: 1000, ..FjallOptions::default() };
    let backend = FjallBackend::open(dir.path(), options).unwrap();
    for epoch in 1..=500 {
        commit_epoch(&backend, epoch, Durability::Lazy);
        assert!(backend.store.writing().bytes < 5_200, "four folds and a commit");
    }
    backend.folding.lock().unwrap().take().expect("one was begun").join().unwrap();
    assert!(unfolded(&backend) < 500);
    drop(backend);
    let backend = FjallBackend::open(dir.path(), options).unwrap();
    let rows = backend.view().unwrap().scan("state/job", b"", b"", 999).unwrap();
    assert_eq!(rows.len(), 500);
    let bytes: usize =
        backend.store.view().unwrap().unfolded.deltas.iter().map(|found| found.bytes.len()).sum();
    assert_eq!(backend.store.writing().bytes, u64::try_from(bytes).unwrap());
}

#[test]
fn a_fold_that_failed_stops_all_later_commits() {
    let dir = tempfile::tempdir().unwrap();
    let options = FjallOptions { fold_bytes: 0, ..FjallOptions::default() };
    let backend = FjallBackend::open(dir.path(), options).unwrap();
    let mut batch = StateBatch::default();
    batch.put(&"else".into(), vec![1], vec![1]);
    backend.commit(batch.clone(), Durability::Synced).unwrap();
    let space: Arc<str> = "state/job".into();
    let mut spaces = spaces::Spaces::clone(&backend.store.handles());
    spaces.add(&backend.store.database, &space, &options).unwrap();
    fs::remove_dir_all(spaces.named[&space].path().join("tables")).unwrap();
    checkpoint(&backend, 1);
    backend.folding.lock().unwrap().take().expect("one was begun").join().unwrap();
    for _again in 0..2 {
        let error = backend.commit(batch.clone(), Durability::Synced).unwrap_err();
        assert!(error.to_string().starts_with("could not fold state"), "{error}");
    }
    assert_eq!(found(&backend).unwrap(), (1, vec![1]), "it can be read");
}

#[test]
fn a_damaged_delta_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let backend = reopen(dir.path()).unwrap();
    checkpoint(&backend, 1);
    let deltas = backend.store.handles().deltas.clone().unwrap();
    let (key, bytes) = deltas.iter().next().unwrap().into_inner().unwrap();
    let mut bytes = bytes.to_vec();
    bytes[9] ^= 1;
    deltas.insert(key, bytes).unwrap();
    let error = found(&backend).unwrap_err().to_string();
    assert_eq!(error, "could not read state: delta 0 of space \"state/job\" is damaged");
    assert_eq!(backend.view().unwrap().scan("complete", b"", b"", 9).unwrap().len(), 1);
    assert!(backend.store.fold().is_err());
    deltas.insert([1, 2], b"").unwrap();
    assert!(backend.view().err().expect("no delta has such a key").to_string().contains("key"));
}
