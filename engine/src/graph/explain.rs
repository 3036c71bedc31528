//! A plan as text: what `watershed explain` prints, and what the plan hash is taken over.

use std::fmt::Write as _;

use super::plan::{JobPlan, Node, NodeKind, Route, SinkTarget};

impl JobPlan {
    /// One line per node: uid, kind, inputs with their route, and what leaves the job.
    pub fn explain(&self) -> String {
        let mut text = format!("job {}\n", self.name);
        for node in &self.nodes {
            let _infallible = writeln!(text, "  {:<28} {}", node.uid, what(node));
            for (edge, route) in &node.inputs {
                let from = &self.nodes[edge.node].uid;
                let port = if edge.port == 0 { String::new() } else { format!(".{}", edge.port) };
                let _infallible = writeln!(text, "    <- {from}{port}{}", route_text(route));
            }
        }
        text
    }
}

fn what(node: &Node) -> String {
    match &node.kind {
        NodeKind::Source(spec) => format!(
            "source {} (bound {} ms, idle after {} ms)",
            spec.factory.describe(),
            spec.bound_ms,
            spec.idle_timeout_ms
        ),
        NodeKind::Import { job, export } => format!("import \"{export}\" of job {job}"),
        NodeKind::Export(name) => format!("export as \"{name}\""),
        NodeKind::Stateful(spec) if spec.delay_ms > 0 => {
            format!("{} (delay {} ms)", spec.what, spec.delay_ms)
        }
        NodeKind::Stateful(spec) => spec.what.to_owned(),
        NodeKind::Collect(spec) => match &spec.target {
            SinkTarget::Topics(_, _) => format!("sink embedded topics {}", spec.names.join(", ")),
            SinkTarget::Outside(factory) => {
                format!("sink {}: {}", factory.describe(), spec.names.join(", "))
            }
        },
    }
}

fn route_text(route: &Route) -> String {
    match route {
        Route::Local => String::new(),
        Route::All => " by broadcast".to_owned(),
        Route::Key(columns) => format!(" by key {columns:?}"),
    }
}
