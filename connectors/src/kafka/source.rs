//! A Kafka topic as a source: partitions assigned by us, at positions of ours.
//!
//! One consumer reads all partitions of a source: our own (`fetcher`), unless a setting asks for what
//! only librdkafka has (`choice`), or the cluster has something that ours cannot read. Offsets are not
//! dense (transaction markers, compaction and aborted records take some), so a position is the offset
//! after the last record given out, never a count. What only waiting can answer is asked of librdkafka
//! on a thread beside (`inquiry`); every call here returns at once. What has a known end, snapshots and
//! what is read again (`past`), is read by a second consumer of librdkafka's that is there only as long
//! as it is needed.
//!
//! A position carries the id of its topic ([`KafkaPosition`]), so one that was deleted and made anew is
//! found out when the source opens, and while it runs: our consumer asks for records by that id, and with
//! librdkafka's it takes up to ten seconds. The position is lost then.
//!
//! Misuse: where ids cannot be asked for (TLS, SASL, brokers before 2.8), a topic made anew *with at
//! least as many records* cannot be told from the old one by offsets; only a position that lies
//! outside the new range is found out.

mod choice;
mod client;
mod discovery;
mod fetcher;
mod identity;
mod inquiry;
mod live;
mod past;
mod slot;
mod stretch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::batch::build::raw_schema;
use engine::batch::schema::Schema;
use engine::clock::Moment;
use engine::error::Fault;
use engine::source::reread::Reread;
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::{KafkaConfig, OnLostPosition};
use super::position::{KafkaPosition, TopicId};
use super::watch::{Listener, Watch, fault_of_error};
use crate::reread::Rereads;
use choice::{Choice, reader};
use client::Client;
use discovery::Discovery;
use fetcher::Fetcher;
use identity::Identities;
use inquiry::{Answer, Listed, Place, Question, Range};
use slot::{Slot, Slots};
use stretch::StretchReader;

/// The consumer of a source.
pub(super) type Reader = BaseConsumer<Listener>;

/// Makes [`KafkaSource`]s.
#[derive(Debug, Clone)]
pub struct KafkaSourceFactory {
    config: KafkaConfig,
}

impl KafkaSourceFactory {
    /// A source of all of `config.topics`.
    ///
    /// # Errors
    /// No topic is named.
    pub fn new(config: KafkaConfig) -> Result<Self, Fault> {
        if config.topics.is_empty() {
            return Err(Fault::never("cannot read kafka: no topic is named"));
        }
        Ok(Self { config })
    }
}

impl SourceFactory for KafkaSourceFactory {
    fn describe(&self) -> String {
        let (topics, bootstrap) = (self.config.topics.join("\", \""), &self.config.bootstrap);
        let place = format!("kafka topic \"{topics}\" at {bootstrap}");
        match reader(&self.config) {
            Choice::Own(_) => place,
            Choice::Librdkafka(setting) => {
                format!("{place}, read by librdkafka because of \"{setting}\"")
            }
        }
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(KafkaSource::new(self.config.clone())))
    }
}

/// Reads the partitions of one or more topics.
pub struct KafkaSource {
    config: KafkaConfig,
    schema: Arc<Schema>,
    watch: Watch,
    slots: Slots,
    /// Batches of earlier polls, one per partition.
    ready: VecDeque<SourceBatch>,
    /// Where partitions begin that had to be asked for: told before their records, so that it is saved
    /// though there are none.
    begun: VecDeque<(Partition, Position)>,
    /// Found while polling; told when everything before it was given out.
    faults: VecDeque<Fault>,
    discovery: Discovery,
    /// Which topics there are, where that can be known.
    ids: Vec<Option<TopicId>>,
    /// A question about positions is under way.
    checking: bool,
    client: Option<Client>,
    /// What reads the live records, unless librdkafka does.
    fetcher: Option<Fetcher>,
    stretches: StretchReader,
    /// The re-readings; their reader is `stretches`.
    rereads: Rereads<()>,
    /// Requests that came before it was known where the live partitions begin.
    postponed: Vec<Reread>,
}

