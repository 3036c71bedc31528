//! Tests of rows as records.

use super::super::RowReader;
use super::*;
use proptest::prelude::*;

type Pair<'a> = (&'a str, &'a [u8]);

fn row<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [Pair<'a>]) -> OutRow<'a> {
    OutRow { target: 3, topic: None, op: Op::Insert, time_ms: 9, key, value, headers }
}

fn written(rows: &[OutRow<'_>]) -> Vec<u8> {
    let mut writer = RowWriter::of_partition(vec![7; 3], 3, 0x0102_0304);
    for row in rows {
        let before = writer.bytes().len();
        writer.push(row);
        assert!(writer.bytes().len() - before <= row.bytes_at_most());
    }
    assert_eq!(writer.rows() as usize, rows.len());
    writer.into_bytes()
}

const ROWS: [OutRow<'static>; 3] = {
    let row = OutRow {
        target: 3,
        topic: None,
        op: Op::Insert,
        time_ms: 9,
        key: Some(b"k"),
        value: Some(b"vv"),
        headers: &[],
    };
    let with_header = OutRow { key: None, value: None, headers: &[("h", b"x")], ..row };
    [row, with_header, OutRow { key: Some(b""), value: Some(b""), ..row }]
};

#[test]
fn golden_bytes() {
    // The records are those of `wire/batch.rs` in the Kafka connector.
    let golden = b"\x80\x03\0\x04\x03\x02\x01\x03\0\0\0\
                   \x12\0\0\0\x02k\x04vv\0\
                   \x14\0\0\x02\x01\x01\x02\x02h\x02x\
                   \x0c\0\0\x04\0\0\0";
    assert_eq!(written(&ROWS), golden);
    let records = Records::of(golden).unwrap();
    assert_eq!((records.target, records.partition, records.largest), (3, 0x0102_0304, 3));
    assert_eq!(records.bytes, &golden[PREAMBLE_BYTES..]);
    let read: Vec<_> = RowReader::new(golden).map(Result::unwrap).collect();
    assert_eq!((read[0].target, read[0].op, read[0].time_ms), (3, Op::Insert, NO_TIME));
    assert_eq!((read[0].key, read[0].value), (Some(&b"k"[..]), Some(&b"vv"[..])));
    assert_eq!((read[1].key, read[1].value), (None, None));
    assert_eq!(read[1].headers.collect::<Vec<_>>(), [("h", &b"x"[..])]);
    assert_eq!((read[2].key, read[2].value), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!(read.len(), 3);
}

#[test]
fn rows_of_the_first_form_are_no_records() {
    let mut writer = RowWriter::new();
    writer.push(&row(Some(&[7; 100]), None, &[]));
    assert_eq!(Records::of(writer.bytes()), None);
    assert_eq!(Records::of(&written(&ROWS)[..PREAMBLE_BYTES - 1]), None);
}

#[test]
fn faults_name_the_row_and_end_the_reading() {
    let good = written(&ROWS);
    let second = PREAMBLE_BYTES + 10;
    let damaged = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[second + at] = byte;
        bytes
    };
    for (bytes, reason) in [
        (good[..second + 5].to_vec(), SHORT),
        (damaged(0, 1), "it has no length"),
        (damaged(0, 3), "a length is negative"),
        (damaged(1, 1), "it has attributes or a time of its own"),
        (damaged(2, 2), "it has attributes or a time of its own"),
        (damaged(3, 4), "it has another number"),
        (damaged(6, 1), "its headers have no count"),
        (damaged(6, 0), "it is longer than its parts"),
        (damaged(6, 4), SHORT),
        (damaged(8, 0xff), "a header has no name"),
        (damaged(9, 1), "a header has no value"),
    ] {
        let rows: Vec<_> = RowReader::new(&bytes).collect();
        assert_eq!(rows.len(), 2, "{reason}");
        assert!(rows[0].is_ok());
        assert_eq!(rows[1].unwrap_err().reason, reason);
        assert_eq!(rows[1].unwrap_err().offset, second);
    }
}

#[test]
fn a_block_of_records_is_full_earlier_but_takes_one_giant() {
    let value = vec![7; RECORDS_BYTES_MAX];
    let mut writer = RowWriter::of_partition(Vec::new(), 0, 0);
    assert!(writer.has_room_for(&row(None, Some(&value), &[])));
    while writer.has_room_for(&ROWS[0]) {
        writer.push(&ROWS[0]);
    }
    let length = writer.bytes().len();
    assert!((RECORDS_BYTES_MAX - 64..=RECORDS_BYTES_MAX).contains(&length), "{length}");
}

type Owned = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn owned() -> impl Strategy<Value = Owned> {
    let part = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    let header = (".{0,5}", proptest::collection::vec(any::<u8>(), 0..5));
    (part(), part(), proptest::collection::vec(header, 0..3))
}

proptest! {
    #[test]
    fn rows_return(all in proptest::collection::vec(owned(), 1..80)) {
        let headers: Vec<Vec<Pair<'_>>> = all
            .iter()
            .map(|(_, _, headers)| {
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
            })
            .collect();
        let rows: Vec<_> = all
            .iter()
            .zip(&headers)
            .map(|((key, value, _), headers)| row(key.as_deref(), value.as_deref(), headers))
            .collect();
        let bytes = written(&rows);
        let largest = rows.iter().map(|row| {
            row.key.map_or(0, <[u8]>::len) + row.value.map_or(0, <[u8]>::len)
        });
        prop_assert_eq!(Records::of(&bytes).unwrap().largest as usize, largest.max().unwrap());
        let read: Vec<Owned> = RowReader::new(&bytes).map(Result::unwrap).map(|row| (
            row.key.map(<[u8]>::to_vec),
            row.value.map(<[u8]>::to_vec),
            row.headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        )).collect();
        prop_assert_eq!(read, all);
    }

    #[test]
    fn a_draft_becomes_the_bytes_of_a_row(
        key in "[a-z]{0,200}",
        length in prop_oneof![0..300_usize, 8_100..8_300_usize],
        more in prop_oneof![0..200_usize, 0..20_000_usize],
        before in 0..70_usize,
    ) {
        let (key, value) = (key.as_bytes(), vec![7; length]);
        let draft = Draft { target: 3, time_ms: 9, key, value_bytes_max: length + more };
        let mut rows = vec![ROWS[0]; before];
        let mut writer = RowWriter::of_partition(Vec::new(), 3, 0x0102_0304);
        rows.iter().for_each(|row| writer.push(row));
        let start = writer.bytes().len();
        let said = writer.push_draft(&draft, |out| out.extend_from_slice(&value));
        prop_assert!(writer.bytes().len() - start <= draft.bytes_at_most());
        prop_assert_eq!(said, length);
        rows.push(row(Some(key), Some(&value), &[]));
        prop_assert_eq!(writer.bytes(), written(&rows));
        prop_assert_eq!(writer.take_back(start, length), value);
        prop_assert_eq!((writer.bytes().len(), writer.rows() as usize), (start, before));
        // No row is larger than is said, even if it was taken back.
        writer.push(&ROWS[0]);
        let again: Vec<_> = RowReader::new(writer.bytes()).map(Result::unwrap).collect();
        prop_assert_eq!(again.len(), before + 1);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let block = [&b"\x80\0\0\0\0\0\0\0\0\0\0"[..], &bytes].concat();
        for row in RowReader::new(&block).flatten() {
            row.headers.for_each(drop);
        }
    }
}
