//! Deliveries, repeated and cut short by crashes.

use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::{OutRow, RowWriter};
use engine::random::Random;
use engine::state::memory::MemoryBackend;

use super::*;

/// A row: target, key, value; no value is a delete.
type Written<'a> = (u16, &'a str, Option<&'a str>);

fn deliver(lower: u64, upper: u64, rows: &[Written<'_>]) -> SinkRequest {
    let mut writer = RowWriter::new();
    for (target, key, value) in rows {
        writer.push(&OutRow {
            target: *target,
            topic: None,
            op: if value.is_some() { Op::Insert } else { Op::Delete },
            time_ms: 0,
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &[],
        });
    }
    let header = BlockHeader { rows: writer.rows(), epoch: upper, sink: 1, shard: 0, base: 0 };
    let block = Block { header, bytes: writer.bytes().into() };
    let unit = Unit { lower, upper, rows: u64::from(writer.rows()), bytes: 0, crc: 0 };
    SinkRequest::Deliver(unit, vec![Arc::new(block)].into())
}

fn identity(family: u64, shard: u16) -> SinkIdentity {
    SinkIdentity { family, job: "j".into(), sink: "s".into(), shard }
}

fn ask(sink: &mut dyn Sink, request: SinkRequest) -> Result<SinkReply, Fault> {
    sink.begin(request);
    match sink.poll(Moment::default()) {
        SinkPoll::Done(reply) => Ok(reply),
        SinkPoll::Broken(fatal) => Err(Fault::never(fatal.message)),
        SinkPoll::Fault(fault) => Err(fault),
        SinkPoll::Pending => panic!("served at once"),
    }
}

fn prepared(store: &DwsStore, identity: SinkIdentity) -> Box<dyn Sink> {
    let table = |name: &str| TableSpec { name: name.to_owned() };
    let tables = vec![table("a"), table("b")];
    let mut sink = DwsSinkFactory { store: store.clone(), tables }.create().unwrap();
    assert_eq!(ask(sink.as_mut(), SinkRequest::Prepare(identity)), Ok(SinkReply::Prepared));
    sink
}

fn last(sink: &mut dyn Sink) -> Option<u64> {
    match ask(sink, SinkRequest::LastDelivered) {
        Ok(SinkReply::LastDelivered(last)) => last,
        other => panic!("{other:?}"),
    }
}

fn rows(store: &DwsStore, table: &str) -> Vec<String> {
    let text = |row| String::from_utf8(row).expect("text");
    store.rows(table).unwrap().into_iter().map(text).collect()
}

fn in_memory() -> (MemoryBackend, DwsStore) {
    let backend = MemoryBackend::new();
    let store = DwsStore::new(Arc::new(backend.clone())).unwrap();
    (backend, store)
}

#[test]
fn rows_replace_by_key_and_deletes_remove() {
    let (_, store) = in_memory();
    let mut sink = prepared(&store, identity(1, 0));
    assert_eq!(last(sink.as_mut()), None);
    let first = [(0, "k2", Some("2")), (0, "k1", Some("1")), (1, "k1", Some("b"))];
    ask(sink.as_mut(), deliver(1, 1, &first)).unwrap();
    assert_eq!(rows(&store, "a"), ["1", "2"]);
    let second = [(0, "k1", Some("x")), (0, "k1", Some("1'")), (0, "k2", None)];
    ask(sink.as_mut(), deliver(2, 4, &second)).unwrap();
    assert_eq!((rows(&store, "a"), rows(&store, "b")), (vec!["1'".into()], vec!["b".into()]));
    assert_eq!(last(sink.as_mut()), Some(4));
}

#[test]
fn a_unit_that_is_there_changes_nothing() {
    let (_, store) = in_memory();
    let mut sink = prepared(&store, identity(1, 0));
    let old = deliver(1, 1, &[(0, "k", Some("old"))]);
    ask(sink.as_mut(), old.clone()).unwrap();
    ask(sink.as_mut(), deliver(2, 2, &[(0, "k", Some("new"))])).unwrap();
    assert_eq!(ask(sink.as_mut(), old.clone()), Ok(SinkReply::Delivered));
    assert_eq!(rows(&store, "a"), ["new"]);
    // Other shards and other state directories have marks of their own.
    for other in [identity(1, 1), identity(2, 0)] {
        let mut sink = prepared(&store, other);
        assert_eq!(last(sink.as_mut()), None);
        ask(sink.as_mut(), old.clone()).unwrap();
        assert_eq!((rows(&store, "a"), last(sink.as_mut())), (vec!["old".into()], Some(1)));
    }
    assert_eq!(last(sink.as_mut()), Some(2));
}

#[test]
fn a_unit_planned_anew_is_refused() {
    let (_, store) = in_memory();
    let mut sink = prepared(&store, identity(1, 0));
    ask(sink.as_mut(), deliver(1, 3, &[(0, "k", Some("1"))])).unwrap();
    let fault = ask(sink.as_mut(), deliver(3, 4, &[(0, "k", Some("2"))])).unwrap_err();
    assert_eq!(fault.message, "unit 3 to 4 was planned anew: 3 is delivered");
    assert_eq!((rows(&store, "a"), last(sink.as_mut())), (vec!["1".into()], Some(3)));
}

#[test]
fn a_bad_row_delivers_nothing_of_its_unit() {
    let (_, store) = in_memory();
    let mut sink = prepared(&store, identity(1, 0));
    for (row, reason) in [
        ((2, "k", Some("1")), "row is for table 2, which this sink lacks"),
        ((0, "", Some("1")), "row for \"table/a\" has no key"),
    ] {
        let fault = ask(sink.as_mut(), deliver(1, 1, &[(0, "k", Some("1")), row])).unwrap_err();
        assert_eq!(fault.message, reason);
        assert!(rows(&store, "a").is_empty());
        assert_eq!(last(sink.as_mut()), None);
    }
}

/// Each unit writes its number over one row and adds a row of its own, so that a unit lost, halved,
/// or repeated after a later one shows.
#[test]
fn exactly_once_through_crashes() {
    let mut crashes = 0;
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let (backend, mut store) = in_memory();
        let mut sink = prepared(&store, identity(1, 0));
        let mut next = 1_u64;
        while next <= 20 {
            // A dispatcher that lost the answer sends again from where it knows.
            let from = next.saturating_sub(random.below(3)).max(1);
            if random.below(4) == 0 {
                backend.fail_next_commit();
            }
            let name = format!("{from:02}");
            let unit = [(0, "last", Some(name.as_str())), (1, &name, Some(&name))];
            if ask(sink.as_mut(), deliver(from, from, &unit)).is_ok() {
                next = next.max(from + 1);
                continue;
            }
            crashes += 1;
            backend.crash(&mut |n| random.below(n));
            store = DwsStore::new(Arc::new(backend.clone())).unwrap();
            sink = prepared(&store, identity(1, 0));
            next = last(sink.as_mut()).unwrap_or(0) + 1;
        }
        let all: Vec<String> = (1..=20).map(|unit| format!("{unit:02}")).collect();
        assert_eq!(rows(&store, "b"), all, "seed {seed}");
        assert_eq!(rows(&store, "a"), ["20"], "seed {seed}");
    }
    assert!(crashes > 50, "the faults were reached: {crashes}");
}

#[test]
fn rows_and_mark_are_on_disk_when_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = DwsStore::open(dir.path()).unwrap();
    let mut sink = prepared(&store, identity(1, 0));
    ask(sink.as_mut(), deliver(1, 7, &[(0, "k", Some("{}"))])).unwrap();
    drop((sink, store));
    let store = DwsStore::open(dir.path()).unwrap();
    let mut sink = prepared(&store, identity(1, 0));
    assert_eq!(last(sink.as_mut()), Some(7));
    assert_eq!((rows(&store, "a"), store.tables().unwrap()), (vec!["{}".into()], vec!["a".into()]));
}
