//! The order value: which of two rows comes first, whoever delivered them and wherever epochs were
//! cut.
//!
//! Arrival order between senders is not defined. [`Order`] replaces it: it is monotone in the
//! position inside a partition, sensible across partitions (by the greatest event time each had
//! seen), total, and independent of cuts and of the number of workers (specification 7.2).

use serde::{Deserialize, Serialize};

/// Order value of a row. Rows made from one input row share its order; their sequence in the batch
/// decides between them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Order {
    /// Greatest event time seen in the partition up to and including this row, milliseconds.
    pub peak: i64,
    /// Ordinal of the partition in its source.
    pub partition: u32,
    /// Position of the row in the partition (Kafka offset, line number).
    pub position: u64,
}

impl Order {
    /// Length of the encoded form.
    pub const BYTES: usize = 20;

    /// Appends 20 bytes whose byte order is the order of values.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&flip(self.peak).to_be_bytes());
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    /// Reads what [`Order::encode`] wrote; `None` if `bytes` is too short.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (peak, rest) = bytes.split_first_chunk::<8>()?;
        let (partition, rest) = rest.split_first_chunk::<4>()?;
        let (position, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            peak: unflip(u64::from_be_bytes(*peak)),
            partition: u32::from_be_bytes(*partition),
            position: u64::from_be_bytes(*position),
        })
    }
}

/// A signed number as an unsigned one of the same order.
pub fn flip(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// The inverse of [`flip`].
pub fn unflip(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_sort_like_values(a: (i64, u32, u64), b: (i64, u32, u64)) {
            let of = |(peak, partition, position)| Order { peak, partition, position };
            let bytes = |order: Order| { let mut out = Vec::new(); order.encode(&mut out); out };
            prop_assert_eq!(of(a).cmp(&of(b)), bytes(of(a)).cmp(&bytes(of(b))));
            prop_assert_eq!(Order::decode(&bytes(of(a))), Some(of(a)));
        }
    }
}
