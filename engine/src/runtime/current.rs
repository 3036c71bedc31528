//! What the operator code of this thread is working for, so that a panic can be blamed.
//!
//! One panic ends all jobs of the process. The record of a crash names the job, the operator and the
//! epoch, and a job at fault again and again can be left out at the next start.

use std::cell::RefCell;
use std::sync::Arc;

/// The operator at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Job.
    pub job: Arc<str>,
    /// Uid of the operator.
    pub uid: Arc<str>,
    /// Epoch of the rows in hand.
    pub epoch: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// From now on this thread works for this operator; once per batch or close, never per row.
pub(crate) fn enter(job: &Arc<str>, uid: &Arc<str>, epoch: u64) {
    CURRENT.set(Some(Current { job: job.clone(), uid: uid.clone(), epoch }));
}

/// The operator this thread worked for last.
pub fn current() -> Option<Current> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.clone()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_operator_is_remembered() {
        enter(&"j".into(), &"window".into(), 7);
        let expected = Current { job: "j".into(), uid: "window".into(), epoch: 7 };
        assert_eq!(current(), Some(expected));
    }
}
