//! Error codes of brokers.
//!
//! Source: "Error codes" of the protocol guide. librdkafka numbers those of brokers alike, so its
//! names and texts serve us too, and a fault reads the same whoever wrote.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

/// An error code as it stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct ErrorCode(pub(in crate::kafka) i16);

impl ErrorCode {
    pub(in crate::kafka) const NONE: Self = Self(0);
    pub(in crate::kafka) const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub(in crate::kafka) const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub(in crate::kafka) const LEADER_NOT_AVAILABLE: Self = Self(5);
    pub(in crate::kafka) const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    pub(in crate::kafka) const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    pub(in crate::kafka) const NOT_COORDINATOR: Self = Self(16);
    pub(in crate::kafka) const INVALID_PRODUCER_EPOCH: Self = Self(47);
    pub(in crate::kafka) const INVALID_PRODUCER_ID_MAPPING: Self = Self(49);
    pub(in crate::kafka) const CONCURRENT_TRANSACTIONS: Self = Self(51);
    /// Said of the partitions beside the one that is to blame.
    pub(in crate::kafka) const OPERATION_NOT_ATTEMPTED: Self = Self(55);
    pub(in crate::kafka) const PRODUCER_FENCED: Self = Self(90);
    pub(in crate::kafka) const UNKNOWN_TOPIC_ID: Self = Self(100);
    pub(in crate::kafka) const INCONSISTENT_TOPIC_ID: Self = Self(103);

    /// An error if it is one.
    pub(in crate::kafka) fn check(self) -> Result<(), Self> {
        if self == Self::NONE { Ok(()) } else { Err(self) }
    }

    /// What librdkafka calls it; `Unknown` for codes younger than it.
    pub(in crate::kafka) fn known(self) -> RDKafkaErrorCode {
        RDKafkaRespErr::try_from(i32::from(self.0))
            .map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
    }

    /// Whether a newer producer has our id, or our transaction was open for too long.
    pub(in crate::kafka) fn is_fenced(self) -> bool {
        matches!(self, Self::INVALID_PRODUCER_EPOCH | Self::PRODUCER_FENCED)
    }

    /// Whether the same request may simply be made again, on the same connection.
    pub(in crate::kafka) fn passes(self) -> bool {
        matches!(self, Self::COORDINATOR_LOAD_IN_PROGRESS | Self::CONCURRENT_TRANSACTIONS)
    }

    /// Whether another broker leads the partition, or will soon, or this one is not ready yet.
    pub(in crate::kafka) fn is_no_leader(self) -> bool {
        // Leader not available, not leader, replica not available, storage error, fenced or unknown
        // leader epoch, offset not available yet.
        matches!(self.0, 5 | 6 | 9 | 56 | 74 | 75 | 78)
    }

    /// Whether the coordinator of our id is to be looked for.
    pub(in crate::kafka) fn has_moved(self) -> bool {
        matches!(self, Self::COORDINATOR_NOT_AVAILABLE | Self::NOT_COORDINATOR)
    }

    /// Whether our number at the coordinator is good for nothing any more.
    pub(in crate::kafka) fn is_stale(self) -> bool {
        self.is_fenced() || self == Self::INVALID_PRODUCER_ID_MAPPING
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            RDKafkaErrorCode::Unknown => write!(f, "error code {}", self.0),
            known => known.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_librdkafka_gives_them() {
        for (code, name) in [
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, RDKafkaErrorCode::UnknownTopicOrPartition),
            (ErrorCode::LEADER_NOT_AVAILABLE, RDKafkaErrorCode::LeaderNotAvailable),
            (ErrorCode::NOT_COORDINATOR, RDKafkaErrorCode::NotCoordinator),
            (ErrorCode::CONCURRENT_TRANSACTIONS, RDKafkaErrorCode::ConcurrentTransactions),
            (ErrorCode::INVALID_PRODUCER_EPOCH, RDKafkaErrorCode::InvalidProducerEpoch),
            (ErrorCode::PRODUCER_FENCED, RDKafkaErrorCode::ProducerFenced),
            (ErrorCode(10), RDKafkaErrorCode::MessageSizeTooLarge),
            (ErrorCode(50), RDKafkaErrorCode::InvalidTransactionTimeout),
            (ErrorCode(32_000), RDKafkaErrorCode::Unknown),
        ] {
            assert_eq!(code.known(), name);
        }
        assert_eq!(ErrorCode(32_000).to_string(), "error code 32000");
        assert!(ErrorCode(10).to_string().contains("MessageSizeTooLarge"));
    }
}
