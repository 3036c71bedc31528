//! How much may wait in the outbox for one sink: the fourth brake.
//!
//! A target that is gone does not fill the disk. When more waits for a sink than its quota, the group
//! of its job closes no more epochs and its sources take nothing in, until enough has been delivered.
//! Other groups go on (specification 17.4).
//!
//! Long before that, sources wait for a sink that delivers but has more planned than memory keeps
//! ([`QUEUED_SHARE`](crate::limit::QUEUED_SHARE)).

use std::sync::Arc;

use crate::limit::{OUTBOX_BYTES_MAX, OUTBOX_UNITS_MAX};

/// What waits in the outbox for one sink, all its shards together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Job name.
    pub job: Arc<str>,
    /// Uid of the sink.
    pub sink: Arc<str>,
    /// Planned units that are not delivered.
    pub units: usize,
    /// Stored bytes that are not delivered, also those not yet planned.
    pub bytes: u64,
    /// Of these, bytes of planned units that wait behind another.
    pub queued_bytes: u64,
}

/// What may wait for each sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Units.
    pub units: usize,
    /// Stored bytes.
    pub bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { units: OUTBOX_UNITS_MAX, bytes: OUTBOX_BYTES_MAX }
    }
}

impl Quota {
    /// Whether more waits than may.
    pub fn is_exceeded_by(&self, backlog: &Backlog) -> bool {
        backlog.units > self.units || backlog.bytes > self.bytes
    }
}
