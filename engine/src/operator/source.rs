//! Batches from the source's queue into the dataflow, cut where the coordinator says.
//!
//! The operator holds one capability, at the open epoch. At a cut it emits the positions of what it
//! *emitted* (not of what was polled) and moves on; rows and cut travel in one channel, so whoever
//! reads it sees exactly the rows before the cut, before it.
//!
//! What is read again comes in small shares, one for each epoch, and asks for the end of the epoch
//! once its share is used up: a back-fill never makes the live records wait for a long epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};

use super::context::JobContext;
use crate::batch::Batch;
use crate::checkpoint::piece::PositionRecord;
use crate::epoch::hold::{Hold, HoldReason};
use crate::limit::BATCH_ROWS_TARGET;
use crate::runtime::queue::{SourceItem, SourceQueue};
use crate::source::reread::Reread;
use crate::source::{Partition, Position};

/// What the source operator tells the decoder next to it, in order.
#[derive(Clone)]
pub(crate) enum Feed {
    /// A partition begins, perhaps where a checkpoint left it.
    Opened(Partition, Option<PositionRecord>),
    /// Records of one partition.
    Rows(Partition, Arc<Batch>),
    /// What was to be read again has been: the extra partition is gone.
    Reread(Reread),
    /// The epoch ends here.
    Cut(SourceCut),
}

/// A source of one worker at a cut.
#[derive(Clone)]
pub(crate) struct SourceCut {
    /// All partitions of this worker that are known here.
    pub(crate) partitions: Vec<CutPosition>,
    /// Whether there may be others, which have said nothing yet.
    pub(crate) undiscovered: bool,
}

/// A partition at a cut.
#[derive(Clone)]
pub(crate) struct CutPosition {
    pub(crate) partition: Partition,
    pub(crate) position: Option<Position>,
    pub(crate) ended: bool,
}

pub(crate) type FeedStream<'s> = Stream<'s, u64, Vec<Feed>>;

/// Builds the operator.
pub(crate) fn source<'s>(
    context: &Rc<JobContext>,
    uid: &Arc<str>,
    scope: Scope<'s, u64>,
) -> FeedStream<'s> {
    let mut builder = OperatorBuilder::new(uid.to_string(), scope);
    let (output, feed) = builder.new_output::<Vec<Feed>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Feed>>>::from(output);
    let activator = scope.activator_for(builder.operator_info().address);
    let queue = context.sources.get(uid).cloned().expect("submit made a queue for each source");
    let mut operator = SourceOperator::new(context.clone(), queue.clone());
    let again = scope.activator_for(builder.operator_info().address);
    let (name, worker) = (context.name(uid), context.worker.clone());
    let open_epoch = context.open_epoch;
    let waiting = {
        let (worker, job) = (context.worker.clone(), context.job.clone());
        let (cut, divisible) = (operator.cut_epoch.clone(), operator.divisible.clone());
        let share = operator.share.clone();
        move || {
            let cut_due = worker.epochs.borrow().cut_from(&job, cut.get()).is_some();
            let may_take = !divisible.get() || !(worker.budget.is_closed() || queue.is_braked());
            let may_take_again = may_take && share.get() > 0;
            (cut_due && divisible.get())
                || (queue.has_live() && may_take)
                || (may_take_again && queue.has_again())
        }
    };
    context.wake(activator, waiting);
    builder.build(move |mut capabilities| {
        capabilities.truncate(1);
        let mut hold = worker.hold(&name, HoldReason::Source, capabilities);
        hold.downgrade(open_epoch);
        move |_frontiers| {
            let mut output = output.activate();
            let mut give = |held: &Hold, feed: Feed| output.session(held.port(0)).give(feed);
            if operator.run(&mut hold, &mut give) {
                again.activate();
            }
        }
    });
    feed
}

/// Batches that a turn lets in. They are decoded and sent to their workers before the next turn, and
/// so many stay in the processor's cache until then.
const TURN_BATCHES_MAX: usize = 2;

struct SourceOperator {
    context: Rc<JobContext>,
    queue: Arc<SourceQueue>,
    partitions: BTreeMap<Partition, CutPosition>,
    /// The next cut to look for is at or after this epoch.
    cut_epoch: Rc<std::cell::Cell<u64>>,
    /// Partitions in the middle of what no cut may divide.
    undivided: BTreeSet<Partition>,
    /// The source has not said yet where its partitions are.
    undiscovered: bool,
    /// Whether a cut is allowed now; for whoever wakes this operator.
    divisible: Rc<std::cell::Cell<bool>>,
    /// Rows of what is read again that this epoch may still take.
    share: Rc<std::cell::Cell<usize>>,
}

impl SourceOperator {
    fn new(context: Rc<JobContext>, queue: Arc<SourceQueue>) -> Self {
        let divisible = Rc::new(std::cell::Cell::new(!queue.snapshot));
        let share = Rc::new(std::cell::Cell::new(queue.reread_rows));
        Self {
            context,
            undiscovered: true,
            queue,
            partitions: BTreeMap::new(),
            cut_epoch: Rc::default(),
            undivided: BTreeSet::new(),
            divisible,
            share,
        }
    }