impl KafkaSource {
    /// A source that opens nothing yet.
    pub fn new(config: KafkaConfig) -> Self {
        let watch = Watch::default();
        Self {
            slots: Slots::new(config.topics.len()),
            stretches: StretchReader::new(config.clone(), watch.clone()),
            ids: vec![None; config.topics.len()],
            config,
            schema: raw_schema(),
            watch,
            ready: VecDeque::new(),
            begun: VecDeque::new(),
            faults: VecDeque::new(),
            discovery: Discovery::default(),
            checking: false,
            client: None,
            fetcher: None,
            rereads: Rereads::new(),
            postponed: Vec::new(),
        }
    }

    fn client(&mut self) -> Result<&Client, Fault> {
        if self.client.is_none() {
            let identities = Identities::of(&self.config);
            let client = Client::start(&self.config.consumer(), identities, &self.watch)?;
            if let Choice::Own(settings) = reader(&self.config) {
                self.fetcher = Some(Fetcher::start(self.config.topics.clone(), settings)?);
            }
            self.client = Some(client);
        }
        Ok(self.client.as_ref().expect("made above"))
    }

    /// Takes what the thread beside has found out.
    fn take_answers(&mut self) {
        while let Some(answer) = self.client.as_ref().and_then(|client| client.inquiry.answer()) {
            match answer {
                Answer::Listed(listed) => {
                    self.identify(listed.as_deref().unwrap_or_default());
                    self.discovery.answered(listed);
                }
                Answer::Resolved(resolved) => self.resolved(resolved),
                Answer::Ranges(ranges) => self.ranges(ranges),
                Answer::Sizes(ranges) => self.sized(ranges),
            }
        }
    }

    /// Learns which topics there are by now, and holds all positions against them.
    fn identify(&mut self, listed: &[Listed]) {
        let policy = self.policy();
        for (topic, listed) in listed.iter().enumerate() {
            let Some(id) = listed.id else { continue };
            self.ids[topic] = Some(id);
            for slot in self.slots.of_topic(topic) {
                self.faults.extend(slot.belong_to(id, policy.clone()));
            }
        }
    }

    /// Where to go on after a position was lost.
    fn policy(&self) -> Option<Start> {
        match self.config.on_lost_position {
            OnLostPosition::Stop => None,
            OnLostPosition::Earliest => Some(Start::Earliest),
            OnLostPosition::Latest => Some(Start::Latest),
        }
    }

    fn resolved(&mut self, resolved: Result<Vec<(Place, Offset)>, Fault>) {
        match resolved {
            Ok(offsets) => {
                for (place, offset) in offsets {
                    let begun = self.slots.begin_at(place, offset);
                    self.begun.extend(begun.and_then(Slot::begins));
                }
            }
            Err(fault) => {
                self.slots.ask_again();
                self.faults.push_back(fault);
            }
        }
    }

    /// Decides about every partition after the broker refused an offset. The refusal does not say
    /// whose it was, so all are held against what the topic has.
    fn ranges(&mut self, ranges: Result<Vec<Range>, Fault>) {
        self.checking = false;
        let ranges = match ranges {
            Ok(ranges) => ranges,
            Err(fault) => {
                self.faults.push_back(fault);
                return self.check_positions();
            }
        };
        for range in ranges {
            let policy = self.policy();
            let slot = self.slots.slot(range.place).expect("asked about open partitions only");
            if let Some(fault) = slot.hold_against(&range, policy) {
                self.faults.push_back(fault);
                // Which topic the new position is one of.
                self.ask_partitions();
            }
        }
    }

    fn check_positions(&mut self) {
        if self.checking {
            return;
        }
        let places: Vec<_> = self.slots.running().map(|slot| (slot.place, slot.next)).collect();
        if let Some(client) = self.client.as_ref().filter(|_| !places.is_empty()) {
            let topics = self.config.topics.clone();
            self.checking = client.inquiry.ask(Question::Ranges(topics, places));
        }
    }

    /// Gives the consumer the partitions whose beginning is known, and asks for the others'.
    fn assign_opened(&mut self) -> Result<(), Fault> {
        self.ask_sizes();
        let Some(client) = &self.client else { return Ok(()) };
        let asking = self.slots.take_unresolved();
        if !asking.is_empty() {
            client.inquiry.ask(Question::Resolve(self.config.topics.clone(), asking));
        }
        if let Some(fetcher) = &mut self.fetcher {
            for slot in self.slots.take_assignable() {
                fetcher.assign(slot.place, slot.topic, slot.offset());
            }
            return Ok(());
        }
        let topics = &self.config.topics;
        let (mut assign, mut again) = (TopicPartitionList::new(), TopicPartitionList::new());
        for slot in self.slots.take_assignable() {
            let (topic, number) = (topics[slot.place.topic].as_str(), slot.place.number);
            if slot.assigned {
                again.add_partition(topic, number);
            }
            slot.assigned = true;
            assign
                .add_partition_offset(topic, number, slot.begin)
                .expect("offsets of a slot are never negative or stored ones");
        }
        let failed = |error: KafkaError| fault_of_error(&error, "assign kafka partitions");
        if again.count() > 0 {
            client.consumer.incremental_unassign(&again).map_err(failed)?;
        }
        if assign.count() > 0 {
            client.consumer.incremental_assign(&assign).map_err(failed)?;
        }
        Ok(())
    }

