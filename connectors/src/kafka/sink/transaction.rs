//! One transactional producer, and one transaction from begin to commit.
//!
//! Never `flush` here, nor `poll` with a time: in rdkafka 0.39 `flush` polls for 100 ms a turn,
//! `poll` sits out its time whatever happens, and spends what is left of a started millisecond
//! spinning. Polling without time and sleeping between makes a transaction of one record 6 ms
//! instead of 100. The calls that wait are given short turns: librdkafka resumes them where they
//! were, and between two turns we look whether somebody wants us to stop.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::crash_point::{CrashPoint, CrashPoints};
use engine::error::{Fatal, Fault};
use engine::outbox::blocks::Blocks;
use engine::outbox::rows::{RowReader, RowRef};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::targets::Targets;
use super::{Stop, StopMode};
use crate::kafka::config::{KafkaConfig, bad_setting};
use crate::kafka::watch::{Listener, Watch, fault_of, is_refusal};

/// One turn of a call that waits.
const TURN: Duration = Duration::from_millis(500);
/// Pause between two looks at what is in flight.
const LOOK_EVERY: Duration = Duration::from_micros(300);
/// One turn of an abort, which also needs us to poll for what it purged.
const ABORT_TURN: Duration = Duration::from_millis(100);
/// How long `init_transactions` may take until the fault is told; it is begun again then.
const INIT_LIMIT: Duration = Duration::from_secs(30);
/// How long a commit may stay without answer. A broker that was restarted answers within seconds.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);
/// How long an abort may take before the producer is given up instead.
const ABORT_LIMIT: Duration = Duration::from_secs(10);

/// Why a transaction was not committed.
#[derive(Debug)]
pub(super) enum Broken {
    /// It was aborted: nothing of it will ever be visible, and the producer is good for the next.
    Aborted(Trouble),
    /// The producer is of no more use and the outcome is not known.
    Lost(Lost),
}

/// How a producer was lost.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) fault: Fault,
    /// The broker says that a newer producer has this transactional id, which is also what it says
    /// when the transaction was open for too long.
    pub(super) fenced: bool,
    /// How long the transaction had been open.
    pub(super) open_for: Duration,
}

/// What came between begin and commit.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A record could not be delivered.
    Undelivered(Undelivered),
    /// The broker says that a batch of this topic is damaged.
    Damaged(String),
    /// A row names a topic that is not known yet.
    NewTopic,
    /// A topic is not there any more.
    Gone(Fault),
    /// A block cannot be read: the process must stop.
    Broken(Fatal),
    /// Something else.
    Fault(Fault),
    /// The sink is closed.
    Stopped,
}

/// The first record that could not be delivered, the largest one if it is about size.
#[derive(Debug, Clone)]
pub(super) struct Undelivered {
    pub(super) code: RDKafkaErrorCode,
    pub(super) topic: String,
    /// Key and value.
    pub(super) bytes: usize,
}

/// A record for the progress topic.
pub(super) struct Note<'a> {
    pub(super) topic: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// A producer that has its transactional id for itself.
pub(super) struct Transactional {
    producer: BaseProducer<Reports>,
    stop: Stop,
}

impl Transactional {
    /// A producer under this id, with batches of at most so many bytes. Fences every older one and
    /// ends what it left open.
    pub(super) fn open(
        config: &KafkaConfig,
        id: &str,
        batch_bytes: u64,
        stop: &Stop,
    ) -> Result<Self, Fault> {
        let mut client = config.producer(id);
        // A value that is no number is librdkafka's to refuse.
        let given = client.get("batch.size").and_then(|text| text.parse::<u64>().ok());
        if given.is_some_and(|given| given > batch_bytes) {
            client.set("batch.size", batch_bytes.max(1).to_string());
        }
        let producer = client.create_with_context(Reports::default());
        let producer = producer.map_err(|error| bad_setting(&error))?;
        let opened = Self { producer, stop: stop.clone() };
        opened.init(id)?;
        Ok(opened)
    }

