//! Kafka topics as targets: exactly once, one transaction per unit.
//!
//! ```text
//!   begin  -->  channel  -->  thread of the shard: begin . rows . progress . commit
//!   poll   <--  channel  <--  its answer
//! ```
//!
//! To write means to wait for the broker, so each [`KafkaSink`] has a thread (its `shard`); the calls
//! here only look at its answer. What a crash leaves behind is settled by the next instance: taking
//! the same transactional id ends what was open, and the [progress record](super::progress) says
//! whether the last unit is there.
//!
//! Two producers can write. Ours (`own`) sends blocks of records as they lie in the outbox, or copies
//! rows into record batches, and costs a tenth of librdkafka's or less; it is taken where the cluster
//! speaks plain text and no setting asks for what only librdkafka has (TLS, SASL, compression, its
//! queues). Otherwise librdkafka's (`transaction`) writes, with the same guarantees;
//! [`SinkFactory::describe`] then names the setting that decided.
//!
//! Misuse: two sinks of one cluster with the same prefix, job and sink name fence each other.

mod choice;
mod limits;
mod own;
mod shard;
mod targets;
mod topics;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use engine::clock::Moment;
use engine::crash_point::CrashPoints;
use engine::error::Fault;
use engine::runtime::step::Waker;
use engine::sink::partitions::Partitions;
use engine::sink::row_limits::RowLimits;
use engine::sink::{Delivery, Sink, SinkFactory, SinkPoll, SinkRequest, UnitPolicy};

use super::config::KafkaConfig;
use super::murmur2::partition_of;
use choice::{Choice, writer};
use shard::Shard;

/// Makes [`KafkaSink`]s, one per shard.
#[derive(Debug, Clone)]
pub struct KafkaSinkFactory {
    config: KafkaConfig,
    topics: Vec<String>,
    told: Told,
    points: CrashPoints,
}

/// What the sinks find out of their topics, for those who encode rows.
#[derive(Debug, Clone)]
struct Told {
    rows: RowLimits,
    partitions: Partitions,
}

impl Told {
    fn nothing(topics: &[String]) -> Self {
        let rows = RowLimits::unknown(topics.len());
        Self { rows, partitions: Partitions::unknown(topics.len(), partition_of) }
    }
}

impl KafkaSinkFactory {
    /// A sink whose rows number their topic by its index in `topics`, or name another one: that is
    /// found or made when it is first needed.
    ///
    /// # Errors
    /// No topic is named.
    pub fn new(config: KafkaConfig, topics: Vec<String>) -> Result<Self, Fault> {
        if topics.is_empty() {
            return Err(Fault::never("cannot write to kafka: no topic is named"));
        }
        let told = Told::nothing(&topics);
        Ok(Self { config, topics, told, points: CrashPoints::default() })
    }

    /// The same sink, telling of the crash points inside a transaction.
    #[must_use]
    pub fn with_crash_points(self, points: CrashPoints) -> Self {
        Self { points, ..self }
    }
}

impl SinkFactory for KafkaSinkFactory {
    fn describe(&self) -> String {
        let (topics, place) = (self.topics.join("\", \""), &self.config.bootstrap);
        match writer(&self.config) {
            Choice::Own(_) => format!("kafka topic \"{topics}\" at {place}"),
            Choice::Librdkafka(setting) => format!(
                "kafka topic \"{topics}\" at {place}, written by librdkafka because of \"{setting}\""
            ),
        }
    }

    fn unit_policy(&self) -> UnitPolicy {
        self.config.unit_policy
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn row_limits(&self) -> Option<RowLimits> {
        Some(self.told.rows.clone())
    }

    fn partitions(&self) -> Option<Partitions> {
        let sends_blocks = matches!(writer(&self.config), Choice::Own(_));
        sends_blocks.then(|| self.told.partitions.clone())
    }

    fn create(&self) -> Result<Box<dyn Sink>, Fault> {
        let mut sink = KafkaSink::new(self.config.clone(), self.topics.clone());
        (sink.told, sink.points) = (self.told.clone(), self.points.clone());
        Ok(Box::new(sink))
    }
}

/// Delivers the units of one shard.
pub struct KafkaSink {
    /// What the thread is made of, until it is started.
    setup: Option<(KafkaConfig, Vec<String>)>,
    told: Told,
    points: CrashPoints,
    waker: Waker,
    stop: Stop,
    link: Option<Link>,
    /// Why the thread could not be started.
    failed: Option<Fault>,
}

struct Link {
    requests: Sender<SinkRequest>,
    answers: Receiver<SinkPoll>,
}

impl KafkaSink {
    /// A sink that opens nothing yet.
    pub fn new(config: KafkaConfig, topics: Vec<String>) -> Self {
        let (told, points) = (Told::nothing(&topics), CrashPoints::default());
        let setup = Some((config, topics));
        let (waker, stop) = (Waker::default(), Stop::default());
        Self { setup, told, points, waker, stop, link: None, failed: None }
    }

