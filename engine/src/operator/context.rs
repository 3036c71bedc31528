//! What the operators of a worker share: index, holds, epochs, links, and the way to the writer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use timely::dataflow::operators::Capability;
use timely::scheduling::Activator;

use super::ask::Desks;
use super::link::LinkTable;
use crate::batch::buffer::Budget;
use crate::checkpoint::load::LoadQueues;
use crate::checkpoint::writer::WriterInbox;
use crate::epoch::cut::EpochTable;
use crate::epoch::hold::{Hold, HoldEntry, HoldReason, HoldTable};
use crate::runtime::queue::SourceQueue;
use crate::state::size::SizeTable;

/// Everything one worker's operators share.
pub(crate) struct WorkerContext {
    pub(crate) index: usize,
    pub(crate) peers: usize,
    pub(crate) holds: HoldTable,
    /// How large the state of operators is.
    pub(crate) sizes: SizeTable,
    pub(crate) epochs: RefCell<EpochTable>,
    pub(crate) links: RefCell<LinkTable>,
    pub(crate) budget: Arc<Budget>,
    /// Rows an operator may take in one activation, and pieces of other work.
    pub(crate) operator_rows: usize,
    /// Records that source operators of this process have let in.
    pub(crate) emitted: Arc<AtomicU64>,
    pub(crate) writer: WriterInbox,
    /// Operators to wake before each step, and whether they have something to do.
    pub(crate) wakes: RefCell<Vec<Wake>>,
}

/// An operator fed from outside the dataflow.
pub(crate) struct Wake {
    pub(crate) job: Arc<str>,
    pub(crate) activator: Activator,
    /// Whether it has work; asked before each step.
    pub(crate) ready: Box<dyn Fn() -> bool>,
}

/// One job on one worker, while it is being built and while it runs.
pub(crate) struct JobContext {
    pub(crate) worker: Rc<WorkerContext>,
    pub(crate) job: Arc<str>,
    /// The epoch that is open when the job starts; epoch 0 is for restoring.
    pub(crate) open_epoch: u64,
    /// Queues filled by the sources' pumps, by source uid.
    pub(crate) sources: BTreeMap<Arc<str>, Arc<SourceQueue>>,
    /// Queues filled by the restore loader, by operator uid; none on a fresh start.
    pub(crate) loads: LoadQueues,
    /// Where operators ask and are answered.
    pub(crate) desks: Desks,
}

/// Names an operator in holds and messages.
#[derive(Clone)]
pub(crate) struct OperatorName {
    pub(crate) job: Arc<str>,
    pub(crate) uid: Arc<str>,
}

impl JobContext {
    pub(crate) fn name(&self, uid: &Arc<str>) -> OperatorName {
        OperatorName { job: self.job.clone(), uid: uid.clone() }
    }

    /// Wakes the operator with `activator` before a step whenever `ready` says so.
    pub(crate) fn wake(&self, activator: Activator, ready: impl Fn() -> bool + 'static) {
        let wake = Wake { job: self.job.clone(), activator, ready: Box::new(ready) };
        self.worker.wakes.borrow_mut().push(wake);
    }
}

impl WorkerContext {
    /// Wraps retained capabilities in a hold.
    pub(crate) fn hold(
        &self,
        name: &OperatorName,
        reason: HoldReason,
        capabilities: Vec<Capability<u64>>,
    ) -> Hold {
        let epoch = capabilities.first().map_or(0, |capability| *capability.time());
        let (job, uid) = (name.job.clone(), name.uid.clone());
        let entry = HoldEntry { worker: self.index, job, uid, epoch, reason };
        Hold::new(&self.holds, entry, capabilities)
    }
}
