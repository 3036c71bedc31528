//! Metadata, version 4: which topics there are, and who leads their partitions.

use super::super::address::Address;
use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;

/// What one broker knows of the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Metadata {
    pub(in crate::kafka) brokers: Vec<(i32, Address)>,
    pub(in crate::kafka) topics: Vec<Topic>,
}

/// One topic that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Topic {
    pub(in crate::kafka) code: ErrorCode,
    pub(in crate::kafka) name: String,
    /// Number of the partition and its leader, -1 if there is none.
    pub(in crate::kafka) partitions: Vec<(i32, i32)>,
}

/// Asks for these topics and makes none.
pub(in crate::kafka) fn write<'a>(
    body: &mut Vec<u8>,
    topics: impl ExactSizeIterator<Item = &'a str>,
) {
    body.count(topics.len());
    topics.for_each(|topic| body.string(topic));
    body.i8(0);
}

pub(in crate::kafka) fn read(reader: &mut Reader<'_>) -> Result<Metadata, Garbled> {
    let _throttle_ms = reader.i32()?;
    let brokers = reader.array(broker)?;
    let _cluster = reader.nullable_string()?;
    let _controller = reader.i32()?;
    Ok(Metadata { brokers, topics: reader.array(topic)? })
}

fn broker(reader: &mut Reader<'_>) -> Result<(i32, Address), Garbled> {
    let node = reader.i32()?;
    let address = address(reader)?;
    let _rack = reader.nullable_string()?;
    Ok((node, address))
}

/// Host and port, as they stand in several answers.
pub(super) fn address(reader: &mut Reader<'_>) -> Result<Address, Garbled> {
    let host = reader.string()?.to_owned();
    let port = u16::try_from(reader.i32()?).map_err(|_wide| Garbled("a port is no port"))?;
    Ok(Address { host, port })
}

fn topic(reader: &mut Reader<'_>) -> Result<Topic, Garbled> {
    let code = ErrorCode(reader.i16()?);
    let name = reader.string()?.to_owned();
    let _is_internal = reader.i8()?;
    let mut partitions = reader.array(partition)?;
    partitions.sort_unstable();
    // A key goes to the partition of its number, so there must be no hole.
    let numbers = partitions.iter().map(|(number, _)| *number);
    if !numbers.eq((0..).take(partitions.len())) {
        return Err(Garbled("partitions are not numbered from 0"));
    }
    Ok(Topic { code, name, partitions })
}

fn partition(reader: &mut Reader<'_>) -> Result<(i32, i32), Garbled> {
    // A partition without leader has the code that says so, and leader -1.
    let _code = reader.i16()?;
    let found = (reader.i32()?, reader.i32()?);
    let _replicas = reader.array(Reader::i32)?;
    let _in_sync = reader.array(Reader::i32)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mut body = Vec::new();
        write(&mut body, ["a", "bc"].into_iter());
        assert_eq!(body, b"\0\0\0\x02\0\x01a\0\x02bc\0");
        let mut answer =
            b"\0\0\0\0\0\0\0\x01\0\0\0\x07\0\x01h\0\0\x23\x84\xff\xff\xff\xff".to_vec();
        answer.extend(b"\0\0\0\x07\0\0\0\x02\0\x03\0\x01z\0\0\0\0\0\0\0\0\x01a\0\0\0\0\x02");
        answer.extend(b"\0\x05\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0");
        answer.extend(b"\0\0\0\0\0\0\0\0\0\x07\0\0\0\x01\0\0\0\x07\0\0\0\x01\0\0\0\x07");
        let mut reader = Reader::new(&answer);
        let found = read(&mut reader).unwrap();
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(found.brokers, [(7, Address { host: "h".into(), port: 9092 })]);
        let [unknown, known] = &found.topics[..] else { panic!("{found:?}") };
        assert_eq!(unknown.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!((known.name.as_str(), &known.partitions[..]), ("a", &[(0, 7), (1, -1)][..]));
    }
}
