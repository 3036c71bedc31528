//! The log of a topic partition, and blocks of the epochs in hand that are not in it yet.
//!
//! The blocks are written together with those of all other partitions when their epochs complete. They
//! count against the in-flight budget until they are in the log.

use crate::batch::buffer::Buffer;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::Fatal;
use crate::outbox::block::BlockHeader;
use crate::outbox::log::{BlockLog, Mark};

/// The log.
pub(super) struct TopicLog {
    log: BlockLog,
    given: Vec<(BlockHeader, Buffer)>,
    /// Appended to since its mark was taken last.
    is_touched: bool,
}

impl TopicLog {
    pub(super) fn new(log: BlockLog) -> Self {
        Self { log, given: Vec::new(), is_touched: false }
    }

    /// Takes a block of rows; the base in its header is set when it is written.
    pub(super) fn give(&mut self, header: BlockHeader, bytes: Buffer) {
        self.given.push((header, bytes));
        self.is_touched = true;
    }

    /// Appends what was given, in that order, and makes it durable. `is_read`: by somebody in this
    /// process, who wants it soon.
    pub(super) fn write(&mut self, is_read: bool, points: &CrashPoints) -> Result<(), Fatal> {
        self.log.expect_reads(is_read).map_err(Fatal::disk)?;
        for (mut header, bytes) in self.given.drain(..) {
            points.pass(CrashPoint::BeforeBlock)?;
            header.base = self.log.next_base();
            self.log.append(header, bytes.bytes()).map_err(Fatal::disk)?;
            points.pass(CrashPoint::BlockWritten)?;
        }
        self.log.sync().map_err(Fatal::disk)
    }

    /// Whether there is something to be written, or a mark to be taken.
    pub(super) fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// Takes the new end of the log, if it was appended to.
    pub(super) fn take_mark(&mut self) -> Option<Mark> {
        std::mem::take(&mut self.is_touched).then(|| self.log.mark())
    }

    pub(super) fn log_mut(&mut self) -> &mut BlockLog {
        &mut self.log
    }
}
