//! What jobs read and write, by name; the root says where that lies.

use std::sync::Arc;

use connectors::format::app_log::page::{PAGE_VALUE, PageDecoder};
use connectors::format::side::{DeadLetter, Refused};
use engine::codec::{DecoderFactory, Encoder};
use engine::graph::plan::{Feed, SinkTarget, SourceSpec};
use engine::graph::{Edge, JobBuilder};
use engine::sink::SinkFactory;
use engine::source::{SourceFactory, Start};

use crate::settings::Settings;

/// Where names lead.
pub struct Outside<'a> {
    /// The source that reads the topic of this name, and where it begins.
    pub source: &'a dyn Fn(&str) -> (Arc<dyn SourceFactory>, Start),
    /// The sink that writes topics of these names, and any others that rows name.
    pub topics: &'a dyn Fn(&[&str]) -> SinkTarget,
    /// What stands before the names of topics outside; rows that name their topic name it whole.
    pub topic_prefix: &'a str,
    /// The sink that writes the table of this name.
    pub table: &'a dyn Fn(&str) -> SinkTarget,
    /// The sink that writes dimension tables.
    pub dimensions: &'a dyn Fn() -> Arc<dyn SinkFactory>,
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
        reread: None,
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
fn refused_page() -> Arc<dyn Encoder> {
    Arc::new(Refused { value: PAGE_VALUE, reason: "late" })
}

/// A job's topics under construction: results first, then side outputs, all in one sink.
pub(crate) struct JobTopics<'a> {
    names: Vec<String>,
    feeds: Vec<(&'a Edge, Feed)>,
}

impl<'a> JobTopics<'a> {
    /// No topics yet.
    pub(crate) fn new() -> Self {
        Self { names: Vec::new(), feeds: Vec::new() }
    }

    /// Writes `edge` to the topic `name` as a result of the job.
    pub(crate) fn result(&mut self, name: &str, edge: &'a Edge, encoder: Arc<dyn Encoder>) {
        let to = self.number_of(name);
        self.feeds.push((edge, Feed::result(to, encoder)));
    }

    /// Writes `edge` to the topic `name` as a side output.
    pub(crate) fn side(&mut self, name: &str, edge: &'a Edge, encoder: Arc<dyn Encoder>) {
        let to = self.number_of(name);
        self.feeds.push((edge, Feed::uncounted(to, encoder)));
    }

    /// Writes `edge` as results of the job, each row to the topic whose whole name is in `column`.
    pub(crate) fn by_name(&mut self, column: usize, edge: &'a Edge, encoder: Arc<dyn Encoder>) {
        self.feeds.push((edge, Feed::by_name(column, encoder)));
    }

    /// The number of the topic `name`, which has one from now on.
    pub(crate) fn number_of(&mut self, name: &str) -> u16 {
        let number = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u16::try_from(number).expect("a job has a handful of topics")
    }

    /// Late rows of job `name`, and dead letters of sources of its own.
    pub(crate) fn sides(
        &mut self,
        name: &str,
        late: &'a Edge,
        dead: &'a [(Edge, Arc<dyn Encoder>)],
    ) {
        self.side(&late_topic(name), late, refused_page());
        for (edge, encoder) in dead {
            self.side(&dead_topic(name), edge, encoder.clone());
        }
    }

    /// Adds the sink to `job`.
    pub(crate) fn build(mut self, job: &mut JobBuilder, outside: &Outside<'_>) {
        let target = self.target(job.name(), outside);
        self.build_with(job, target);
    }

    /// The sink for the topics there are by now, and the number of the dead letters among them. Where
    /// topics lie outside, they may refuse a row for its size, so every job has some there.
    pub(crate) fn target(&mut self, job: &str, outside: &Outside<'_>) -> (SinkTarget, Option<u16>) {
        let target = (outside.topics)(&self.names());
        let SinkTarget::Outside(_) = target else { return (target, None) };
        let dead = self.number_of(&dead_topic(job));
        ((outside.topics)(&self.names()), Some(dead))
    }

    /// Adds the sink to `job`: the one that [`JobTopics::target`] gave, after which there MUST be no
    /// other topic.
    pub(crate) fn build_with(self, job: &mut JobBuilder, target: (SinkTarget, Option<u16>)) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        job.sink_with_dead_letters("topics", target, &names, self.feeds);
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}
