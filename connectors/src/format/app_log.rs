//! The app log (`ods_log`, warehouse 2.1): one JSON object per record, parsed once, split by copying
//! byte ranges.
//!
//! ```text
//! value --AppLogParser::parse--> AppLog --write_layout--> layout bytes --> [exchange by mid]
//!                                   |                                           |
//!                                   | mid, ts, is_new, page fields              v
//!                                   v                                  Layout::read + value
//!                              operators                                        |
//!                                                     Split: write_error, write_main,
//!                                                            write_display, write_action
//! ```
//!
//! [`AppLogParser`] walks the bytes once, checks all of them, and remembers where things stand.
//! [`Layout`] carries the ranges that [`Split`] needs through an exchange, so that nothing is parsed
//! a second time. Outputs are copies of ranges of the value: number text, member order and white
//! space stay, nothing is serialised again.
//!
//! What is misused easily: a layout belongs to the value it was written for. Together with another
//! value the outputs are nonsense (or the slice indexing panics).
//!
//! The glue to the engine stands apart from all this: [`decoder`] turns raw batches into rows,
//! [`emit`] turns a row into the rows of the five topics, [`page`] is the row that jobs on page
//! records take.
//!
//! # Decisions where warehouse 2.1 leaves room
//!
//! - *JSON* means the grammar of RFC 8259 and nothing else, exactly what serde_json accepts for
//!   `IgnoredAny`, at most [`DEPTH_MAX`] objects and arrays deep. So a lone surrogate escape
//!   (`"\ud800"`) and a number beyond `f64` (`1e999`) are fine in an unknown member and are kept.
//!   A known text member holding a lone surrogate cannot be decoded and counts as not text; a name
//!   holding one is an unknown name. A byte order mark is `not_object`.
//! - An integer is written as one: `1.0`, `1e3` and `-0` are none (as in serde_json), nor is
//!   anything beyond `i64`.
//! - A start record's `displays` and `actions` are unknown members: kept, not counted. So they are
//!   with a record that has neither `start` nor `page`.
//! - `displays` or `actions` being `null` is not an array either: dropped and counted.
//! - Only the last of several equal names is judged. Earlier ones stay as they are, unless the
//!   member is removed: then all of them go, or an earlier one would come to light.

mod cut;
pub mod decoder;
mod dirty;
pub mod emit;
mod endings;
mod flat;
mod layout;
mod members;
#[cfg(test)]
mod model;
mod name;
pub mod page;
mod pairs;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;
mod reading;
mod record;
mod split;

pub use crate::format::json_scan::{DEPTH_MAX, Span};
pub use dirty::Dirty;
pub use endings::Endings;
pub use layout::{Element, Elements, Layout};
pub use parse::AppLogParser;
pub use record::{AppLog, IsNew, Main};
pub use split::{ActionTs, ErrForm, FlatClash, Shape, Split, SplitOptions};
