//! What goes wrong with a log: every one of these stops the process or the job, none is retried.

use std::io;

use crate::error::{DiskError, is_no_space};

/// Why a log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused. After this the log takes no further call.
    #[error("could not {action} {path:?}")]
    Io {
        /// `create`, `list`, `read`, `append to`, `sync`, `cut`, `remove`.
        action: &'static str,
        /// File or directory, relative to the data directory.
        path: String,
        /// The disk's answer.
        source: io::Error,
    },
    /// Stored bytes are not what was written. They are never delivered.
    #[error("cannot use {file:?} at byte {offset}: {reason}")]
    Corrupt {
        /// Path relative to the data directory.
        file: String,
        /// Where the damaged block (or header) begins.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The log belongs to another state directory.
    #[error(
        "cannot use {file:?}: it belongs to state family {found:016x}, not to {expected:016x}; \
         state and logs of different data directories were mixed"
    )]
    Family {
        /// Path relative to the data directory.
        file: String,
        /// The family in the file.
        found: u64,
        /// The family of the state directory.
        expected: u64,
    },
    /// The file was written by a newer version.
    #[error("cannot use {file:?}: layout {found} needs a newer version, this one reads {readable}")]
    Layout {
        /// Path relative to the data directory.
        file: String,
        /// The layout in the file.
        found: u16,
        /// The newest layout this version reads.
        readable: u16,
    },
    /// A file that is still needed is gone or too short.
    #[error("cannot use {file:?}: {needed} bytes are needed, {found} are there")]
    Short {
        /// Path relative to the data directory.
        file: String,
        /// Bytes the mark or the reference speaks of.
        needed: u64,
        /// Bytes in the file; 0 where it is gone.
        found: u64,
    },
    /// An earlier call failed; what is on disk is no longer known.
    #[error("cannot use log {dir:?}: an earlier write failed")]
    Failed {
        /// The log's directory.
        dir: String,
    },
}

impl DiskError for LogError {
    fn is_no_space(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if is_no_space(source))
    }

    fn text(&self) -> String {
        match self {
            LogError::Io { source, .. } => format!("{self}: {source}"),
            LogError::Corrupt { .. }
            | LogError::Family { .. }
            | LogError::Layout { .. }
            | LogError::Short { .. }
            | LogError::Failed { .. } => self.to_string(),
        }
    }
}

impl LogError {
    /// Whether a file is not there, or was removed while it was read.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            LogError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            LogError::Short { found, .. } => *found == 0,
            LogError::Corrupt { .. }
            | LogError::Family { .. }
            | LogError::Layout { .. }
            | LogError::Failed { .. } => false,
        }
    }

    /// For `map_err`: the disk refused `action` on `path`.
    pub(super) fn io(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError::Io { action, path: path.to_owned(), source }
    }
}
