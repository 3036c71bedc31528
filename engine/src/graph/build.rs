//! The typed builder of jobs.

use std::sync::Arc;

use super::plan::{
    Changes, CollectSpec, Edge, Feed, JobPlan, Node, NodeKind, Route, SinkTarget, SourceSpec,
    StatefulSpec,
};
use crate::error::JobError;

/// Builds one job, node by node.
pub struct JobBuilder {
    name: Arc<str>,
    nodes: Vec<Node>,
    imports_from: Vec<Arc<str>>,
}

/// The ports of a source.
#[derive(Debug, Clone)]
pub struct SourceEdges {
    /// Decoded rows.
    pub rows: Edge,
    /// Records that failed; schema of [`dead_schema`](crate::operator::decode::dead_schema).
    pub dead: Edge,
    /// Rows too far in the future, same schema.
    pub future: Edge,
    /// Rows that were asked for once more; schema of the decoder.
    pub reread: Edge,
    /// Ends of what was read again; schema of
    /// [`reread_end_schema`](crate::operator::decode::reread_end_schema).
    pub reread_ends: Edge,
}

impl JobBuilder {
    /// A job without nodes.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), nodes: Vec::new(), imports_from: Vec::new() }
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads and decodes.
    pub fn source(&mut self, uid: &str, spec: SourceSpec) -> SourceEdges {
        let node = self.push(uid, NodeKind::Source(spec), Vec::new());
        let port = |port| edge(node, port, 0, vec![node]);
        SourceEdges {
            rows: port(0),
            dead: port(1),
            future: port(2),
            reread: port(3),
            reread_ends: port(4),
        }
    }

    /// Reads the stream that `job` exports as `export`; `delay_ms` is the delay declared there.
    pub fn import(&mut self, job: &str, export: &str, delay_ms: i64) -> Edge {
        let job: Arc<str> = job.into();
        if !self.imports_from.contains(&job) {
            self.imports_from.push(job.clone());
        }
        let uid = format!("import.{job}.{export}");
        let node = self.push(&uid, NodeKind::Import { job, export: export.into() }, Vec::new());
        edge(node, 0, delay_ms, vec![node])
    }

    /// Offers `rows` to other jobs as `name`.
    pub fn export(&mut self, name: &str, rows: &Edge) {
        let uid = format!("export.{name}");
        self.push(&uid, NodeKind::Export(name.into()), vec![(rows.clone(), Route::Local)]);
    }

    /// Adds a stateful operator and returns its ports.
    pub fn stateful(
        &mut self,
        uid: &str,
        inputs: &[(&Edge, Route)],
        spec: StatefulSpec,
    ) -> Vec<Edge> {
        let inputs: Vec<_> =
            inputs.iter().map(|(edge, route)| ((*edge).clone(), route.clone())).collect();
        let delay = inputs.iter().map(|(edge, _)| edge.delay_ms).max().unwrap_or(0) + spec.delay_ms;
        let mut clocks: Vec<usize> =
            inputs.iter().flat_map(|(edge, _)| edge.clocks.iter().copied()).collect();
        clocks.sort_unstable();
        clocks.dedup();
        let outputs = spec.outputs;
        let node = self.push(uid, NodeKind::Stateful(spec), inputs);
        (0..outputs).map(|port| edge(node, port, delay, clocks.clone())).collect()
    }

    /// Encodes `feeds` for one sink. A job has one sink per outside system: all its topics are
    /// written together.
    pub fn sink(
        &mut self,
        uid: &str,
        target: SinkTarget,
        names: &[&str],
        feeds: Vec<(&Edge, Feed)>,
    ) {
        self.sink_with_dead_letters(uid, (target, None), names, feeds);
    }

    /// As [`JobBuilder::sink`], and the topic of this number takes dead letters of rows that are too
    /// large for the others.
    pub fn sink_with_dead_letters(
        &mut self,
        uid: &str,
        (target, dead): (SinkTarget, Option<u16>),
        names: &[&str],
        feeds: Vec<(&Edge, Feed)>,
    ) {
        let inputs = feeds.iter().map(|(edge, _)| ((*edge).clone(), Route::Local)).collect();
        let feeds = feeds.into_iter().map(|(_, feed)| feed).collect();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.push(uid, NodeKind::Collect(CollectSpec { target, feeds, names, dead }), inputs);
    }

    /// The plan, or why it is refused.
    pub fn build(self) -> Result<JobPlan, JobError> {
        let refuse = |reason: String| JobError { job: self.name.to_string(), reason };
        for (index, node) in self.nodes.iter().enumerate() {
            if !is_uid(&node.uid) {
                return Err(refuse(format!("uid \"{}\" is not [a-z0-9_.]{{1,128}}", node.uid)));
            }
            if self.nodes.iter().take(index).any(|other| other.uid == node.uid) {
                return Err(refuse(format!("uid \"{}\" is used twice", node.uid)));
            }
            let wide = node.inputs.iter().find(|(edge, _)| edge.changes == Changes::Retract);
            if let (NodeKind::Collect(_), Some(_)) = (&node.kind, wide) {
                return Err(refuse(format!("sink \"{}\" cannot take retractions", node.uid)));
            }
        }
        Ok(JobPlan { name: self.name, nodes: self.nodes, imports_from: self.imports_from })
    }

    fn push(&mut self, uid: &str, kind: NodeKind, inputs: Vec<(Edge, Route)>) -> usize {
        self.nodes.push(Node { uid: uid.into(), kind, inputs });
        self.nodes.len() - 1
    }
}

fn edge(node: usize, port: usize, delay_ms: i64, clocks: Vec<usize>) -> Edge {
    Edge { node, port, changes: Changes::Append, delay_ms, clocks }
}

fn is_uid(uid: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    (1..=128).contains(&uid.len()) && uid.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_or_bad_uid_is_refused_by_name() {
        let mut job = JobBuilder::new("j");
        let page = job.import("log_split", "page", 0);
        job.export("a", &page);
        job.export("a", &page);
        let error = job.build().err().expect("refused");
        assert_eq!(error.to_string(), "cannot submit job \"j\": uid \"export.a\" is used twice");
        let mut job = JobBuilder::new("j");
        let page = job.import("log_split", "page", 0);
        job.export("Bad Name", &page);
        assert!(job.build().err().expect("refused").reason.contains("export.Bad Name"));
    }
}