    fn at_boundary(&self) -> bool {
        // A partition not yet known may begin with a snapshot.
        self.undivided.is_empty() && !(self.queue.snapshot && self.undiscovered)
    }

    /// Takes a share of the queue, then cuts if ordered to; true if there is more to do.
    fn run(&mut self, hold: &mut Hold, give: &mut dyn FnMut(&Hold, Feed)) -> bool {
        let again = self.take_and_cut(hold, give);
        self.divisible.set(self.at_boundary());
        again
    }

    fn take_and_cut(&mut self, hold: &mut Hold, give: &mut dyn FnMut(&Hold, Feed)) -> bool {
        let cut = self.due_cut();
        let budget = self.context.worker.operator_rows.div_ceil(BATCH_ROWS_TARGET);
        let budget = budget.min(TURN_BATCHES_MAX);
        let mut taken = 0;
        // At a cut the batch in hand is finished up to the next boundary, and no more.
        while taken < budget && (cut.is_none() || !self.at_boundary()) {
            if self.at_boundary() && self.is_braked() {
                return false;
            }
            // First, so that live records which never end do not starve it.
            let again = if taken == 0 { self.take_again() } else { None };
            let next = again.or_else(|| self.queue.take()).or_else(|| self.take_again());
            let Some(item) = next else { break };
            taken += 1;
            self.take(item, hold, give);
        }
        match cut {
            Some((epoch, next)) if self.at_boundary() => self.cut(epoch, next, hold, give),
            _ => {}
        }
        taken == budget
    }

    fn is_braked(&self) -> bool {
        self.context.worker.budget.is_closed() || self.queue.is_braked()
    }

    /// Something that is read again, while the epoch's share lasts.
    fn take_again(&self) -> Option<SourceItem> {
        let left = self.share.get();
        if left == 0 {
            return None;
        }
        let item = self.queue.take_again()?;
        if let SourceItem::Rows(batch) = &item {
            self.share.set(left.saturating_sub(batch.rows.len()));
            if self.share.get() == 0 {
                self.queue.want_cut(true);
            }
        }
        Some(item)
    }

    fn due_cut(&self) -> Option<(u64, u64)> {
        let epochs = self.context.worker.epochs.borrow();
        epochs.cut_from(&self.context.job, self.cut_epoch.get())
    }

    fn take(&mut self, item: SourceItem, hold: &Hold, give: &mut dyn FnMut(&Hold, Feed)) {
        match item {
            SourceItem::Opened(partition, saved) => {
                let position = saved.as_ref().map(|record| record.position.clone());
                if position.is_none() && self.queue.snapshot && Reread::of(&partition).is_none() {
                    self.undivided.insert(partition.clone());
                }
                let cut = CutPosition { partition: partition.clone(), position, ended: false };
                self.partitions.insert(partition.clone(), cut);
                give(hold, Feed::Opened(partition, saved));
            }
            SourceItem::Rows(batch) => {
                let entry = self.partitions.get_mut(&batch.partition);
                entry.expect("opened before its rows").position = Some(batch.next);
                if !batch.boundary {
                    self.undivided.insert(batch.partition.clone());
                } else if !self.undivided.is_empty() {
                    self.undivided.remove(&batch.partition);
                }
                if Reread::number_of(batch.partition.ordinal).is_none() {
                    let emitted = &self.context.worker.emitted;
                    emitted.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
                }
                let rows = batch.rows.counted(&self.context.worker.budget);
                give(hold, Feed::Rows(batch.partition, Arc::new(rows)));
            }
            SourceItem::Replaced(partition) => drop(self.partitions.remove(&partition)),
            SourceItem::Discovered => self.undiscovered = false,
            SourceItem::Whole(partition, position) => {
                let entry = self.partitions.get_mut(&partition);
                entry.expect("opened before it is whole").position = Some(position);
                self.undivided.remove(&partition);
            }
            SourceItem::End(partition) => {
                let entry = self.partitions.get_mut(&partition).expect("opened before its end");
                entry.ended = true;
                if let Some(request) = Reread::of(&partition) {
                    entry.position = Some(request.end());
                    give(hold, Feed::Reread(request));
                }
            }
        }
    }

    fn cut(&mut self, epoch: u64, next: u64, hold: &mut Hold, give: &mut dyn FnMut(&Hold, Feed)) {
        hold.downgrade(epoch);
        let partitions = self.partitions.values().cloned().collect();
        give(hold, Feed::Cut(SourceCut { partitions, undiscovered: self.undiscovered }));
        // An extra partition is gone for good once its end is in a checkpoint.
        self.partitions.retain(|partition, at| !(at.ended && Reread::of(partition).is_some()));
        hold.downgrade(next);
        self.cut_epoch.set(next);
        self.share.set(self.queue.reread_rows);
        self.queue.want_cut(false);
    }
}
