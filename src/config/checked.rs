//! A configuration that can be run: every value is in range, every combination makes sense.
//!
//! Nothing outside this module builds a [`Checked`], so whoever has one need not ask again.

mod job;
mod judge;
mod place;
mod switch;
mod tuning;

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::time::zone::Zone;
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::dwd::log_split::ODS_LOG;
use jobs::dwd::route::TABLE_PROCESS_DWD;
use jobs::ods::ods_db;
use jobs::{Job, Settings};

use self::judge::Judge;
use self::switch::Begin;
use super::fault::ConfigError;
use super::raw::{Given, Raw, Watershed};

pub(crate) use self::job::JobChoice;
pub(crate) use self::place::{SourcePlace, TopicPlace, TopicTarget};
pub(crate) use self::tuning::EngineSettings;

/// Most worker threads.
pub(crate) const WORKERS_MAX: usize = 1024;
const DEFAULT_DATA: &str = "./watershed-data";
const DEFAULT_ZONE: &str = "Asia/Shanghai";

/// What flags say; it goes before file and environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--workers`, already in range.
    pub(crate) workers: Option<usize>,
}

/// A configuration that can be run.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// What messages call it: its file.
    pub(crate) name: String,
    /// Directory of state, topics and tables.
    pub(crate) data: PathBuf,
    /// Worker threads.
    pub(crate) workers: usize,
    /// How the engine runs.
    pub(crate) engine: EngineSettings,
    /// What the warehouse means.
    pub(crate) settings: Settings,
    /// Where app logs come from.
    pub(crate) ods_log: SourcePlace,
    /// Where changes of the business database come from.
    pub(crate) ods_db: SourcePlace,
    /// Where the configuration of the dimensions comes from.
    pub(crate) table_process: SourcePlace,
    /// Where the configuration of routed facts comes from.
    pub(crate) table_process_dwd: SourcePlace,
    /// Where topics go.
    pub(crate) topics: TopicTarget,
    /// What runs, each job after those it reads. At least one.
    pub(crate) jobs: Vec<JobChoice>,
}

impl Checked {
    /// Judges what [`Raw::read`] found in `text`; all faults at once.
    pub(super) fn read(
        name: &str,
        text: &str,
        environment: &BTreeMap<String, String>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let (raw, faults) = Raw::read(name, text, environment);
        let mut judge = Judge::new(environment, faults);
        generation(raw.watershed.generation.as_ref(), &mut judge);
        judge.choice(raw.dws.connector.as_ref(), &[("embedded", ())], &["doris"]);
        judge.choice(raw.dim.connector.as_ref(), &[("embedded", ())], &["phoenix"]);
        let zone = time_zone(raw.watershed.time_zone.as_ref(), &mut judge);
        let topics = place::topics(&raw.topics, &mut judge);
        let jobs = job::check(&raw, &topics, &mut judge);
        // Where a source begins is no question for one that is not read.
        let begin = Begin::of(&raw.switch, &mut judge);
        let begin = |reader| begin.if_read(jobs.iter().any(|choice| choice.job == reader));
        let config = place::config_source;
        let checked = Self {
            name: name.to_owned(),
            data: data(&raw.watershed, overrides, &mut judge),
            workers: workers(&raw.watershed, overrides, &mut judge),
            engine: tuning::engine(&raw.engine, &mut judge),
            settings: switch::check(&raw.switch, &raw.watershed, zone, &mut judge),
            ods_log: place::log_source(&raw.ods_log, begin(Job::LogSplit), &mut judge),
            ods_db: place::db_source(&raw.ods_db, begin(Job::OdsDb), &mut judge),
            table_process: config(TABLE_PROCESS, &raw.table_process, &mut judge),
            table_process_dwd: config(TABLE_PROCESS_DWD, &raw.table_process_dwd, &mut judge),
            topics,
            jobs,
        };
        ConfigError::check(judge.faults).map(|()| checked)
    }

    /// Reads every source from its beginning where no position is saved.
    pub(crate) fn begin_at_the_start(&mut self) {
        let config = [&mut self.table_process, &mut self.table_process_dwd];
        for place in [&mut self.ods_log, &mut self.ods_db].into_iter().chain(config) {
            place.begin_at_the_start();
        }
    }

    /// Where the source of this name reads; `None` for topics that other jobs make.
    pub(crate) fn source(&self, name: &str) -> Option<&SourcePlace> {
        match name {
            ODS_LOG => Some(&self.ods_log),
            ods_db::NAME => Some(&self.ods_db),
            TABLE_PROCESS => Some(&self.table_process),
            TABLE_PROCESS_DWD => Some(&self.table_process_dwd),
            _ => None,
        }
    }

    /// Name and place of each source that the jobs read.
    pub(crate) fn sources_read(&self) -> Vec<(&'static str, &SourcePlace)> {
        let readers = [
            (ODS_LOG, Job::LogSplit, &self.ods_log),
            (ods_db::NAME, Job::OdsDb, &self.ods_db),
            (TABLE_PROCESS, Job::Dimensions, &self.table_process),
            (TABLE_PROCESS_DWD, Job::DwdRoute, &self.table_process_dwd),
        ];
        let runs = |job: Job| self.jobs.iter().any(|choice| choice.job == job);
        let read = readers.into_iter().filter(|(_, job, _)| runs(*job));
        read.map(|(name, _, place)| (name, place)).collect()
    }
}

fn data(raw: &Watershed, overrides: &Overrides, judge: &mut Judge<'_>) -> PathBuf {
    let given = judge.text(raw.data.as_ref()).map(PathBuf::from);
    if let (Some(setting), true) =
        (&raw.data, given.as_ref().is_some_and(|d| d.as_os_str().is_empty()))
    {
        judge.fault(setting, ": a directory has a name");
    }
    overrides.data.clone().or(given).unwrap_or_else(|| DEFAULT_DATA.into())
}

fn workers(raw: &Watershed, overrides: &Overrides, judge: &mut Judge<'_>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
    let default = i64::try_from(cores).expect("at most 1024");
    let most = i64::try_from(WORKERS_MAX).expect("1024");
    let given = judge.integer(raw.workers.as_ref(), default, 1..=most);
    overrides.workers.unwrap_or(usize::try_from(given).expect("judged to be positive"))
}

fn generation(given: Option<&Given>, judge: &mut Judge<'_>) {
    if let (2023, Some(given)) = (judge.integer(given, 2022, 2022..=2023), given) {
        judge.fault(given, " is not available yet; what is: 2022");
    }
}

fn time_zone(given: Option<&Given>, judge: &mut Judge<'_>) -> String {
    let Some(name) = judge.text(given) else { return DEFAULT_ZONE.to_owned() };
    if let (Some(given), Err(error)) = (given, Zone::named(&name)) {
        judge.fault(given, format!(": {error}; write a name such as \"{DEFAULT_ZONE}\""));
    }
    name
}

#[cfg(test)]
mod tests;
