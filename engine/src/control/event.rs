//! What the other machines tell the controller.

use std::sync::Arc;

use crate::error::Fault;
use crate::source::{Partition, Position};

/// An event for the controller.
#[derive(Debug, Clone)]
pub enum ControlEvent {
    /// A worker has applied the command with this number.
    Applied {
        /// Index of the worker.
        worker: usize,
        /// Number of the command.
        command: u64,
    },
    /// An epoch of a group is complete.
    Complete {
        /// The group.
        group: Arc<str>,
        /// Its greatest complete epoch.
        epoch: u64,
        /// Where its sources stand at that epoch.
        positions: Vec<SourcePositions>,
    },
    /// Nothing at or below this epoch of the group is undelivered.
    Settled {
        /// The group.
        group: Arc<str>,
        /// The epoch.
        epoch: u64,
    },
    /// All partitions of a bounded source have been read to their end.
    SourceEnded(Arc<str>, Arc<str>),
    /// A sink shard is ready, what it had undelivered included.
    SinkReady(Arc<str>, Arc<str>),
    /// The outside failed somewhere.
    Fault(FaultReport),
}

/// A fault and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultReport {
    /// Job.
    pub job: Arc<str>,
    /// Uid of the source or sink.
    pub uid: Arc<str>,
    /// What.
    pub fault: Fault,
}

/// Positions of one source at a complete epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePositions {
    /// Job.
    pub job: Arc<str>,
    /// Uid of the source.
    pub uid: Arc<str>,
    /// Position per partition of one worker.
    pub partitions: Vec<(Partition, Position)>,
}
