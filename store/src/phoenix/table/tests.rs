//! Reading: order, chunks, corrupt rows.

use connectors::format::dimension::DimensionOp::Upsert;
use engine::state::backend::{Durability, StateBackend, StateBatch};

use super::super::tests::{ask, definition, deliver, in_memory, prepared, rows};
use super::*;

/// A table `t(id, n)` with this salt and the rows `0..rows`, and a table beside it.
fn store(salt: u16, rows: u32) -> (engine::state::memory::MemoryBackend, DimensionStore) {
    let (backend, store) = in_memory();
    store.ensure_table(&definition("t", &["id", "n"], &["id"], salt)).unwrap();
    store.ensure_table(&definition("empty", &["id"], &["id"], salt)).unwrap();
    let ids: Vec<String> = (0..rows).rev().map(|row| format!("{row:05}")).collect();
    let cells: Vec<_> =
        ids.iter().map(|id| [("id", Some(id.as_str())), ("n", Some("中\"\n"))]).collect();
    let changes: Vec<_> = cells.iter().map(|cells| ("t", Upsert, &cells[..])).collect();
    ask(prepared(&store, 0).as_mut(), deliver(1, 1, &changes)).unwrap();
    (backend, store)
}

#[test]
fn rows_come_by_key_over_any_salt_and_number_of_chunks() {
    for (salt, count) in
        [(0, 0), (0, 1), (0, 1023), (0, 1024), (0, 1025), (4, 1025), (16, 2048), (256, 5000)]
    {
        let (_, store) = store(salt, count);
        let expected: Vec<String> =
            (0..count).map(|row| format!(r#"{{"id":"{row:05}","n":"中\"\n"}}"#)).collect();
        assert_eq!(rows(&store, "T"), expected, "{salt} buckets, {count} rows");
        let counts = [("EMPTY".to_owned(), 0), ("T".to_owned(), u64::from(count))];
        assert_eq!(store.counts().unwrap(), counts);
        assert!(rows(&store, "empty").is_empty());
    }
}

#[test]
fn a_row_is_found_by_its_key_and_by_no_other() {
    let (_, store) = in_memory();
    store.ensure_table(&definition("t", &["n", "k1", "k2"], &["k1", "k2"], 8)).unwrap();
    let cells = [("k1", Some("a")), ("k2", Some("中\0b")), ("n", Some("1"))];
    ask(prepared(&store, 0).as_mut(), deliver(1, 1, &[("t", Upsert, &cells)])).unwrap();
    let row = store.get("T", &["a", "中\0b"]).unwrap().expect("it is there");
    let expected = [("N", Some(&b"1"[..])), ("K1", Some(b"a")), ("K2", Some("中\0b".as_bytes()))];
    assert_eq!(row.cells().collect::<Vec<_>>(), expected);
    for key in [&["a"][..], &["a", ""], &["a", "中"], &["a\0中", "b"], &["中\0b", "a"], &[]] {
        assert!(store.get("t", key).unwrap().is_none(), "{key:?}");
    }
}

#[test]
fn an_unknown_table_is_an_error() {
    let (_, store) = in_memory();
    for error in [store.get("no", &["1"]).err(), store.scan("no").err()] {
        let error = error.expect("no such table").to_string();
        assert_eq!(error, "there is no dimension table \"no\"");
    }
}

#[test]
fn a_scan_is_as_of_its_beginning() {
    let (_, store) = store(4, 10);
    let scan = store.scan("t").unwrap();
    let more: [(&str, Option<&str>); 1] = [("id", Some("new"))];
    ask(prepared(&store, 0).as_mut(), deliver(2, 2, &[("t", Upsert, &more)])).unwrap();
    assert_eq!(scan.count(), 10);
    assert_eq!(store.scan("t").unwrap().count(), 11);
}

#[test]
fn a_corrupt_row_is_reported_in_its_place_and_counted() {
    let (backend, store) = store(0, 3);
    let mut batch = StateBatch::default();
    let space = store.table("t").expect("made").space.clone();
    batch.put(&space, b"00001".to_vec(), b"\x02\x05".to_vec());
    batch.put(&space, b"00001\xff".to_vec(), b"\x01\x05\x0b".to_vec());
    backend.commit(batch, Durability::Synced).unwrap();
    let read: Vec<_> = store.scan("t").unwrap().collect();
    let errors: Vec<_> =
        read.iter().map(|row| row.as_ref().err().map(ToString::to_string)).collect();
    let corrupt = |key: &str, why: &str| {
        Some(format!("row \"{key}\" of dimension table \"T\" is corrupt: {why}"))
    };
    let version = corrupt("00001", "its version is not known here");
    assert_eq!(errors, [None, version.clone(), corrupt("00001\\xff", "a cell is damaged"), None]);
    assert_eq!(store.get("t", &["00001"]).err().map(|error| error.to_string()), version);
    assert_eq!(store.counts().unwrap()[1].1, 4);
}
