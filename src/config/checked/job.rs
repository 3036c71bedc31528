//! Which jobs run.

use jobs::Job;

use super::judge::Judge;
use super::place::{TopicPlace, TopicTarget, retention};
use crate::config::fault::Place;
use crate::config::later::LATER_JOBS;
use crate::config::nearest::hint;
use crate::config::raw::{Raw, RawJob};

/// Whether a job has topics that it can do without: its results, beside side outputs.
fn has_topics(job: Job) -> bool {
    matches!(job, Job::LogSplit | Job::UniqueVisitor | Job::UserJump)
}

/// Sections that make the dimensions run where no list says which jobs do.
const OF_DIMENSIONS: [&str; 2] = ["source.ods_db", "source.table_process"];

/// The section that makes facts be routed, likewise.
const OF_ROUTE: &str = "source.table_process_dwd";

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

impl JobChoice {
    /// A job as it runs unless something else is said.
    pub(super) fn of(job: Job) -> Self {
        Self { job, publish: true, retention_bytes: None }
    }
}

/// Judges the list. In the order of [`Job::ALL`]: each job after those it reads.
pub(super) fn check(raw: &Raw, topics: &TopicTarget, judge: &mut Judge<'_>) -> Vec<JobChoice> {
    if !raw.jobs.is_empty() {
        return listed(&raw.jobs, topics, judge);
    }
    let dimensions = OF_DIMENSIONS.iter().any(|section| raw.sections.contains(*section));
    let route = raw.sections.contains(OF_ROUTE);
    let runs = |job: &Job| match job {
        Job::OdsDb => dimensions || route,
        Job::Dimensions => dimensions,
        Job::DwdRoute => route,
        job => Job::LOGS.contains(job),
    };
    Job::ALL.into_iter().filter(runs).map(JobChoice::of).collect()
}

fn listed(raw: &[(Place, RawJob)], topics: &TopicTarget, judge: &mut Judge<'_>) -> Vec<JobChoice> {
    let mut listed: Vec<JobChoice> = Vec::new();
    for (place, raw) in raw {
        let publish = judge.flag(raw.publish.as_ref(), true);
        let Some(job) = named(place, raw, judge) else { continue };
        if listed.iter().any(|choice| choice.job == job) {
            judge.fault_at(place, format!("job \"{}\" is listed twice", job.name()));
        }
        if let (Some(given), false, false) = (&raw.publish, has_topics(job), publish) {
            judge.fault(given, ": only a job with topics of its own can do without them");
        }
        let embedded = matches!(topics.place, TopicPlace::Embedded { .. });
        let retention_bytes = retention(raw.retention_bytes.as_ref(), embedded, judge);
        listed.push(JobChoice { job, publish, retention_bytes });
    }
    let has = |job| listed.iter().any(|choice| choice.job == job);
    if listed.iter().any(|choice| choice.job.reads_ods_db()) && !has(Job::OdsDb) {
        // Its changes come in process and in no other way.
        listed.push(JobChoice::of(Job::OdsDb));
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
