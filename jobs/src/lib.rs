//! The warehouse jobs, one file each, reading like the requirement.
//!
//! ```text
//!  ods_log ─ log_split ─┬─> dwd_traffic_{page,start,display,action,error}_log   (+ dead letters)
//!                       │ page (in process)
//!                       ├─ unique_visitor ─┬─> dwd_traffic_unique_visitor_detail
//!                       ├─ user_jump ──────┼─> dwd_traffic_user_jump_detail
//!                       │                  │ uv, uj
//!                       ├──────────────────┴─ traffic ─> dws_traffic_vc_ch_ar_is_new_page_view_window
//!                       └─ page_view ─> dws_traffic_page_view_window
//!
//!  ods_db ────────────┬──────┐ (each change once, for all jobs)
//!  table_process ─────┴──────│─ dimensions ─> dimension tables
//!  table_process_dwd ────────┴─ dwd_route ──> topics that its rows name
//! ```
//!
//! A job names what it reads and writes; where that lies (Kafka, the embedded topic log, embedded
//! tables) is decided by the [`Outside`] that the root hands in. Jobs of one process hand each other
//! rows by links, and write their topics all the same. There is no JSON here: shapes of bytes are
//! the business of `connectors::format`.

pub mod dim;
pub mod dwd;
pub mod dws;
pub mod generate;
pub mod ods;
pub mod outside;
pub mod settings;

use std::sync::Arc;

use engine::error::JobError;
use engine::graph::JobPlan;

pub use outside::Outside;
pub use settings::Settings;

/// A job of the warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Changes of the shop database, read once for all.
    OdsDb,
    /// Dimension tables.
    Dimensions,
    /// Simple facts into topics that a configuration names.
    DwdRoute,
    /// Logs into five topics.
    LogSplit,
    /// First page of a device on a day.
    UniqueVisitor,
    /// Visits of one page.
    UserJump,
    /// DWS 2: traffic by version, channel, area and newness.
    Traffic,
    /// DWS 3: first visits to home and detail pages.
    PageView,
}

impl Job {
    /// All jobs; those that others read from come first.
    pub const ALL: [Self; 8] = [
        Self::OdsDb,
        Self::Dimensions,
        Self::DwdRoute,
        Self::LogSplit,
        Self::UniqueVisitor,
        Self::UserJump,
        Self::Traffic,
        Self::PageView,
    ];

    /// The jobs of the app logs, likewise.
    pub const LOGS: [Self; 5] =
        [Self::LogSplit, Self::UniqueVisitor, Self::UserJump, Self::Traffic, Self::PageView];

    /// Name in job files, counters and saved state. A DWS job is called like its table.
    pub fn name(self) -> &'static str {
        match self {
            Self::OdsDb => ods::ods_db::NAME,
            Self::Dimensions => dim::dimensions::NAME,
            Self::DwdRoute => dwd::route::NAME,
            Self::LogSplit => dwd::log_split::NAME,
            Self::UniqueVisitor => dwd::unique_visitor::NAME,
            Self::UserJump => dwd::user_jump::NAME,
            Self::Traffic => dws::traffic::NAME,
            Self::PageView => dws::page_view::NAME,
        }
    }

    /// Whether it reads the changes of the shop database, which come in process and in no other way.
    pub fn reads_ods_db(self) -> bool {
        matches!(self, Self::Dimensions | Self::DwdRoute)
    }

    /// Whether it reads page records, in process where log split runs beside it.
    pub fn reads_pages(self) -> bool {
        matches!(self, Self::UniqueVisitor | Self::UserJump | Self::Traffic | Self::PageView)
    }

    /// The job called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }
}

/// The plans of `jobs`, those first that others read from. A job whose input is made by another one
/// of `jobs` reads it in process; otherwise it reads the topic. The changes of the shop database are
/// always read in process: [`Job::OdsDb`] comes along with whoever needs it.
pub fn plans(
    jobs: &[Job],
    settings: &Settings,
    outside: &Outside<'_>,
) -> Result<Vec<Arc<JobPlan>>, JobError> {
    let needed = |job: &Job| {
        jobs.contains(job) || *job == Job::OdsDb && jobs.iter().copied().any(Job::reads_ods_db)
    };
    let wanted = Job::ALL.into_iter().filter(needed);
    let plans = wanted.map(|job| {
        let plan = match job {
            Job::OdsDb => ods::ods_db::plan(settings, outside),
            Job::Dimensions => dim::dimensions::plan(settings, outside),
            Job::DwdRoute => dwd::route::plan(settings, outside),
            Job::LogSplit => dwd::log_split::plan(settings, outside, jobs),
            Job::UniqueVisitor => dwd::unique_visitor::plan(settings, outside, jobs),
            Job::UserJump => dwd::user_jump::plan(settings, outside, jobs),
            Job::Traffic => dws::traffic::plan(settings, outside, jobs),
            Job::PageView => dws::page_view::plan(settings, outside, jobs),
        };
        plan.map(Arc::new)
    });
    plans.collect()
}
