//! Jobs and what is saved for them: operator ids, groups, and whether a changed job may go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::checkpoint::restore::Saved;
use crate::error::JobError;
use crate::graph::JobPlan;

/// What the submitter allows when a job no longer fits its saved state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Uids (as `job.uid`, or `job` for all of its uids) whose saved state may be dropped.
    pub drop_state: Vec<String>,
    /// Uids (as `job.uid`, or `job`) that may start empty although the job has saved state.
    pub new_state: Vec<String>,
    /// Operators (as `job.uid`) whose jobs are left out, because they keep failing.
    pub quarantine: Vec<String>,
}

impl SubmitOptions {
    /// Whether the saved state of this operator may be dropped.
    pub(crate) fn may_drop(&self, job: &str, uid: &str) -> bool {
        is_listed(&self.drop_state, job, uid)
    }

    fn may_be_new(&self, job: &str, uid: &str) -> bool {
        is_listed(&self.new_state, job, uid)
    }
}

fn is_listed(list: &[String], job: &str, uid: &str) -> bool {
    list.iter().any(|entry| entry == job || *entry == format!("{job}.{uid}"))
}

/// A job with its operator ids.
#[derive(Clone)]
pub(crate) struct RegisteredJob {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) ops: BTreeMap<Arc<str>, u32>,
    /// Uids that find state of an earlier run.
    pub(crate) restored: BTreeSet<Arc<str>>,
}

/// Gives every uid its id; refuses a job that does not fit its saved state, with the list of
/// differences. Nothing is dropped silently.
pub(crate) fn register(
    plan: &Arc<JobPlan>,
    saved: &Saved,
    options: &SubmitOptions,
) -> Result<RegisteredJob, JobError> {
    let empty = BTreeMap::new();
    let known = saved.jobs.get(&plan.name);
    let saved_ops = known.map_or(&empty, |(_, ops)| ops);
    let uids: BTreeSet<Arc<str>> = plan.stateful_uids().cloned().collect();
    let mut differences = Vec::new();
    for uid in saved_ops.keys().filter(|uid| !uids.contains(*uid)) {
        if !options.may_drop(&plan.name, uid) {
            differences.push(format!(
                "state of \"{uid}\" has no operator (--drop-state {}.{uid})",
                plan.name
            ));
        }
    }
    for uid in uids.iter().filter(|uid| known.is_some() && !saved_ops.contains_key(*uid)) {
        if !options.may_be_new(&plan.name, uid) {
            differences
                .push(format!("operator \"{uid}\" has no state (--new-state {}.{uid})", plan.name));
        }
    }
    for (uid, shape) in plan.shapes() {
        let before = saved.shapes.get(&(plan.name.clone(), uid.clone()));
        if before.is_some_and(|before| *before != shape) && !options.may_drop(&plan.name, &uid) {
            differences.push(format!(
                "keys or kind of \"{uid}\" changed (--drop-state {}.{uid})",
                plan.name
            ));
        }
    }
    if !differences.is_empty() {
        let reason = format!("it does not fit its saved state: {}", differences.join("; "));
        return Err(JobError { job: plan.name.to_string(), reason });
    }
    let mut ops: BTreeMap<Arc<str>, u32> = saved_ops.clone();
    ops.retain(|uid, _| uids.contains(uid));
    // An id is never given twice, not even after its operator was dropped.
    let mut next = saved_ops.values().copied().max().unwrap_or(0) + 1;
    for uid in &uids {
        if !ops.contains_key(uid) {
            ops.insert(uid.clone(), next);
            next += 1;
        }
    }
    // State that may be dropped is not restored; a changed operator begins with a new id.
    let dropped: Vec<Arc<str>> = ops
        .keys()
        .filter(|uid| saved_ops.contains_key(*uid) && options.may_drop(&plan.name, uid))
        .cloned()
        .collect();
    for uid in &dropped {
        ops.insert(uid.clone(), next);
        next += 1;
    }
    let kept = |uid: &&Arc<str>| uids.contains(*uid) && !dropped.contains(*uid);
    let restored = saved_ops.keys().filter(kept).cloned().collect();
    Ok(RegisteredJob { plan: plan.clone(), ops, restored })
}

/// Groups: jobs connected by links, named after the first of them in submit order.
pub(crate) fn groups(plans: &[Arc<JobPlan>]) -> Vec<(Arc<str>, Vec<Arc<JobPlan>>)> {
    let mut groups: Vec<(Arc<str>, Vec<Arc<JobPlan>>)> = Vec::new();
    for plan in plans {
        let linked = |group: &(Arc<str>, Vec<Arc<JobPlan>>)| {
            group.1.iter().any(|job| plan.imports_from.contains(&job.name))
        };
        let (with, without): (Vec<_>, Vec<_>) = groups.into_iter().partition(linked);
        groups = without;
        let mut merged = with.into_iter();
        let (name, mut jobs) = merged.next().unwrap_or((plan.name.clone(), Vec::new()));
        jobs.extend(merged.flat_map(|(_, jobs)| jobs));
        jobs.push(plan.clone());
        groups.push((name, jobs));
    }
    groups
}

