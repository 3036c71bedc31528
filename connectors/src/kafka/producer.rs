//! Our own producer: transactional, idempotent, for plain text and without compression.
//!
//! ```text
//!   open    find the coordinator . take the id, which fences older producers and ends what they left
//!   begin . append ...  records go into one batch per partition; those that lie in a block as they
//!                       are sent (`ready`) stay there
//!           full: AddPartitionsToTxn where needed . Produce to the leader, up to 5 under way
//!   commit  the rest is sent . all answers are there . EndTxn
//! ```
//!
//! Why: librdkafka spends 0.6 to 1.4 µs on each message (an allocation, queues, a thread of its
//! own); copying a record into a batch takes a tenth of that. Everything happens on the caller's
//! thread, which waits for the brokers; there is no thread and no memory between transactions.
//!
//! It sends nothing twice: the caller has every record safe, so a transaction of which anything
//! failed is aborted and begun again as a whole. A failure it does not mend leaves the outcome open:
//! the producer MUST be dropped, and another one opened under the same id. After an abort the next
//! transaction begins with a new epoch, so the numbers of records begin anew everywhere.
//!
//! Only what may be asked twice is: the coordinator. That is more than comfort. A broker (4.3.1) that
//! is killed between the answer to a commit and its markers may take the partitions for deleted while
//! it starts, and never write the markers. The next markers of the same producer there decide about
//! what has none: a commit makes up for them, but an abort takes back what was reported delivered. So
//! a commit counts only where the same coordinator that answered it takes the next transaction in,
//! which it does once the markers are written; otherwise the partitions are committed once more,
//! with nothing new in them, before anything is ([`Producer::make_sure`]).

mod batches;
mod coordinator;
mod leaders;
mod ready;
mod waiting;

use std::time::{Duration, Instant};

use engine::outbox::rows::OutRow;

use super::wire::address::Address;
use super::wire::code::ErrorCode;
use super::wire::failure::{Failure, Patience, Stopped};
use super::wire::message::coordinator::ProducerId;
use batches::{Place, Topics};
use coordinator::Coordinator;
use leaders::Leaders;
pub(super) use ready::Ready;

/// How long opening may take until the fault is told; it is begun again then.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// How long making ready for a transaction may take.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a commit may stay without answer. A broker that was restarted answers within seconds.
const COMMIT_LIMIT: Duration = Duration::from_secs(60);
/// How long an abort may take before the producer is given up instead.
const ABORT_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two attempts to open.
const OPEN_PAUSE: Duration = Duration::from_millis(20);
/// After this time leaders and partitions are asked for again, as other clients do.
const METADATA_AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes in all batches after which everything is sent. Small enough to stay in the cache between
/// copying, checksum and socket; a batch of one of twenty partitions still has hundreds of records.
const BUFFERED_BYTES_MAX: usize = 2 << 20;

/// What a producer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Brokers to ask first.
    pub(super) bootstrap: Vec<Address>,
    /// By which name brokers know us in their logs.
    pub(super) client: String,
    /// How long a transaction may stay open before the coordinator ends it.
    pub(super) transaction_timeout_ms: i32,
    /// How long a broker may take to answer.
    pub(super) answer_limit_ms: i32,
    /// A batch is sent before it would be larger than this, unless it is one record.
    pub(super) batch_bytes: usize,
}

impl Settings {
    fn answer_limit(&self) -> Duration {
        // More than the broker allows itself, so that its own word comes first.
        Duration::from_millis(u64::from(self.answer_limit_ms.unsigned_abs())) * 2
    }
}

