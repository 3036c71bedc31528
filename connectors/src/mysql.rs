//! MySQL and MariaDB: one table read from its snapshot and its server's log.
//!
//! ```text
//!             thread "mysql reader"                                         the engine's thread
//!  session ─> snapshot ─┐                                          ┌─> source ─> batches, positions
//!  session ─> resume    ├─> envelope ─> follow::Handover ─> queue ─┘
//!  dump ─> transaction ─┘   (JSON)      (pieces)            (bytes)
//! ```
//!
//! Read in this order: [`source::MysqlTableSource`] (what a job gets), `snapshot` (why nothing is lost
//! or doubled between table and log), `transaction` (where a cut is allowed), `resume` (when a saved
//! position may be used), `dump` (what the client library gets wrong), `cell` (values).
//!
//! Not here: several tables at once, the Maxwell form, snapshots in chunks, writing to the server.
//! Nothing is decoded twice: records are JSON bytes because the configuration stream comes as such from
//! Kafka and files too.

mod bytes;
mod cell;
mod change;
pub mod config;
mod dump;
mod envelope;
mod follow;
mod gtid;
mod json;
mod options;
mod patience;
mod position;
mod queue;
pub mod reader;
mod resume;
mod session;
mod snapshot;
pub mod source;
mod statement;
mod table;
mod transaction;
mod trouble;
