//! What jobs read and write, by name; the root says where that lies.

use std::sync::Arc;

use connectors::format::app_log::page::{PAGE_VALUE, PageDecoder};
use connectors::format::side::{DeadLetter, Refused};
use engine::codec::{DecoderFactory, Encoder};
use engine::graph::plan::{SinkTarget, SourceSpec};
use engine::graph::{Edge, JobBuilder};
use engine::source::{SourceFactory, Start};

use crate::settings::Settings;

/// Where names lead.
pub struct Outside<'a> {
    /// The source that reads the topic of this name, and where it begins.
    pub source: &'a dyn Fn(&str) -> (Arc<dyn SourceFactory>, Start),
    /// The sink that writes topics of these names.
    pub topics: &'a dyn Fn(&[&str]) -> SinkTarget,
    /// The sink that writes the table of this name.
    pub table: &'a dyn Fn(&str) -> SinkTarget,
    /// Whether a job writes its topics (`publish` of the job file).
    pub publish: &'a dyn Fn(&str) -> bool,
}

/// The settings of a source of log records of any kind.
pub(crate) fn source_spec(
    settings: &Settings,
    outside: &Outside<'_>,
    topic: &str,
    decoder: DecoderFactory,
) -> SourceSpec {
    let (factory, start) = (outside.source)(topic);
    SourceSpec {
        factory,
        start,
        decoder,
        bound_ms: settings.out_of_orderness_ms,
        idle_timeout_ms: settings.idle_timeout_ms,
        future_hold_ms: settings.future_hold_ms,
        future_skew_ms: settings.future_skew_ms,
    }
}

/// Reads page records from a topic, where their maker runs elsewhere; `uid` names the source.
/// Returns the rows; what cannot be read goes to the job's dead letters.
pub(crate) fn pages_from_topic(
    job: &mut JobBuilder,
    settings: &Settings,
    outside: &Outside<'_>,
    uid: &str,
    topic: &str,
) -> (Edge, Vec<(Edge, Arc<dyn Encoder>)>) {
    let decoder: DecoderFactory = Arc::new(|| Box::new(PageDecoder::default()));
    let source = job.source(uid, source_spec(settings, outside, topic, decoder));
    let dead = vec![
        (source.dead, Arc::new(DeadLetter) as Arc<dyn Encoder>),
        (source.future, Arc::new(DeadLetter) as Arc<dyn Encoder>),
    ];
    (source.rows, dead)
}

/// Name of the topic with a job's dead letters.
pub fn dead_topic(job: &str) -> String {
    format!("{job}_dead")
}

/// Name of the topic with rows a job refused as late.
pub fn late_topic(job: &str) -> String {
    format!("{job}_late")
}

/// Name of the topic with records too far in the future.
pub fn future_topic(job: &str) -> String {
    format!("{job}_future")
}

/// The encoder of refused page rows.
pub(crate) fn refused_page() -> Arc<dyn Encoder> {
    Arc::new(Refused { value: PAGE_VALUE, reason: "late" })
}

/// Adds the sink of a job's side outputs: late rows, and dead letters of sources of its own.
pub(crate) fn side_outputs(
    job: &mut JobBuilder,
    outside: &Outside<'_>,
    name: &str,
    late: &Edge,
    dead: &[(Edge, Arc<dyn Encoder>)],
) {
    let (late_name, dead_name) = (late_topic(name), dead_topic(name));
    let names = [late_name.as_str(), dead_name.as_str()];
    let names = if dead.is_empty() { &names[..1] } else { &names[..] };
    let mut feeds = vec![(late, 0, refused_page())];
    feeds.extend(dead.iter().map(|(edge, encoder)| (edge, 1, encoder.clone())));
    job.side_sink("side", (outside.topics)(names), names, feeds);
}
