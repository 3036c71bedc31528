//! The trait of what gives bytes with positions.
//!
//! A source MUST give a position with every batch and resume from a position exactly, MUST bound
//! its buffer, MUST NOT decode, and MUST NOT wait for a peer in any call.

pub mod reread;

use std::sync::Arc;

use self::reread::Reread;
use crate::batch::Batch;
use crate::clock::Moment;
use crate::error::Fault;

/// An independently ordered part of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Unique in the source and stable over restarts, such as `ods_log/3`.
    pub name: Arc<str>,
    /// Decides order between partitions where times are equal; stable over restarts.
    pub ordinal: u32,
}

/// Where a source is in a partition: bytes that only the source understands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub Vec<u8>);

impl Position {
    /// A position that is one number (offset, line).
    pub fn of_number(number: u64) -> Self {
        Self(number.to_be_bytes().to_vec())
    }

    /// The number, if the position is one.
    pub fn as_number(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.0.as_slice().try_into().ok()?))
    }
}

/// Where to begin a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// First record still there.
    Earliest,
    /// After the last record there now.
    Latest,
    /// First record whose timestamp is at or after this, milliseconds.
    Timestamp(i64),
    /// Exactly here: a saved position.
    At(Position),
}

/// Whether what was read can be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// From any position still retained, byte for byte.
    Exact,
    /// Only by a new snapshot.
    FromSnapshot,
    /// Never: MUST go through the embedded topic log first (specification 9.9).
    None,
}

/// What a source says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// For messages: system and object, such as `kafka topic "ods_log"`.
    pub name: String,
    /// Whether it can be read again.
    pub replay: Replay,
    /// Whether it ends by itself.
    pub bounded: bool,
    /// Whether a partition without saved position begins with a snapshot: no epoch is cut before
    /// it is whole, which the source says by [`Polled::Whole`].
    pub snapshot: bool,
}

/// Records of one partition.
#[derive(Debug)]
pub struct SourceBatch {
    /// Whose records.
    pub partition: Partition,
    /// A raw batch, see [`RawBuilder`](crate::batch::build::RawBuilder).
    pub rows: Batch,
    /// Position after the last of them.
    pub next: Position,
    /// Whether a cut after them is allowed (a transaction ends here).
    pub boundary: bool,
}

/// Answer of [`Source::poll`].
#[derive(Debug)]
pub enum Polled {
    /// Records.
    Rows(SourceBatch),
    /// All up to this position has been read, also what had no records. Ends the snapshot that a
    /// partition without saved position begins with where the source has
    /// [`Description::snapshot`], also an empty one. Said otherwise, it is where a partition stands
    /// without a record that says so: where one begins at [`Start::Latest`], which MUST be told, so
    /// that a restart does not begin later, and where a position would grow old while there is
    /// nothing to read.
    Whole(Partition, Position),
    /// A partition reached the end of a bounded source; nothing will follow in it.
    End(Partition),
    /// Nothing now.
    Idle,
    /// The outside failed; polled again later if the fault may pass, else the job stops.
    Fault(Fault),
}

/// How much one poll may return.
#[derive(Debug, Clone, Copy)]
pub struct PollBudget {
    /// Records.
    pub rows: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Something that gives records with positions; lives on a thread of its own.
pub trait Source: Send {
    /// Name and abilities.
    fn describe(&self) -> Description;
    /// The current partitions, or `None` while they are not known yet. Asked again from time to
    /// time; partitions found later are opened at `Earliest`.
    fn discover(&mut self, now: Moment) -> Result<Option<Vec<Partition>>, Fault>;
    /// Begins a partition.
    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault>;
    /// Opens the extra partition [`Reread::partition`]: the records of all open partitions once
    /// more, from the first still there up to where these stand now, or on from `saved`, the extra
    /// partition's own position. Its records come by [`Source::poll_again`] and end with
    /// [`Polled::End`]. Records that came before others of their partition MUST come before them again.
    ///
    /// # Errors
    ///
    /// A source that cannot be read again refuses.
    fn reread(&mut self, request: &Reread, saved: Option<&Position>) -> Result<(), Fault> {
        let (_, name) = (saved, self.describe().name);
        Err(Fault::never(format!("{name} cannot be read again for \"{}\"", request.name)))
    }
    /// Records of any open partition, extra ones aside.
    fn poll(&mut self, budget: PollBudget, now: Moment) -> Polled;
    /// Records of what is read again; [`Polled::Idle`] if that is nothing. Asked less often than
    /// [`Source::poll`], and not at all while there is no room: live records go first.
    fn poll_again(&mut self, budget: PollBudget, now: Moment) -> Polled {
        let _ = (budget, now);
        Polled::Idle
    }
    /// Whether part of what is to come is here already, or should be at once: after an idle poll the
    /// next one then comes sooner than usual.
    fn is_arriving(&self) -> bool {
        false
    }
    /// Called after delivery, for copies of our positions outside (Kafka group offsets). Recovery
    /// never reads them.
    fn acknowledge(&mut self, positions: &[(Partition, Position)]);
    /// Lets go of connections; nothing is called afterwards.
    fn close(&mut self);
}

/// Makes the source of a job; part of the plan, so shared between threads.
pub trait SourceFactory: Send + Sync {
    /// For `explain`.
    fn describe(&self) -> String;
    /// Opens nothing yet.
    fn create(&self) -> Result<Box<dyn Source>, Fault>;
}