    fn init(&self, id: &str) -> Result<(), Fault> {
        let started = Instant::now();
        loop {
            let Err(error) = self.producer.init_transactions(TURN) else { return Ok(()) };
            // Brings refusals to the watch.
            self.producer.poll(Duration::ZERO);
            let denied = self.watch().denied().is_some();
            let (code, retriable) = nature(&error);
            if denied || !retriable || started.elapsed() > INIT_LIMIT || self.stop.is_set() {
                let what = format!("begin with kafka transactional id \"{id}\"");
                let fault = if is_refusal(code) {
                    Fault::never(format!("cannot {what}: {error}"))
                } else {
                    Fault::later(format!("could not {what}: {error}"))
                };
                return Err(self.watch().explain(fault));
            }
        }
    }

    /// Writes the rows of `blocks` and the note in one transaction, and commits it.
    pub(super) fn deliver(
        &self,
        topics: &Targets,
        blocks: &Blocks,
        note: &Note<'_>,
        points: &CrashPoints,
    ) -> Result<(), Broken> {
        let begun = Instant::now();
        drop(self.producer.context().take());
        if let Err(error) = self.producer.begin_transaction() {
            return Err(self.lost("begin", &error, begun));
        }
        let written = points.pass(CrashPoint::TransactionBegun).map_err(died);
        let written = written.and_then(|()| self.write(topics, blocks, note, points));
        match written.and_then(|()| self.settle()) {
            Ok(()) => self.commit(begun),
            Err(Trouble::Stopped) if self.stop.mode() == StopMode::Leave => {
                Err(Broken::Aborted(Trouble::Stopped))
            }
            Err(trouble) => Err(self.abort(trouble, begun)),
        }
    }

    fn write(
        &self,
        topics: &Targets,
        blocks: &Blocks,
        note: &Note<'_>,
        points: &CrashPoints,
    ) -> Result<(), Trouble> {
        let mut until_half = blocks.rows() / 2;
        for block in blocks {
            let block = block.map_err(Trouble::Broken)?;
            self.check()?;
            for row in RowReader::new(&block.bytes) {
                let row = row.map_err(|fault| never(format!("cannot deliver a block: {fault}")))?;
                let topic = topics.of(&row)?;
                self.send(record(&topics.names()[topic], &row))?;
                if until_half == 1 {
                    points.pass(CrashPoint::HalfSent).map_err(died)?;
                }
                until_half = until_half.saturating_sub(1);
            }
        }
        self.send(
            BaseRecord::to(note.topic).key(note.key.as_bytes()).payload(note.value.as_bytes()),
        )
    }

