//! The embedded topic log: topics without a broker, one log of blocks per partition.
//!
//! A topic is written by the sink of a job (the engine appends the blocks once and moves a mark when
//! their epoch completes) and read here: as a [`source`] of another job, or record by record
//! ([`read`]) for the command line and for dumps. A record is addressed by topic, partition and
//! offset; offsets of a partition have no holes.
//!
//! Nothing here writes, and nothing here sees what lies behind a mark: that has not happened yet.

pub mod read;
pub mod source;

use engine::error::Fault;
use engine::outbox::log::LogError;

/// The fault for a log that cannot be read. None of them passes by itself.
fn unreadable(topic: &str, partition: u32, error: &LogError) -> Fault {
    let mut message = format!("cannot read topic \"{topic}\" partition {partition}: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Fault::never(message)
}
