//! Produce, version 8: record batches for partitions of one leader.

use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;
use super::super::request::Request;

/// Answered when all replicas in sync have it.
const ACKS_ALL: i16 = -1;

/// What was said about one batch.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Written {
    pub(in crate::kafka) topic: String,
    pub(in crate::kafka) partition: i32,
    pub(in crate::kafka) code: ErrorCode,
    /// Why the broker refused it, where it says so.
    pub(in crate::kafka) message: Option<String>,
}

/// The beginning of a request for batches of `topics` topics.
pub(in crate::kafka) fn write_head(
    request: &mut Request,
    transactional_id: &str,
    timeout_ms: i32,
    topics: usize,
) {
    request.body.string(transactional_id);
    request.body.i16(ACKS_ALL);
    request.body.i32(timeout_ms);
    request.body.count(topics);
}

/// The beginning of one topic with that many batches.
pub(in crate::kafka) fn write_topic(request: &mut Request, topic: &str, partitions: usize) {
    request.body.string(topic);
    request.body.count(partitions);
}

/// One batch: as much of it as `front`, and so many bytes behind, which are handed in when the request
/// is sent.
pub(in crate::kafka) fn write_batch(
    request: &mut Request,
    partition: i32,
    front: &[u8],
    bytes: usize,
) {
    request.body.i32(partition);
    request.part(front, bytes);
}

pub(in crate::kafka) fn read(reader: &mut Reader<'_>) -> Result<Vec<Written>, Garbled> {
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.string()?;
        for _ in 0..reader.count()? {
            all.push(written(reader, topic)?);
        }
    }
    let _throttle_ms = reader.i32()?;
    Ok(all)
}

fn written(reader: &mut Reader<'_>, topic: &str) -> Result<Written, Garbled> {
    let partition = reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let (_base_offset, _append_time_ms, _start_offset) =
        (reader.i64()?, reader.i64()?, reader.i64()?);
    let records = reader.array(|reader| {
        let _index = reader.i32()?;
        Ok(reader.nullable_string()?.map(str::to_owned))
    })?;
    let whole = reader.nullable_string()?.map(str::to_owned);
    let message = records.into_iter().flatten().next().or(whole);
    Ok(Written { topic: topic.to_owned(), partition, code, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::api::PRODUCE;

    #[test]
    fn golden_bytes() {
        let mut request = Request::default();
        request.begin(&PRODUCE, "");
        let header = request.body.len();
        write_head(&mut request, "id", 30_000, 1);
        write_topic(&mut request, "a", 1);
        write_batch(&mut request, 3, b"fr", 258);
        let golden =
            b"\0\x02id\xff\xff\0\0\x75\x30\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x03\0\0\x01\x04fr";
        assert_eq!(&request.body[header..], golden);

        let mut answer = b"\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\x03\0\0".to_vec();
        answer.extend([0xff; 24]);
        answer.extend(b"\0\0\0\0\xff\xff\0\0\0\x04\0\x57");
        answer.extend([0xff; 24]);
        answer.extend(b"\0\0\0\x01\0\0\0\x09\0\x02no\0\x03all\0\0\0\0");
        let mut reader = Reader::new(&answer);
        let found = read(&mut reader).unwrap();
        assert_eq!(reader.end(), Ok(()));
        let one = |partition, code, message: Option<&str>| Written {
            topic: "a".to_owned(),
            partition,
            code: ErrorCode(code),
            message: message.map(str::to_owned),
        };
        assert_eq!(found, [one(3, 0, None), one(4, 87, Some("no"))]);
    }
}
