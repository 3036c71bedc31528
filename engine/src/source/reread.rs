//! Reading a source again for one name: the back-fill of a table that was configured late.
//!
//! An operator that finds it needs what has long passed asks for it by a [`Reread`]. The source opens
//! an extra partition from the first record still there to where its partitions stand, with a
//! position of its own, so a restart goes on in the middle. Its rows have a port of their own: jobs
//! that count every record do not see them.
//!
//! Position of an extra partition, big-endian: the request's number (u32); nothing more once the
//! end was reached; else per partition its ordinal (u32), the next position and the first one not
//! wanted, each as length (u16) and bytes.

use std::sync::Arc;

use super::{Partition, Position};
use crate::batch::order::Order;

/// Ordinals of extra partitions begin here; no source has as many of its own.
const FIRST_ORDINAL: u32 = 1 << 31;
/// Bits of the place of a row in an extra partition that are its position in its own; those above
/// are the ordinal of that partition. No source has as many records, or 2^16 partitions.
const POSITION_BITS: u32 = 48;

/// A request to read again, answered by rows on the source's port `reread`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reread {
    /// Of what: the source's filter ([`RereadFilter`](crate::graph::plan::RereadFilter)) compares it.
    pub name: Arc<str>,
    /// Grows with each request of a name; a later one begins again and takes the place of an
    /// earlier one.
    pub number: u32,
}

impl Reread {
    /// The extra partition.
    pub fn partition(&self) -> Partition {
        let name = format!("backfill/{}", self.name).into();
        Partition { name, ordinal: FIRST_ORDINAL | self.number }
    }

    /// The request behind an extra partition; `None` for one of the source's own.
    pub fn of(partition: &Partition) -> Option<Self> {
        let name = partition.name.strip_prefix("backfill/")?;
        Some(Self { name: name.into(), number: Self::number_of(partition.ordinal)? })
    }

    /// The number of the request that a row with this partition ordinal answers; `None` for a row
    /// of the source's own partitions.
    pub fn number_of(ordinal: u32) -> Option<u32> {
        (ordinal >= FIRST_ORDINAL).then_some(ordinal & !FIRST_ORDINAL)
    }

    /// The place in an extra partition of the record at `position` of the partition `ordinal`: parts
    /// are read in the order of their ordinals, so places grow.
    pub fn place(ordinal: u32, position: u64) -> u64 {
        (u64::from(ordinal) << POSITION_BITS) | position
    }

    /// Where the record of a row came from, be it live or read again: ordinal of its partition, and
    /// its position there. The one thing that a row has in common with itself read again.
    pub fn origin(order: Order) -> (u32, u64) {
        match Self::number_of(order.partition) {
            None => (order.partition, order.position),
            Some(_) => {
                let ordinal = u32::try_from(order.position >> POSITION_BITS).expect("16 bits");
                (ordinal, order.position & ((1 << POSITION_BITS) - 1))
            }
        }
    }

    /// The position of the extra partition once its end was reached.
    pub(crate) fn end(&self) -> Position {
        Position(self.number.to_be_bytes().to_vec())
    }

    /// Whether `position` is that of an extra partition at its end.
    pub(crate) fn is_end(position: &Position) -> bool {
        position.0.len() == 4
    }
}

/// How far a partition has been read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RereadPart {
    /// Ordinal of the source's own partition.
    pub ordinal: u32,
    /// The next record to read.
    pub next: Position,
    /// The first record not wanted: the live partition gives it.
    pub upto: Position,
}

/// Position of an extra partition: see the layout above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RereadPosition {
    /// Number of the request.
    pub number: u32,
    /// Partitions in the order of their ordinals.
    pub parts: Vec<RereadPart>,
}

impl RereadPosition {
    /// The bytes.
    pub fn encode(&self) -> Position {
        let mut bytes = self.number.to_be_bytes().to_vec();
        for part in &self.parts {
            bytes.extend_from_slice(&part.ordinal.to_be_bytes());
            for position in [&part.next, &part.upto] {
                let length = u16::try_from(position.0.len()).expect("positions are short");
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(&position.0);
            }
        }
        Position(bytes)
    }

    /// What [`RereadPosition::encode`] wrote; `None` if it was not.
    pub fn decode(position: &Position) -> Option<Self> {
        let (number, mut rest) = position.0.split_first_chunk()?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (ordinal, after) = rest.split_first_chunk()?;
            let (next, after) = take_position(after)?;
            let (upto, after) = take_position(after)?;
            parts.push(RereadPart { ordinal: u32::from_be_bytes(*ordinal), next, upto });
            rest = after;
        }
        Some(Self { number: u32::from_be_bytes(*number), parts })
    }
}

fn take_position(bytes: &[u8]) -> Option<(Position, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (position, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((Position(position.to_vec()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_partition_names_its_request() {
        let request = Reread { name: "sku_info".into(), number: 3 };
        let partition = request.partition();
        assert_eq!(&*partition.name, "backfill/sku_info");
        assert_eq!(Reread::of(&partition), Some(request.clone()));
        assert_eq!(Reread::of(&Partition { name: "ods_db/3".into(), ordinal: 3 }), None);
        assert_eq!(Reread::number_of(partition.ordinal), Some(3));
        assert_eq!(Reread::number_of(3), None);
        let order = Order { peak: 1, partition: 2, position: 7 };
        assert_eq!(Reread::origin(order), (2, 7));
        let again = Order { partition: partition.ordinal, position: Reread::place(2, 7), ..order };
        assert_eq!(Reread::origin(again), (2, 7));
        assert!(Reread::place(1, u64::from(u32::MAX)) < Reread::place(2, 0));
    }

    #[test]
    fn positions_of_extra_partitions_keep_their_bytes() {
        let part = |ordinal, next, upto| RereadPart {
            ordinal,
            next: Position::of_number(next),
            upto: Position::of_number(upto),
        };
        let position = RereadPosition { number: 7, parts: vec![part(0, 1, 9), part(2, 0, 4)] };
        let bytes = position.encode();
        let golden = "0000000700000000000800000000000000010008000000000000000900000002\
                      0008000000000000000000080000000000000004";
        let hex: String = bytes.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(RereadPosition::decode(&bytes), Some(position));
        assert_eq!(RereadPosition::decode(&Position(bytes.0[..20].to_vec())), None);
        let end = Reread { name: "t".into(), number: 7 }.end();
        assert!(Reread::is_end(&end) && !Reread::is_end(&bytes));
    }
}
