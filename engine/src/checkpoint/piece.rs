//! What operators hand to the checkpoint, epoch by epoch.

use std::sync::Arc;

use crate::counter::CounterKey;
use crate::source::{Partition, Position};

/// A change of keyed state or of a timer: a put, or a delete where the value is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Key group of the key.
    pub group: u16,
    /// Key bytes.
    pub key: Vec<u8>,
    /// New value, or `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Where a partition stands at a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionRecord {
    /// The partition.
    pub partition: Partition,
    /// Position after the last record emitted.
    pub position: Position,
    /// Its watermark, milliseconds.
    pub watermark: i64,
    /// Greatest event time seen.
    pub peak: i64,
    /// Stamp of the last epoch that brought records; idleness is counted from it.
    pub active_at_ms: i64,
    /// Whether it has been silent for the idle time-out.
    pub idle: bool,
}

/// One operator's contribution to an epoch.
#[derive(Debug, Clone)]
pub enum Piece {
    /// State of the operator with this uid.
    State(Arc<str>, Vec<Delta>),
    /// Positions of the source with this uid.
    Positions(Arc<str>, Vec<PositionRecord>),
    /// Counts to be added.
    Counters(Vec<(CounterKey, u64)>),
}
