//! What can go wrong here: faults of the outside, refusals of a job, and the end of the process.

use std::fmt;
use std::io;

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It may: retried with bounded back-off.
    Later,
    /// It cannot: somebody must act.
    Never,
}

/// A fault of the outside (broker, file, database).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether a retry may help.
    pub retry: Retry,
    /// What happened: lower case, no full stop, names quoted.
    pub message: String,
    /// What to do about it, if we know.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault that may pass.
    pub fn later(message: impl Into<String>) -> Self {
        Self { retry: Retry::Later, message: message.into(), hint: None }
    }

    /// A fault that stays until somebody acts.
    pub fn never(message: impl Into<String>) -> Self {
        Self { retry: Retry::Never, message: message.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// Exit codes, the same for every command (specification 21.6).
pub mod exit {
    /// Stopped as asked.
    pub const STOPPED: u8 = 0;
    /// Run-time failure.
    pub const FAILED: u8 = 1;
    /// Configuration.
    pub const CONFIGURATION: u8 = 2;
    /// Disk or state: no space, a failed sync, a checksum mismatch.
    pub const DISK: u8 = 74;
    /// The supervisor gave up restarting.
    pub const GAVE_UP: u8 = 75;
    /// The lease is lost or the state directory is in use.
    pub const IN_USE: u8 = 76;
    /// A broken invariant.
    pub const PANIC: u8 = 101;
}

/// The process must stop now and go on from the last complete epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    /// One of [`exit`].
    pub code: u8,
    /// What happened, and what to do.
    pub message: String,
    /// Whether the disk is full: the [`reserve`](crate::checkpoint::reserve) is freed before the
    /// process ends.
    pub no_space: bool,
}

impl Fatal {
    /// A process that ends with `code`.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), no_space: false }
    }

    /// The disk or the state store failed: never retried, never continued.
    pub fn disk(error: impl DiskError) -> Self {
        let no_space = error.is_no_space();
        Self { no_space, ..Self::new(exit::DISK, error.text()) }
    }

    /// Anything else that ends the run.
    pub fn failed(error: impl fmt::Display) -> Self {
        Self::new(exit::FAILED, error.to_string())
    }
}

/// What may be said of a disk that failed.
pub trait DiskError: fmt::Display {
    /// Whether it is full.
    fn is_no_space(&self) -> bool {
        false
    }

    /// What happened, with its cause.
    fn text(&self) -> String {
        self.to_string()
    }
}

impl DiskError for &str {}
impl DiskError for String {}
impl DiskError for Fault {}

impl DiskError for io::Error {
    fn is_no_space(&self) -> bool {
        is_no_space(self)
    }
}

/// Whether an error means that nothing more fits: the disk, or the share of it that is ours.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fatal {}

/// Why a job was refused at submit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot submit job \"{job}\": {reason}")]
pub struct JobError {
    /// The job.
    pub job: String,
    /// The reason, with the list of differences where it is about saved state.
    pub reason: String,
}
