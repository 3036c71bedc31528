//! Metadata, version 11: the ids of topics, and who leads their partitions. Brokers since 2.8 serve it.

use super::super::address::Address;
use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;

/// What one broker knows of the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Cluster {
    pub(in crate::kafka) brokers: Vec<(i32, Address)>,
    pub(in crate::kafka) topics: Vec<Named>,
}

/// One topic that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Named {
    pub(in crate::kafka) code: ErrorCode,
    pub(in crate::kafka) name: String,
    /// All zero where the cluster has none.
    pub(in crate::kafka) id: [u8; 16],
    /// Number of the partition and its leader, -1 if there is none.
    pub(in crate::kafka) partitions: Vec<(i32, i32)>,
}

/// Asks for these topics and makes none.
pub(in crate::kafka) fn write(body: &mut Vec<u8>, topics: &[String]) {
    body.compact_count(topics.len());
    for topic in topics {
        body.put(&[0; 16]);
        body.compact_string(topic);
        body.no_tags();
    }
    // Neither made if it is missing, nor with what we may do to it.
    body.i8(0);
    body.i8(0);
    body.no_tags();
}

pub(in crate::kafka) fn read(reader: &mut Reader<'_>) -> Result<Cluster, Garbled> {
    let _throttle_ms = reader.i32()?;
    let brokers = reader.compact_array(broker)?;
    let _cluster = reader.compact_nullable_string()?;
    let _controller = reader.i32()?;
    let topics = reader.compact_array(topic)?;
    reader.tags()?;
    Ok(Cluster { brokers, topics })
}

fn broker(reader: &mut Reader<'_>) -> Result<(i32, Address), Garbled> {
    let node = reader.i32()?;
    let host = reader.compact_nullable_string()?.ok_or(Garbled("a name is missing"))?.to_owned();
    let port = u16::try_from(reader.i32()?).map_err(|_wide| Garbled("a port is no port"))?;
    let _rack = reader.compact_nullable_string()?;
    reader.tags()?;
    Ok((node, Address { host, port }))
}

fn topic(reader: &mut Reader<'_>) -> Result<Named, Garbled> {
    let code = ErrorCode(reader.i16()?);
    let name = reader.compact_nullable_string()?.ok_or(Garbled("a name is missing"))?.to_owned();
    let id = reader.uuid()?;
    let _is_internal = reader.i8()?;
    let partitions = reader.compact_array(|reader| {
        let _code = reader.i16()?;
        let found = (reader.i32()?, reader.i32()?);
        let _epoch = reader.i32()?;
        // Replicas, those in sync, those that are offline.
        for _ in 0..3 {
            reader.compact_array(Reader::i32)?;
        }
        reader.tags()?;
        Ok(found)
    })?;
    let _operations = reader.i32()?;
    reader.tags()?;
    Ok(Named { code, name, id, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mut body = Vec::new();
        write(&mut body, &["a".to_owned(), "bc".to_owned()]);
        let none = [0_u8; 16];
        let expected: Vec<u8> =
            [&[3][..], &none, b"\x02a\0", &none, b"\x03bc\0", b"\0\0\0"].concat();
        assert_eq!(body, expected);
        let mut answer =
            b"\0\0\0\0\x02\0\0\0\x07\x02h\0\0\x23\x84\0\0\x03me\0\0\0\x07\x03".to_vec();
        answer.extend(b"\0\x03\x02z");
        answer.extend(none);
        answer.extend(b"\0\x01\x80\0\0\0\0");
        answer.extend(b"\0\0\x02a");
        answer.extend([9; 16]);
        answer.extend(b"\0\x02\0\0\0\0\0\0\0\0\0\x07\0\0\0\x01\x02\0\0\0\x07\x02\0\0\0\x07\x01\0");
        answer.extend(b"\x80\0\0\0\0\0");
        let mut reader = Reader::new(&answer);
        let Cluster { brokers, topics } = read(&mut reader).unwrap();
        let [unknown, known] = &topics[..] else { panic!("two topics") };
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(brokers, [(7, Address { host: "h".to_owned(), port: 9092 })]);
        assert_eq!(unknown.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!((unknown.name.as_str(), unknown.id), ("z", none));
        assert_eq!((known.code, known.name.as_str()), (ErrorCode::NONE, "a"));
        assert_eq!((known.id, &known.partitions[..]), ([9; 16], &[(0, 7)][..]));
    }
}
