//! The parts of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::key;
use crate::batch::row::Row;
use crate::batch::schema::Kind;
use crate::codec::{DecoderFactory, Encoder};
use crate::operator::stateful::StatefulFactory;
use crate::sink::SinkFactory;
use crate::source::{SourceFactory, Start};

/// A job: what every worker builds.
pub struct JobPlan {
    /// Name, `[a-z0-9_]+`; label `job` of its counters.
    pub name: Arc<str>,
    /// Nodes, inputs before outputs.
    pub nodes: Vec<Node>,
    /// Jobs whose streams this one reads in process.
    pub imports_from: Vec<Arc<str>>,
}

/// One operator of a job.
pub struct Node {
    /// Unique in the job; state is found by it.
    pub uid: Arc<str>,
    /// What it does.
    pub kind: NodeKind,
    /// Where its rows come from.
    pub inputs: Vec<(Edge, Route)>,
}

/// What a node does.
pub enum NodeKind {
    /// Reads partitions and decodes. Ports: rows, dead letters, rows too far in the future, rows
    /// read again, ends of what was read again.
    Source(SourceSpec),
    /// Reads an exported stream of another job of this process. Port: its rows.
    Import {
        /// The job.
        job: Arc<str>,
        /// The exported name.
        export: Arc<str>,
    },
    /// Offers its input to other jobs under a name.
    Export(Arc<str>),
    /// Keeps state; see [`Stateful`](crate::operator::stateful::Stateful).
    Stateful(StatefulSpec),
    /// Encodes its inputs into the outbox.
    Collect(CollectSpec),
}

/// A stateful node.
pub struct StatefulSpec {
    /// For `explain`: `keyed`, `ordered`, `window`.
    pub what: &'static str,
    /// Makes the logic of one worker.
    pub make: StatefulFactory,
    /// Output ports.
    pub outputs: usize,
    /// Milliseconds that the event time of emitted rows may lie behind the watermark (10.4).
    pub delay_ms: i64,
    /// What it may ask of the outside.
    pub asks: Asks,
}

/// What a stateful operator may ask of the outside while it closes an epoch.
#[derive(Clone, Default)]
pub struct Asks {
    /// The sink that makes tables: `Close::ensure_table`.
    pub tables: Option<Arc<dyn SinkFactory>>,
    /// The source that reads again, by job and uid: `Close::reread`.
    pub reread: Option<(Arc<str>, Arc<str>)>,
}

/// A source node.
pub struct SourceSpec {
    /// The source.
    pub factory: Arc<dyn SourceFactory>,
    /// Where to begin where no position is saved.
    pub start: Start,
    /// The decoder.
    pub decoder: DecoderFactory,
    /// Milliseconds a record may come after a later one.
    pub bound_ms: i64,
    /// Milliseconds (by epoch stamps) of silence after which a partition is idle; 0 = never.
    pub idle_timeout_ms: i64,
    /// Milliseconds ahead of the stamp beyond which a row does not move the watermark.
    pub future_hold_ms: i64,
    /// Milliseconds ahead of the stamp beyond which a row goes to port `future`.
    pub future_skew_ms: i64,
    /// Which rows a request to read again is about; `None`: the source is never asked.
    pub reread: Option<RereadFilter>,
}

/// Whether a decoded row is what the [`Reread`](crate::source::reread::Reread) of this name wants.
pub type RereadFilter = fn(Row<'_>, &str) -> bool;

/// A sink node.
pub struct CollectSpec {
    /// Where rows go.
    pub target: SinkTarget,
    /// Per input: where in the sink, and how rows become bytes.
    pub feeds: Vec<Feed>,
    /// Names of the topics or tables, by their number.
    pub names: Vec<String>,
    /// Number of the topic of the job's dead letters, where a row goes that is too large for its
    /// target; without one it goes to its target, which may refuse it.
    pub dead: Option<u16>,
}

/// How an input of a sink is written.
#[derive(Clone)]
pub struct Feed {
    /// Which topic or table.
    pub to: FeedTarget,
    /// Rows to bytes.
    pub encoder: Arc<dyn Encoder>,
    /// Whether its rows are the job's result (counter `records_out`), not a side output or a table
    /// whose rows are written again.
    pub counted: bool,
}

impl Feed {
    /// A result of the job.
    pub fn result(to: u16, encoder: Arc<dyn Encoder>) -> Self {
        Self { to: FeedTarget::Number(to), encoder, counted: true }
    }

    /// A result of the job whose rows name their topic in this column, see [`FeedTarget::Named`].
    pub fn by_name(column: usize, encoder: Arc<dyn Encoder>) -> Self {
        Self { to: FeedTarget::Named(column), encoder, counted: true }
    }

    /// A side output, or a table.
    pub fn uncounted(to: u16, encoder: Arc<dyn Encoder>) -> Self {
        Self { to: FeedTarget::Number(to), encoder, counted: false }
    }
}

/// Which topic or table of its sink an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedTarget {
    /// The one with this number.
    Number(u16),
    /// The topic that each row names in this column, of text; topics come into being with their first
    /// row. Whoever fills the column MUST put in nothing but names that the target takes, and few:
    /// each open epoch has a block for each of them. An embedded one has as many partitions as the
    /// first topic that the sink numbers.
    Named(usize),
}

