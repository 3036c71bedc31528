//! A plan to one timely dataflow: the same on every worker, in the same order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::empty;
use timely::worker::Worker;

use super::collect::CollectStage;
use super::collect::shortcut::Shortcut;
use super::context::JobContext;
use super::exchange::exchange;
use super::stateful::{StatefulInputs, StatefulPorts};
use super::{PieceStream, RowStream, TimeStream};
use super::{checkpoint, collect, decode, link, source, stateful};
use crate::graph::plan::{Edge, JobPlan, Node, NodeKind, Route};
use crate::hash::hash_bytes;

/// Builds the job's dataflow on this worker and returns its index, for
/// [`Worker::drop_dataflow`].
pub(crate) fn install(worker: &mut Worker, context: &Rc<JobContext>, plan: &JobPlan) -> usize {
    let index = worker.next_dataflow_index();
    worker.dataflow_named::<u64, _, _>(&plan.name, |scope| {
        let mut builder = Installer {
            context,
            scope,
            ports: BTreeMap::new(),
            times: BTreeMap::new(),
            pieces: Vec::new(),
            plan,
            stages: stages(context, plan),
        };
        for (index, node) in plan.nodes.iter().enumerate() {
            builder.node(index, node);
        }
        let pieces = scope.concatenate(builder.pieces);
        checkpoint::checkpoint(context, pieces);
    });
    index
}

struct Installer<'a, 's> {
    context: &'a Rc<JobContext>,
    scope: Scope<'s, u64>,
    ports: BTreeMap<(usize, usize), RowStream<'s>>,
    times: BTreeMap<usize, TimeStream<'s>>,
    pieces: Vec<PieceStream<'s>>,
    plan: &'a JobPlan,
    /// Of sinks, by node: operators before them may write into their blocks.
    stages: BTreeMap<usize, Rc<RefCell<CollectStage>>>,
}

fn stages(context: &Rc<JobContext>, plan: &JobPlan) -> BTreeMap<usize, Rc<RefCell<CollectStage>>> {
    let sinks = plan.nodes.iter().enumerate().filter_map(|(index, node)| match &node.kind {
        NodeKind::Collect(spec) => Some((index, CollectStage::new(context, &node.uid, spec))),
        _ => None,
    });
    sinks.map(|(index, stage)| (index, Rc::new(RefCell::new(stage)))).collect()
}

impl<'s> Installer<'_, 's> {
    fn node(&mut self, index: usize, node: &Node) {
        let (context, uid) = (self.context, &node.uid);
        match &node.kind {
            NodeKind::Source(spec) => {
                let feed = source::source(context, uid, self.scope);
                let id = hash_bytes(format!("{}\0{uid}", context.job).as_bytes());
                let decoded = decode::decode(context, uid, spec, id, feed);
                self.set_ports(index, decoded.ports);
                self.times.insert(index, decoded.times);
                self.pieces.push(decoded.pieces);
            }
            NodeKind::Import { job, export } => {
                let (rows, times) = link::import(context, uid, job, export, self.scope);
                self.set_ports(index, vec![rows]);
                self.times.insert(index, times);
            }
            NodeKind::Export(name) => {
                let rows = self.input(&node.inputs[0].0);
                let times = self.clocks(&node.inputs);
                let times = self.scope.concatenate(times);
                link::export(context, uid, name, rows, times);
            }
            NodeKind::Stateful(spec) => {
                let inputs = StatefulInputs {
                    rows: node
                        .inputs
                        .iter()
                        .map(|(edge, route)| exchange(context, uid, self.input(edge), route))
                        .collect(),
                    times: self.clocks(&node.inputs),
                    delay_ms: node.inputs.iter().map(|(edge, _)| edge.delay_ms).max().unwrap_or(0),
                };
                let count = spec.outputs;
                let shortcuts = (0..count).map(|port| self.shortcut(index, port)).collect();
                let ports = StatefulPorts { count, shortcuts };
                let (ports, pieces) =
                    stateful::stateful(context, uid, inputs, ports, (spec.make)());
                self.set_ports(index, ports);
                self.pieces.push(pieces);
            }
            NodeKind::Collect(_) => {
                let inputs = node.inputs.iter().map(|(edge, _)| self.input(edge)).collect();
                let stage = self.stages.remove(&index).expect("made for every sink");
                self.pieces.push(collect::collect(uid, stage, inputs));
            }
        }
    }

    fn set_ports(&mut self, node: usize, ports: Vec<RowStream<'s>>) {
        for (port, stream) in ports.into_iter().enumerate() {
            self.ports.insert((node, port), stream);
        }
    }

    fn input(&self, edge: &Edge) -> RowStream<'s> {
        self.ports.get(&(edge.node, edge.port)).expect("inputs come before outputs").clone()
    }

    /// The way of a port into the sink that reads it, if nobody else does.
    fn shortcut(&self, node: usize, port: usize) -> Option<Shortcut> {
        let readers = self.plan.nodes.iter().enumerate().flat_map(|(index, reader)| {
            reader.inputs.iter().enumerate().map(move |(input, (edge, _))| (index, input, edge))
        });
        let mut readers = readers.filter(|(_, _, edge)| (edge.node, edge.port) == (node, port));
        match (readers.next(), readers.next()) {
            (Some((index, input, _)), None) => Shortcut::to(self.stages.get(&index)?, input),
            _ => None,
        }
    }

    /// Watermark streams of everything upstream, each once.
    fn clocks(&self, inputs: &[(Edge, Route)]) -> Vec<TimeStream<'s>> {
        let mut clocks: Vec<usize> =
            inputs.iter().flat_map(|(edge, _)| edge.clocks.iter().copied()).collect();
        clocks.sort_unstable();
        clocks.dedup();
        let streams: Vec<_> =
            clocks.iter().filter_map(|clock| self.times.get(clock).cloned()).collect();
        if streams.is_empty() { vec![empty(self.scope)] } else { streams }
    }
}
