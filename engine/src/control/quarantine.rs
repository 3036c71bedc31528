//! Jobs that are left out: their state stays, what they have complete is delivered, nothing of them
//! runs.
//!
//! A job is left out because it is asked for (it has failed again and again), because it reads the
//! stream of one that is left out, or because it *was* left out before: a stream between jobs is
//! kept nowhere, so what went by meanwhile is lost to it. Letting such a job go on from its saved
//! state would leave a gap in its results that nobody sees; it stays out until its state is dropped.

use std::sync::Arc;

use super::registry::SubmitOptions;
use crate::checkpoint::restore::Saved;
use crate::graph::JobPlan;

/// A job that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The job.
    pub job: Arc<str>,
    /// Why, and what brings it back.
    pub reason: String,
}

/// Divides plans, of which each comes after those it reads, into those that run and those that are
/// left out.
pub(crate) fn divide(
    plans: &[Arc<JobPlan>],
    saved: &Saved,
    options: &SubmitOptions,
) -> (Vec<Arc<JobPlan>>, Vec<Quarantined>) {
    let (mut run, mut out) = (Vec::new(), Vec::<Quarantined>::new());
    for plan in plans {
        let unfed = out.iter().find(|other| plan.imports_from.contains(&other.job));
        let reason = if is_asked(plan, options) {
            Some("it failed again and again; it is tried again after a stop and a start".to_owned())
        } else if let Some(other) = unfed {
            Some(format!("it reads from \"{}\", which is left out", other.job))
        } else {
            gap(plan, saved, options)
        };
        match reason {
            None => run.push(plan.clone()),
            Some(reason) => out.push(Quarantined { job: plan.name.clone(), reason }),
        }
    }
    (run, out)
}

fn is_asked(plan: &JobPlan, options: &SubmitOptions) -> bool {
    let job_of = |operator: &String| operator.split('.').next() == Some(&*plan.name);
    options.quarantine.iter().any(job_of)
}

/// What a job with saved state has missed while its group went on without it.
fn gap(plan: &JobPlan, saved: &Saved, options: &SubmitOptions) -> Option<String> {
    let (_, ops) = saved.jobs.get(&plan.name)?;
    if ops.keys().all(|uid| options.may_drop(&plan.name, uid)) {
        return None;
    }
    let feeds = |members: &Vec<Arc<str>>| plan.imports_from.iter().any(|job| members.contains(job));
    let groups = saved.members.iter().filter(|(_, members)| feeds(members));
    let last = groups.max_by_key(|(group, _)| saved.complete.get(*group))?;
    let (group, members) = last;
    if members.contains(&plan.name) {
        return None;
    }
    Some(format!(
        "group \"{group}\" went on without it, up to epoch {}, and what it reads from there is kept \
         nowhere; --drop-state {} lets it begin anew",
        saved.complete.get(group).copied().unwrap_or(0),
        plan.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::JobBuilder;

    fn plan(name: &str, imports: &[&str]) -> Arc<JobPlan> {
        let mut job = JobBuilder::new(name);
        for from in imports {
            job.import(from, "x", 0);
        }
        Arc::new(job.build().expect("a good plan"))
    }

    /// "c" reads "b", which reads "a"; "d" reads "a" alone.
    fn plans() -> Vec<Arc<JobPlan>> {
        vec![plan("a", &[]), plan("b", &["a"]), plan("c", &["b"]), plan("d", &["a"])]
    }

    fn names(divided: &(Vec<Arc<JobPlan>>, Vec<Quarantined>)) -> (Vec<&str>, Vec<&str>) {
        let run = divided.0.iter().map(|plan| &*plan.name).collect();
        (run, divided.1.iter().map(|out| &*out.job).collect())
    }

    #[test]
    fn what_reads_from_it_is_left_out_too() {
        for asked in ["b", "b.window"] {
            let options =
                SubmitOptions { quarantine: vec![asked.to_owned()], ..SubmitOptions::default() };
            let divided = divide(&plans(), &Saved::default(), &options);
            assert_eq!(names(&divided), (vec!["a", "d"], vec!["b", "c"]));
            assert_eq!(divided.1[1].reason, "it reads from \"b\", which is left out");
        }
    }

    #[test]
    fn a_job_that_missed_something_stays_out_until_its_state_is_dropped() {
        let ops = |uids: &[&str]| (0, uids.iter().map(|uid| ((*uid).into(), 1)).collect());
        let mut saved = Saved {
            complete: [("a".into(), 9), ("old".into(), 3)].into(),
            members: [
                ("a".into(), vec!["a".into(), "d".into()]),
                ("old".into(), vec!["a".into(), "b".into()]),
            ]
            .into(),
            jobs: [("b".into(), ops(&["x", "y"])), ("d".into(), ops(&["x"]))].into(),
            ..Saved::default()
        };
        let options = |drop: &[&str]| SubmitOptions {
            drop_state: drop.iter().map(|&uid| uid.to_owned()).collect(),
            ..SubmitOptions::default()
        };
        for drop in [&[][..], &["b.x"], &["d"]] {
            let divided = divide(&plans(), &saved, &options(drop));
            assert_eq!(names(&divided), (vec!["a", "d"], vec!["b", "c"]), "{drop:?}");
            assert!(divided.1[0].reason.contains("up to epoch 9"), "{}", divided.1[0].reason);
        }
        for drop in [&["b"][..], &["b.x", "b.y"]] {
            assert!(divide(&plans(), &saved, &options(drop)).1.is_empty(), "{drop:?}");
        }
        // A directory of before this was noted, and a job that is new.
        saved.members.clear();
        assert!(divide(&plans(), &saved, &options(&[])).1.is_empty());
    }
}
