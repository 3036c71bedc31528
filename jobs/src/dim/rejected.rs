//! Why a config row is refused.
//!
//! A refusal is an output, not an error: it goes to the side output `config_fault` and is counted
//! `config_rejected` by its reason. The words of the reasons are read by tests and dashboards.

use std::fmt;

/// The reason why a config row is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its columns are those of no known config table.
    UnknownLayout,
    /// It routes facts, and dimensions are asked for.
    NotADimension,
    /// It makes a dimension, and routes of facts are asked for.
    NotAFact,
    /// `source_table` is NULL or blank.
    NoSourceTable,
    /// `source_type` (`operate_type` in the older layout) is NULL or blank.
    NoSourceType,
    /// It is none of insert, update and delete.
    BadSourceType,
    /// `sink_table` is NULL or blank.
    NoSinkTable,
    /// `sink_table` is no name of a topic.
    BadTopic,
    /// `sink_columns` is NULL or blank.
    NoColumns,
    /// A name in `sink_columns` is empty.
    EmptyColumn,
    /// A name is in `sink_columns` twice (names at the target have no case).
    DuplicateColumn,
    /// More columns than a dimension table can have.
    TooManyColumns,
    /// A name in `sink_pk` is empty.
    EmptyKey,
    /// A name is in `sink_pk` twice.
    DuplicateKey,
    /// `sink_extend` does not parse.
    BadExtend,
    /// `sink_table` with what stands before the name of every topic is too long for one.
    LongName,
    /// A name that the target store does not take.
    BadName,
    /// Another source table feeds the sink table.
    SinkTaken,
    /// As [`Reason::SinkTaken`] where sharing is allowed, but with another key.
    SharedKeyDiffers,
    /// Likewise, with another number of salt buckets.
    SharedSaltDiffers,
    /// A row in force has another key: that is decided once for a table.
    KeyChanged,
    /// A row in force has another number of salt buckets, likewise.
    SaltChanged,
}

impl Reason {
    /// The word for counters and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLayout => "unknown_layout",
            Self::NotADimension => "not_a_dimension",
            Self::NotAFact => "not_a_fact",
            Self::NoSourceTable => "no_source_table",
            Self::NoSourceType => "no_source_type",
            Self::BadSourceType => "bad_source_type",
            Self::NoSinkTable => "no_sink_table",
            Self::BadTopic => "bad_topic",
            Self::NoColumns => "no_columns",
            Self::EmptyColumn => "empty_column",
            Self::DuplicateColumn => "duplicate_column",
            Self::TooManyColumns => "too_many_columns",
            Self::EmptyKey => "empty_key",
            Self::DuplicateKey => "duplicate_key",
            Self::BadExtend => "bad_extend",
            Self::LongName => "long_name",
            Self::BadName => "bad_name",
            Self::SinkTaken => "sink_taken",
            Self::SharedKeyDiffers => "shared_key_differs",
            Self::SharedSaltDiffers => "shared_salt_differs",
            Self::KeyChanged => "key_changed",
            Self::SaltChanged => "salt_changed",
        }
    }
}

/// A refused config row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// What is wrong, in words for whoever wrote the row.
    pub text: String,
}

impl Rejected {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.as_str(), self.text)
    }
}
