//! Changes of a table in Debezium's envelope (capture 7, warehouse 2.3): what config tables come
//! as, whatever the source.
//!
//! ```text
//! {"before":null,"after":{"source_table":"sku_info",...},"source":{...,"table":"table_process"},
//!           `-- BEFORE   `-- AFTER                                             `-- SOURCE_TABLE
//!  "op":"c","ts_ms":1651280200000,"transaction":null}
//!        `-- OP    `-- TS_MS
//! ```
//!
//! Both forms are read alike, that of Flink CDC and that of Debezium itself, since members are
//! found by name and unknown ones are passed over; and so is either of them wrapped by a converter
//! with schemas (`{"schema":...,"payload":{...}}`). The rows stay JSON: read them with
//! [`maxwell::data`](super::maxwell::data).
//!
//! What is misused easily: `before` is null for `r` and `c`, `after` for `d`. And whether an update
//! that changes the key comes as `u` or as `d` and `c` depends on who wrote it: take both.
//!
//! # Decisions where the specification leaves room
//!
//! - *JSON* is what [`app_log`](super::app_log) calls so; an empty value is `bad_json`.
//! - A row that an op needs (`after` for r, c and u, `before` for d) must be an object; the other
//!   one must be an object, null or absent. Anything else is `bad_envelope`, as is an unknown `op`.
//!   `source` and `ts_ms` may be missing: nothing is decided by them.
//! - Tombstones (no value, or `null`) and truncations (`t`) are no rows; they are counted
//!   `dropped{reason="tombstone"}` and `dropped{reason="truncate"}`.
//! - A record is taken for a wrapped one if it has a `payload` and no `op` of its own.

pub mod decoder;
mod parse;
#[cfg(test)]
mod properties;

pub use parse::{DebeziumChange, DebeziumOp, DebeziumParser, Dirty, Outcome};
