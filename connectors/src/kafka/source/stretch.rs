//! Reading a stretch of a partition: from an offset, or the oldest record after it, to a known end.
//!
//! A consumer of its own reads one stretch at a time and leaves the live partitions alone. A stretch
//! is over at the first record at or behind its end. There may be none yet: the last offsets before
//! an end may belong to transaction markers, aborted or compacted records. Then the broker says that
//! it has no more, and is asked how far that is, because one that has just become leader may not
//! know all of it yet.

use std::time::Duration;

use engine::error::Fault;
use engine::source::PollBudget;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Client;
use super::identity::Identities;
use super::inquiry::{Answer, Place, Question, Range};
use super::live::is_told_elsewhere;
use crate::kafka::config::KafkaConfig;
use crate::kafka::watch::{Watch, fault_of_error};

/// Part of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) place: Place,
    /// The next offset to read.
    pub(super) next: u64,
    /// The first offset not wanted.
    pub(super) upto: u64,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Records, up to this offset.
    Upto(u64),
    /// Nothing more lies before the end.
    Done,
    /// Nothing now.
    Nothing,
}

/// What reads stretches, one at a time.
pub(super) struct StretchReader {
    config: KafkaConfig,
    watch: Watch,
    client: Option<Client>,
    /// What the consumer is reading.
    at: Option<UnderWay>,
    /// Found after records; told when these were given out.
    fault: Option<Fault>,
}

struct UnderWay {
    stretch: Stretch,
    done: bool,
}

impl UnderWay {
    /// Passes a record of the consumer; its offset, if it lies in the stretch.
    fn pass(&mut self, message: &BorrowedMessage<'_>, topics: &[String]) -> Option<u64> {
        let Stretch { place, next, upto } = self.stretch;
        let offset = u64::try_from(message.offset()).ok()?;
        // Others are left over from before the consumer was sent here.
        let ours = message.partition() == place.number && message.topic() == topics[place.topic];
        if !ours || offset < next {
            return None;
        }
        self.done = offset + 1 >= upto;
        if offset >= upto {
            return None;
        }
        self.stretch.next = offset + 1;
        Some(offset)
    }
}

impl StretchReader {
    /// A reader without a consumer yet.
    pub(super) fn new(config: KafkaConfig, watch: Watch) -> Self {
        Self { config, watch, client: None, at: None, fault: None }
    }

    /// Lets go of the consumer; the next stretch makes another.
    pub(super) fn close(&mut self) {
        (self.client, self.at, self.fault) = (None, None, None);
    }

    /// Reads on in `wanted`, whose `next` is where the last call left it, and hands records within
    /// the budget to `take`.
    pub(super) fn read(
        &mut self,
        wanted: Stretch,
        budget: PollBudget,
        take: &mut dyn FnMut(u64, &BorrowedMessage<'_>),
    ) -> Result<Progress, Fault> {
        if wanted.next >= wanted.upto {
            return Ok(Progress::Done);
        }
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.assign(wanted)?;
        self.take_answers()?;
        self.drain(budget, take);
        let at = self.at.as_ref().map_or(wanted, |at| at.stretch);
        if at.next > wanted.next {
            return Ok(Progress::Upto(at.next));
        }
        match self.fault.take() {
            Some(fault) => Err(fault),
            None if self.at.take_if(|at| at.done).is_some() => Ok(Progress::Done),
            None => Ok(Progress::Nothing),
        }
    }

    /// Sends the consumer to `wanted` unless it is there.
    fn assign(&mut self, wanted: Stretch) -> Result<(), Fault> {
        if self.at.as_ref().is_some_and(|at| at.stretch == wanted) {
            return Ok(());
        }
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let config = self.config.stretch_consumer();
                Client::start(&config, Identities::default(), &self.watch)?
            }
        };
        let consumer = &self.client.insert(client).consumer;
        let topic = &self.config.topics[wanted.place.topic];
        let next = i64::try_from(wanted.next).unwrap_or(i64::MAX);
        let mut assign = TopicPartitionList::new();
        assign
            .add_partition_offset(topic, wanted.place.number, Offset::Offset(next))
            .expect("not negative");
        self.at = None;
        let assigned = consumer.assign(&assign);
        assigned.map_err(|error| fault_of_error(&error, "assign a kafka partition"))?;
        self.at = Some(UnderWay { stretch: wanted, done: false });
        Ok(())
    }

    fn take_answers(&mut self) -> Result<(), Fault> {
        while let Some(answer) = self.client.as_ref().and_then(|client| client.inquiry.answer()) {
            let Answer::Ranges(ranges) = answer else { continue };
            match ranges {
                Ok(ranges) => ranges.iter().try_for_each(|range| self.ends_at(range))?,
                // Once more from here, and the broker will say again that it has no more.
                Err(fault) => {
                    self.at = None;
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// The broker had no more, and it has all below `range.high`.
    fn ends_at(&mut self, range: &Range) -> Result<(), Fault> {
        let asked = |at: &&mut UnderWay| {
            at.stretch.place == range.place && Some(at.stretch.next) == range.next
        };
        let Some(at) = self.at.as_mut().filter(asked) else { return Ok(()) };
        let Stretch { place, upto, .. } = at.stretch;
        at.done = range.high >= upto;
        if at.done {
            return Ok(());
        }
        self.at = None;
        let topic = &self.config.topics[place.topic];
        let (number, high) = (place.number, range.high);
        let text = format!("kafka partition \"{topic}/{number}\" ends at offset {high}");
        Err(Fault::later(format!("could not read up to offset {upto}: {text}")))
    }

    fn drain(&mut self, budget: PollBudget, take: &mut dyn FnMut(u64, &BorrowedMessage<'_>)) {
        let (Some(client), Some(at)) = (&self.client, &mut self.at) else { return };
        let (mut rows, mut bytes) = (0, 0);
        while !at.done && rows < budget.rows && bytes < budget.bytes {
            match client.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    if let Some(offset) = at.pass(&message, &self.config.topics) {
                        take(offset, &message);
                        rows += 1;
                        bytes += message.payload_len() + message.key_len();
                    }
                }
                Some(Err(KafkaError::PartitionEOF(number)))
                    if number == at.stretch.place.number =>
                {
                    let place = (at.stretch.place, Some(at.stretch.next));
                    client.inquiry.ask(Question::Ranges(self.config.topics.clone(), vec![place]));
                }
                Some(Err(error)) => {
                    if !is_told_elsewhere(&error) {
                        self.fault = Some(fault_of_error(&error, "read kafka once more"));
                        break;
                    }
                }
            }
        }
    }
}
