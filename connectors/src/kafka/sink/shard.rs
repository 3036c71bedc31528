//! The thread side of one sink shard: requests in, answers out.
//!
//! Every way a transaction may fail leads to the same place: the request ends with a fault and is
//! begun again. If the producer was lost with it (fatal error, time-out, no answer to the commit),
//! the next attempt makes a new one under the same id, which settles what the old one left open,
//! and then asks the progress record whether the unit is there already.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use engine::crash_point::CrashPoints;
use engine::error::{Fatal, Fault, Retry};
use engine::outbox::blocks::Blocks;
use engine::outbox::log::Check;
use engine::runtime::ddl::DDL_SHARD;
use engine::sink::{SinkIdentity, SinkPoll, SinkReply, SinkRequest, Unit};
use rdkafka::error::RDKafkaErrorCode;

use super::choice::{Choice, writer};
use super::limits::Limits;
use super::own::Own;
use super::targets::Targets;
use super::topics;
use super::transaction::{Broken, Lost, Note, Transactional, Trouble, Undelivered};
use super::{Stop, StopMode, Told};
use crate::kafka::config::KafkaConfig;
use crate::kafka::progress::{self, Progress};
use crate::kafka::watch::fault_of;

/// A transaction younger than its time-out by this much cannot have been ended by it, however
/// coarse the broker's clock is.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(100);

/// One shard of a sink.
pub(super) struct Shard {
    config: KafkaConfig,
    topics: Targets,
    /// What the topics take, and those who want to know.
    limits: Limits,
    told: Told,
    stop: Stop,
    points: CrashPoints,
    /// Tells our progress records from those of another instance.
    instance: u64,
    identity: Option<SinkIdentity>,
    producer: Option<Producer>,
    doubt: Option<Doubt>,
    /// Greatest epoch we know to be delivered.
    known: Option<u64>,
    /// Brokers check every batch, by a checksum that the worker counted: what they have taken need not
    /// be checked here. Once an attempt has come to nothing we look ourselves.
    check: Check,
}

/// Who writes.
enum Producer {
    Own(Box<Own>),
    Librdkafka(Transactional),
}

/// Why a unit was not delivered.
enum Failure {
    /// The outside.
    Fault(Fault),
    /// Our own disk; nothing of the unit is visible.
    Broken(Fatal),
}