    fn start(&mut self) -> Result<(), Fault> {
        let Some((config, topics)) = self.setup.take() else { return Ok(()) };
        let (requests, asked) = channel();
        let (answer, answers) = channel();
        let (stop, points) = (self.stop.clone(), self.points.clone());
        let waker = self.waker.clone();
        let told = (topics.clone(), self.told.clone());
        let mut shard = Shard::new(config.clone(), told, stop, points);
        let thread = std::thread::Builder::new().name("kafka sink".to_owned());
        let started = thread.spawn(move || {
            for request in asked {
                if answer.send(shard.serve(request)).is_err() {
                    break;
                }
                waker.wake();
            }
        });
        match started {
            Ok(_detached) => {
                self.link = Some(Link { requests, answers });
                Ok(())
            }
            Err(error) => {
                self.setup = Some((config, topics));
                Err(Fault::later(format!("could not start a thread: {error}")))
            }
        }
    }
}

impl Sink for KafkaSink {
    fn begin(&mut self, request: SinkRequest) {
        self.failed = self.start().err();
        if let Some(link) = &self.link {
            // If the thread has ended, poll says so.
            drop(link.requests.send(request));
        }
    }

    fn wake_with(&mut self, waker: Waker) -> bool {
        self.waker = waker;
        true
    }

    fn poll(&mut self, _now: Moment) -> SinkPoll {
        if let Some(fault) = self.failed.take() {
            return SinkPoll::Fault(fault);
        }
        let Some(link) = &self.link else { return SinkPoll::Pending };
        match link.answers.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => SinkPoll::Pending,
            Err(TryRecvError::Disconnected) => {
                SinkPoll::Fault(Fault::never("cannot deliver to kafka: the sink's thread ended"))
            }
        }
    }

    fn close(&mut self) {
        self.stop.set(StopMode::Abort);
        self.link = None;
    }
}

impl Drop for KafkaSink {
    /// Without [`Sink::close`] this is what a crash does: an open transaction stays open.
    fn drop(&mut self) {
        self.stop.set(StopMode::Leave);
    }
}

/// How the thread is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopMode {
    /// Not at all.
    Run,
    /// At once, leaving everything to the next instance.
    Leave,
    /// An open transaction is aborted, so that readers need not wait for its time-out.
    Abort,
}

/// Tells the thread to end.
#[derive(Debug, Clone, Default)]
struct Stop(Arc<AtomicU8>);

impl Stop {
    fn set(&self, mode: StopMode) {
        // A sink is dropped after it is closed: the greater word counts.
        self.0
            .fetch_max(u8::from(mode != StopMode::Run) + u8::from(mode == StopMode::Abort), ORDER);
    }

    fn mode(&self) -> StopMode {
        match self.0.load(ORDER) {
            0 => StopMode::Run,
            1 => StopMode::Leave,
            _ => StopMode::Abort,
        }
    }

    fn is_set(&self) -> bool {
        self.mode() != StopMode::Run
    }
}

/// Nothing else is published with the flag.
const ORDER: Ordering = Ordering::Relaxed;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_makes_librdkafka_write_is_described() {
        let describe = |settings: &[(&str, &str)]| {
            let settings: BTreeMap<String, String> =
                settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let config = KafkaConfig::new("b:1", settings).unwrap();
            KafkaSinkFactory::new(config, vec!["t".to_owned()]).unwrap().describe()
        };
        assert_eq!(describe(&[("linger.ms", "1")]), "kafka topic \"t\" at b:1");
        let text = describe(&[("sasl.username", "bob")]);
        assert!(text.ends_with("written by librdkafka because of \"sasl.username\""), "{text}");
    }
}
