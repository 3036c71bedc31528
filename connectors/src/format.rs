//! The formats of records: bytes on one side, what the jobs need of them on the other.
//!
//! One folder per format, decode and encode side by side. Nothing here does IO and nothing here can
//! fail: bytes that are no record of the format come back with the reason why (style 7.9).

pub mod app_log;
pub mod debezium;
pub mod dimension;
pub mod json;
mod json_scan;
pub mod maxwell;
pub mod side;