/// Why an attempt to deliver a unit came to nothing.
enum Attempt {
    /// It has rows of a topic that is not known.
    NewTopic,
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for Attempt {
    fn from(fault: Fault) -> Self {
        Self::Failed(Failure::Fault(fault))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The producer was lost in the middle of a unit.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// It may have been fenced by another instance.
    fenced: bool,
}

impl Shard {
    pub(super) fn new(
        config: KafkaConfig,
        (topics, told): (Vec<String>, Told),
        stop: Stop,
        points: CrashPoints,
    ) -> Self {
        Self {
            config,
            topics: Targets::new(topics),
            limits: Limits::default(),
            told,
            stop,
            points,
            // Keys of the standard hasher are random.
            instance: RandomState::new().build_hasher().finish(),
            identity: None,
            producer: None,
            doubt: None,
            known: None,
            check: Check::There,
        }
    }

    /// Carries out one request; waits as long as that takes.
    pub(super) fn serve(&mut self, request: SinkRequest) -> SinkPoll {
        let served = match request {
            SinkRequest::Prepare(identity) => self.prepare(identity),
            SinkRequest::EnsureTable(topic) => self.ensure(&topic.name),
            SinkRequest::LastDelivered => self.last_delivered(),
            SinkRequest::Deliver(unit, blocks) => match self.deliver(&unit, &blocks) {
                Err(Failure::Broken(fatal)) => return SinkPoll::Broken(fatal),
                Err(Failure::Fault(fault)) => Err(fault),
                Ok(reply) => Ok(reply),
            },
        };
        served.map_or_else(SinkPoll::Fault, SinkPoll::Done)
    }

    fn prepare(&mut self, identity: SinkIdentity) -> Result<SinkReply, Fault> {
        topics::ensure(&self.config, self.topics.numbered(), &|| self.stop.is_set())?;
        self.ask_limits();
        // Who is asked for topics alone writes nothing.
        let writes = identity.shard != DDL_SHARD;
        self.identity = Some(identity);
        self.producer = None;
        if writes {
            self.producer = Some(self.open()?);
        }
        self.doubt = None;
        Ok(SinkReply::Prepared)
    }

    /// Whether the cluster answered.
    fn ask_limits(&mut self) -> bool {
        let answered = self.limits.ask(&self.config, self.topics.names());
        self.limits.tell(&self.config, &self.topics, &self.told.rows);
        answered
    }

    /// Makes a topic that rows will name, if it is missing. It has no columns.
    fn ensure(&self, topic: &str) -> Result<SinkReply, Fault> {
        topics::ensure_one(&self.config, topic, &|| self.stop.is_set())?;
        let mut limits = Limits::default();
        limits.ask(&self.config, &[topic.to_owned()]);
        limits.tell_of(&self.config, topic, &self.told.rows);
        Ok(SinkReply::TableReady)
    }

    /// Gets to know the topics that rows of a unit name. They were there when their rows were routed,
    /// so whatever is in the way may pass: the rows must not be given up.
    fn meet(&mut self, blocks: &Blocks) -> Result<(), Failure> {
        for topic in self.topics.unknown(blocks).map_err(Failure::Broken)? {
            let met = topics::ensure_one(&self.config, &topic, &|| self.stop.is_set());
            met.map_err(|fault| Fault { retry: Retry::Later, ..fault })?;
            self.topics.add(topic);
        }
        self.ask_limits();
        // The next one knows them all.
        self.producer = None;
        Ok(())
    }

    fn last_delivered(&mut self) -> Result<SinkReply, Fault> {
        let last = self.progress()?.map(|progress| progress.upper);
        self.known = self.known.max(last);
        Ok(SinkReply::LastDelivered(last))
    }

    fn deliver(&mut self, unit: &Unit, blocks: &Blocks) -> Result<SinkReply, Failure> {
        match self.attempt(unit, blocks) {
            Err(Attempt::NewTopic) => {
                self.meet(blocks)?;
                self.attempt(unit, blocks)
            }
            attempted => attempted,
        }
        .map_err(|attempt| match attempt {
            Attempt::Failed(failure) => failure,
            Attempt::NewTopic => unreachable!("all topics of the unit are known"),
        })
    }

    fn attempt(&mut self, unit: &Unit, blocks: &Blocks) -> Result<SinkReply, Attempt> {
        assert_eq!(blocks.rows(), unit.rows, "a unit is made of its blocks");
        if self.is_there(unit)? {
            self.known = self.known.max(Some(unit.upper));
            return Ok(SinkReply::Delivered);
        }
        let progress = Progress::of(unit, self.instance).encode();
        let key = progress::key(self.identity());
        let note = Note { topic: &self.config.progress_topic, key: &key, value: &progress };
        let (topics, points, shard) = (&self.topics, &self.points, self.identity().shard);
        let delivered = match self.producer.as_mut().expect("made by is_there") {
            Producer::Own(own) => {
                let delivered = own.deliver(topics, (blocks, self.check), &note, points);
                // A topic may have grown since.
                self.told.partitions.learn(shard, own.partitions(topics));
                delivered
            }
            Producer::Librdkafka(other) => other.deliver(topics, blocks, &note, points),
        };
        let check = if delivered.is_ok() { Check::There } else { Check::Here };
        let checked = std::mem::replace(&mut self.check, check);
        match delivered {
            Ok(()) => {
                self.known = Some(unit.upper);
                Ok(SinkReply::Delivered)
            }
            Err(Broken::Aborted(Trouble::NewTopic)) => Err(Attempt::NewTopic),
            Err(Broken::Aborted(Trouble::Damaged(topic))) => Err(damaged(&topic, checked).into()),
            Err(Broken::Aborted(trouble)) => Err(self.troubled(trouble).into()),
            Err(Broken::Lost(lost)) => Err(Failure::from(self.lost(lost)).into()),
        }
    }

    /// Has a producer, and knows that the unit is not there yet; true if it is.
    fn is_there(&mut self, unit: &Unit) -> Result<bool, Fault> {
        if self.known >= Some(unit.upper) {
            return Ok(true);
        }
        if let Some(Doubt { fenced: true }) = self.doubt {
            // Looked at before we fence in our turn.
            self.check_alone()?;
        }
        if self.producer.is_none() {
            self.producer = Some(self.open()?);
        }
        if self.doubt.is_none() {
            return Ok(false);
        }
        let there = match self.progress()? {
            Some(progress) => progress.covers(unit)?,
            None => false,
        };
        self.doubt = None;
        Ok(there)
    }

    fn check_alone(&self) -> Result<(), Fault> {
        match self.progress()? {
            Some(last) if last.instance != self.instance && Some(last.upper) > self.known => {
                Err(self.another(&format!("it has delivered epoch {}", last.upper)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn lost(&mut self, lost: Lost) -> Fault {
        if self.stop.mode() == StopMode::Leave {
            return lost.fault;
        }
        self.producer = None;
        // One that is gone would be in the way of all others.
        self.topics.forget_named();
        self.doubt = Some(Doubt { fenced: lost.fenced });
        let timeout = Duration::from_millis(self.config.transaction_timeout_ms());
        // Fenced alone proves nothing: our own lateness looks the same. But we were not late.
        if lost.fenced && lost.open_for + TIMEOUT_MARGIN < timeout {
            return self.another("it took over the transactional id");
        }
        lost.fault
    }

    fn another(&self, sign: &str) -> Fault {
        let id = self.transactional_id();
        Fault::never(format!("cannot deliver to kafka: another instance is \"{id}\" now, {sign}"))
            .with_hint("stop one of the two, or set another transactional id prefix")
    }

    fn troubled(&mut self, trouble: Trouble) -> Failure {
        let fault = match trouble {
            Trouble::Broken(fatal) => return Failure::Broken(fatal),
            Trouble::Fault(fault) => fault,
            Trouble::Stopped => Fault::later("could not deliver to kafka: the sink is closed"),
            Trouble::Undelivered(Undelivered { code, topic, bytes }) => {
                let fault = || fault_of(code, &format!("write to kafka topic \"{topic}\""));
                match code {
                    RDKafkaErrorCode::MessageSizeTooLarge => self.too_large(&topic, bytes),
                    code if is_gone(code) => self.gone(fault()),
                    _ => fault(),
                }
            }
            Trouble::Gone(fault) => self.gone(fault),
            Trouble::NewTopic | Trouble::Damaged(_) => unreachable!("dealt with by the attempt"),
        };
        fault.into()
    }

    /// A topic is not there. One that rows name is made again for the next attempt.
    fn gone(&mut self, fault: Fault) -> Fault {
        if self.topics.named().is_empty() {
            return fault;
        }
        self.topics.forget_named();
        self.producer = None;
        Fault { retry: Retry::Later, ..fault }
    }

    /// A row is measured before it is planned, so the topic takes less than it did, or nobody could
    /// tell us how much. A unit is never changed; the batches it comes in may be.
    fn too_large(&mut self, topic: &str, bytes: usize) -> Fault {
        let before = self.limits.batch_bytes(topic);
        if !self.ask_limits() {
            return Fault::later(format!(
                "could not ask how large batches of kafka topic \"{topic}\" may be, after one was too \
                 large"
            ));
        }
        let now = self.limits.batch_bytes(topic);
        let ours = self.config.record_bytes_max();
        let fits =
            u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.limits.row_bytes(topic, ours));
        if fits && now < before {
            self.producer = None;
            return Fault::later(format!(
                "could not write to kafka topic \"{topic}\": it takes batches of {now} bytes now, going \
                 on with smaller ones"
            ));
        }
        let limit = now.min(ours);
        if fits {
            let text = format!("cannot write to kafka topic \"{topic}\": a batch is too large");
            return Fault::never(text).with_hint(
                "lower batch.size below max.message.bytes of the topic, or allow the user to describe \
                 the topic",
            );
        }
        Fault::never(format!(
            "cannot write a record of {bytes} bytes to kafka topic \"{topic}\": \
             at most {limit} are allowed"
        ))
        .with_hint(
            "raise max.message.bytes of the topic, or message.max.bytes of the client; what is \
             undelivered is kept, and goes on then",
        )
    }

    fn open(&self) -> Result<Producer, Fault> {
        let (config, id, stop) = (&self.config, self.transactional_id(), &self.stop);
        match writer(config) {
            Choice::Own(settings) => {
                let topics = self.topics.names();
                let own = Own::open(config, (&settings, &self.limits), topics, &id, stop)?;
                self.told.partitions.learn(self.identity().shard, own.partitions(&self.topics));
                Ok(Producer::Own(Box::new(own)))
            }
            Choice::Librdkafka(_) => {
                let batch_bytes = self.limits.batch_bytes_anywhere();
                Transactional::open(config, &id, batch_bytes, stop).map(Producer::Librdkafka)
            }
        }
    }

    fn progress(&self) -> Result<Option<Progress>, Fault> {
        let key = progress::key(self.identity());
        progress::last(&self.config, &key, &|| self.stop.is_set())
    }

    fn transactional_id(&self) -> String {
        let SinkIdentity { job, sink, shard, .. } = self.identity();
        format!("{}{job}-{sink}-{shard}", self.config.transactional_id_prefix)
    }

    fn identity(&self) -> &SinkIdentity {
        self.identity.as_ref().expect("a sink is prepared before anything else")
    }
}

/// A broker says that a batch is damaged, whose blocks were checked by whom `checked` says.
fn damaged(topic: &str, checked: Check) -> Fault {
    let what = format!("write to kafka topic \"{topic}\"");
    match checked {
        Check::Here => fault_of(RDKafkaErrorCode::InvalidMessage, &what),
        Check::There => Fault::later(format!(
            "could not {what}: the broker says that a batch is damaged, reading and checking its block"
        )),
    }
}

/// Whether this is said of a topic that is not there.
fn is_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
}
