//! Answers: rows, absences, faults, and never an old row.

use connectors::format::dimension::DimensionOp::{self, Delete, Upsert};
use connectors::format::dimension::{ChangeView, push_lookup_key};
use engine::error::Retry;
use engine::state::backend::{Durability, StateBackend, StateBatch};

use super::super::tests::{ask, definition, deliver, in_memory, prepared};
use super::*;

fn key(table: &str, texts: &[Option<&str>]) -> Vec<u8> {
    let mut out = Vec::new();
    push_lookup_key(&mut out, table, texts.iter().map(|text| text.map(str::as_bytes)));
    out
}

fn look_up(lookup: &mut DimensionLookup, keys: &[Vec<u8>]) -> Vec<Answer> {
    lookup.begin(7, keys.to_vec());
    let (token, answers) = lookup.poll(Moment::default()).expect("served at once");
    assert_eq!((token, answers.len()), (7, keys.len()));
    assert_eq!(lookup.poll(Moment::default()), None);
    answers
}

fn with_table() -> (engine::state::memory::MemoryBackend, DimensionStore) {
    let (backend, store) = in_memory();
    store.ensure_table(&definition("dim_t", &["a", "k2", "k1", "b"], &["k1", "k2"], 4)).unwrap();
    let cells = [("k1", Some("1")), ("k2", Some("x")), ("b", Some("乙"))];
    ask(prepared(&store, 0).as_mut(), deliver(1, 1, &[("dim_t", Upsert, &cells)])).unwrap();
    (backend, store)
}

#[test]
fn every_key_is_answered_in_order() {
    let (_, store) = with_table();
    let mut lookup = DimensionLookup::new(store.clone());
    let keys = [
        key("Dim_T", &[Some("1"), Some("x")]),
        key("dim_t", &[Some("x"), Some("1")]),
        key("dim_t", &[Some("1"), None]),
        key("dim_t", &[Some("1"), Some("")]),
        key("dim_t", &[Some("1\0x"), Some("x")]),
        key("dim_t", &[Some("1")]),
        key("dim_no", &[Some("1")]),
        b"\x09".to_vec(),
    ];
    let answers = look_up(&mut lookup, &keys);
    let Answer::Row(bytes, version) = &answers[0] else { panic!("{:?}", answers[0]) };
    assert_eq!(*version, 1000);
    let row = ChangeView::read(bytes).expect("a change");
    assert_eq!((row.table, row.op), ("DIM_T", DimensionOp::Replace));
    let cells = [("A", None), ("K2", Some("x")), ("K1", Some("1")), ("B", Some("乙"))];
    let cells = cells.map(|(column, text)| (column, text.map(str::as_bytes)));
    assert_eq!(row.cells().collect::<Vec<_>>(), cells);
    assert_eq!(answers[1..5], [const { Answer::Absent }; 4]);
    for (answer, retry, message) in [
        (&answers[5], Retry::Never, "cannot look up 1 texts: key of table \"DIM_T\" is (K1, K2)"),
        (
            &answers[6],
            Retry::Later,
            "could not look up a row of dimension table \"dim_no\": no such table",
        ),
        (&answers[7], Retry::Never, "cannot look up a key that is none"),
    ] {
        let Answer::Fault(fault) = answer else { panic!("{answer:?}") };
        assert_eq!((fault.retry, fault.message.as_str()), (retry, message));
    }
    assert!(look_up(&mut lookup, &[]).is_empty());
}

#[test]
fn a_corrupt_row_is_a_fault() {
    let (backend, store) = with_table();
    let table = store.table("dim_t").expect("made");
    let stored = row_key::of(&table, &[Some(b"1"), Some(b"x")]).expect("a key");
    let mut batch = StateBatch::default();
    batch.put(&table.space, stored, b"\x02".to_vec());
    backend.commit(batch, Durability::Synced).unwrap();
    let keys = [key("dim_t", &[Some("1"), Some("x")])];
    let answers = look_up(&mut DimensionLookup::new(store), &keys);
    assert!(matches!(&answers[0], Answer::Fault(fault) if fault.message.contains("is corrupt")));
}

/// Write, then read: with every acknowledged unit the answer changes, for lookups made long before
/// too, on the store as it is on disk.
#[test]
fn an_answer_is_never_older_than_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = DimensionStore::open(dir.path()).unwrap();
    store.ensure_table(&definition("t", &["id", "n"], &["id"], 4)).unwrap();
    let keys = [key("t", &[Some("1")])];
    let mut lookup = DimensionLookup::new(store.clone());
    let mut sink = prepared(&store, 0);
    let mut newest = 0;
    assert_eq!(look_up(&mut lookup, &keys), [Answer::Absent]);
    for epoch in 1..=30 {
        let text = epoch.to_string();
        let (op, cells) = match epoch % 3 {
            0 => (Delete, vec![("id", Some("1"))]),
            _ => (Upsert, vec![("id", Some("1")), ("n", Some(text.as_str()))]),
        };
        ask(sink.as_mut(), deliver(epoch, epoch, &[("t", op, &cells)])).unwrap();
        match &look_up(&mut lookup, &keys)[0] {
            Answer::Absent => assert_eq!(op, Delete),
            Answer::Row(row, version) => {
                let row = ChangeView::read(row).expect("a change");
                let expected = [("ID", Some(&b"1"[..])), ("N", Some(text.as_bytes()))];
                assert_eq!(row.cells().collect::<Vec<_>>(), expected);
                assert!(*version > newest);
                newest = *version;
            }
            Answer::Fault(fault) => panic!("{fault}"),
        }
    }
}
