//! A consumer that asks instead of reading: metadata, offsets, the progress topic.
//!
//! For threads that may wait. Every wait is cut into turns, so that a refusal (told only while the
//! client is polled) or the wish to stop ends it.

use std::time::{Duration, Instant};

use engine::error::Fault;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::config::{KafkaConfig, bad_setting};
use super::watch::{Listener, Watch, fault_of, fault_of_error};

/// How long one question may take in all.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// One turn of it.
const TURN: Duration = Duration::from_millis(500);

/// A consumer in the hands of a thread that may wait.
pub(super) struct Client<'a> {
    consumer: BaseConsumer<Listener>,
    watch: Watch,
    /// Asked between turns; true ends every wait.
    stopped: &'a dyn Fn() -> bool,
}

impl<'a> Client<'a> {
    /// A client with these settings instead of the usual ones.
    pub(super) fn new(
        config: &KafkaConfig,
        settings: &[(&str, &str)],
        stopped: &'a dyn Fn() -> bool,
    ) -> Result<Self, Fault> {
        let watch = Watch::default();
        let mut client = config.consumer();
        for (key, value) in settings {
            client.set(*key, *value);
        }
        let context = Listener(watch.clone());
        let consumer = client.create_with_context(context).map_err(|error| bad_setting(&error))?;
        Ok(Self { consumer, watch, stopped })
    }

    /// The consumer itself.
    pub(super) fn consumer(&self) -> &BaseConsumer<Listener> {
        &self.consumer
    }

    /// One turn of reading.
    pub(super) fn poll(
        &self,
        turn: Duration,
    ) -> Result<Option<KafkaResult<BorrowedMessage<'_>>>, Fault> {
        let polled = self.consumer.poll(turn);
        if let Some(fault) = self.watch.take() {
            return Err(fault);
        }
        if (self.stopped)() {
            return Err(Fault::later("could not wait for kafka: the sink is closed"));
        }
        Ok(polled)
    }

    /// Asks `question` until it is answered, refused, or too much time has passed.
    pub(super) fn ask<T>(
        &self,
        what: &str,
        question: impl Fn(&BaseConsumer<Listener>, Duration) -> KafkaResult<T>,
    ) -> Result<T, Fault> {
        let started = Instant::now();
        loop {
            match question(&self.consumer, TURN) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let fault = fault_of_error(&error, what);
                    // The client has no partitions here, so what it gives is news for the watch.
                    self.poll(Duration::ZERO)?;
                    if started.elapsed() > ANSWER_LIMIT {
                        return Err(self.watch.explain(fault));
                    }
                }
            }
        }
    }

    /// Number of partitions of a topic that all have a leader; `None` if there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<usize>, Fault> {
        let what = format!("read the partitions of kafka topic \"{topic}\"");
        let metadata =
            self.ask(&what, |consumer, turn| consumer.fetch_metadata(Some(topic), turn))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| (found, found.error().map(RDKafkaErrorCode::from))) {
            None | Some((_, Some(RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(None),
            Some((_, Some(code))) => Err(fault_of(code, &what)),
            Some((found, None)) => {
                let led = found.partitions().iter().all(|partition| partition.leader() >= 0);
                Ok((led && !found.partitions().is_empty()).then_some(found.partitions().len()))
            }
        }
    }
}
