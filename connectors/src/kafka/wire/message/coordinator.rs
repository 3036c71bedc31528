//! FindCoordinator, version 1, and InitProducerId, version 3: who keeps our transactions, and our
//! number there.

use super::super::address::Address;
use super::super::bytes::{Garbled, Put, Reader};
use super::super::code::ErrorCode;

const KIND_TRANSACTION: i8 = 1;

/// A producer in the eyes of the cluster. The one with the greatest epoch has the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct ProducerId {
    pub(in crate::kafka) id: i64,
    pub(in crate::kafka) epoch: i16,
}

impl ProducerId {
    /// Of somebody who has none yet: the answer fences whoever had one.
    pub(in crate::kafka) const NONE: Self = Self { id: -1, epoch: -1 };
}

/// Asks for the coordinator of a transactional id.
pub(in crate::kafka) fn write_find(body: &mut Vec<u8>, transactional_id: &str) {
    body.string(transactional_id);
    body.i8(KIND_TRANSACTION);
}

pub(in crate::kafka) fn read_find(
    reader: &mut Reader<'_>,
) -> Result<(ErrorCode, Option<Address>), Garbled> {
    let _throttle_ms = reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let _message = reader.nullable_string()?;
    let _node = reader.i32()?;
    if code != ErrorCode::NONE {
        // Then host and port are of nobody.
        let (_host, _port) = (reader.string()?, reader.i32()?);
        return Ok((code, None));
    }
    Ok((code, Some(super::metadata::address(reader)?)))
}

/// Asks for an epoch of our own. With a former one it is renewed, and only if nobody has taken over.
pub(in crate::kafka) fn write_init(
    body: &mut Vec<u8>,
    transactional_id: &str,
    timeout_ms: i32,
    former: ProducerId,
) {
    body.compact_string(transactional_id);
    body.i32(timeout_ms);
    body.i64(former.id);
    body.i16(former.epoch);
    body.no_tags();
}

pub(in crate::kafka) fn read_init(
    reader: &mut Reader<'_>,
) -> Result<(ErrorCode, ProducerId), Garbled> {
    let _throttle_ms = reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let given = ProducerId { id: reader.i64()?, epoch: reader.i16()? };
    reader.tags()?;
    Ok((code, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mut body = Vec::new();
        write_find(&mut body, "id");
        assert_eq!(body, b"\0\x02id\x01");
        body.clear();
        write_init(&mut body, "id", 60_000, ProducerId { id: 5, epoch: 2 });
        assert_eq!(body, b"\x03id\0\0\xea\x60\0\0\0\0\0\0\0\x05\0\x02\0");

        let found = b"\0\0\0\0\0\0\xff\xff\0\0\0\x01\0\x01h\0\0\x23\x84";
        let address = Address { host: "h".into(), port: 9092 };
        assert_eq!(read_find(&mut Reader::new(found)), Ok((ErrorCode::NONE, Some(address))));
        let nobody = b"\0\0\0\0\0\x0f\0\x01m\xff\xff\xff\xff\0\0\xff\xff\xff\xff";
        let mut reader = Reader::new(nobody);
        let expected = (ErrorCode::COORDINATOR_NOT_AVAILABLE, None);
        assert_eq!((read_find(&mut reader), reader.end()), (Ok(expected), Ok(())));
        let given = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\x03\0";
        let expected = (ErrorCode::NONE, ProducerId { id: 5, epoch: 3 });
        assert_eq!(read_init(&mut Reader::new(given)), Ok(expected));
    }
}
