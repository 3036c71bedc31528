//! From an error to the exit code of the process, the same for every command.
//!
//! The code tells the supervisor, and whoever writes a unit file, whether trying again may help.

use anyhow::Error;
use engine::checkpoint::disk::real::LockError;
use engine::error::{Fatal, JobError, exit, is_no_space as io_no_space};
use engine::outbox::log::LogError;
use engine::state::backend::StateError;

use crate::config::Unreadable;
use crate::config::fault::ConfigError;

/// The code of the innermost cause that has one of its own.
pub(crate) fn code_of(error: &Error) -> u8 {
    error.chain().find_map(code).unwrap_or(exit::FAILED)
}

/// Whether one of the causes is that the disk is full.
pub(crate) fn is_no_space(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<Fatal>().is_some_and(|fatal| fatal.no_space)
            || cause.downcast_ref::<StateError>().is_some_and(|state| state.no_space)
            || cause.downcast_ref().is_some_and(io_no_space)
    })
}

fn code(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(fatal) = cause.downcast_ref::<Fatal>() {
        return Some(fatal.code);
    }
    if let Some(lock) = cause.downcast_ref::<LockError>() {
        return Some(match lock {
            LockError::Held { .. } => exit::IN_USE,
            LockError::Io { .. } => exit::DISK,
        });
    }
    let configuration = cause.is::<ConfigError>() || cause.is::<Unreadable>();
    // A job that does not fit its saved state is refused until somebody says what to drop.
    if configuration || cause.is::<JobError>() {
        return Some(exit::CONFIGURATION);
    }
    let full = cause.downcast_ref().is_some_and(io_no_space);
    (full || cause.is::<LogError>() || cause.is::<StateError>()).then_some(exit::DISK)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_found_under_their_context() {
        let job = JobError { job: "j".to_owned(), reason: "r".to_owned() };
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let cases: [(Error, u8); 6] = [
            (full().into(), 74),
            (Fatal::disk(full()).into(), 74),
            (Fatal::disk("x").into(), 74),
            (job.into(), 2),
            (anyhow::anyhow!("x"), 1),
            (std::io::Error::other("x").into(), 1),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("what was done").expect_err("it is one");
            assert_eq!(code_of(&error), expected, "{error:#}");
            assert_eq!(is_no_space(&error), format!("{error:#}").contains("no storage space"));
        }
    }
}
