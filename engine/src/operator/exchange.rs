//! Rows to the worker that owns their key: split into one batch per target, then pass the pointer.
//!
//! The batches of all targets share the bytes of the rows, which no worker changes; what is gathered is
//! only what points to them, and nothing becomes an owned value per row (specification 8.3; there the
//! bytes are gathered as well, which costs more than all else here when they come from memory). With
//! one worker it is no operator at all.

use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::RowStream;
use super::context::JobContext;
use crate::batch::Batch;
use crate::graph::plan::Route;
use crate::hash::{key_group, worker_of_group};

/// A batch on its way to a worker.
#[derive(Clone, Serialize, Deserialize)]
struct Routed {
    target: u64,
    batch: Arc<Batch>,
}

/// Routes `stream` by `route`.
pub(crate) fn exchange<'s>(
    context: &Rc<JobContext>,
    uid: &str,
    stream: RowStream<'s>,
    route: &Route,
) -> RowStream<'s> {
    let peers = context.worker.peers;
    if peers == 1 || *route == Route::Local {
        return stream;
    }
    receive(uid, split(uid, stream, route.clone(), peers))
}

type RoutedStream<'s> = timely::dataflow::Stream<'s, u64, Vec<Routed>>;

fn split<'s>(uid: &str, stream: RowStream<'s>, route: Route, peers: usize) -> RoutedStream<'s> {
    let mut builder = OperatorBuilder::new(format!("{uid}.split"), stream.scope());
    let mut input = builder.new_input(stream, Pipeline);
    let (output, routed) = builder.new_output::<Vec<Routed>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Routed>>>::from(output);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            let mut output = output.activate();
            input.for_each(|capability, batches| {
                let capability = capability.retain(0);
                let mut session = output.session(&capability);
                for batch in batches.drain(..) {
                    split_batch(&batch, &route, peers, |routed| session.give(routed));
                }
            });
        }
    });
    routed
}

fn receive<'s>(uid: &str, stream: RoutedStream<'s>) -> RowStream<'s> {
    let mut builder = OperatorBuilder::new(format!("{uid}.receive"), stream.scope());
    let mut input = builder.new_input(stream, Exchange::new(|routed: &Routed| routed.target));
    let (output, rows) = builder.new_output::<Vec<Arc<Batch>>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Arc<Batch>>>>::from(output);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            let mut output = output.activate();
            input.for_each(|capability, batches| {
                let capability = capability.retain(0);
                let mut session = output.session(&capability);
                batches.drain(..).for_each(|routed| session.give(routed.batch));
            });
        }
    });
    rows
}

/// Picks the rows of `batch` for each target worker, in order.
fn split_batch(batch: &Arc<Batch>, route: &Route, peers: usize, give: impl FnMut(Routed)) {
    if *route == Route::All {
        let copy = |target: usize| Routed { target: target as u64, batch: batch.clone() };
        return (0..peers).map(copy).for_each(give);
    }
    // Keys spread evenly, and a quarter more than an even share.
    let share = batch.len() / peers + batch.len() / peers / 4 + 1;
    let mut targets: Vec<_> = (0..peers).map(|_| Vec::with_capacity(share)).collect();
    let mut key = Vec::new();
    for (row, index) in batch.rows().zip(0_u32..) {
        key.clear();
        route.write_key(row, &mut key);
        targets[worker_of_group(key_group(&key), peers)].push(index);
    }
    let filled = targets.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    let routed = |(target, rows): (usize, &Vec<u32>)| Routed {
        target: target as u64,
        batch: Arc::new(batch.pick(rows)),
    };
    filled.map(routed).for_each(give);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::build::{RAW_VALUE, RawBuilder, raw_schema};

    #[test]
    fn a_broadcast_row_reaches_every_worker_once() {
        let mut builder = RawBuilder::new(&raw_schema(), 0);
        builder.push(0, None, Some(b"x"));
        let batch = Arc::new(builder.finish().expect("a row"));
        let mut targets = Vec::new();
        split_batch(&batch, &Route::All, 3, |routed| {
            assert!(Arc::ptr_eq(&routed.batch, &batch));
            targets.push(routed.target);
        });
        assert_eq!(targets, [0, 1, 2]);
    }

    #[test]
    fn rows_of_a_key_stay_together_and_in_order() {
        let mut builder = RawBuilder::new(&raw_schema(), 0);
        for position in 0..1000_u64 {
            let key = format!("mid_{}", position % 37);
            builder.push(position, Some(key.as_bytes()), Some(&position.to_be_bytes()));
        }
        let batch = Arc::new(builder.finish().expect("rows"));
        let mut seen = vec![None; 37];
        let mut rows = 0;
        split_batch(&batch, &Route::Key(vec![0]), 3, |routed| {
            for row in routed.batch.rows() {
                let position = row.order().position;
                assert_eq!(row.bytes(RAW_VALUE), Some(&position.to_be_bytes()[..]));
                let mid = (position % 37) as usize;
                let last = seen[mid].replace((routed.target, position));
                assert!(
                    last.is_none_or(|(target, last)| target == routed.target && last < position)
                );
                rows += 1;
            }
        });
        assert_eq!(rows, 1000);
    }
}
