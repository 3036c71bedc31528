//! The log of a topic partition, and blocks of the epochs in hand that are not in it yet.
//!
//! The blocks are written together with those of all other partitions when their epochs complete. They
//! count against the in-flight budget until they are in the log.

use crate::batch::buffer::Buffer;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::Fatal;
use crate::outbox::block::BlockHeader;
use crate::outbox::log::BlockLog;

/// The log.
pub(super) struct TopicLog {
    log: BlockLog,
    given: Vec<(BlockHeader, Buffer)>,
}

impl TopicLog {
    pub(super) fn new(log: BlockLog) -> Self {
        Self { log, given: Vec::new() }
    }

    /// Takes a block of rows; the base in its header is set when it is written.
    pub(super) fn give(&mut self, header: BlockHeader, bytes: Buffer) {
        self.given.push((header, bytes));
    }

    /// Appends what was given, in that order, and makes it durable.
    pub(super) fn write(&mut self, points: &CrashPoints) -> Result<(), Fatal> {
        for (mut header, bytes) in self.given.drain(..) {
            points.pass(CrashPoint::BeforeBlock)?;
            header.base = self.log.next_base();
            self.log.append(header, bytes.bytes()).map_err(Fatal::disk)?;
            points.pass(CrashPoint::BlockWritten)?;
        }
        self.log.sync().map_err(Fatal::disk)
    }

    pub(super) fn log(&self) -> &BlockLog {
        &self.log
    }

    pub(super) fn log_mut(&mut self) -> &mut BlockLog {
        &mut self.log
    }
}
