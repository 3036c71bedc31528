//! What can be seen from outside: a copy made by the controller after each of its steps.

use std::sync::Arc;

use super::quarantine::Quarantined;
use crate::epoch::hold::HoldEntry;
use crate::outbox::quota::Backlog;
use crate::outbox::sinks::SinkStatus;
use crate::state::size::StateSize;

/// State of a group of jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// Name: that of the job its streams come from.
    pub name: Arc<str>,
    /// Jobs in it.
    pub jobs: Vec<Arc<str>>,
    /// Whether sinks were ready and the sources have been opened.
    pub running: bool,
    /// Last epoch ordered to close.
    pub closed: u64,
    /// Last complete epoch.
    pub complete: u64,
    /// Last epoch with nothing undelivered at or below.
    pub settled: u64,
    /// The sink for which so much waits that the sources take nothing in.
    pub full_sink: Option<Backlog>,
    /// Milliseconds since the oldest closed and incomplete epoch was closed; 0 if there is none.
    pub epoch_age_ms: u64,
    /// Milliseconds since the last completion.
    pub checkpoint_age_ms: u64,
}

/// State of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Number of this incarnation.
    pub generation: u64,
    /// The epoch that is open.
    pub open_epoch: u64,
    /// Workers.
    pub workers: usize,
    /// Groups by name.
    pub groups: Vec<GroupStatus>,
    /// Retained capabilities, oldest first per worker.
    pub holds: Vec<HoldEntry>,
    /// Live bytes of batches and blocks under way.
    pub inflight_bytes: u64,
    /// Bytes of written blocks that are kept for their sinks; not among those.
    pub kept_bytes: u64,
    /// State in memory, by job and operator.
    pub states: Vec<StateSize>,
    /// Shards of sinks and what they are at.
    pub sinks: Vec<SinkStatus>,
    /// Faults of the outside, newest last, at most 32.
    pub faults: Vec<String>,
    /// Jobs that are left out.
    pub quarantined: Vec<Quarantined>,
    /// All bounded sources have ended and everything is delivered.
    pub finished: bool,
}
