//! Faults that tests ask the real process for, by flags that help does not show.
//!
//! Nothing here happens without such a flag; the plans are then those the jobs have made.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::crash_point::{CrashPoint, CrashPoints};
use engine::graph::JobPlan;
use engine::graph::plan::NodeKind;
use engine::operator::stateful::{Close, Stateful};

/// `--panic-at JOB.UID=TEXT`: this operator panics at every row whose record contains the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PanicAt {
    job: String,
    uid: String,
    text: String,
}

impl FromStr for PanicAt {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let parts = given.split_once('=').and_then(|(operator, text)| {
            let (job, uid) = operator.split_once('.')?;
            Some(Self { job: job.to_owned(), uid: uid.to_owned(), text: text.to_owned() })
        });
        parts
            .filter(|parts| !parts.text.is_empty())
            .ok_or_else(|| "expects JOB.UID=TEXT".to_owned())
    }
}

/// `--crash-at POINT[:N]`: the process kills itself when it passes the point for the N-th time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrashAt {
    point: CrashPoint,
    nth: u64,
}

impl FromStr for CrashAt {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let (point, nth) = given.split_once(':').unwrap_or((given, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0);
        let nth = nth.ok_or_else(|| "expects POINT:N, with N from 1".to_owned())?;
        Ok(Self { point: point.parse()?, nth })
    }
}

/// A listener that kills this process at one of these points; nobody listens where there are none.
pub(crate) fn crash_points(faults: &[CrashAt]) -> CrashPoints {
    if faults.is_empty() {
        return CrashPoints::default();
    }
    let left: Vec<_> =
        faults.iter().map(|fault| (fault.point, AtomicU64::new(fault.nth))).collect();
    CrashPoints::new(move |passed| {
        for (_, left) in left.iter().filter(|(point, _)| *point == passed) {
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                die_at(passed);
            }
        }
        Ok(())
    })
}

/// By SIGKILL, at once; inside the batch from another thread, so that the batch is under way.
fn die_at(point: CrashPoint) {
    let die = || {
        let me = rustix::process::getpid();
        let _unreachable = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    };
    match point {
        CrashPoint::InsideBatch => drop(std::thread::spawn(die)),
        _ => die(),
    }
}

/// Makes the operators named in `faults` fail. The plans MUST not be shared yet.
pub(crate) fn poison(plans: &mut [Arc<JobPlan>], faults: &[PanicAt]) {
    for fault in faults {
        for plan in plans.iter_mut().filter(|plan| *plan.name == *fault.job) {
            let plan = Arc::get_mut(plan).expect("a plan that was just made has one owner");
            for node in plan.nodes.iter_mut().filter(|node| *node.uid == *fault.uid) {
                if let NodeKind::Stateful(spec) = &mut node.kind {
                    let (make, text) = (spec.make.clone(), fault.text.clone());
                    spec.make =
                        Arc::new(move || Box::new(Poisoned { inner: make(), text: text.clone() }));
                }
            }
        }
    }
}

/// An operator that fails at certain rows and is otherwise as it was.
struct Poisoned {
    inner: Box<dyn Stateful>,
    text: String,
}

impl Stateful for Poisoned {
    fn close(&mut self, close: &mut Close<'_>) {
        let text = self.text.as_bytes();
        for (_input, row) in close.rows.iter() {
            let found = row.body().windows(text.len()).any(|part| part == text);
            assert!(!found, "asked to fail at a record with \"{}\"", self.text);
        }
        self.inner.close(close);
    }

    fn load(&mut self, group: u16, key: &[u8], value: &[u8]) {
        self.inner.load(group, key, value);
    }

    fn entries(&self) -> usize {
        self.inner.entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_point_may_have_a_number() {
        let at = |nth| CrashAt { point: CrashPoint::BatchSynced, nth };
        assert_eq!("batch_synced".parse(), Ok(at(1)));
        assert_eq!("batch_synced:3".parse(), Ok(at(3)));
        for bad in ["batch_synced:0", "batch_synced:x", "batch"] {
            assert!(bad.parse::<CrashAt>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_operator_and_the_text_are_named() {
        let expected = |text: &str| PanicAt {
            job: "user_jump".to_owned(),
            uid: "jump.x".to_owned(),
            text: text.to_owned(),
        };
        assert_eq!("user_jump.jump.x=a=b".parse(), Ok(expected("a=b")));
        for bad in ["user_jump.jump", "user_jump=x", "user_jump.jump="] {
            assert!(bad.parse::<PanicAt>().is_err(), "{bad}");
        }
    }
}
