//! Questions to the cluster that librdkafka can only answer by waiting, asked on a thread beside.
//!
//! Answers come in the order of the questions. The thread ends when its [`Inquiry`] is dropped, and
//! then closes the consumer, which takes a moment that nobody has to wait for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use engine::error::Fault;
use engine::source::Start;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Reader;
use super::identity::Identities;
use crate::kafka::position::TopicId;
use crate::kafka::watch::{Watch, fault_of, fault_of_error};

/// How long one answer may take before it is a fault that is tried again.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A partition of one of the source's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the topic in the source's list.
    pub(super) topic: usize,
    /// Number of the partition in the topic.
    pub(super) number: i32,
}

/// What to find out, about partitions of these topics.
#[derive(Debug)]
pub(super) enum Question {
    /// How many partitions each topic has, and its id.
    Partitions(Vec<String>),
    /// The offset each of these begins at; `Latest` and `Timestamp` only.
    Resolve(Vec<String>, Vec<(Place, Start)>),
    /// Which offsets are there; with the position of each, which comes back with the answer.
    Ranges(Vec<String>, Vec<(Place, Option<u64>)>),
    /// The same, to know where snapshots end.
    Sizes(Vec<String>, Vec<(Place, Option<u64>)>),
}

/// The answer to the question of the same kind.
#[derive(Debug)]
pub(super) enum Answer {
    /// One for each topic, in order.
    Listed(Result<Vec<Listed>, Fault>),
    /// For each partition asked about.
    Resolved(Result<Vec<(Place, Offset)>, Fault>),
    /// For each partition asked about.
    Ranges(Result<Vec<Range>, Fault>),
    /// For each partition asked about.
    Sizes(Result<Vec<Range>, Fault>),
}

/// A topic.
#[derive(Debug)]
pub(super) struct Listed {
    /// Number of its partitions; 0 if there is no such topic.
    pub(super) partitions: usize,
    /// Which topic of this name it is, where that can be known.
    pub(super) id: Option<TopicId>,
}

/// What a partition holds.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) place: Place,
    /// The position when it was asked.
    pub(super) next: Option<u64>,
    /// Offset of the oldest record.
    pub(super) low: u64,
    /// Offset after the newest record that may be read.
    pub(super) high: u64,
}

/// The thread beside.
#[derive(Debug)]
pub(super) struct Inquiry {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
}

impl Inquiry {
    /// Starts the thread.
    pub(super) fn start(
        consumer: Arc<Reader>,
        identities: Identities,
        watch: Watch,
    ) -> Result<Self, Fault> {
        let (questions, asked) = channel();
        let (answer, answers) = channel();
        let asker = Asker { consumer, identities, watch };
        std::thread::Builder::new()
            .name("kafka inquiry".to_owned())
            .spawn(move || {
                for question in asked {
                    if answer.send(asker.ask(question)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Fault::later(format!("could not start a thread: {error}")))?;
        Ok(Self { questions, answers })
    }

    /// Asks; true if an answer will come.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.questions.send(question).is_ok()
    }

    /// The next answer, if there is one by now.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

struct Asker {
    consumer: Arc<Reader>,
    identities: Identities,
    watch: Watch,
}

impl Asker {
    fn ask(&self, question: Question) -> Answer {
        match question {
            Question::Partitions(topics) => Answer::Listed(self.list(&topics)),
            Question::Resolve(topics, starts) => Answer::Resolved(
                starts
                    .iter()
                    .map(|(place, start)| Ok((*place, self.resolve(&topics, *place, start)?)))
                    .collect(),
            ),
            Question::Ranges(topics, places) => Answer::Ranges(self.ranges(&topics, places)),
            Question::Sizes(topics, places) => Answer::Sizes(self.ranges(&topics, places)),
        }
    }

    fn ranges(
        &self,
        topics: &[String],
        places: Vec<(Place, Option<u64>)>,
    ) -> Result<Vec<Range>, Fault> {
        places.into_iter().map(|(place, next)| self.range(topics, place, next)).collect()
    }

    fn list(&self, topics: &[String]) -> Result<Vec<Listed>, Fault> {
        let counts: Result<Vec<_>, Fault> = topics.iter().map(|topic| self.count(topic)).collect();
        let counts = counts?;
        // Afterwards, so that a broker that cannot be reached is told as librdkafka tells it.
        let ids = self.identities.ask(topics)?;
        let listed = counts.into_iter().zip(ids);
        Ok(listed.map(|(partitions, id)| Listed { partitions, id }).collect())
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    fn count(&self, topic: &str) -> Result<usize, Fault> {
        let what = format!("read the partitions of kafka topic \"{topic}\"");
        let metadata =
            self.answered(self.consumer.fetch_metadata(Some(topic), ANSWER_LIMIT), &what)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let error = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
        match (error, found) {
            (None, Some(found)) => Ok(found.partitions().len()),
            (Some(RDKafkaErrorCode::UnknownTopicOrPartition), _) | (None, None) => Ok(0),
            (Some(code), _) => Err(fault_of(code, &what)),
        }
    }

    fn resolve(&self, topics: &[String], place: Place, start: &Start) -> Result<Offset, Fault> {
        let Start::Timestamp(at) = start else {
            let high = self.range(topics, place, None)?.high;
            return Ok(Offset::Offset(i64::try_from(high).unwrap_or(i64::MAX)));
        };
        let topic = &topics[place.topic];
        let what = format!("find the offset of a time in kafka topic \"{topic}\"");
        let mut times = TopicPartitionList::new();
        times
            .add_partition_offset(topic, place.number, Offset::Offset((*at).max(0)))
            .map_err(|error| fault_of_error(&error, &what))?;
        let found = self.answered(self.consumer.offsets_for_times(times, ANSWER_LIMIT), &what)?;
        let found = found.find_partition(topic, place.number).expect("it was asked about");
        self.answered(found.error(), &what)?;
        match found.offset() {
            offset @ Offset::Offset(_) => Ok(offset),
            // No record is that late: what comes from now on is.
            _ => self.resolve(topics, place, &Start::Latest),
        }
    }

    fn range(&self, topics: &[String], place: Place, next: Option<u64>) -> Result<Range, Fault> {
        let topic = &topics[place.topic];
        let what = format!("read the offsets of kafka topic \"{topic}\"");
        let found = self.consumer.fetch_watermarks(topic, place.number, ANSWER_LIMIT);
        let (low, high) = self.answered(found, &what)?;
        let number = |offset| u64::try_from(offset).unwrap_or(0);
        Ok(Range { place, next, low: number(low), high: number(high) })
    }

    fn answered<T>(&self, result: KafkaResult<T>, what: &str) -> Result<T, Fault> {
        match result {
            Ok(answer) => {
                self.watch.connected();
                Ok(answer)
            }
            Err(error) => Err(self.watch.explain(fault_of_error(&error, what))),
        }
    }
}
