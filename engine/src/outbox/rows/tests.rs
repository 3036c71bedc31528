//! Tests of rows in blocks.

use super::*;
use proptest::prelude::*;

const ROW: OutRow<'static> = OutRow {
    target: 300,
    topic: None,
    op: Op::Delete,
    time_ms: -1,
    key: Some(b"k"),
    value: None,
    headers: &[("h", b"vv")],
};

fn written(rows: &[OutRow<'_>]) -> Vec<u8> {
    let mut writer = RowWriter::new();
    rows.iter().for_each(|row| writer.push(row));
    assert_eq!(writer.rows() as usize, rows.len());
    writer.bytes().to_vec()
}

#[test]
fn golden_bytes() {
    let mut golden = vec![0b1011, 0xac, 0x02];
    golden.extend([0xff; 8]);
    golden.extend(b"\x01k\x01\x01h\x02vv");
    let plain = OutRow {
        target: 1,
        topic: None,
        op: Op::Insert,
        time_ms: 2,
        key: None,
        value: Some(b""),
        headers: &[],
    };
    golden.extend(b"\x04\x01\x02\0\0\0\0\0\0\0\0");
    let named = OutRow { target: 0, topic: Some("t\u{e9}"), key: Some(b"k"), ..plain };
    golden.extend(b"\x16\0\x02\0\0\0\0\0\0\0\x03t\xc3\xa9\x01k\0");
    assert_eq!(written(&[ROW, plain, named]), golden);
    let rows: Vec<_> = RowReader::new(&golden).map(Result::unwrap).collect();
    assert_eq!(rows[0].headers.collect::<Vec<_>>(), ROW.headers);
    assert_eq!((rows[0].target, rows[0].op, rows[0].time_ms), (300, Op::Delete, -1));
    assert_eq!((rows[0].key, rows[0].value), (Some(&b"k"[..]), None));
    assert_eq!((rows[1].key, rows[1].value), (None, Some(&b""[..])));
    assert_eq!((rows[0].topic, rows[2].topic), (None, Some("t\u{e9}")));
    assert_eq!((rows[2].key, rows[2].value), (Some(&b"k"[..]), Some(&b""[..])));
    assert_eq!(rows.len(), 3);
}

#[test]
fn faults_name_the_row_and_end_the_reading() {
    let good = written(&[ROW, ROW]);
    let second = good.len() / 2;
    let mut flags = good.clone();
    flags[second] = 0xf0;
    let mut target = good.clone();
    target.splice(second + 1..second + 3, [0xff, 0xff, 0x04]);
    let mut name = good.clone();
    name[second + 15] = 0xff;
    let mut topic = good.clone();
    topic.splice(second.., *b"\x10\0\0\0\0\0\0\0\0\0\x01\xff");
    let mut long = good.clone();
    long.splice(second + 11..second + 12, [0xff, 0xff, 0xff, 0xff, 0x1f]);
    for (bytes, reason) in [
        (&good[..good.len() - 1], SHORT),
        (&flags, "it has unknown flags"),
        (&target, "its target is too large"),
        (&name, "a header has no name"),
        (&topic, "its topic has no name"),
        (&long, "a length is too large"),
    ] {
        let rows: Vec<_> = RowReader::new(bytes).collect();
        assert_eq!(rows.len(), 2, "{reason}");
        assert!(rows[0].is_ok());
        assert_eq!(rows[1], Err(RowFault { offset: second, reason }));
    }
}

#[test]
fn a_block_is_full_at_its_limit_but_takes_one_giant() {
    let value = vec![7; BLOCK_BYTES_MAX];
    let giant = OutRow { value: Some(&value), ..ROW };
    let mut writer = RowWriter::new();
    assert!(writer.has_room_for(&giant));
    writer.push(&ROW);
    assert!(!writer.has_room_for(&giant));
    writer.clear();
    writer.push(&giant);
    assert!(!writer.has_room_for(&ROW));
    writer.clear();
    while writer.has_room_for(&ROW) {
        writer.push(&ROW);
    }
    let length = writer.bytes().len();
    assert!((BLOCK_BYTES_MAX - 64..=BLOCK_BYTES_MAX).contains(&length), "{length}");
}

type Target = (u16, Option<String>);
type Owned = (Target, bool, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn row() -> impl Strategy<Value = Owned> {
    let part = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    let header = (".{0,5}", proptest::collection::vec(any::<u8>(), 0..5));
    let headers = proptest::collection::vec(header, 0..3);
    let target = (any::<u16>(), proptest::option::of(".{0,9}"));
    (target, any::<bool>(), any::<i64>(), part(), part(), headers)
}

proptest! {
    #[test]
    fn rows_return(rows in proptest::collection::vec(row(), 0..10)) {
        let mut writer = RowWriter::new();
        for ((target, topic), delete, time_ms, key, value, headers) in &rows {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            writer.push(&OutRow {
                target: *target,
                topic: topic.as_deref(),
                op: if *delete { Op::Delete } else { Op::Insert },
                time_ms: *time_ms,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
            });
        }
        let read: Vec<Owned> = RowReader::new(writer.bytes()).map(Result::unwrap).map(|row| (
            (row.target, row.topic.map(str::to_owned)),
            row.op == Op::Delete,
            row.time_ms,
            row.key.map(<[u8]>::to_vec),
            row.value.map(<[u8]>::to_vec),
            row.headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        )).collect();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for row in RowReader::new(&bytes).flatten() {
            row.headers.for_each(drop);
        }
    }
}
