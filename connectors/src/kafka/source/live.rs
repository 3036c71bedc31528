//! The live partitions: what the consumer of them holds, our own or librdkafka's, as batches.

use std::time::Duration;

use engine::clock::Moment;
use engine::error::Fault;
use engine::source::{PollBudget, Polled};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::fetcher::{Fetcher, News};
use super::inquiry::Place;
use super::{KafkaSource, Reader};
use crate::kafka::watch::fault_of_error;

impl KafkaSource {
    pub(super) fn poll_live(&mut self, budget: PollBudget, now: Moment) -> Polled {
        if let Some(batch) = self.ready.pop_front() {
            return Polled::Rows(batch);
        }
        self.take_answers();
        if let Some((partition, position)) = self.begun.pop_front() {
            return Polled::Whole(partition, position);
        }
        if let Some(fault) = self.faults.pop_front() {
            return Polled::Fault(fault);
        }
        if let Err(fault) = self.assign_opened() {
            return Polled::Fault(fault);
        }
        if let Some(polled) = self.poll_snapshot(budget) {
            return polled;
        }
        let Some(consumer) = self.client.as_ref().map(|client| client.consumer.clone()) else {
            return Polled::Idle;
        };
        self.drain(&consumer, budget);
        self.fetch(budget, now);
        for slot in self.slots.touched() {
            self.ready.extend(slot.finish());
        }
        if let Some(batch) = self.ready.pop_front() {
            return Polled::Rows(batch);
        }
        match self.faults.pop_front().or_else(|| self.watch.take()) {
            Some(fault) => Polled::Fault(fault),
            None => Polled::Idle,
        }
    }

    pub(super) fn poll_extra(&mut self, budget: PollBudget) -> Polled {
        self.begin_postponed();
        // The second consumer reads one thing at a time, and no epoch ends before the snapshots.
        if self.config.snapshot && self.slots.in_snapshot().is_some() {
            return Polled::Idle;
        }
        self.read_again(budget).unwrap_or_else(Polled::Fault)
    }

    /// Moves what librdkafka's consumer holds into batches, up to the budget. If our own one reads, it
    /// holds only news.
    fn drain(&mut self, consumer: &Reader, budget: PollBudget) {
        let (mut rows, mut bytes) = (0, 0);
        while rows < budget.rows && bytes < budget.bytes {
            match consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    rows += 1;
                    bytes += message.payload_len() + message.key_len();
                    self.take_record(&message);
                }
                Some(Err(error)) => self.failed(&error),
            }
        }
    }

    /// Moves what our own consumer has into batches, up to the budget.
    fn fetch(&mut self, budget: PollBudget, now: Moment) {
        let Some(fetcher) = &mut self.fetcher else { return };
        fetcher.poll(budget, now, &mut |place, offset, key, value| {
            if let Some(slot) = self.slots.touch(place) {
                slot.take(&self.schema, offset, key, value);
            }
        });
        while let Some(news) = self.fetcher.as_mut().and_then(Fetcher::news) {
            self.hear_of(news);
        }
    }

    fn hear_of(&mut self, news: News) {
        match news {
            News::OutOfRange => self.check_positions(),
            News::Missing => self.ask_partitions(),
            News::Diverged(place, end) => {
                let policy = self.policy();
                let slot = self.slots.slot(place).expect("only open partitions are read");
                self.faults.extend(slot.diverged(end, policy));
            }
            News::Foreign(why) => {
                self.fetcher = None;
                self.slots.hand_over();
                self.faults.push_back(Fault::later(format!("librdkafka reads from now on: {why}")));
            }
            News::Fault(fault) => self.faults.push_back(fault),
        }
    }

    fn take_record(&mut self, message: &BorrowedMessage<'_>) {
        let topic = match self.config.topics.as_slice() {
            [_only] => Some(0),
            topics => topics.iter().position(|topic| topic == message.topic()),
        };
        let Some(topic) = topic else { return };
        let place = Place { topic, number: message.partition() };
        let Ok(offset) = u64::try_from(message.offset()) else { return };
        if let Some(slot) = self.slots.touch(place) {
            slot.take(&self.schema, offset, message.key(), message.payload());
        }
    }

    fn failed(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => self.check_positions(),
            // Discovery finds out whether the topic is gone for good.
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                self.ask_partitions();
            }
            _ if is_told_elsewhere(error) => {}
            _ => self.faults.push_back(fault_of_error(error, "read kafka")),
        }
    }
}

/// Whether an error that a consumer gives beside its records is told by the watch, with its reason,
/// or found out by discovery, or does no harm.
pub(super) fn is_told_elsewhere(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::Resolve
                | Code::SSL
                | Code::Authentication
                | Code::TopicAuthorizationFailed
                // Our group is never joined; a name the cluster does not allow us does no harm.
                | Code::GroupAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
    )
}
