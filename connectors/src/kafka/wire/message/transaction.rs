//! AddPartitionsToTxn, version 1, and EndTxn, version 1: what a transaction holds, and its end.

use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;
use super::coordinator::ProducerId;

/// Partitions of one topic.
pub(in crate::kafka) type Partitions<'a> = (&'a str, Vec<i32>);

/// Takes partitions into the transaction; nothing may be written there before the answer.
pub(in crate::kafka) fn write_add(
    body: &mut Vec<u8>,
    transactional_id: &str,
    producer: ProducerId,
    topics: &[Partitions<'_>],
) {
    write_head(body, transactional_id, producer);
    body.count(topics.len());
    for (topic, partitions) in topics {
        body.string(topic);
        body.count(partitions.len());
        partitions.iter().for_each(|partition| body.i32(*partition));
    }
}

/// One code per partition: topic, partition, code.
pub(in crate::kafka) fn read_add(
    reader: &mut Reader<'_>,
) -> Result<Vec<(String, i32, ErrorCode)>, Garbled> {
    let _throttle_ms = reader.i32()?;
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.string()?.to_owned();
        for _ in 0..reader.count()? {
            all.push((topic.clone(), reader.i32()?, ErrorCode(reader.i16()?)));
        }
    }
    Ok(all)
}

/// Commits or aborts.
pub(in crate::kafka) fn write_end(
    body: &mut Vec<u8>,
    transactional_id: &str,
    producer: ProducerId,
    commit: bool,
) {
    write_head(body, transactional_id, producer);
    body.i8(i8::from(commit));
}

pub(in crate::kafka) fn read_end(reader: &mut Reader<'_>) -> Result<ErrorCode, Garbled> {
    let _throttle_ms = reader.i32()?;
    Ok(ErrorCode(reader.i16()?))
}

fn write_head(body: &mut Vec<u8>, transactional_id: &str, producer: ProducerId) {
    body.string(transactional_id);
    body.i64(producer.id);
    body.i16(producer.epoch);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let producer = ProducerId { id: 5, epoch: 2 };
        let head = b"\0\x02id\0\0\0\0\0\0\0\x05\0\x02".to_vec();
        let mut body = Vec::new();
        write_add(&mut body, "id", producer, &[("a", vec![0, 3])]);
        let added = b"\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x03";
        assert_eq!(body, [&head[..], added].concat());
        for (commit, byte) in [(true, 1), (false, 0)] {
            body.clear();
            write_end(&mut body, "id", producer, commit);
            assert_eq!(body, [&head[..], &[byte]].concat());
        }
        let answer = b"\0\0\0\0\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\0\0\x03\0\x33";
        let expected = [
            ("a".to_owned(), 0, ErrorCode::NONE),
            ("a".to_owned(), 3, ErrorCode::CONCURRENT_TRANSACTIONS),
        ];
        assert_eq!(read_add(&mut Reader::new(answer)).unwrap(), expected);
        let answer = b"\0\0\0\0\0\x2f";
        assert_eq!(read_end(&mut Reader::new(answer)), Ok(ErrorCode::INVALID_PRODUCER_EPOCH));
    }
}
