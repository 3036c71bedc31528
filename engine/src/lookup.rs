//! The trait of what answers keys with rows: dimension tables, for joins of later jobs.
//!
//! Begun, then polled, like a sink; a lookup MUST answer every key (row, absent or fault) within
//! its time limit, MUST bound its queue and MUST say the version of each answer.

use crate::clock::Moment;
use crate::error::Fault;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The row as encoded by the store, with the change position it stems from.
    Row(Vec<u8>, u64),
    /// No such key.
    Absent,
    /// Could not be answered.
    Fault(Fault),
}

/// A dimension table that can be asked.
pub trait Lookup: Send {
    /// Starts a request for these keys under this token; at most one is outstanding.
    fn begin(&mut self, token: u64, keys: Vec<Vec<u8>>);
    /// `None` while pending, else the token and one answer per key, in order.
    fn poll(&mut self, now: Moment) -> Option<(u64, Vec<Answer>)>;
}
