//! Log events: what the engine says of itself, as types. Text and place are the root's business.

use std::fmt;
use std::sync::Arc;

use crate::checkpoint::reserve::Reserve;
use crate::control::event::FaultReport;
use crate::control::quarantine::Quarantined;
use crate::epoch::hold::HoldEntry;
use crate::outbox::sinks::SinkStatus;

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Life cycle.
    Info,
    /// Unexpected; recovered, or may recover by itself.
    Warn,
    /// Somebody must act.
    Error,
}

/// Something worth a line in the log; never per record or batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The outside failed somewhere.
    Fault(FaultReport),
    /// An epoch was closed and does not complete.
    Stalled {
        /// The group.
        group: Arc<str>,
        /// Milliseconds since the close.
        age_ms: u64,
        /// Whether it has been so for long.
        severe: bool,
        /// What holds it, oldest first; empty if everything was handed to the writer.
        holds: Vec<HoldEntry>,
    },
    /// Rows wait for a sink that delivers nothing.
    SinkStands {
        /// The sink, since when, and why.
        sink: SinkStatus,
        /// Whether it has been so for long.
        severe: bool,
    },
    /// A job does not run.
    Quarantined(Quarantined),
    /// Little or no space is held back: if the disk fills up, a stop may not be written down.
    NoReserve {
        /// Bytes that were to be held back.
        bytes: u64,
        /// Whether there is not enough space, or the file system cannot.
        reserve: Reserve,
    },
    /// The wall clock went forward by more than ten minutes at once, or back.
    ClockJump {
        /// Milliseconds; negative if it went back.
        by_ms: i64,
    },
}

impl Event {
    /// Who must act.
    pub fn level(&self) -> Level {
        match self {
            Self::Fault(report) => match report.fault.retry {
                crate::error::Retry::Later => Level::Warn,
                crate::error::Retry::Never => Level::Error,
            },
            Self::Stalled { severe, .. } | Self::SinkStands { severe, .. } => {
                if *severe {
                    Level::Error
                } else {
                    Level::Warn
                }
            }
            Self::Quarantined(_) => Level::Error,
            Self::NoReserve { .. } | Self::ClockJump { .. } => Level::Warn,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(report) => {
                write!(f, "fault job={} uid={}: {}", report.job, report.uid, report.fault)
            }
            Self::Stalled { group, age_ms, holds, .. } => {
                write!(f, "epoch does not complete group={group} age_ms={age_ms} holds=[")?;
                for (index, hold) in holds.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    let HoldEntry { worker, job, uid, epoch, reason } = hold;
                    let reason = reason.as_str();
                    write!(f, "{comma}{job}.{uid} worker={worker} epoch={epoch} {reason}")?;
                }
                f.write_str("]")
            }
            Self::SinkStands { sink, .. } => {
                let SinkStatus { job, sink, shard, work, waiting_ms, units, fault } = sink;
                write!(
                    f,
                    "sink stands still job={job} sink={sink} shard={shard} {}",
                    work.as_str()
                )?;
                write!(f, " waiting_ms={waiting_ms} units={units}")?;
                fault.as_ref().map_or(Ok(()), |fault| write!(f, ": {fault}"))
            }
            Self::Quarantined(Quarantined { job, reason }) => {
                write!(f, "job does not run job={job}: {reason}")
            }
            Self::NoReserve { bytes, reserve } => {
                write!(f, "no full reserve on the disk bytes={bytes}: ")?;
                match reserve {
                    Reserve::Held(part) => write!(f, "only {part} can be held back"),
                    Reserve::NoSpace => f.write_str("there is hardly any space"),
                    Reserve::Unsupported => f.write_str("its file system cannot hold space back"),
                }
            }
            Self::ClockJump { by_ms } => write!(f, "wall clock jumped by_ms={by_ms}"),
        }
    }
}

/// Where events go; handed in, and called from any thread.
#[derive(Clone)]
pub struct EventLog(Arc<dyn Fn(&Event) + Send + Sync>);

impl EventLog {
    /// A log that calls `write`, which MUST NOT block for long.
    pub fn new(write: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Logs.
    pub fn log(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Drops everything.
impl Default for EventLog {
    fn default() -> Self {
        Self::new(|_event| {})
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventLog")
    }
}
