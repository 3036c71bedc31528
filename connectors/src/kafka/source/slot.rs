//! What a source knows of each open partition.

use std::sync::Arc;

use engine::batch::build::RawBuilder;
use engine::batch::schema::Schema;
use engine::error::Fault;
use engine::source::{Partition, Position, SourceBatch, Start};
use rdkafka::topic_partition_list::Offset;

use super::inquiry::{Place, Range};
use super::stretch::Stretch;
use crate::kafka::position::{KafkaPosition, TopicId};

/// Topics of one source at most, and partitions of a topic: an ordinal holds both numbers.
const PARTITIONS_BITS: u32 = 20;

/// The partition `number` of the topic with index `topic` in its source.
pub(super) fn partition(name: &str, topic: usize, number: usize) -> Partition {
    let narrow = |number: usize| u32::try_from(number).expect("a cluster has fewer partitions");
    let ordinal = (narrow(topic) << PARTITIONS_BITS) + narrow(number);
    Partition { name: Arc::from(format!("{name}/{number}")), ordinal }
}

/// The place of the partition with this ordinal, in a source of so many topics.
pub(super) fn place(ordinal: u32, topics: usize) -> Option<Place> {
    let topic = usize::try_from(ordinal >> PARTITIONS_BITS).ok().filter(|topic| *topic < topics)?;
    let number = i32::try_from(ordinal & ((1 << PARTITIONS_BITS) - 1)).ok()?;
    Some(Place { topic, number })
}

/// How far an open partition is on its way to the consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Its first offset has to be asked for.
    Unresolved(Start),
    /// It is being asked for.
    Resolving(Start),
    /// Its first offset is known; where its snapshot ends has to be asked for.
    Unsized,
    /// It is being asked for.
    Sizing,
    /// Its snapshot is being read, up to this offset.
    Snapshot(u64),
    /// Its first offset is known.
    Assignable,
    /// The consumer reads it.
    Running,
}

/// One open partition.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) partition: Partition,
    stage: Stage,
    /// Whether it begins with a snapshot that is not whole yet.
    begins_with_snapshot: bool,
    /// Whether the consumer has it, perhaps at a former offset.
    pub(super) assigned: bool,
    /// Where the consumer is to begin.
    pub(super) begin: Offset,
    /// The position: offset after the last record given out, or the saved one before that.
    pub(super) next: Option<u64>,
    /// Which topic of this name that is an offset of.
    pub(super) topic: Option<TopicId>,
    /// Records of the poll under way.
    pub(super) builder: Option<RawBuilder>,
    /// Rows and bytes of the one before: the next is likely as large.
    expected: (usize, usize),
}

impl Slot {
    /// A partition that is to be read from `start`; without saved position it begins with a
    /// snapshot if `snapshots` says so.
    pub(super) fn new(
        place: Place,
        partition: Partition,
        start: &Start,
        snapshots: bool,
    ) -> Result<Self, Fault> {
        let saved = match start {
            Start::At(position) => {
                let saved = KafkaPosition::decode(position);
                Some(saved.ok_or_else(|| not_a_position(&partition))?)
            }
            Start::Earliest | Start::Latest | Start::Timestamp(_) => None,
        };
        let next = saved.map(|saved| saved.offset);
        let mut slot = Self {
            place,
            partition,
            stage: Stage::Assignable,
            begins_with_snapshot: snapshots && !matches!(start, Start::At(_)),
            assigned: false,
            begin: Offset::Beginning,
            next,
            topic: saved.and_then(|saved| saved.topic),
            builder: None,
            expected: (0, 0),
        };
        slot.restart(start);
        Ok(slot)
    }

    /// Begins at `start`, again if it was running.
    fn restart(&mut self, start: &Start) {
        self.stage = match start {
            Start::Latest | Start::Timestamp(_) => Stage::Unresolved(start.clone()),
            Start::Earliest | Start::At(_) => self.resolved(),
        };
        self.begin = match self.next {
            Some(next) => offset(next),
            None => Offset::Beginning,
        };
    }

