//! The stall detector: says what holds an epoch that does not complete, and which sink delivers
//! nothing.
//!
//! Anything that holds a capability stops commits: a source that did not cut, an operator that is
//! being restored, a link. The detector reads the published status and, when a closed epoch is too
//! old, names the holds at or below it, once in a while; likewise a sink that rows wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::clock::Moment;
use crate::control::status::{GroupStatus, Status};
use crate::error::Fatal;
use crate::event::{Event, EventLog};
use crate::outbox::sinks::SinkStatus;
use crate::runtime::step::{Machine, Step, Waker};

/// From which age on standing still is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StallLimits {
    /// Milliseconds for a warning.
    pub warn_ms: u64,
    /// Milliseconds for an error: somebody must act.
    pub error_ms: u64,
    /// Milliseconds that an epoch may be incomplete before the process ends, to be started again.
    pub restart_ms: Option<u64>,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self { warn_ms: 10_000, error_ms: 30_000, restart_ms: None }
    }
}

/// Pause between two reports of one group.
const REPEAT_MS: u64 = 30_000;
/// How often it looks.
const LOOK_MS: u64 = 1_000;

/// The machine.
pub(crate) struct StallDetector {
    status: Arc<Mutex<Status>>,
    limits: StallLimits,
    log: EventLog,
    /// Next report by group or sink, and whether the last was severe.
    reported: BTreeMap<String, (u64, bool)>,
    waker: Waker,
}

impl StallDetector {
    pub(crate) fn new(status: Arc<Mutex<Status>>, limits: StallLimits, log: EventLog) -> Self {
        Self { status, limits, log, reported: BTreeMap::new(), waker: Waker::default() }
    }

    fn look(&mut self, group: &GroupStatus, status: &Status, now: Moment) {
        let name = format!("group {}", group.name);
        let Some(severe) = self.is_due(name, group.epoch_age_ms, now) else { return };
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

    fn check_ages(&self, groups: &[GroupStatus]) -> Result<(), Fatal> {
        let limit = self.limits.restart_ms.unwrap_or(u64::MAX);
        let Some(group) = groups.iter().find(|group| group.epoch_age_ms > limit) else {
            return Ok(());
        };
        let (name, age_ms) = (&group.name, group.epoch_age_ms);
        Err(Fatal::failed(format!(
            "an epoch of group {name} has not completed for {age_ms} ms, which is longer than \
             stall.restart"
        )))
    }

    fn look_at_sink(&mut self, sink: &SinkStatus, now: Moment) {
        let name = format!("sink {} {} {}", sink.job, sink.sink, sink.shard);
        if let Some(severe) = self.is_due(name, sink.waiting_ms, now) {
            self.log.log(&Event::SinkStands { sink: sink.clone(), severe });
        }
    }

    /// Whether what is so old is to be reported now, and whether it is severe.
    fn is_due(&mut self, name: String, age_ms: u64, now: Moment) -> Option<bool> {
        if age_ms < self.limits.warn_ms {
            self.reported.remove(&name);
            return None;
        }
        let severe = age_ms >= self.limits.error_ms;
        let due = self
            .reported
            .get(&name)
            .is_none_or(|(next, was_severe)| now.reached(*next) || (severe && !was_severe));
        if due {
            self.reported.insert(name, (now.tick_after_ms(REPEAT_MS), severe));
        }
        due.then_some(severe)
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
        self.check_ages(&status.groups)?;
        for sink in &status.sinks {
            self.look_at_sink(sink, now);
        }
        Ok(Step::IdleUntil(now.tick_after_ms(LOOK_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::hold::{HoldEntry, HoldReason};
    use crate::outbox::sinks::SinkWork;

    #[test]
    fn a_sink_that_stands_still_is_named_with_its_fault() {
        let status = Arc::new(Mutex::new(Status::default()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let log = EventLog::new(move |event| written.lock().unwrap().push(event.to_string()));
        let mut detector = StallDetector::new(status.clone(), StallLimits::default(), log);
        // (seconds, it waits for so many seconds) -> lines so far
        for (at, age, count) in
            [(0, 9, 0), (2, 11, 1), (21, 30, 2), (22, 31, 2), (30, 0, 2), (50, 12, 3)]
        {
            status.lock().unwrap().sinks = vec![SinkStatus {
                job: "j".into(),
                sink: "kafka".into(),
                shard: 1,
                work: SinkWork::Retrying,
                waiting_ms: age * 1000,
                units: 3,
                fault: Some("the broker is gone".to_owned()),
            }];
            detector.step(Moment { wall_ms: 0, tick_us: at * 1_000_000 }).unwrap();
            assert_eq!(lines.lock().unwrap().len(), count, "at {at} s");
        }
        let expected = "sink stands still job=j sink=kafka shard=1 retrying waiting_ms=11000 units=3: \
                        the broker is gone";
        assert_eq!(lines.lock().unwrap()[0], expected);
    }

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
        let mut detector = StallDetector::new(status.clone(), StallLimits::default(), log);
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

    #[test]
    fn a_process_ends_only_where_it_was_asked_to() {
        let group =
            GroupStatus { name: "g".into(), epoch_age_ms: 60_001, ..GroupStatus::default() };
        let status = Status { groups: vec![group], ..Status::default() };
        for (restart_ms, ends) in [(None, false), (Some(60_001), false), (Some(60_000), true)] {
            let limits = StallLimits { restart_ms, ..StallLimits::default() };
            let status = Arc::new(Mutex::new(status.clone()));
            let mut detector = StallDetector::new(status, limits, EventLog::default());
            assert_eq!(detector.step(Moment::default()).is_err(), ends, "{restart_ms:?}");
        }
    }
}
