//! Fetch, version 13: records of partitions, as their leader has them. Brokers since 3.1 serve it.
//!
//! Always a full fetch: no session (KIP-227) is kept with the broker.

use std::ops::Range;

use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;
use crate::kafka::position::TopicId;

/// No session, and none is wanted.
const NO_SESSION: (i32, i32) = (0, -1);
/// Tag of the field that says where our log and the leader's part.
const DIVERGING: u32 = 0;

/// How much an answer may hold, and how long it may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Limits {
    /// How long the broker waits for `least_bytes`.
    pub(in crate::kafka) wait_ms: i32,
    pub(in crate::kafka) least_bytes: i32,
    /// Of all partitions; the first record batch is sent whole even if it is larger.
    pub(in crate::kafka) bytes: i32,
    pub(in crate::kafka) partition_bytes: i32,
}

/// A partition to read on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Wanted {
    pub(in crate::kafka) topic: TopicId,
    pub(in crate::kafka) number: i32,
    pub(in crate::kafka) offset: u64,
    /// Under which leader the record before was written; -1 if that is not known.
    pub(in crate::kafka) epoch: i32,
}

/// What the leader has of one partition.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Fetched {
    pub(in crate::kafka) topic: TopicId,
    pub(in crate::kafka) number: i32,
    pub(in crate::kafka) code: ErrorCode,
    /// Where the log of the leader ends that had the epoch asked about, if that is before the offset
    /// asked for: the records we read behind it are there no more.
    pub(in crate::kafka) diverging: Option<i64>,
    /// Producers of transactions that were aborted, and the first offset of each.
    pub(in crate::kafka) aborted: Vec<(i64, i64)>,
    /// Where the record batches lie, counted from the end of the answer.
    pub(in crate::kafka) records: Range<usize>,
}

/// Asks for records that are not part of open or aborted transactions (the latter still come and
/// are named). Partitions of one topic SHOULD stand together.
pub(in crate::kafka) fn write(body: &mut Vec<u8>, limits: &Limits, wanted: &[Wanted]) {
    // No replica, but a consumer.
    body.i32(-1);
    body.i32(limits.wait_ms);
    body.i32(limits.least_bytes);
    body.i32(limits.bytes);
    // Read committed.
    body.i8(1);
    body.i32(NO_SESSION.0);
    body.i32(NO_SESSION.1);
    let topics = || wanted.chunk_by(|one, next| one.topic == next.topic);
    body.compact_count(topics().count());
    for topic in topics() {
        body.put(&topic[0].topic.0);
        body.compact_count(topic.len());
        topic.iter().for_each(|wanted| write_partition(body, limits, wanted));
        body.no_tags();
    }
    // Nothing to forget, and no rack.
    body.compact_count(0);
    body.compact_string("");
    body.no_tags();
}

fn write_partition(body: &mut Vec<u8>, limits: &Limits, wanted: &Wanted) {
    body.i32(wanted.number);
    // Whoever leads may answer.
    body.i32(-1);
    body.i64(i64::try_from(wanted.offset).unwrap_or(i64::MAX));
    body.i32(wanted.epoch);
    // Where the log of a replica begins.
    body.i64(-1);
    body.i32(limits.partition_bytes);
    body.no_tags();
}

pub(in crate::kafka) fn read(
    reader: &mut Reader<'_>,
) -> Result<(ErrorCode, Vec<Fetched>), Garbled> {
    let _throttle_ms = reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let _session = reader.i32()?;
    let topics = reader.compact_array(|reader| {
        let topic = TopicId(reader.uuid()?);
        let partitions = reader.compact_array(|reader| partition(topic, reader))?;
        reader.tags()?;
        Ok(partitions)
    })?;
    reader.tags()?;
    Ok((code, topics.into_iter().flatten().collect()))
}

fn partition(topic: TopicId, reader: &mut Reader<'_>) -> Result<Fetched, Garbled> {
    let number = reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let (_high, _stable, _low) = (reader.i64()?, reader.i64()?, reader.i64()?);
    let aborted = reader.compact_array(|reader| {
        let aborted = (reader.i64()?, reader.i64()?);
        reader.tags()?;
        Ok(aborted)
    })?;
    let _preferred_replica = reader.i32()?;
    let length = reader.compact_bytes()?.len();
    let records = reader.left()..reader.left() + length;
    let mut diverging = None;
    reader.tagged(|tag, mut field| {
        if tag == DIVERGING {
            let _epoch = field.i32()?;
            diverging = Some(field.i64()?);
        }
        Ok(())
    })?;
    Ok(Fetched { topic, number, code, diverging, aborted, records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let limits = Limits { wait_ms: 50, least_bytes: 1, bytes: 0x0203, partition_bytes: 9 };
        let wanted = |topic, number, offset| Wanted {
            topic: TopicId([topic; 16]),
            number,
            offset,
            epoch: 4,
        };
        let mut body = Vec::new();
        write(&mut body, &limits, &[wanted(1, 0, 7), wanted(1, 2, 8), wanted(2, 1, 9)]);
        let mut expected = b"\xff\xff\xff\xff\0\0\0\x32\0\0\0\x01\0\0\x02\x03\x01\0\0\0\0".to_vec();
        expected.extend(b"\xff\xff\xff\xff\x03");
        let partition = |number: u8, offset: u8| {
            let mut bytes = vec![0, 0, 0, number, 0xff, 0xff, 0xff, 0xff];
            bytes.extend([0, 0, 0, 0, 0, 0, 0, offset, 0, 0, 0, 4]);
            bytes.extend([0xff; 8]);
            bytes.extend([0, 0, 0, 9, 0]);
            bytes
        };
        expected
            .extend([&[1; 16], &b"\x03"[..], &partition(0, 7), &partition(2, 8), b"\0"].concat());
        expected.extend([&[2; 16], &b"\x02"[..], &partition(1, 9), b"\0"].concat());
        expected.extend(b"\x01\x01\0");
        assert_eq!(body, expected);
    }

    #[test]
    fn an_answer_says_where_its_records_are() {
        let mut answer = b"\0\0\0\0\0\0\0\0\0\0\x02".to_vec();
        answer.extend([8; 16]);
        answer.push(3);
        let begin = |number: u8, code: u8| {
            let mut bytes = vec![0, 0, 0, number, 0, code];
            bytes.extend([9; 24]);
            bytes
        };
        answer.extend(begin(0, 0));
        // One aborted transaction, no preferred replica, four bytes of records.
        answer.extend(b"\x02\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\xff\xff\xff\xff\x05wxyz\0");
        answer.extend(begin(3, 1));
        // No list, no records; two tagged fields.
        answer.extend(b"\0\xff\xff\xff\xff\0\x02\0\x0d\0\0\0\x02\0\0\0\0\0\0\0\x50\0\x01\x01\0");
        answer.extend(b"\0\0");
        let mut reader = Reader::new(&answer);
        let (code, fetched) = read(&mut reader).unwrap();
        assert_eq!((reader.end(), code), (Ok(()), ErrorCode::NONE));
        let [first, second] = &fetched[..] else { panic!("{fetched:?}") };
        assert_eq!((first.topic, first.number, first.code.0), (TopicId([8; 16]), 0, 0));
        assert_eq!((&first.aborted[..], first.diverging), (&[(5, 6)][..], None));
        let at = |place: &Range<usize>| answer.len() - place.end..answer.len() - place.start;
        assert_eq!(&answer[at(&first.records)], b"wxyz");
        assert_eq!((second.number, second.code.0, second.diverging), (3, 1, Some(0x50)));
        assert!(second.records.is_empty() && second.aborted.is_empty());
    }
}