/// Refuses doubled names and imports of jobs that do not come before.
pub(crate) fn check(plans: &[Arc<JobPlan>], running: &[Arc<str>]) -> Result<(), JobError> {
    for (index, plan) in plans.iter().enumerate() {
        let refuse = |reason: String| Err(JobError { job: plan.name.to_string(), reason });
        let before = || plans.iter().take(index).map(|other| &other.name);
        if before().any(|name| *name == plan.name) || running.contains(&plan.name) {
            return refuse("a job of this name is already there".to_owned());
        }
        for import in &plan.imports_from {
            if running.contains(import) {
                return refuse(format!(
                    "job \"{import}\" is already running; jobs that share a stream start together"
                ));
            }
            if !before().any(|name| name == import) {
                return refuse(format!(
                    "job \"{import}\", which it reads from, must come before it"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::plan::{Asks, StatefulSpec};
    use crate::graph::{JobBuilder, Route};

    fn plan(name: &str, imports: &[&str]) -> Arc<JobPlan> {
        let mut job = JobBuilder::new(name);
        for from in imports {
            job.import(from, "x", 0);
        }
        Arc::new(job.build().expect("a good plan"))
    }

    #[test]
    fn linked_jobs_form_one_group() {
        let plans = [plan("a", &[]), plan("b", &[]), plan("c", &["a"]), plan("d", &["c"])];
        let groups = groups(&plans);
        let names: Vec<Vec<&str>> =
            groups.iter().map(|(_, jobs)| jobs.iter().map(|job| &*job.name).collect()).collect();
        assert_eq!(names, [vec!["b"], vec!["a", "c", "d"]]);
        assert_eq!(&*groups[1].0, "a");
    }

    /// A plan with one stateful operator per uid.
    fn stateful(uids: &[&str]) -> Arc<JobPlan> {
        let mut job = JobBuilder::new("j");
        let rows = job.import("other", "x", 0);
        for uid in uids {
            let make: crate::operator::stateful::StatefulFactory =
                Arc::new(|| unreachable!("never built"));
            let spec = StatefulSpec {
                what: "keyed",
                make,
                outputs: 0,
                delay_ms: 0,
                asks: Asks::default(),
            };
            job.stateful(uid, &[(&rows, Route::Local)], spec);
        }
        Arc::new(job.build().expect("a good plan"))
    }

    fn saved(plan: &Arc<JobPlan>, job: &RegisteredJob) -> Saved {
        let jobs = [(plan.name.clone(), (plan.hash(), job.ops.clone()))].into();
        Saved { jobs, ..Saved::default() }
    }

    #[test]
    fn a_job_edited_into_something_else_is_refused_with_the_differences() {
        let none = SubmitOptions::default();
        let before = stateful(&["a", "b"]);
        let first = register(&before, &Saved::default(), &none).expect("a new job");
        assert!(first.restored.is_empty());
        let state = saved(&before, &first);
        // Unchanged: the same ids, and all state is found.
        let again = register(&before, &state, &none).expect("the same job");
        assert_eq!((&again.ops, again.restored.len()), (&first.ops, 2));
        // "b" was renamed to "c": both sides of it are named, with what would allow them.
        let edited = stateful(&["a", "c"]);
        let error = register(&edited, &state, &none).err().expect("refused");
        for part in [
            "state of \"b\" has no operator (--drop-state j.b)",
            "operator \"c\" has no state (--new-state j.c)",
        ] {
            assert!(error.reason.contains(part), "{error}");
        }
        let allowed = SubmitOptions {
            drop_state: vec!["j.b".to_owned()],
            new_state: vec!["j.c".to_owned()],
            ..SubmitOptions::default()
        };
        let edited = register(&edited, &state, &allowed).expect("allowed");
        assert!(!first.ops.values().any(|op| *op == edited.ops["c"]), "an id is never used again");
        // The same uid with other keys: its state lies in other key groups.
        let mut rerouted = state.clone();
        rerouted.shapes.insert(("j".into(), "a".into()), 1);
        let error = register(&before, &rerouted, &none).err().expect("refused");
        assert!(error.reason.contains("keys or kind of \"a\" changed"), "{error}");
    }

    #[test]
    fn order_and_names_are_checked() {
        let error = check(&[plan("c", &["a"]), plan("a", &[])], &[]).expect_err("a comes later");
        assert!(error.reason.contains("must come before"), "{error}");
        let error = check(&[plan("a", &[])], &["a".into()]).expect_err("doubled");
        assert!(error.reason.contains("already there"), "{error}");
    }
}
