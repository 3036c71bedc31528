//! Commands to the workers: one writer, one order on all of them.
//!
//! timely pairs channels across workers by counting, so every worker must build dataflows in the
//! same order. The controller is the only writer and numbers its commands; each worker applies them
//! in that order and says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::load::LoadQueues;
use crate::epoch::cut::Cut;
use crate::graph::JobPlan;
use crate::operator::ask::Desks;
use crate::runtime::queue::SourceQueue;

/// A numbered command.
pub(crate) struct Command {
    pub(crate) number: u64,
    pub(crate) order: Order,
}

/// What a worker is told.
pub(crate) enum Order {
    /// Build a job's dataflow.
    Submit(JobSeat),
    /// End an epoch.
    Close(Cut),
    /// Drop a job's dataflow at once.
    Kill(Arc<str>),
}

/// A job as handed to one worker.
pub(crate) struct JobSeat {
    pub(crate) plan: Arc<JobPlan>,
    /// The epoch that is open and its stamp.
    pub(crate) open: (u64, i64),
    pub(crate) sources: BTreeMap<Arc<str>, Arc<SourceQueue>>,
    pub(crate) loads: LoadQueues,
    pub(crate) desks: Desks,
}
