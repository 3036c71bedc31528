//! The trait of what delivers units to the outside.
//!
//! A sink MUST deliver a unit idempotently or say [`Delivery::AtLeastOnce`], MUST acknowledge only
//! what is durable at the target, and MUST NOT wait for a peer: a request is begun, then polled.
//! One instance serves one shard and has one request outstanding at a time.

pub mod partitions;
pub mod row_limits;

use std::sync::Arc;

use self::partitions::Partitions;
use self::row_limits::RowLimits;
use crate::clock::Moment;
use crate::error::{Fatal, Fault};
use crate::outbox::blocks::Blocks;
use crate::runtime::step::Waker;

/// Who is asking; the target's own record of progress carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkIdentity {
    /// Random id of the state directory: a new directory is never mistaken for the old one.
    pub family: u64,
    /// Name of the job.
    pub job: Arc<str>,
    /// Uid of the sink in the job.
    pub sink: Arc<str>,
    /// Worker that wrote the rows when the unit was planned.
    pub shard: u16,
}

/// A delivery unit: epochs `lower..=upper` of one shard. Immutable once planned: every attempt
/// sends the same bytes under the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// First epoch.
    pub lower: u64,
    /// Last epoch.
    pub upper: u64,
    /// Rows in all blocks.
    pub rows: u64,
    /// Stored bytes of all blocks.
    pub bytes: u64,
    /// Checksum over the checksums of the blocks.
    pub crc: u32,
}

/// What a sink is asked for.
#[derive(Debug, Clone)]
pub enum SinkRequest {
    /// Check health and schema, fence older instances; before the job starts.
    Prepare(SinkIdentity),
    /// Create the table if it is absent, add missing columns, never drop.
    EnsureTable(TableDefinition),
    /// The greatest epoch the target already has from this shard, by the target's own record.
    LastDelivered,
    /// Deliver a unit whose plan is durable. A block that cannot be read is [`SinkPoll::Broken`], and
    /// nothing of the unit may become visible.
    Deliver(Unit, Blocks),
}

/// A table a sink may have to create. One that exists with another key, type or salt stays as it is:
/// the answer is a fault that no retry helps, and says what differs. One that exists in another
/// edition is dropped with all its rows and made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableDefinition {
    /// Schema of the table at the target, if one is configured.
    pub schema: Option<String>,
    /// Name at the target.
    pub name: String,
    /// Columns in order: name and type text.
    pub columns: Vec<(String, String)>,
    /// Names of the key columns.
    pub keys: Vec<String>,
    /// Properties of the table, upper-case names: `("SALT_BUCKETS", "4")`.
    pub options: Vec<(String, String)>,
    /// Row keys at which the table is split from the start.
    pub split_on: Vec<String>,
    /// 0 for a table that is made once; another number each time it is to be made anew. What is
    /// asked for last is what there is.
    pub edition: u64,
}

/// Answer to a finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkReply {
    /// To `Prepare`.
    Prepared,
    /// To `EnsureTable`.
    TableReady,
    /// To `LastDelivered`: `None` if the target knows nothing of this shard.
    LastDelivered(Option<u64>),
    /// To `Deliver`.
    Delivered,
}

/// Answer of [`Sink::poll`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkPoll {
    /// Not finished.
    Pending,
    /// Finished.
    Done(SinkReply),
    /// Failed; begin the same request again. The fault says whether that may help.
    Fault(Fault),
    /// What is broken is ours (the disk under an embedded target): the process must stop.
    Broken(Fatal),
}

/// What a crash may do at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// A reader never sees a row twice.
    ExactlyOnce,
    /// A reader may see a unit twice after a crash.
    AtLeastOnce,
}

/// When enough has gathered to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitPolicy {
    /// Epochs in one unit at most.
    pub epochs_max: u64,
    /// Rows after which a unit is planned at the next close.
    pub rows_max: u64,
    /// Stored bytes, likewise.
    pub bytes_max: u64,
    /// Milliseconds (by epoch stamps) after which a unit is planned at the next close.
    pub interval_ms: i64,
}

impl UnitPolicy {
    /// One unit per epoch.
    pub const EVERY_EPOCH: Self = Self { epochs_max: 1, rows_max: 0, bytes_max: 0, interval_ms: 0 };
}

/// Something that takes units; lives on a thread of its own.
pub trait Sink: Send {
    /// Starts a request; the one before MUST be finished.
    fn begin(&mut self, request: SinkRequest);
    /// From now on wakes `waker` when a request under way is answered, if it can: whether it will. One
    /// that does not is polled every millisecond.
    fn wake_with(&mut self, waker: Waker) -> bool {
        let _ = waker;
        false
    }
    /// Asks how it stands.
    fn poll(&mut self, now: Moment) -> SinkPoll;
    /// Lets go of connections; nothing is called afterwards.
    fn close(&mut self);
}

/// Makes the sink of a job, one instance per shard; part of the plan, so shared between threads.
pub trait SinkFactory: Send + Sync {
    /// For `explain`.
    fn describe(&self) -> String;
    /// When units are planned.
    fn unit_policy(&self) -> UnitPolicy;
    /// What a crash may do.
    fn delivery(&self) -> Delivery;
    /// How large rows may be, where the target has a limit: its sinks learn it in `Prepare`. A larger
    /// row becomes a dead letter of the job.
    fn row_limits(&self) -> Option<RowLimits> {
        None
    }
    /// The partitions of its topics, where its sinks send records as they lie in a block: each learns
    /// them in `Prepare`, for its shard.
    fn partitions(&self) -> Option<Partitions> {
        None
    }
    /// Opens nothing yet.
    fn create(&self) -> Result<Box<dyn Sink>, Fault>;
}
