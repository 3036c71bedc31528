//! One per job and worker: gathers what an epoch must make durable and hands it to the writer.
//!
//! When its frontier has passed a cut, all workers' messages up to the cut have been consumed
//! everywhere, so the bundle is whole. It is handed over also when it is empty: the writer counts
//! bundles to know that the epoch is aligned.

use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::PieceStream;
use super::context::JobContext;
use crate::checkpoint::bundle::Bundle;
use crate::checkpoint::piece::Piece;
use crate::checkpoint::writer::WriterItem;

/// Builds the operator.
pub(crate) fn checkpoint(context: &Rc<JobContext>, pieces: PieceStream<'_>) {
    let mut builder = OperatorBuilder::new("checkpoint".to_owned(), pieces.scope());
    let mut input = builder.new_input(pieces, Pipeline);
    let mut waiting: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
    let context = context.clone();
    builder.build(move |_capabilities| {
        move |frontiers| {
            input.for_each(|capability, pieces| {
                waiting.entry(*capability.time()).or_default().append(pieces);
            });
            let frontier = frontiers[0].frontier().first().copied();
            let cuts = context.worker.epochs.borrow_mut().passed(&context.job, frontier);
            for epoch in cuts {
                let later = waiting.split_off(&(epoch + 1));
                let pieces = std::mem::replace(&mut waiting, later).into_values().flatten();
                let bundle = Bundle {
                    job: context.job.clone(),
                    epoch,
                    worker: context.worker.index,
                    pieces: pieces.collect(),
                };
                context.worker.writer.push(WriterItem::Bundle(bundle));
            }
        }
    });
}