/// Where a sink's rows go.
#[derive(Clone)]
pub enum SinkTarget {
    /// Topics of the embedded topic log: the outbox block *is* the topic's block.
    Topics(Vec<TopicSpec>, Partitioner),
    /// A system outside, reached through a [`SinkFactory`].
    Outside(Arc<dyn SinkFactory>),
}

/// Maps key bytes to one of `n` partitions.
pub type Partitioner = fn(&[u8], u32) -> u32;

/// An embedded topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
}

/// A port of a node, to be used as an input. Carries what is known about time on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Index of the node.
    pub node: usize,
    /// Its output port.
    pub port: usize,
    /// Form of the stream.
    pub changes: Changes,
    /// Greatest declared delay upstream, milliseconds.
    pub delay_ms: i64,
    /// Nodes whose watermarks govern this stream (sources and imports).
    pub clocks: Vec<usize>,
}

/// What a stream may contain (20.5); a sink that cannot take it is refused at plan time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Inserts only.
    Append,
    /// The last row of a key counts.
    Upsert,
    /// Rows may be taken back.
    Retract,
}

/// How rows find their worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// They stay where they are.
    Local,
    /// To the worker that owns the key made of these columns; of no columns: all to one worker.
    Key(Vec<usize>),
    /// Each row to every worker.
    All,
}

impl Route {
    /// Appends the key bytes of `row`; nothing without a key.
    pub fn write_key(&self, row: Row<'_>, out: &mut Vec<u8>) {
        let Self::Key(columns) = self else { return };
        for &column in columns {
            match row.batch().schema().columns[column].1 {
                Kind::Slice => key::push_bytes(out, row.bytes(column)),
                Kind::Int => match row.int(column) {
                    Some(value) => key::push_int(out, value),
                    None => key::push_bytes(out, None),
                },
            }
        }
    }
}

impl JobPlan {
    /// Sources of this job, with their node index.
    pub fn sources(&self) -> impl Iterator<Item = (&Node, &SourceSpec)> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(spec) => Some((node, spec)),
            _ => None,
        })
    }

    /// Sinks of this job.
    pub fn sinks(&self) -> impl Iterator<Item = (&Node, &CollectSpec)> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Collect(spec) => Some((node, spec)),
            _ => None,
        })
    }

    /// Uids that own saved state or positions, in node order.
    pub fn stateful_uids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(_) | NodeKind::Stateful(_) | NodeKind::Collect(_) => Some(&node.uid),
            NodeKind::Import { .. } | NodeKind::Export(_) => None,
        })
    }

    /// A hash of the plan as [`JobPlan::explain`] shows it, settings included: for comparing runs.
    pub fn hash(&self) -> u64 {
        crate::hash::hash_bytes(self.explain().as_bytes())
    }

    /// Per stateful operator a hash of what its saved state depends on: what it is, and the keys by
    /// which its inputs are routed.
    pub fn shapes(&self) -> BTreeMap<Arc<str>, u64> {
        let stateful = self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Stateful(spec) => Some((node, spec)),
            _ => None,
        });
        let shape = |(node, spec): (&Node, &StatefulSpec)| {
            let routes: Vec<&Route> = node.inputs.iter().map(|(_, route)| route).collect();
            let text = format!("{} {routes:?}", spec.what);
            (node.uid.clone(), crate::hash::hash_bytes(text.as_bytes()))
        };
        stateful.map(shape).collect()
    }
}
