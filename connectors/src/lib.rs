//! Outside systems and the shapes of bytes: everything between a foreign system and a row.
//!
//! ```text
//!   outside                               engine                                outside
//!  kafka ─┐  records, positions                              blocks of a unit  ┌─ kafka
//!  topic ─┼──────────────> Decoder ──> rows ──> Encoder ──> outbox ────────────┤
//!  file  ─┘                (format)             (format)                       └─ (topic: the engine
//!                                                                                  keeps the blocks)
//! ```
//!
//! Two families that do not know each other: systems move bytes and never look into them, formats
//! look into bytes and never do IO. A job puts them together.
//!
//! Read in this order:
//!
//! 1. [`file::lines::LinesSourceFactory`]: the smallest source, a recorded file.
//! 2. [`topic::source::TopicSourceFactory`]: the embedded topic log as a source;
//!    [`topic::read::read_partition`] reads it record by record.
//! 3. [`kafka::source::KafkaSource`] and [`kafka::sink::KafkaSink`], told where by
//!    [`kafka::config::KafkaConfig`]; [`kafka::progress`] is what makes the sink exactly once.
//! 4. [`format::app_log`]: `ods_log`, parsed once and split by copying ranges;
//!    [`format::app_log::decoder::AppLogDecoder`] is where rows begin.
//! 5. [`format::json::JsonRow`]: table rows as JSON objects with comparable keys.
//! 6. [`format::side::DeadLetter`]: what could not be processed, with its reason.
//!
//! Not here: what a record means to the warehouse (`jobs`), state, time and checkpoints (`engine`),
//! tables (`store`), consumer groups, and any error for bad data: that is a row with a reason.

pub mod file;
pub mod format;
pub mod kafka;
pub mod mysql;
mod reread;
pub mod topic;
