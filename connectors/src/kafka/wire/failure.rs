//! Why a question to a broker was not answered as hoped.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::bytes::Garbled;
use super::code::ErrorCode;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(in crate::kafka) enum Failure {
    /// The outcome of what was sent is not known.
    #[error("the connection to {address} is broken: {error}")]
    Broken { address: Address, error: io::Error },
    /// Likewise.
    #[error("{address} did not answer {what} in time")]
    Silent { address: Address, what: &'static str },
    /// Likewise.
    #[error("cannot read the answer of {address} to {what}: {}", reason.0)]
    Garbled { address: Address, what: &'static str, reason: Garbled },
    /// The broker is too old, or so new that it has dropped what we speak.
    #[error("{address} serves {what} in {served}, and version {needed} is needed")]
    Unserved { address: Address, what: &'static str, served: String, needed: i16 },
    /// The broker said no.
    #[error("{0}")]
    Refused(ErrorCode),
    /// Whoever waits does not want to any more.
    #[error("it is closed")]
    Stopped,
}

impl Failure {
    /// The broker's code, if it gave one.
    pub(in crate::kafka) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(code) => Some(*code),
            _ => None,
        }
    }
}

/// Asked between two turns of waiting; true ends every wait.
pub(in crate::kafka) type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

/// How long to wait, and who may cut it short.
#[derive(Clone)]
pub(in crate::kafka) struct Patience {
    until: Instant,
    stopped: Option<Stopped>,
}

impl Patience {
    /// Waits for `limit` at most, and less if told to stop.
    pub(in crate::kafka) fn new(limit: Duration, stopped: &Stopped) -> Self {
        Self { until: Instant::now() + limit, stopped: Some(Arc::clone(stopped)) }
    }

    /// Waits for `limit` whoever wants to stop: for what has to be brought to an end.
    pub(in crate::kafka) fn stubborn(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, stopped: None }
    }

    pub(in crate::kafka) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    pub(in crate::kafka) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(in crate::kafka) fn check_stopped(&self) -> Result<(), Failure> {
        match &self.stopped {
            Some(stopped) if stopped() => Err(Failure::Stopped),
            Some(_) | None => Ok(()),
        }
    }
}
