//! Which jobs run.

use jobs::Job;

use super::judge::Judge;
use super::place::{TopicPlace, TopicTarget, retention};
use crate::config::fault::Place;
use crate::config::later::LATER_JOBS;
use crate::config::nearest::hint;
use crate::config::raw::RawJob;

/// Whether a job writes a table instead of topics.
fn has_table(job: Job) -> bool {
    matches!(job, Job::Traffic | Job::PageView)
}

/// A job that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobChoice {
    /// Which.
    pub(crate) job: Job,
    /// Whether its topics are written.
    pub(crate) publish: bool,
    /// Bytes kept of each partition of its embedded topics, if not as of all topics; 0 = all.
    pub(crate) retention_bytes: Option<u64>,
}

/// Judges the list. In the order of [`Job::ALL`]: each job after those it reads.
pub(super) fn check(
    raw: &[(Place, RawJob)],
    topics: &TopicTarget,
    judge: &mut Judge<'_>,
) -> Vec<JobChoice> {
    if raw.is_empty() {
        let chosen = |job| JobChoice { job, publish: true, retention_bytes: None };
        return Job::ALL.map(chosen).into();
    }
    let mut listed: Vec<JobChoice> = Vec::new();
    for (place, raw) in raw {
        let publish = judge.flag(raw.publish.as_ref(), true);
        let Some(job) = named(place, raw, judge) else { continue };
        if listed.iter().any(|choice| choice.job == job) {
            judge.fault_at(place, format!("job \"{}\" is listed twice", job.name()));
        }
        if let (Some(given), true, false) = (&raw.publish, has_table(job), publish) {
            judge.fault(given, ": a job that writes a table is of no use without it");
        }
        let embedded = matches!(topics.place, TopicPlace::Embedded { .. });
        let retention_bytes = retention(raw.retention_bytes.as_ref(), embedded, judge);
        listed.push(JobChoice { job, publish, retention_bytes });
    }
    listed.sort_by_key(|choice| choice.job);
    listed
}

fn named(place: &Place, raw: &RawJob, judge: &mut Judge<'_>) -> Option<Job> {
    let Some(given) = &raw.name else {
        judge.fault_at(place, "[[job]] needs a name".to_owned());
        return None;
    };
    let name = judge.text(Some(given))?;
    let job = Job::named(&name);
    if job.is_none() {
        let message = match LATER_JOBS.iter().find(|(later, _)| *later == name) {
            Some((_, what)) => format!(" is not available yet: it belongs to {what}"),
            None => {
                let near = hint(&name, Job::ALL.iter().map(|job| job.name()));
                format!(" is no job{near}")
            }
        };
        judge.fault(given, message);
    }
    job
}