    /// Hands one record over, waiting while the producer's queue is full.
    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), Trouble> {
        loop {
            let Err((error, back)) = self.producer.send(record) else { return Ok(()) };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    self.pause();
                    self.check()?;
                    record = back;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let bytes =
                        back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len);
                    let (code, topic) = (RDKafkaErrorCode::MessageSizeTooLarge, back.topic);
                    let topic = topic.to_owned();
                    return Err(Trouble::Undelivered(Undelivered { code, topic, bytes }));
                }
                // Mostly because an earlier record failed; its report comes with the abort.
                Some(code) => {
                    let what = format!("write to kafka topic \"{}\"", back.topic);
                    return Err(Trouble::Fault(fault_of(code, &what)));
                }
                None => {
                    let topic = back.topic;
                    return Err(never(format!("cannot write to kafka topic \"{topic}\": {error}")));
                }
            }
        }
    }

    /// Waits until every record is acknowledged or one has failed.
    fn settle(&self) -> Result<(), Trouble> {
        while self.producer.in_flight_count() > 0 {
            self.pause();
            self.check()?;
        }
        self.check()
    }

    fn pause(&self) {
        std::thread::sleep(LOOK_EVERY);
        self.producer.poll(Duration::ZERO);
    }

    /// Whether going on makes sense.
    fn check(&self) -> Result<(), Trouble> {
        if let Some(undelivered) = self.producer.context().take() {
            return Err(Trouble::Undelivered(undelivered));
        }
        if let Some(denied) = self.watch().denied() {
            return Err(Trouble::Fault(denied));
        }
        if self.stop.is_set() { Err(Trouble::Stopped) } else { Ok(()) }
    }

    fn commit(&self, begun: Instant) -> Result<(), Broken> {
        let started = Instant::now();
        loop {
            let Err(error) = self.producer.commit_transaction(TURN) else { return Ok(()) };
            self.producer.poll(Duration::ZERO);
            if requires_abort(&error) {
                let fault = Fault::later(format!("could not commit a kafka transaction: {error}"));
                return Err(self.abort(Trouble::Fault(self.watch().explain(fault)), begun));
            }
            let (_, retriable) = nature(&error);
            // While it runs nobody knows the outcome, so wanting to stop must not lead to an abort.
            if !retriable || started.elapsed() > COMMIT_LIMIT || self.stop.is_set() {
                return Err(self.lost("commit", &error, begun));
            }
        }
    }

    fn abort(&self, trouble: Trouble, begun: Instant) -> Broken {
        let started = Instant::now();
        loop {
            // The calls purge what is queued and wait for reports of it that only polling fetches.
            let Err(error) = self.producer.abort_transaction(ABORT_TURN) else {
                let undelivered = self.producer.context().take();
                return Broken::Aborted(match (trouble, undelivered) {
                    (Trouble::Fault(fault), Some(undelivered)) if !is_final(&fault) => {
                        Trouble::Undelivered(undelivered)
                    }
                    (trouble, _) => trouble,
                });
            };
            self.producer.poll(Duration::from_millis(10));
            let (_, retriable) = nature(&error);
            if !retriable || started.elapsed() > ABORT_LIMIT {
                return self.lost("abort", &error, begun);
            }
        }
    }

    fn lost(&self, what: &str, error: &KafkaError, begun: Instant) -> Broken {
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map_or(nature(error).0, |(code, _)| *code);
        let reason = fatal.map_or_else(|| error.to_string(), |(_, reason)| reason);
        let fault = Fault::later(format!("could not {what} a kafka transaction: {reason}"));
        Broken::Lost(Lost {
            fault: self.watch().explain(fault),
            fenced: code == RDKafkaErrorCode::Fenced,
            open_for: begun.elapsed(),
        })
    }

    fn watch(&self) -> &Watch {
        &self.producer.context().listener.0
    }
}

/// The record without a timestamp of its own: the client sets the time of writing. With the event time
/// a replay of old days would be gone within a second, because the broker's retention goes by it.
fn record<'a>(topic: &'a str, row: &RowRef<'a>) -> BaseRecord<'a, [u8], [u8]> {
    let mut record = BaseRecord::to(topic);
    record.key = row.key;
    record.payload = row.value;
    let mut headers = row.headers.peekable();
    if headers.peek().is_some() {
        let all = headers.fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        record.headers = Some(all);
    }
    record
}

pub(super) fn never(text: String) -> Trouble {
    Trouble::Fault(Fault::never(text))
}

/// A simulated death, which has no simulated broker.
pub(super) fn died(fatal: Fatal) -> Trouble {
    never(fatal.message)
}

fn is_final(fault: &Fault) -> bool {
    fault.retry == engine::error::Retry::Never
}

/// Error code, and whether the same call may be made again.
fn nature(error: &KafkaError) -> (RDKafkaErrorCode, bool) {
    match error {
        KafkaError::Transaction(error) => (error.code(), error.is_retriable()),
        // rdkafka flushes before a commit; there is nothing left to flush, so trying again is safe.
        KafkaError::Flush(code) => (*code, true),
        other => (other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), false),
    }
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

/// The producer's context: keeps what went wrong.
#[derive(Debug, Default)]
struct Reports {
    listener: Listener,
    undelivered: Mutex<Option<Undelivered>>,
}

impl Reports {
    fn take(&self) -> Option<Undelivered> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let Some(code) = error.rdkafka_error_code() else { return };
        // Purged by an abort: the consequence of something else.
        if matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) {
            return;
        }
        let bytes = message.key_len() + message.payload_len();
        let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        let larger = |known: &Undelivered| known.code == code && known.bytes < bytes;
        if undelivered.as_ref().is_none_or(larger) {
            let topic = message.topic().to_owned();
            *undelivered = Some(Undelivered { code, topic, bytes });
        }
    }
}
