//! The stall detector: says what holds an epoch that does not complete.
//!
//! Anything that holds a capability stops commits: a source that did not cut, an operator that is
//! being restored, a link. The detector reads the published status and, when a closed epoch is too
//! old, names the holds at or below it, once in a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::clock::Moment;
use crate::control::status::{GroupStatus, Status};
use crate::error::Fatal;
use crate::event::{Event, EventLog};
use crate::runtime::step::{Machine, Step, Waker};

/// Age at which a stall is worth a warning (`stall.warn_ms`).
pub const WARN_MS: u64 = 10_000;
/// Age at which somebody must act (`stall.error_ms`).
pub const ERROR_MS: u64 = 30_000;
/// Pause between two reports of one group.
const REPEAT_MS: u64 = 30_000;
/// How often it looks.
const LOOK_MS: u64 = 1_000;

/// The machine.
pub(crate) struct StallDetector {
    status: Arc<Mutex<Status>>,
    log: EventLog,
    /// Next report by group, and whether the last was severe.
    reported: BTreeMap<Arc<str>, (u64, bool)>,
    waker: Waker,
}

impl StallDetector {
    pub(crate) fn new(status: Arc<Mutex<Status>>, log: EventLog) -> Self {
        Self { status, log, reported: BTreeMap::new(), waker: Waker::default() }
    }

    fn look(&mut self, group: &GroupStatus, status: &Status, now: Moment) {
        if group.epoch_age_ms < WARN_MS {
            self.reported.remove(&group.name);
            return;
        }
        let severe = group.epoch_age_ms >= ERROR_MS;
        let due = self
            .reported
            .get(&group.name)
            .is_none_or(|(next, was_severe)| now.reached(*next) || (severe && !was_severe));
        if !due {
            return;
        }
        self.reported.insert(group.name.clone(), (now.tick_after_ms(REPEAT_MS), severe));
        let holds = status
            .holds
            .iter()
            .filter(|hold| hold.epoch <= group.closed && group.jobs.contains(&hold.job));
        self.log.log(&Event::Stalled {
            group: group.name.clone(),
            age_ms: group.epoch_age_ms,
            severe,
            holds: holds.cloned().collect(),
        });
    }
}

impl Machine for StallDetector {
    fn name(&self) -> String {
        "stall detector".to_owned()
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        let status = self.status.lock().expect("nothing panics under this lock").clone();
        for group in &status.groups {
            self.look(group, &status, now);
        }
        Ok(Step::IdleUntil(now.tick_after_ms(LOOK_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::hold::{HoldEntry, HoldReason};

    #[test]
    fn a_stall_is_named_with_its_holds_and_not_too_often() {
        let hold = |epoch| HoldEntry {
            worker: 1,
            job: "j".into(),
            uid: "window".into(),
            epoch,
            reason: HoldReason::Loading,
        };
        let status = Arc::new(Mutex::new(Status::default()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let log = EventLog::new(move |event| written.lock().unwrap().push(event.to_string()));
        let mut detector = StallDetector::new(status.clone(), log);
        // (seconds, age of the epoch in seconds) -> lines so far
        let history = [(0, 5, 0), (10, 11, 1), (20, 21, 1), (30, 31, 2), (45, 46, 2), (61, 62, 3)];
        for (at, age, count) in history {
            status.lock().unwrap().groups = vec![GroupStatus {
                name: "g".into(),
                jobs: vec!["j".into()],
                closed: 7,
                epoch_age_ms: age * 1000,
                ..GroupStatus::default()
            }];
            status.lock().unwrap().holds = vec![hold(7), hold(8)];
            detector.step(Moment { wall_ms: 0, tick_us: at * 1_000_000 }).unwrap();
            assert_eq!(lines.lock().unwrap().len(), count, "at {at} s");
        }
        let first = &lines.lock().unwrap()[0];
        assert_eq!(
            first,
            "epoch does not complete group=g age_ms=11000 holds=[j.window worker=1 epoch=7 loading]"
        );
    }
}
