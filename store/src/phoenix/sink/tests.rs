//! Deliveries: what they leave in the tables, repeated, refused, and cut short by crashes.

use std::sync::Arc;

use connectors::format::dimension::{ChangeTable, DimensionOp, ROW_BYTES_MAX, push_change};
use engine::outbox::rows::{Op, RowWriter};
use engine::random::Random;
use engine::state::backend::{StateBackend, StateBatch};

use super::super::tests::{
    Written, ask, ask_at, definition, deliver, identity, in_memory, prepared, prepared_as,
    push_row, request, rows,
};
use super::super::value::ValueView;
use super::*;

use DimensionOp::{Delete, Replace, Upsert};

fn last(sink: &mut dyn Sink) -> Option<u64> {
    match ask(sink, SinkRequest::LastDelivered) {
        Ok(SinkReply::LastDelivered(last)) => last,
        other => panic!("{other:?}"),
    }
}

/// Tables `dim_t(id, a, b)` and `dim_two(x, k1, k2)` with a salted key of two columns.
fn with_tables() -> (engine::state::memory::MemoryBackend, DimensionStore) {
    let (backend, store) = in_memory();
    let mut sink = prepared(&store, 9);
    for definition in [
        definition("dim_t", &["id", "a", "b"], &["id"], 0),
        definition("dim_two", &["x", "k1", "k2"], &["k1", "k2"], 4),
    ] {
        let request = SinkRequest::EnsureTable(definition);
        assert_eq!(ask(sink.as_mut(), request), Ok(SinkReply::TableReady));
    }
    (backend, store)
}