    /// Brings news to the watch before there is anything to poll for.
    fn hear(&self) {
        if let Some(client) = self.client.as_ref().filter(|_| self.slots.is_empty()) {
            while client.consumer.poll(Duration::ZERO).is_some() {}
        }
    }

    fn ask_partitions(&mut self) {
        let topics = self.config.topics.clone();
        if let Some(client) = &self.client {
            self.discovery.ask(|| client.inquiry.ask(Question::Partitions(topics)));
        }
    }
}

impl Source for KafkaSource {
    fn describe(&self) -> Description {
        let name = format!("kafka topic \"{}\"", self.config.topics.join("\", \""));
        Description { name, replay: Replay::Exact, bounded: false, snapshot: self.config.snapshot }
    }

    fn discover(&mut self, now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        self.client()?;
        self.take_answers();
        self.hear();
        match self.discovery.take() {
            Some(Ok(listed)) => self.discovery.partitions(&self.config, &self.slots, &listed, now),
            Some(Err(fault)) => Err(self.watch.explain(fault)),
            None => {
                if let Some(denied) = self.watch.denied() {
                    return Err(denied);
                }
                if self.discovery.is_due(now) {
                    self.ask_partitions();
                }
                Ok(None)
            }
        }
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let place = self.place(partition)?;
        let mut slot = Slot::new(place, partition.clone(), start, self.config.snapshot)?;
        let fault = self.ids[place.topic].and_then(|id| slot.belong_to(id, self.policy()));
        // Told by the next poll, before anything is read.
        self.faults.extend(fault);
        self.slots.open(slot);
        Ok(())
    }

    fn reread(&mut self, request: &Reread, saved: Option<&Position>) -> Result<(), Fault> {
        self.postponed.retain(|earlier| earlier.name != request.name);
        if saved.is_some() {
            return self.rereads.begin(request, saved, Vec::new);
        }
        self.rereads.withdraw(request);
        self.postponed.push(request.clone());
        self.begin_postponed();
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, now: Moment) -> Polled {
        self.poll_live(budget, now)
    }

    fn poll_again(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        self.poll_extra(budget)
    }

    fn is_arriving(&self) -> bool {
        self.fetcher.as_ref().is_some_and(Fetcher::is_arriving)
    }

    fn acknowledge(&mut self, positions: &[(Partition, Position)]) {
        let Some(client) = self.client.as_ref().filter(|_| self.config.group().is_some()) else {
            return;
        };
        let mut offsets = TopicPartitionList::new();
        for (partition, position) in positions {
            let saved = KafkaPosition::decode(position);
            let offset = saved.and_then(|saved| i64::try_from(saved.offset).ok());
            if let (Ok(place), Some(offset)) = (self.place(partition), offset) {
                let topic = self.config.topics[place.topic].as_str();
                offsets
                    .add_partition_offset(topic, place.number, Offset::Offset(offset))
                    .expect("not negative");
            }
        }
        if offsets.count() > 0 {
            // Only for tools that show lag: nothing of ours depends on it, so nothing is retried.
            drop(client.consumer.commit(&offsets, CommitMode::Async));
        }
    }

    fn close(&mut self) {
        (self.client, self.fetcher) = (None, None);
        self.stretches.close();
    }
}

impl KafkaSource {
    fn place(&self, partition: &Partition) -> Result<Place, Fault> {
        let found = partition.name.rsplit_once('/').and_then(|(topic, number)| {
            let topic = self.config.topics.iter().position(|known| known == topic)?;
            Some(Place { topic, number: number.parse().ok()? })
        });
        found.ok_or_else(|| {
            let name = &partition.name;
            Fault::never(format!("cannot read \"{name}\": it is no partition of this source"))
        })
    }
}
