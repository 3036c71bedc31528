//! Named points at which a test lets a process die (specification 25.7).
//!
//! Each stands between two things of which a crash may leave one without the other. Whoever passes
//! one says so with [`CrashPoints::pass`]; in production nobody listens and the call is a test for
//! `None`. Simulation picks points by seed; the real binary has a flag that help does not show. A
//! point that nobody passes would be a test that cannot fail: the simulation counts those it died at.
//!
//! Point 12 of the list (between precommit and commit of a two-phase load) comes with the sink
//! that has one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Fatal;

/// Where a process may be told to die; numbers are those of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// 1: before a block is written to the outbox or to an embedded topic.
    BeforeBlock,
    /// 2: a block is written, not synced.
    BlockWritten,
    /// 3: the logs are synced, the batch is not begun.
    LogsSynced,
    /// 4: inside the batch: whoever listens makes it unknown whether it takes effect.
    InsideBatch,
    /// 5: the batch is synced and not published.
    BatchSynced,
    /// 6: a unit is published, nothing of it is sent.
    Published,
    /// 7: a transaction is begun at the target.
    TransactionBegun,
    /// 8: half of a unit is sent.
    HalfSent,
    /// 9: a unit is delivered, and the reply was not seen.
    ReplyUnseen,
    /// 10: the reply was seen, `delivered` is not recorded.
    ReplySeen,
    /// 11: shard 0 has delivered a unit, the other shards may not have.
    BetweenShards,
    /// 13: an operator has its state, but not the end mark behind it.
    BeforeEndMark,
    /// 13: an operator has been told that this was all of its state.
    AfterEndMark,
    /// 14: before a unit is sent that an earlier generation has planned.
    Draining,
    /// 15: one worker has built the dataflow of a job, others may not have.
    JobApplied,
    /// 16: the new generation is written, and nothing else.
    GenerationWritten,
}

impl CrashPoint {
    /// All points, in the order of the specification.
    pub const ALL: [Self; 16] = [
        Self::BeforeBlock,
        Self::BlockWritten,
        Self::LogsSynced,
        Self::InsideBatch,
        Self::BatchSynced,
        Self::Published,
        Self::TransactionBegun,
        Self::HalfSent,
        Self::ReplyUnseen,
        Self::ReplySeen,
        Self::BetweenShards,
        Self::BeforeEndMark,
        Self::AfterEndMark,
        Self::Draining,
        Self::JobApplied,
        Self::GenerationWritten,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeBlock => "before_block",
            Self::BlockWritten => "block_written",
            Self::LogsSynced => "logs_synced",
            Self::InsideBatch => "inside_batch",
            Self::BatchSynced => "batch_synced",
            Self::Published => "published",
            Self::TransactionBegun => "transaction_begun",
            Self::HalfSent => "half_sent",
            Self::ReplyUnseen => "reply_unseen",
            Self::ReplySeen => "reply_seen",
            Self::BetweenShards => "between_shards",
            Self::BeforeEndMark => "before_end_mark",
            Self::AfterEndMark => "after_end_mark",
            Self::Draining => "draining",
            Self::JobApplied => "job_applied",
            Self::GenerationWritten => "generation_written",
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|point| point.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no crash point \"{name}\"; there are {names}")
        })
    }
}

/// Called with every point that is passed, from any thread. An error ends the process as if it had
/// been killed there.
type Listener = Arc<dyn Fn(CrashPoint) -> Result<(), Fatal> + Send + Sync>;

/// Who listens, if anybody; clones share the listener.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Listener>);

impl CrashPoints {
    /// Points that `listener` is told of. It MAY kill the process, or answer an error, by which a
    /// simulation ends the generation.
    pub fn new(listener: impl Fn(CrashPoint) -> Result<(), Fatal> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Whether anybody listens: then what a point says of the outside has to be true.
    #[inline]
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Says that a point is passed.
    #[inline]
    pub fn pass(&self, point: CrashPoint) -> Result<(), Fatal> {
        match &self.0 {
            None => Ok(()),
            Some(listener) => listener(point),
        }
    }
}

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "CrashPoints(listened to)" } else { "CrashPoints" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_points() {
        for point in CrashPoint::ALL {
            assert_eq!(point.name().parse(), Ok(point));
        }
        let error = "batch".parse::<CrashPoint>().expect_err("no point");
        assert!(error.contains("\"batch\"") && error.contains("inside_batch"), "{error}");
    }
}
