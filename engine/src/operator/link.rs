//! A stream of one job handed to another job of the same process, on the same worker.
//!
//! The exporter passes batches and watermarks with their epochs, and after them its frontier; the
//! importer holds a capability and follows that frontier. So the jobs see the same epochs and
//! complete together, each record is parsed once, and the importer can be dropped alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

use super::context::JobContext;
use super::{RowStream, TimeStream};
use crate::batch::Batch;
use crate::epoch::hold::HoldReason;
use crate::time::watermark::WatermarkRow;

/// `(job, export)`.
type LinkName = (Arc<str>, Arc<str>);

/// What goes over a link, in order.
#[derive(Clone)]
enum LinkItem {
    Rows(u64, Vec<Arc<Batch>>),
    Times(u64, Vec<WatermarkRow>),
    /// Nothing before this epoch follows; `None` = nothing at all.
    Frontier(Option<u64>),
}

struct Subscriber {
    queue: RefCell<VecDeque<LinkItem>>,
    activator: Activator,
}

#[derive(Default)]
struct Link {
    subscribers: Vec<std::rc::Weak<Subscriber>>,
    frontier: Option<u64>,
}

/// All links of a worker.
#[derive(Default)]
pub(crate) struct LinkTable {
    links: BTreeMap<LinkName, Rc<RefCell<Link>>>,
}

impl LinkTable {
    fn link(&mut self, job: &Arc<str>, export: &Arc<str>) -> Rc<RefCell<Link>> {
        let fresh = || Rc::new(RefCell::new(Link { subscribers: Vec::new(), frontier: Some(0) }));
        self.links.entry((job.clone(), export.clone())).or_insert_with(fresh).clone()
    }
}

impl Link {
    fn send(&mut self, item: &LinkItem) {
        self.subscribers.retain(|subscriber| match subscriber.upgrade() {
            Some(subscriber) => {
                subscriber.queue.borrow_mut().push_back(item.clone());
                subscriber.activator.activate();
                true
            }
            None => false,
        });
    }
}

/// Builds the exporting end.
pub(crate) fn export<'s>(
    context: &Rc<JobContext>,
    uid: &Arc<str>,
    name: &Arc<str>,
    rows: RowStream<'s>,
    times: TimeStream<'s>,
) {
    let link = context.worker.links.borrow_mut().link(&context.job, name);
    let mut builder = OperatorBuilder::new(uid.to_string(), rows.scope());
    let mut row_input = builder.new_input(rows, Pipeline);
    let mut time_input = builder.new_input(times, Pipeline);
    builder.build(move |_capabilities| {
        move |frontiers| {
            let mut link = link.borrow_mut();
            row_input.for_each(|capability, batches| {
                link.send(&LinkItem::Rows(*capability.time(), std::mem::take(batches)));
            });
            time_input.for_each(|capability, rows| {
                link.send(&LinkItem::Times(*capability.time(), std::mem::take(rows)));
            });
            let frontier = frontiers.iter().filter_map(|f| f.frontier().first().copied()).min();
            if frontier != link.frontier {
                link.frontier = frontier;
                link.send(&LinkItem::Frontier(frontier));
            }
        }
    });
}

/// Builds the importing end: rows and watermarks.
pub(crate) fn import<'s>(
    context: &Rc<JobContext>,
    uid: &Arc<str>,
    job: &Arc<str>,
    export: &Arc<str>,
    scope: Scope<'s, u64>,
) -> (RowStream<'s>, TimeStream<'s>) {
    let link = context.worker.links.borrow_mut().link(job, export);
    let mut builder = OperatorBuilder::new(uid.to_string(), scope);
    let (rows_out, rows) = builder.new_output::<Vec<Arc<Batch>>>();
    let (times_out, times) = builder.new_output::<Vec<WatermarkRow>>();
    type Out<C> = OutputBuilder<u64, CapacityContainerBuilder<C>>;
    let mut rows_out = Out::<Vec<Arc<Batch>>>::from(rows_out);
    let mut times_out = Out::<Vec<WatermarkRow>>::from(times_out);
    let activator = scope.activator_for(builder.operator_info().address);
    let subscriber = Rc::new(Subscriber { queue: RefCell::default(), activator });
    {
        let mut link = link.borrow_mut();
        subscriber.queue.borrow_mut().push_back(LinkItem::Frontier(link.frontier));
        link.subscribers.push(Rc::downgrade(&subscriber));
    }
    let (name, worker) = (context.name(uid), context.worker.clone());
    builder.build(move |capabilities| {
        let mut hold = Some(worker.hold(&name, HoldReason::Link, capabilities));
        move |_frontiers| {
            // The queue is emptied before the exporter runs again: one worker, one thread.
            let items = std::mem::take(&mut *subscriber.queue.borrow_mut());
            for item in items {
                let Some(held) = &mut hold else { return };
                match item {
                    LinkItem::Rows(epoch, batches) => {
                        let capability = held.port(0).delayed(&epoch);
                        let mut output = rows_out.activate();
                        output.session(&capability).give_iterator(batches.into_iter());
                    }
                    LinkItem::Times(epoch, rows) => {
                        let capability = held.port(1).delayed(&epoch);
                        let mut output = times_out.activate();
                        output.session(&capability).give_iterator(rows.into_iter());
                    }
                    LinkItem::Frontier(Some(epoch)) => held.downgrade(epoch),
                    LinkItem::Frontier(None) => hold = None,
                }
            }
        }
    });
    (rows, times)
}
