//! Where a Kafka source is in a partition, as it lies in checkpoints.
//!
//! ```text
//!   offset u64, big endian                     where the topic's id is not known, and what older
//!                                              versions wrote
//!   offset u64, big endian | 1 | id 16 bytes   the id of the topic that the offset belongs to
//! ```
//!
//! The id tells a topic from one that was deleted and made anew under its name (KIP-516), in which the
//! same offset is another record.

use std::fmt;

use engine::source::Position;

/// Says that an id follows.
const WITH_ID: u8 = 1;

/// What a cluster calls a topic for good: 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// `None` for the id that stands for no id.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A position in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaPosition {
    /// Offset of the next record.
    pub offset: u64,
    /// The topic it is an offset of, where that is known.
    pub topic: Option<TopicId>,
}

impl KafkaPosition {
    /// As it is saved.
    pub fn encode(self) -> Position {
        let Self { offset, topic } = self;
        let mut bytes = offset.to_be_bytes().to_vec();
        if let Some(TopicId(id)) = topic {
            bytes.push(WITH_ID);
            bytes.extend_from_slice(&id);
        }
        Position(bytes)
    }

    /// A saved position; `None` if it is none of a Kafka source.
    pub fn decode(position: &Position) -> Option<Self> {
        let (offset, rest) = position.0.split_first_chunk()?;
        let offset = u64::from_be_bytes(*offset);
        let topic = match rest {
            [] => None,
            [WITH_ID, id @ ..] => Some(TopicId(id.try_into().ok()?)),
            _ => return None,
        };
        i64::try_from(offset).is_ok().then_some(Self { offset, topic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let old = Position::of_number(0x0102);
        let plain = KafkaPosition { offset: 0x0102, topic: None };
        assert_eq!((plain.encode(), KafkaPosition::decode(&old)), (old.clone(), Some(plain)));
        let known = KafkaPosition { topic: TopicId::new([7; 16]), ..plain };
        let bytes = known.encode();
        assert_eq!(bytes.0, [&old.0[..], &[1], &[7; 16]].concat());
        assert_eq!(KafkaPosition::decode(&bytes), Some(known));
        for odd in [&bytes.0[..24], &[0; 7], &[0xff; 8], &[0; 25]] {
            assert_eq!(KafkaPosition::decode(&Position(odd.to_vec())), None, "{odd:?}");
        }
        assert_eq!(TopicId::new([0; 16]), None);
    }
}
