//! The changes of a database as Maxwell writes them (`ods_db`, warehouse 2.2): the envelope parsed
//! once, the row in it left as JSON.
//!
//! ```text
//! {"database":"gmall2022","table":"order_info","type":"update","ts":1651287740,"xid":9044,...
//!     `-- DATABASE            `-- TABLE            `-- KIND, SNAPSHOT     `-- TS, event time
//!  "data":{"id":3001,...},"old":{"order_status":"1001"}}
//!         `-- DATA              `-- OLD               both skipped: checked, not decoded
//! ```
//!
//! [`MaxwellDecoder`](decoder::MaxwellDecoder) makes rows; whoever wants the row of a table reads
//! `data` and `old` with [`DataReader`](data::DataReader), or has [`Picker`](pick::Picker) make an
//! object of some columns. Two thirds of a shop's changes belong to
//! tables that no one asks for, and are dropped by their table's name alone.
//!
//! What is misused easily: `ts` is in seconds here (log records have milliseconds), and a row's
//! `SNAPSHOT` flag is all that tells a row of a bootstrap from a real insert.
//!
//! # Decisions where warehouse 2.2 leaves room
//!
//! - *JSON* is what [`app_log`](super::app_log) calls so: RFC 8259, at most 64 levels, UTF-8 in
//!   every byte. A tombstone (no value) and an empty value are `bad_json`: Maxwell writes neither.
//! - An integer is written as one and within `i64`. `ts` may be negative, but its milliseconds must
//!   be within `i64`, too, else it is `bad_ts`.
//! - Table DDL carries `ts` in milliseconds (capture 2.6); it is brought to seconds, so that its
//!   event time does not lie in the future. Database DDL has no `table` and is `bad_envelope`.
//! - The prefix `bootstrap-` is taken off any of insert, update and delete; `bootstrap-start` and
//!   `bootstrap-complete` are markers; anything else is of unknown kind.
//! - `data` and `old` are what they are: whether `data` is an object with a member is asked later
//!   (`empty_data`, warehouse 5.1, comes after `no_config`). Absent and JSON null are the same.

pub mod data;
pub mod decoder;
mod dirty;
mod kind;
mod parse;
pub mod pick;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;

pub use dirty::Dirty;
pub use kind::ChangeKind;
pub use parse::{MaxwellChange, MaxwellParser};