    /// Where the consumer is to begin, as a number: a topic that does not begin with 0 says so.
    pub(super) fn offset(&self) -> u64 {
        self.begin.to_raw().and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0)
    }

    /// Takes the next record.
    pub(super) fn take(
        &mut self,
        schema: &Arc<Schema>,
        offset: u64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        // Left over from before the partition was assigned anew, or not given to the consumer again yet
        // since its position was lost.
        if !self.is_running() || self.next.is_some_and(|next| offset < next) {
            return;
        }
        let (ordinal, (rows, bytes)) = (self.partition.ordinal, self.expected);
        let begin = || RawBuilder::expecting(schema, ordinal, rows, bytes);
        let builder = self.builder.get_or_insert_with(begin);
        builder.push(offset, key, value);
        self.next = Some(offset + 1);
    }

    /// Where it begins, once that is known.
    pub(super) fn begins(&self) -> Option<(Partition, Position)> {
        Some((self.partition.clone(), self.position(self.next?)))
    }

    /// This offset as a position.
    pub(super) fn position(&self, offset: u64) -> Position {
        KafkaPosition { offset, topic: self.topic }.encode()
    }

    /// Whether the consumer reads it.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    /// What comes once the first offset is known.
    fn resolved(&self) -> Stage {
        if self.begins_with_snapshot { Stage::Unsized } else { Stage::Assignable }
    }

    /// Whether it is known where it begins.
    pub(super) fn is_resolved(&self) -> bool {
        !matches!(self.stage, Stage::Unresolved(_) | Stage::Resolving(_))
    }

    /// What is left of its snapshot, while that is being read.
    pub(super) fn snapshot(&self) -> Option<Stretch> {
        let Stage::Snapshot(upto) = self.stage else { return None };
        Some(Stretch { place: self.place, next: self.next.unwrap_or(0), upto })
    }

    /// Decides after the broker refused some offset: goes on where it was if the topic has that
    /// position, else as `policy` says.
    pub(super) fn hold_against(&mut self, range: &Range, policy: Option<Start>) -> Option<Fault> {
        if self.next != range.next {
            // It has been read since we asked, so it was not the refused one.
            return None;
        }
        let Some(next) = self.next else {
            // Nothing was read yet, so nothing is lost: the oldest record is not the first one, or
            // went while we came.
            self.restart(&Start::Earliest);
            self.begin = offset(range.low);
            return None;
        };
        if (range.low..=range.high).contains(&next) {
            self.stage = Stage::Assignable;
            self.begin = offset(next);
            return None;
        }
        let Range { low, high, .. } = range;
        // Perhaps that of a topic made anew: whichever is there now is the one we go on in.
        self.topic = None;
        let text =
            format!("kafka partition \"{}\" has offsets {low} to {high}", self.partition.name);
        Some(self.lost(next, &text, policy))
    }

    /// Decides when the leader says that the log was cut back to `end`, behind which it goes on with
    /// other records than those read: what was read is gone from the topic.
    pub(super) fn diverged(&mut self, end: u64, policy: Option<Start>) -> Option<Fault> {
        let Some(next) = self.next.filter(|next| *next > end) else {
            // Only markers and what was aborted lay behind it.
            self.restart(&Start::Earliest);
            return None;
        };
        let name = &self.partition.name;
        let text = format!("kafka partition \"{name}\" was cut back to offset {end}");
        Some(self.lost(next, &text, policy))
    }

    /// Decides when the cluster says which topic of this name there is: goes on where it was if the
    /// position is one of that topic, or if nobody knows, else as `policy` says.
    pub(super) fn belong_to(&mut self, topic: TopicId, policy: Option<Start>) -> Option<Fault> {
        if *self.topic.get_or_insert(topic) == topic {
            return None;
        }
        let next = self.next;
        if next.is_none() || policy.is_some() {
            self.topic = Some(topic);
        }
        // Of which nothing was read, nothing is lost.
        let next = next?;
        let name = &self.partition.name;
        let text = format!("the topic of kafka partition \"{name}\" was made anew");
        Some(self.lost(next, &text, policy))
    }

    /// Goes on as `policy` says after a position was lost; the fault tells why.
    fn lost(&mut self, next: u64, why: &str, policy: Option<Start>) -> Fault {
        let Some(policy) = policy else {
            return Fault::never(format!("cannot read on at offset {next}: {why}")).with_hint(
                "retention passed the position, or the topic was made anew; \
                 on_lost_position = earliest or latest goes on without what is missing",
            );
        };
        self.next = None;
        self.restart(&policy);
        let choice = if policy == Start::Latest { "latest" } else { "earliest" };
        Fault::later(format!("could not read on at offset {next}: {why}, going on at {choice}"))
    }

    /// The records of the poll under way, as a batch.
    pub(super) fn finish(&mut self) -> Option<SourceBatch> {
        let builder = self.builder.take()?;
        self.expected = (builder.len(), builder.bytes());
        let rows = builder.finish()?;
        let next = self.position(self.next.expect("set with each record"));
        // Every record of a topic may be the last before a cut.
        Some(SourceBatch { partition: self.partition.clone(), rows, next, boundary: true })
    }
}

