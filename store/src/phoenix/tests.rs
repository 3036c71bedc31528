//! Opening, and the write time; what the other tests begin with.

use connectors::format::dimension::{DimensionOp, push_change};
use engine::error::Fault;
use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::{Op, OutRow, RowWriter};
use engine::sink::{
    Sink, SinkFactory, SinkIdentity, SinkPoll, SinkReply, SinkRequest, TableDefinition, Unit,
};
use engine::state::memory::MemoryBackend;

use super::sink::DimensionSinkFactory;
use super::*;

/// A definition: `name(column, ...)`, its key and salt buckets.
pub(super) fn definition(
    name: &str,
    columns: &[&str],
    keys: &[&str],
    salt: u16,
) -> TableDefinition {
    let columns = columns.iter().map(|name| ((*name).to_owned(), "VARCHAR".to_owned())).collect();
    let salt = ("SALT_BUCKETS".to_owned(), salt.to_string());
    TableDefinition {
        edition: 0,
        schema: None,
        name: name.to_owned(),
        columns,
        keys: keys.iter().map(|name| (*name).to_owned()).collect(),
        options: if salt.1 == "0" { Vec::new() } else { vec![salt] },
        split_on: Vec::new(),
    }
}

pub(super) fn in_memory() -> (MemoryBackend, DimensionStore) {
    let backend = MemoryBackend::new();
    let store = DimensionStore::new(Arc::new(backend.clone())).unwrap();
    (backend, store)
}

/// A change: table, op, cells.
pub(super) type Written<'a> = (&'a str, DimensionOp, &'a [(&'a str, Option<&'a str>)]);

pub(super) fn deliver(lower: u64, upper: u64, rows: &[Written<'_>]) -> SinkRequest {
    let mut writer = RowWriter::new();
    for (table, op, cells) in rows {
        let mut value = Vec::new();
        let cells = cells.iter().map(|(column, text)| (*column, text.map(str::as_bytes)));
        push_change(&mut value, *table, *op, cells);
        push_row(&mut writer, Op::Insert, &value);
    }
    request(lower, upper, writer)
}

pub(super) fn push_row(writer: &mut RowWriter, op: Op, value: &[u8]) {
    let (key, value) = (Some(&b"k"[..]), Some(value));
    writer.push(&OutRow { target: 0, topic: None, op, time_ms: 0, key, value, headers: &[] });
}

pub(super) fn request(lower: u64, upper: u64, writer: RowWriter) -> SinkRequest {
    let header = BlockHeader { rows: writer.rows(), epoch: upper, sink: 1, shard: 0, base: 0 };
    let rows = u64::from(writer.rows());
    let block = Block { header, bytes: writer.into_bytes().into() };
    SinkRequest::Deliver(
        Unit { lower, upper, rows, bytes: 0, crc: 0 },
        vec![Arc::new(block)].into(),
    )
}

pub(super) fn identity(family: u64, shard: u16) -> SinkIdentity {
    SinkIdentity { family, job: "dimensions".into(), sink: "dim".into(), shard }
}

/// A fault says so, a broken store begins with `broken: `.
pub(super) fn ask(sink: &mut dyn Sink, request: SinkRequest) -> Result<SinkReply, Fault> {
    ask_at(sink, request, 1000)
}

pub(super) fn ask_at(
    sink: &mut dyn Sink,
    request: SinkRequest,
    wall_ms: i64,
) -> Result<SinkReply, Fault> {
    sink.begin(request);
    match sink.poll(Moment { wall_ms, tick_us: 0 }) {
        SinkPoll::Done(reply) => Ok(reply),
        SinkPoll::Broken(fatal) => Err(Fault::never(format!("broken: {}", fatal.message))),
        SinkPoll::Fault(fault) => Err(fault),
        SinkPoll::Pending => panic!("served at once"),
    }
}

pub(super) fn prepared(store: &DimensionStore, shard: u16) -> Box<dyn Sink> {
    prepared_as(store, identity(1, shard))
}

pub(super) fn prepared_as(store: &DimensionStore, identity: SinkIdentity) -> Box<dyn Sink> {
    let mut sink = DimensionSinkFactory { store: store.clone() }.create().unwrap();
    assert_eq!(ask(sink.as_mut(), SinkRequest::Prepare(identity)), Ok(SinkReply::Prepared));
    sink
}

pub(super) fn rows(store: &DimensionStore, table: &str) -> Vec<String> {
    let json = |row: Result<table::DimensionRow, DimensionError>| {
        let mut out = Vec::new();
        row.unwrap().write_json(&mut out);
        String::from_utf8(out).expect("text")
    };
    store.scan(table).unwrap().map(json).collect()
}

#[test]
fn another_format_is_refused_and_left_alone() {
    for (space, key, value, found) in [
        (META, FORMAT_KEY, &2_u32.to_be_bytes()[..], "their format is 2, this version reads 1"),
        (META, FORMAT_KEY, b"?", "their format is unknown"),
        ("table/t", b"k", b"v", "their format is unknown"),
    ] {
        let backend = MemoryBackend::new();
        let mut batch = StateBatch::default();
        batch.put(&space.into(), key.to_vec(), value.to_vec());
        backend.commit(batch, Durability::Synced).unwrap();
        let error = DimensionStore::new(Arc::new(backend.clone())).err().expect("refused");
        assert!(error.to_string().contains(found), "{error}");
        assert_eq!(backend.spaces().unwrap(), [space]);
    }
}

#[test]
fn a_damaged_catalog_is_refused() {
    for (space, key, what) in [
        ("catalog", &b"next_id"[..], "the number of the next table is damaged"),
        ("catalog", b"table/\0\0\0\x01\0\0\0\x01", "the specification of a table is damaged"),
        ("delivered", b"mark", "the mark of a sink is damaged"),
    ] {
        let (backend, store) = in_memory();
        let created = store.ensure_table(&definition("t", &["id", "a"], &["id"], 0)).unwrap();
        assert_eq!(created, catalog::Ensured::Created);
        let mut batch = StateBatch::default();
        batch.put(&space.into(), key.to_vec(), b"\x01\0".to_vec());
        backend.commit(batch, Durability::Synced).unwrap();
        let error = DimensionStore::new(Arc::new(backend)).err().expect("refused");
        assert!(error.to_string().ends_with(what), "{error}");
    }
}

#[test]
fn write_times_follow_the_clock_and_ascend() {
    let (_, store) = in_memory();
    let at = |wall_ms| store.write_time(Moment { wall_ms, tick_us: 0 });
    assert_eq!(
        [at(-5), at(0), at(1000), at(1000), at(10), at(2000)],
        [1, 2, 1000, 1001, 1002, 2000]
    );
}

#[test]
fn a_directory_can_be_opened_again_but_not_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store/dim");
    let store = DimensionStore::open(&path).unwrap();
    store.ensure_table(&definition("dim_t", &["id", "name"], &["id"], 4)).unwrap();
    let table = store.table("dim_t").expect("made");
    assert!(DimensionStore::open(&path).is_err());
    drop(store);
    assert_eq!(DimensionStore::open(&path).unwrap().tables(), [table]);
}