/// Why records were not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A broker did not take a batch.
    Batch {
        code: ErrorCode,
        topic: String,
        /// Key and value of the largest record in the batch.
        bytes: usize,
        /// Why, where the broker says so.
        message: Option<String>,
    },
    /// Anything else.
    Failure(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A producer that has its transactional id for itself.
pub(super) struct Producer {
    settings: Settings,
    stopped: Stopped,
    coordinator: Coordinator,
    id: ProducerId,
    leaders: Leaders,
    topics: Topics,
    /// When leaders and partitions were last asked for; `None` if they are known to be wrong.
    known_at: Option<Instant>,
    /// Whether the coordinator knows of the transaction.
    open: bool,
    /// Partitions of the last commit, and the coordinator's connection that answered it.
    committed: (Vec<Place>, u64),
    /// Whether the numbers of records are uncertain.
    renew: bool,
}

impl Producer {
    /// A producer under this id for these topics, each with the largest batch it takes; they MUST be
    /// there and differ. Fences every older producer and ends what it left open.
    pub(super) fn open(
        settings: Settings,
        transactional_id: &str,
        topics: &[(usize, String)],
        stopped: Stopped,
    ) -> Result<Self, Failure> {
        let patience = Patience::new(OPEN_LIMIT, &stopped);
        let mut coordinator = Coordinator::new(settings.clone(), transactional_id);
        let id = coordinator.init(ProducerId::NONE, &patience)?;
        let topics = Topics::new(topics, settings.batch_bytes, id);
        let leaders = Leaders::default();
        let mut opened = Self {
            settings,
            stopped,
            coordinator,
            id,
            leaders,
            topics,
            known_at: None,
            open: false,
            committed: (Vec::new(), 0),
            renew: false,
        };
        loop {
            match opened.learn(&patience) {
                Ok(()) => return Ok(opened),
                Err(failure) if !is_news(&failure) || patience.is_over() => return Err(failure),
                Err(_) => {
                    std::thread::sleep(OPEN_PAUSE);
                    patience.check_stopped()?;
                }
            }
        }
    }

    /// Asks for leaders and partitions.
    fn learn(&mut self, patience: &Patience) -> Result<(), Failure> {
        let metadata = self.coordinator.metadata(self.topics.names(), patience)?;
        self.topics.learn(&metadata.topics)?;
        self.leaders.learn(metadata.brokers);
        self.known_at = Some(Instant::now());
        Ok(())
    }

    /// Begins a transaction. Nothing is sent that a failure could leave in doubt.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        let patience = Patience::new(BEGIN_LIMIT, &self.stopped);
        self.topics.forget();
        self.open = false;
        if self.coordinator.let_go_of_closed() | self.leaders.let_go_of_closed() {
            self.known_at = None;
        }
        if self.renew {
            self.id = self.coordinator.init(self.id, &patience)?;
            self.topics.restart_sequences();
            self.renew = false;
        }
        match self.known_at {
            Some(at) if at.elapsed() < METADATA_AGE_MAX => Ok(()),
            Some(_) | None => self.learn(&patience),
        }
    }

    /// Puts a row into the batch of its partition, and sends what is full.
    #[inline]
    pub(super) fn append(&mut self, topic: usize, row: &OutRow<'_>) -> Result<(), Refusal> {
        let place = self.topics.place(topic, row.key);
        if !self.topics.has_room(place, row.bytes_at_most()) {
            self.send(&[place])?;
        }
        self.topics.push(place, row);
        if self.topics.buffered() >= BUFFERED_BYTES_MAX {
            self.send_all()?;
        }
        Ok(())
    }

    /// Takes records that lie in a block, to be sent as they are; `false` if they cannot, and have to
    /// be appended one by one.
    pub(super) fn append_ready(&mut self, topic: usize, ready: &Ready) -> Result<bool, Refusal> {
        let Some(place) = self.topics.place_ready(topic, ready) else { return Ok(false) };
        if !self.topics.is_free(place) {
            self.send_all()?;
        }
        self.topics.put(place, ready.clone());
        if self.topics.buffered() >= BUFFERED_BYTES_MAX {
            self.send_all()?;
        }
        Ok(true)
    }

    /// Partitions of a topic that takes batches of so many bytes of records; 0 if it does not.
    pub(super) fn partitions_for(&self, topic: usize, records_bytes: usize) -> u32 {
        self.topics.partitions_for(topic, records_bytes)
    }

    /// Sends these batches.
    fn send(&mut self, places: &[Place]) -> Result<(), Refusal> {
        let patience = Patience::new(self.settings.answer_limit(), &self.stopped);
        self.take_in(&patience)?;
        for (leader, places) in self.topics.by_leader(places) {
            self.leaders.make_room(leader, &self.settings, &patience)?;
            let batches = self.topics.seal(&places, self.id);
            let id = self.coordinator.transactional_id();
            self.leaders.send(leader, id, &self.settings, &batches, &patience)?;
            self.topics.give_back(batches);
        }
        Ok(())
    }

    /// Tells the coordinator of partitions that are new in the transaction.
    fn take_in(&mut self, patience: &Patience) -> Result<(), Failure> {
        let new = self.topics.not_taken_in();
        if new.is_empty() {
            return Ok(());
        }
        self.coordinator.add(self.id, &self.topics.grouped(&new), patience)?;
        if !std::mem::replace(&mut self.open, true) {
            self.make_sure(&new)?;
        }
        self.topics.take_in(&new);
        Ok(())
    }

    /// Commits the partitions of the last commit once more, if another coordinator has taken in those
    /// of the next transaction, of which nothing has been sent yet.
    fn make_sure(&mut self, next: &[Place]) -> Result<(), Failure> {
        let patience = Patience::new(COMMIT_LIMIT, &self.stopped);
        while self.is_unsure() {
            self.commit_again(&patience)?;
            self.coordinator.add(self.id, &self.topics.grouped(next), &patience)?;
        }
        Ok(())
    }

    /// Whether the coordinator may be another one than the one that answered the last commit.
    fn is_unsure(&self) -> bool {
        let (partitions, connection) = &self.committed;
        !partitions.is_empty() && *connection != self.coordinator.connections()
    }

    fn commit_again(&mut self, patience: &Patience) -> Result<(), Failure> {
        self.coordinator.add(self.id, &self.topics.grouped(&self.committed.0), patience)?;
        let asked = self.coordinator.connections();
        self.coordinator.end(self.id, true, patience)?;
        self.committed.1 = asked;
        Ok(())
    }

    /// Sends what is in the batches, full or not.
    pub(super) fn send_all(&mut self) -> Result<(), Refusal> {
        self.send(&self.topics.filled())
    }

    /// Sends the rest and waits until every batch is acknowledged or one is refused.
    pub(super) fn settle(&mut self) -> Result<(), Refusal> {
        self.send_all()?;
        let patience = Patience::new(self.settings.answer_limit(), &self.stopped);
        self.leaders.settle(&patience)
    }

    /// Commits what was [settled](Self::settle). On any error the outcome is not known.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        if self.open {
            let patience = Patience::new(COMMIT_LIMIT, &self.stopped);
            let asked = self.coordinator.connections();
            self.coordinator.end(self.id, true, &patience)?;
            self.committed = (self.topics.taken_in(), asked);
            // The one that answered may not be the one that began with the markers.
            while self.is_unsure() {
                self.commit_again(&patience)?;
            }
        }
        self.topics.let_memory_go();
        Ok(())
    }

    /// Aborts. On any error the producer is of no more use.
    pub(super) fn abort(&mut self) -> Result<(), Failure> {
        let patience = Patience::stubborn(ABORT_LIMIT);
        self.topics.forget();
        self.topics.let_memory_go();
        // Nothing may arrive behind the end of the transaction.
        self.leaders.drain(&patience)?;
        // What was wrong may have been an old leader.
        self.known_at = None;
        self.renew = true;
        if !self.open {
            return Ok(());
        }
        self.coordinator.end(self.id, false, &patience)
    }
}

/// Whether a broker may only not have heard of a topic, or of its leaders, yet.
fn is_news(failure: &Failure) -> bool {
    let news = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::LEADER_NOT_AVAILABLE];
    failure.code().is_some_and(|code| news.contains(&code))
}