/// Rules 9.1 to 9.3 of phoenix.md, each change in a unit of its own and all in one.
#[test]
fn rows_merge_replace_and_go() {
    let (id, a, b) = (("id", Some("1")), ("a", Some("甲")), ("b", Some("乙")));
    let steps: [(Written<'_>, &[&str]); 10] = [
        (("dim_t", Upsert, &[id, a]), &[r#"{"id":"1","a":"甲","b":null}"#]),
        (("DIM_T", Upsert, &[id, b]), &[r#"{"id":"1","a":"甲","b":"乙"}"#]),
        (("dim_t", Upsert, &[("A", None), id]), &[r#"{"id":"1","a":null,"b":"乙"}"#]),
        (("dim_t", Upsert, &[id, ("b", Some(""))]), &[r#"{"id":"1","a":null,"b":null}"#]),
        (("dim_t", Upsert, &[id]), &[r#"{"id":"1","a":null,"b":null}"#]),
        (("dim_t", Upsert, &[b, a, id, ("B", Some("z"))]), &[r#"{"id":"1","a":"甲","b":"z"}"#]),
        (("dim_t", Replace, &[id, b]), &[r#"{"id":"1","a":null,"b":"乙"}"#]),
        (("dim_t", Delete, &[id]), &[]),
        (("dim_t", Delete, &[id]), &[]),
        (("dim_t", Upsert, &[id, a]), &[r#"{"id":"1","a":"甲","b":null}"#]),
    ];
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    for (epoch, (change, expected)) in (1..).zip(&steps) {
        ask(sink.as_mut(), deliver(epoch, epoch, &[*change])).unwrap();
        assert_eq!(rows(&store, "dim_t"), *expected, "after change {epoch}");
    }
    for length in 1..=steps.len() {
        let (_, store) = with_tables();
        let mut sink = prepared(&store, 0);
        let changes: Vec<Written<'_>> = steps.iter().take(length).map(|step| step.0).collect();
        ask(sink.as_mut(), deliver(1, 1, &changes)).unwrap();
        assert_eq!(rows(&store, "dim_t"), steps[length - 1].1, "{length} in one unit");
    }
}

#[test]
fn what_an_upsert_does_not_name_comes_from_the_row_that_is_there() {
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    let first: [Written<'_>; 2] = [
        ("dim_t", Upsert, &[("id", Some("1")), ("a", Some("old")), ("b", Some("old"))]),
        ("dim_two", Upsert, &[("k1", Some("1")), ("k2", Some("a")), ("x", Some("kept"))]),
    ];
    ask_at(sink.as_mut(), deliver(1, 1, &first), 1000).unwrap();
    // The same key in another table, and in another order, is another row.
    let second: [Written<'_>; 3] = [
        ("dim_t", Upsert, &[("id", Some("1")), ("b", Some("new"))]),
        ("dim_two", Upsert, &[("k2", Some("1")), ("k1", Some("a"))]),
        ("dim_two", Upsert, &[("k2", Some("a")), ("k1", Some("1"))]),
    ];
    ask_at(sink.as_mut(), deliver(2, 2, &second), 900).unwrap();
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"old","b":"new"}"#]);
    let two = [r#"{"x":"kept","k1":"1","k2":"a"}"#, r#"{"x":null,"k1":"a","k2":"1"}"#];
    assert_eq!(rows(&store, "dim_two"), two);
}

#[test]
fn columns_added_while_rows_are_there_are_null_and_can_be_written() {
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    let change: [Written<'_>; 1] = [("dim_t", Upsert, &[("id", Some("1")), ("a", Some("x"))])];
    ask(sink.as_mut(), deliver(1, 1, &change)).unwrap();
    let wider = definition("dim_t", &["id", "c"], &["id"], 0);
    ask(sink.as_mut(), SinkRequest::EnsureTable(wider)).unwrap();
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"x","b":null,"c":null}"#]);
    let change: [Written<'_>; 1] = [("dim_t", Upsert, &[("id", Some("1")), ("c", Some("y"))])];
    ask(sink.as_mut(), deliver(2, 2, &change)).unwrap();
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"x","b":null,"c":"y"}"#]);
}

#[test]
fn a_conflict_or_a_bad_definition_is_a_fault_that_stays() {
    let (_, store) = with_tables();
    let mut sink = DimensionSinkFactory { store }.create().unwrap();
    for (wanted, message) in [
        (
            definition("dim_t", &["id", "a"], &["id", "a"], 3),
            "cannot use dimension table \"DIM_T\" as it is: it has key (ID), the definition has \
             key (ID, A); it has no salt, the definition has 3 salt buckets",
        ),
        (
            definition("dim_new", &["id"], &["pk"], 0),
            "cannot make dimension table \"DIM_NEW\": key column \"PK\" is no column",
        ),
    ] {
        let fault = ask(sink.as_mut(), SinkRequest::EnsureTable(wanted)).unwrap_err();
        assert_eq!((fault.retry, fault.message.as_str()), (engine::error::Retry::Never, message));
    }
}

#[test]
fn a_unit_that_is_there_changes_nothing() {
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    assert_eq!(last(sink.as_mut()), None);
    let unit = |epoch, text| {
        deliver(epoch, epoch, &[("dim_t", Upsert, &[("id", Some("1")), ("a", Some(text))])])
    };
    ask(sink.as_mut(), unit(1, "old")).unwrap();
    ask(sink.as_mut(), unit(2, "new")).unwrap();
    assert_eq!(ask(sink.as_mut(), unit(1, "old")), Ok(SinkReply::Delivered));
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"new","b":null}"#]);
    // Other shards and other state directories have marks of their own.
    for other in [identity(1, 1), identity(2, 0)] {
        let mut sink = prepared_as(&store, other);
        assert_eq!(last(sink.as_mut()), None);
        ask(sink.as_mut(), unit(1, "old")).unwrap();
        assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"old","b":null}"#]);
        assert_eq!(last(sink.as_mut()), Some(1));
    }
    assert_eq!(last(sink.as_mut()), Some(2));
    let again = deliver(2, 3, &[("dim_t", Delete, &[("id", Some("1"))])]);
    let fault = ask(sink.as_mut(), again).unwrap_err();
    assert_eq!(fault.message, "unit 2 to 3 was planned anew: 2 is delivered");
    // An empty unit moves the mark.
    ask(sink.as_mut(), deliver(3, 5, &[])).unwrap();
    assert_eq!(last(sink.as_mut()), Some(5));
}

#[test]
fn a_row_that_cannot_be_written_is_named_and_nothing_of_its_unit_is() {
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    let good: Written<'_> = ("dim_t", Upsert, &[("id", Some("1")), ("a", Some("x"))]);
    let long = "k".repeat(40_000);
    let large = "x".repeat(ROW_BYTES_MAX);
    let bad: [(Written<'_>, &str); 8] = [
        (("dim_no", Upsert, &[("id", Some("1"))]), "table \"dim_no\": it does not exist"),
        (
            ("dim_t", Upsert, &[("id", Some("1")), ("no", None)]),
            "table \"DIM_T\": the table has no column \"NO\"",
        ),
        (("dim_t", Upsert, &[("a", Some("1"))]), "table \"DIM_T\": null_pk"),
        (("dim_t", Delete, &[("id", Some(""))]), "table \"DIM_T\": null_pk"),
        (("dim_two", Upsert, &[("k2", Some("b"))]), "table \"DIM_TWO\": null_pk"),
        (("dim_t", Upsert, &[("id", Some(&long))]), "table \"DIM_T\": long_pk"),
        (
            ("dim_two", Upsert, &[("k1", Some("a\0b")), ("k2", Some("c"))]),
            "table \"DIM_TWO\": zero_in_pk",
        ),
        (
            ("dim_t", Upsert, &[("id", Some("1")), ("a", Some(&large))]),
            "table \"DIM_T\": the row is larger than 10 MiB",
        ),
    ];
    for (row, reason) in bad {
        let fault = ask(sink.as_mut(), deliver(1, 1, &[good, row])).unwrap_err();
        assert!(fault.message.ends_with(reason), "{}", fault.message);
        assert_eq!(fault.retry, engine::error::Retry::Never);
        assert!(rows(&store, "dim_t").is_empty() && rows(&store, "dim_two").is_empty());
        assert_eq!(last(sink.as_mut()), None);
    }
    ask(sink.as_mut(), deliver(1, 1, &[good])).unwrap();
}

#[test]
fn a_row_that_is_no_change_is_a_fault() {
    let (_, store) = with_tables();
    let mut sink = prepared(&store, 0);
    let mut change = Vec::new();
    push_change(&mut change, "dim_t", Upsert, [("id", Some(&b"1"[..]))]);
    for (op, value) in [(Op::Insert, &b"\x02"[..]), (Op::Delete, &change)] {
        let mut writer = RowWriter::new();
        push_row(&mut writer, op, value);
        let fault = ask(sink.as_mut(), request(1, 1, writer)).unwrap_err();
        assert_eq!(fault.message, "a row is no change of a dimension row");
    }
    let mut writer = RowWriter::new();
    push_row(&mut writer, Op::Insert, &change);
    ask(sink.as_mut(), request(1, 1, writer)).unwrap();
}

#[test]
fn a_corrupt_row_breaks_a_merge_but_can_be_replaced() {
    let (backend, store) = with_tables();
    let mut batch = StateBatch::default();
    let space = store.table("dim_t").expect("made").space.clone();
    batch.put(&space, b"1".to_vec(), b"\x07".to_vec());
    backend.commit(batch, Durability::Synced).unwrap();
    let mut sink = prepared(&store, 0);
    let change: [Written<'_>; 1] = [("dim_t", Upsert, &[("id", Some("1")), ("a", Some("x"))])];
    let fault = ask(sink.as_mut(), deliver(1, 1, &change)).unwrap_err();
    let expected = "broken: row \"1\" of dimension table \"DIM_T\" is corrupt: its version is not";
    assert!(fault.message.starts_with(expected), "{}", fault.message);
    let change: [Written<'_>; 1] = [("dim_t", Replace, change[0].2)];
    ask(sink.as_mut(), deliver(1, 1, &change)).unwrap();
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"x","b":null}"#]);
}

#[test]
fn write_times_ascend_over_a_restart() {
    let (backend, store) = with_tables();
    let version = |store: &DimensionStore, wall_ms, epoch| {
        let mut sink = prepared(store, 0);
        let change: [Written<'_>; 1] = [("dim_t", Upsert, &[("id", Some("1"))])];
        ask_at(sink.as_mut(), deliver(epoch, epoch, &change), wall_ms).unwrap();
        store.write_time(Moment::default()) - 1
    };
    assert_eq!(version(&store, 5000, 1), 5000);
    let store = DimensionStore::new(Arc::new(backend)).unwrap();
    assert_eq!(version(&store, 3, 2), 5001);
}

#[test]
fn shards_deliver_at_once_into_one_table() {
    let (backend, store) = with_tables();
    std::thread::scope(|scope| {
        for shard in 0..4_u16 {
            let store = store.clone();
            scope.spawn(move || {
                let mut sink = prepared(&store, shard);
                for epoch in 1..=25 {
                    let (id, own) = (format!("{shard}{epoch:02}"), shard.to_string());
                    let unit: [Written<'_>; 2] = [
                        ("dim_t", Upsert, &[("id", Some(&id)), ("a", Some("x"))]),
                        (
                            "dim_two",
                            Upsert,
                            &[("k1", Some(&own)), ("k2", Some("k")), ("x", Some(&id))],
                        ),
                    ];
                    ask(sink.as_mut(), deliver(epoch, epoch, &unit)).unwrap();
                }
            });
        }
    });
    let store = DimensionStore::new(Arc::new(backend.clone())).unwrap();
    assert_eq!(store.counts().unwrap(), [("DIM_T".to_owned(), 100), ("DIM_TWO".to_owned(), 4)]);
    assert_eq!(rows(&store, "dim_two")[3], r#"{"x":"325","k1":"3","k2":"k"}"#);
    // Every unit had a time of its own, and the last is known.
    let space = store.table("dim_t").expect("made").space.clone();
    let stored = backend.view().unwrap().scan(&space, b"", b"", 200).unwrap();
    let time = |entry: &(Vec<u8>, Vec<u8>)| ValueView::read(&entry.1).expect("sound").written_at;
    let times: std::collections::BTreeSet<u64> = stored.iter().map(time).collect();
    assert_eq!((times.len(), times.last().copied()), (100, Some(1099)));
    assert_eq!(store.write_time(Moment::default()), 1100);
}

/// Each unit writes its number over one row, adds to a row that only a merge keeps whole, and adds a
/// row of its own, so that a unit lost, halved, or repeated after a later one shows.
#[test]
fn exactly_once_through_crashes() {
    let mut crashes = 0;
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let (backend, mut store) = in_memory();
        let names: Vec<String> = (1..=20).map(|unit| format!("{unit:02}")).collect();
        let mut columns = vec!["id"];
        columns.extend(names.iter().map(String::as_str));
        store.ensure_table(&definition("t", &columns, &["id"], 3)).unwrap();
        store.ensure_table(&definition("own", &["id"], &["id"], 0)).unwrap();
        let mut sink = prepared(&store, 0);
        let mut next = 1_u64;
        while next <= 20 {
            // A dispatcher that lost the answer sends again from where it knows.
            let from = next.saturating_sub(random.below(3)).max(1);
            if random.below(4) == 0 {
                backend.fail_next_commit();
            }
            let name = Some(format!("{from:02}"));
            let name = name.as_deref();
            let column = name.unwrap_or_default();
            let unit: [Written<'_>; 3] = [
                ("t", Replace, &[("id", Some("last")), ("01", name)]),
                ("t", Upsert, &[("id", Some("all")), (column, name)]),
                ("own", Upsert, &[("id", name)]),
            ];
            if ask(sink.as_mut(), deliver(from, from, &unit)).is_ok() {
                next = next.max(from + 1);
                continue;
            }
            crashes += 1;
            backend.crash(&mut |n| random.below(n));
            store = DimensionStore::new(Arc::new(backend.clone())).unwrap();
            sink = prepared(&store, 0);
            next = last(sink.as_mut()).unwrap_or(0) + 1;
        }
        let own: Vec<String> = names.iter().map(|name| format!(r#"{{"id":"{name}"}}"#)).collect();
        assert_eq!(rows(&store, "own"), own, "seed {seed}");
        let all: String = names.iter().map(|name| format!(r#","{name}":"{name}""#)).collect();
        let nulls: String = names[1..].iter().map(|name| format!(r#","{name}":null"#)).collect();
        let expected =
            [format!(r#"{{"id":"all"{all}}}"#), format!(r#"{{"id":"last","01":"20"{nulls}}}"#)];
        assert_eq!(rows(&store, "t"), expected, "seed {seed}");
    }
    assert!(crashes > 50, "the faults were reached: {crashes}");
}

#[test]
fn rows_tables_and_mark_are_on_disk_when_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = DimensionStore::open(dir.path()).unwrap();
    store.ensure_table(&definition("dim_t", &["id", "a"], &["id"], 4)).unwrap();
    let mut sink = prepared(&store, 0);
    let change: [Written<'_>; 1] = [("dim_t", Upsert, &[("id", Some("1")), ("a", Some("x"))])];
    ask(sink.as_mut(), deliver(1, 7, &change)).unwrap();
    drop((sink, store));
    let store = DimensionStore::open(dir.path()).unwrap();
    let mut sink = prepared(&store, 0);
    assert_eq!(last(sink.as_mut()), Some(7));
    assert_eq!(rows(&store, "dim_t"), [r#"{"id":"1","a":"x"}"#]);
}

/// A table made anew: rows of another edition go with it, come they before or later.
#[test]
fn rows_end_with_the_edition_of_their_table() {
    let (backend, store) = with_tables();
    let mut sink = prepared(&store, 0);
    let row = |epoch: u64, edition: u64, id: &str| {
        let mut change = Vec::new();
        let table = ChangeTable { name: "dim_t", edition };
        push_change(&mut change, table, Upsert, [("id", Some(id.as_bytes()))]);
        let mut writer = RowWriter::new();
        push_row(&mut writer, Op::Insert, &change);
        request(epoch, epoch, writer)
    };
    ask(sink.as_mut(), row(1, 0, "1")).unwrap();
    let ensure = |edition: u64, columns: &[&str]| {
        let key = &columns[..1];
        SinkRequest::EnsureTable(TableDefinition {
            edition,
            ..definition("dim_t", columns, key, 0)
        })
    };
    // Another key is no conflict then.
    ask(sink.as_mut(), ensure(5, &["b", "id"])).unwrap();
    assert_eq!(rows(&store, "dim_t"), [""; 0]);
    ask(sink.as_mut(), ensure(5, &["b", "id"])).unwrap();
    assert!(ask(sink.as_mut(), ensure(5, &["id"])).is_err(), "the key of an edition stays");
    ask(sink.as_mut(), ensure(9, &["id", "c"])).unwrap();
    for (epoch, edition, id) in [(2, 0, "2"), (3, 9, "3"), (4, 5, "4")] {
        ask(sink.as_mut(), row(epoch, edition, id)).unwrap();
    }
    let expected = [r#"{"id":"3","c":null}"#];
    assert_eq!(rows(&store, "dim_t"), expected);
    let fault = ask(sink.as_mut(), row(5, 10, "5")).unwrap_err();
    assert!(fault.message.contains("its edition was never made"), "{fault}");
    let spaces = || {
        let all = backend.spaces().unwrap();
        all.into_iter().filter(|space| space.starts_with("table/")).collect::<Vec<_>>()
    };
    assert_eq!(spaces().len(), 1, "{:?}", spaces());
    // The catalog of another process.
    let store = DimensionStore::new(Arc::new(backend.clone())).unwrap();
    assert_eq!(rows(&store, "dim_t"), expected);
    // What was asked for last counts, also if it is an earlier one.
    let mut sink = prepared(&store, 0);
    ask(sink.as_mut(), ensure(0, &["id"])).unwrap();
    assert_eq!(rows(&store, "dim_t"), [""; 0]);
}