/// For librdkafka.
fn offset(number: u64) -> Offset {
    Offset::Offset(i64::try_from(number).expect("checked when it came"))
}

fn not_a_position(partition: &Partition) -> Fault {
    let name = &partition.name;
    Fault::never(format!("cannot read \"{name}\": its saved position is no kafka offset"))
}

/// All open partitions, by topic and number.
#[derive(Debug)]
pub(super) struct Slots {
    topics: Vec<Vec<Option<Slot>>>,
    /// Partitions with records of the poll under way.
    touched: Vec<Place>,
    /// Some partition is not running yet.
    opening: bool,
}

impl Slots {
    pub(super) fn new(topics: usize) -> Self {
        let topics = std::iter::repeat_with(Vec::new).take(topics).collect();
        Self { topics, touched: Vec::new(), opening: false }
    }

    /// Whether nothing was opened yet.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.iter().all(Vec::is_empty)
    }

    pub(super) fn open(&mut self, slot: Slot) {
        let of_topic = &mut self.topics[slot.place.topic];
        let index = index(slot.place);
        if of_topic.len() <= index {
            of_topic.resize_with(index + 1, || None);
        }
        of_topic[index] = Some(slot);
        self.opening = true;
    }

    /// Number of the highest open partition of a topic, plus one.
    pub(super) fn count(&self, topic: usize) -> usize {
        self.topics[topic].len()
    }

    pub(super) fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        // Whoever asks for one may send it back to the start.
        self.opening = true;
        self.topics.get_mut(place.topic)?.get_mut(index(place))?.as_mut()
    }

    /// The slot a record belongs to.
    #[inline]
    pub(super) fn touch(&mut self, place: Place) -> Option<&mut Slot> {
        let slot = self.topics[place.topic].get_mut(index(place))?.as_mut()?;
        if slot.builder.is_none() {
            self.touched.push(place);
        }
        Some(slot)
    }

    /// The slots with records of this poll, once.
    pub(super) fn touched(&mut self) -> impl Iterator<Item = &mut Slot> {
        let mut places = std::mem::take(&mut self.touched);
        places.sort_unstable();
        places.dedup();
        let slots = self.topics.iter_mut().flatten().flatten();
        slots.filter(move |slot| places.binary_search(&slot.place).is_ok())
    }

    /// The open partitions of a topic.
    pub(super) fn of_topic(&mut self, topic: usize) -> impl Iterator<Item = &mut Slot> {
        // One of them may be sent back to the start.
        self.opening = true;
        self.topics.get_mut(topic).into_iter().flatten().flatten()
    }

    /// Slots the consumer reads.
    pub(super) fn running(&self) -> impl Iterator<Item = &Slot> {
        let slots = self.topics.iter().flatten().flatten();
        slots.filter(|slot| slot.is_running())
    }

    /// The partitions whose first offset has to be asked for, once.
    pub(super) fn take_unresolved(&mut self) -> Vec<(Place, Start)> {
        if !self.opening {
            return Vec::new();
        }
        let mut found = Vec::new();
        for slot in self.topics.iter_mut().flatten().flatten() {
            if let Stage::Unresolved(start) = &slot.stage {
                let start = start.clone();
                slot.stage = Stage::Resolving(start.clone());
                found.push((slot.place, start));
            }
        }
        found
    }

    /// Has another consumer begin where the one before was.
    pub(super) fn hand_over(&mut self) {
        for slot in self.topics.iter_mut().flatten().flatten().filter(|slot| slot.is_running()) {
            slot.restart(&Start::Earliest);
            slot.assigned = false;
            self.opening = true;
        }
    }

    /// Has the question of [`Slots::take_unresolved`] asked once more.
    pub(super) fn ask_again(&mut self) {
        for slot in self.topics.iter_mut().flatten().flatten() {
            if let Stage::Resolving(start) = &slot.stage {
                slot.stage = Stage::Unresolved(start.clone());
                self.opening = true;
            }
        }
    }

    /// Says where a partition begins, and gives it, unless it begins with a snapshot.
    pub(super) fn begin_at(&mut self, place: Place, offset: Offset) -> Option<&Slot> {
        let slot = self.slot(place)?;
        slot.stage = slot.resolved();
        slot.begin = offset;
        slot.next = offset.to_raw().and_then(|offset| u64::try_from(offset).ok());
        (!slot.begins_with_snapshot).then_some(slot)
    }

    /// All open partitions.
    pub(super) fn all(&self) -> impl Iterator<Item = &Slot> {
        self.topics.iter().flatten().flatten()
    }

    /// The position of a partition, 0 if nothing was read of it; `None` while it is not known where
    /// it begins.
    pub(super) fn stands_at(&self, place: Place) -> Option<u64> {
        match self.all().find(|slot| slot.place == place) {
            Some(slot) if !slot.is_resolved() => None,
            slot => Some(slot.and_then(|slot| slot.next).unwrap_or(0)),
        }
    }

    /// The partitions the end of whose snapshot has to be asked for, once.
    pub(super) fn take_unsized(&mut self) -> Vec<(Place, Option<u64>)> {
        let slots = self.topics.iter_mut().flatten().flatten();
        let slots = slots.filter(|slot| slot.stage == Stage::Unsized);
        slots
            .map(|slot| {
                slot.stage = Stage::Sizing;
                (slot.place, slot.next)
            })
            .collect()
    }

    /// Has the question of [`Slots::take_unsized`] asked once more.
    pub(super) fn size_again(&mut self) {
        for slot in self.topics.iter_mut().flatten().flatten() {
            if slot.stage == Stage::Sizing {
                slot.stage = Stage::Unsized;
            }
        }
    }

    /// Says what a partition holds: up to there it is a snapshot.
    pub(super) fn sized(&mut self, range: &Range) {
        let slot = self.slot(range.place).filter(|slot| slot.stage == Stage::Sizing);
        if let Some(slot) = slot {
            let next = slot.next.unwrap_or(range.low);
            slot.stage = Stage::Snapshot(range.high.max(next));
            slot.next = Some(next);
        }
    }

    /// A partition whose snapshot is being read.
    pub(super) fn in_snapshot(&mut self) -> Option<&mut Slot> {
        let mut slots = self.topics.iter_mut().flatten().flatten();
        slots.find(|slot| matches!(slot.stage, Stage::Snapshot(_)))
    }

    /// The snapshot of a partition is whole: the consumer goes on behind it.
    pub(super) fn whole(&mut self, place: Place) {
        let Some(slot) = self.slot(place) else { return };
        if let Stage::Snapshot(upto) = slot.stage {
            (slot.begins_with_snapshot, slot.next) = (false, Some(upto));
            slot.restart(&Start::Earliest);
        }
    }

    /// The partitions to be given to the consumer, once.
    pub(super) fn take_assignable(&mut self) -> impl Iterator<Item = &mut Slot> {
        let opening = std::mem::replace(&mut self.opening, false);
        let slots = self.topics.iter_mut().filter(move |_| opening).flatten().flatten();
        slots.filter_map(|slot| {
            (slot.stage == Stage::Assignable).then(|| {
                slot.stage = Stage::Running;
                slot
            })
        })
    }
}

fn index(place: Place) -> usize {
    usize::try_from(place.number).expect("partitions are numbered from 0")
}
