//! What has failed lately, and what follows from it: pure, so that ten minutes take no time to test.

use std::collections::VecDeque;
use std::time::Duration;

/// Failures count against the limit for so long.
const WINDOW_MS: u64 = 600_000;
/// Longest pause before a restart.
const PAUSE_MS_MAX: u64 = 60_000;
/// Faults of one operator in a row, within the window, that put its job into quarantine.
const FAULTS_IN_A_ROW: usize = 3;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Start again after this pause.
    Restart {
        /// Zero = at once.
        after: Duration,
    },
    /// There were too many.
    GiveUp,
}

/// Failures of the last ten minutes.
#[derive(Debug)]
pub(super) struct History {
    failures_max: usize,
    /// When, and which operator as `job.uid` where that is known. Oldest first.
    failures: VecDeque<(u64, Option<String>)>,
    quarantined: Vec<String>,
}

impl History {
    /// No failures; these operators are in quarantine from before.
    pub(super) fn new(failures_max: usize, quarantined: Vec<String>) -> Self {
        Self { failures_max, failures: VecDeque::new(), quarantined }
    }

    /// Takes note of a failure at `now_ms` of a clock that only moves forward.
    pub(super) fn failed(&mut self, now_ms: u64, operator: Option<String>) -> Next {
        self.failures.retain(|(at, _)| now_ms.saturating_sub(*at) < WINDOW_MS);
        self.failures.push_back((now_ms, operator));
        self.judge_quarantine();
        if self.failures.len() >= self.failures_max {
            return Next::GiveUp;
        }
        // The first at once, then 1 s, 2 s, 4 s ...
        let pause_ms = match u32::try_from(self.failures.len()).unwrap_or(u32::MAX) {
            0 | 1 => 0,
            count => 1000_u64.saturating_mul(2_u64.saturating_pow(count - 2)).min(PAUSE_MS_MAX),
        };
        Next::Restart { after: Duration::from_millis(pause_ms) }
    }

    fn judge_quarantine(&mut self) {
        let mut last = self.failures.iter().rev().map(|(_, operator)| operator.as_ref());
        let Some(Some(operator)) = last.next() else { return };
        if last.take_while(|other| *other == Some(operator)).count() + 1 < FAULTS_IN_A_ROW {
            return;
        }
        if !self.quarantined.contains(operator) {
            self.quarantined.push(operator.clone());
        }
    }

    /// Failures of the last ten minutes.
    pub(super) fn failures(&self) -> usize {
        self.failures.len()
    }

    /// Operators, as `job.uid`, without whose jobs is to be started.
    pub(super) fn quarantined(&self) -> &[String] {
        &self.quarantined
    }
}

/// The operator as `job.uid` that a thread works for, by the thread's name: the engine calls the
/// threads of sources and sinks after their job. Workers serve all jobs, and their names tell
/// nothing.
pub(super) fn operator(thread: &str) -> Option<String> {
    let (kind, rest) = thread.split_once(' ')?;
    match kind {
        "source" => Some(rest.to_owned()),
        // Without the shard.
        "sink" => rest.rsplit_once('.').map(|(operator, _)| operator.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(history: &mut History, times_ms: &[u64]) -> Vec<Option<u64>> {
        let next = times_ms.iter().map(|at| history.failed(*at, None));
        next.map(|next| match next {
            Next::Restart { after } => Some(after.as_secs()),
            Next::GiveUp => None,
        })
        .collect()
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_the_tenth_failure_is_the_last() {
        let expected = [0, 1, 2, 4, 8, 16, 32, 60, 60].map(Some).into_iter().chain([None]);
        let times: Vec<u64> = (0..10).map(|number| number * 1000).collect();
        assert_eq!(pauses(&mut History::new(10, Vec::new()), &times), expected.collect::<Vec<_>>());
    }

    #[test]
    fn failures_are_forgotten_after_ten_minutes() {
        let found = pauses(&mut History::new(3, Vec::new()), &[0, 1, 600_000, 600_001, 600_002]);
        assert_eq!(found, [Some(0), Some(1), Some(1), Some(1), None]);
        let far = pauses(&mut History::new(2, Vec::new()), &[0, 600_000, 1_200_000]);
        assert_eq!(far, [Some(0); 3]);
        assert_eq!(pauses(&mut History::new(1, Vec::new()), &[0]), [None]);
    }

    #[test]
    fn the_same_operator_three_times_in_a_row_is_quarantined() {
        let cases: [(&[(u64, &str)], &[&str]); 5] = [
            (&[(0, "a.x"), (1, "a.x"), (2, "a.x")], &["a.x"]),
            (&[(0, "a.x"), (1, "a.y"), (2, "a.x")], &[]),
            (&[(0, "a.x"), (1, "a.x"), (2, ""), (3, "a.x")], &[]),
            (&[(0, ""), (1, ""), (2, "")], &[]),
            // The first is too long ago.
            (&[(0, "a.x"), (500_000, "a.x"), (600_000, "a.x")], &[]),
        ];
        for (failures, expected) in cases {
            let mut history = History::new(100, Vec::new());
            for (at, operator) in failures {
                let operator = (!operator.is_empty()).then(|| (*operator).to_owned());
                history.failed(*at, operator);
            }
            assert_eq!(history.quarantined(), expected, "{failures:?}");
        }
    }

    #[test]
    fn who_was_in_quarantine_before_is_joined_by_others_and_once() {
        let mut history = History::new(100, vec!["a.x".to_owned()]);
        assert_eq!(history.quarantined(), ["a.x"]);
        for operator in ["a.x", "a.x", "a.x", "b.y", "b.y", "b.y"] {
            history.failed(0, Some(operator.to_owned()));
        }
        assert_eq!(history.quarantined(), ["a.x", "b.y"]);
    }

    #[test]
    fn threads_tell_their_operator() {
        let cases = [
            ("source log_split.ods_log", Some("log_split.ods_log")),
            ("sink dws_x.table.3", Some("dws_x.table")),
            ("timely:work-0", None),
            ("writer", None),
            ("loader log_split", None),
        ];
        for (thread, expected) in cases {
            assert_eq!(operator(thread).as_deref(), expected, "{thread}");
        }
    }
}
