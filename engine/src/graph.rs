//! A job before it is installed: nodes with uids, joined by edges, described once for all workers.
//!
//! ```text
//!   JobBuilder --build--> JobPlan --operator::install--> one timely dataflow per worker
//! ```
//!
//! Jobs and SQL see this module, the batches and the traits of the outside, and nothing of timely.
//! Uids are written by hand, because saved state is found by them: a doubled one refuses the job.

pub mod build;
pub mod explain;
pub mod plan;

pub use build::JobBuilder;
pub use plan::{Edge, JobPlan, Route, SinkTarget, SourceSpec, TopicSpec};
