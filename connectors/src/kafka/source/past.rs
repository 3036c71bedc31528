//! What lies before the live records: snapshots at the beginning, and what is read again.
//!
//! Both have a known end and are read by the same second consumer, snapshots first: without them no
//! epoch ends. A live partition is given to the first consumer only when its snapshot is whole.

use engine::batch::build::RawBuilder;
use engine::error::Fault;
use engine::source::reread::RereadPart;
use engine::source::{PollBudget, Polled, Position, SourceBatch};
use rdkafka::message::Message as _;

use super::KafkaSource;
use super::inquiry::{Question, Range};
use super::slot::{self, Slot};
use super::stretch::{Progress, Stretch};
use crate::reread::damaged;

impl KafkaSource {
    /// Asks where the snapshots of partitions just opened end.
    pub(super) fn ask_sizes(&mut self) {
        let Some(client) = self.client.as_ref().filter(|_| self.config.snapshot) else { return };
        let unsized_ones = self.slots.take_unsized();
        if !unsized_ones.is_empty() {
            client.inquiry.ask(Question::Sizes(self.config.topics.clone(), unsized_ones));
        }
    }

    /// Takes the answer.
    pub(super) fn sized(&mut self, ranges: Result<Vec<Range>, Fault>) {
        match ranges {
            Ok(ranges) => ranges.iter().for_each(|range| self.slots.sized(range)),
            Err(fault) => {
                self.slots.size_again();
                self.faults.push_back(fault);
            }
        }
    }

    /// Reads on in the snapshot of a partition; `None` if there is nothing of one now.
    pub(super) fn poll_snapshot(&mut self, budget: PollBudget) -> Option<Polled> {
        let slot = self.slots.in_snapshot().filter(|_| self.config.snapshot)?;
        let mut builder = RawBuilder::new(&self.schema, slot.partition.ordinal);
        let wanted = slot.snapshot()?;
        let read = self.stretches.read(wanted, budget, &mut |offset, message| {
            builder.push(offset, message.key(), message.payload());
        });
        Some(match read {
            Ok(Progress::Upto(next)) => {
                slot.next = Some(next);
                let (partition, next) = (slot.partition.clone(), slot.position(next));
                let rows = builder.finish().expect("progress is made by records");
                Polled::Rows(SourceBatch { partition, rows, next, boundary: false })
            }
            Ok(Progress::Done) => {
                let (partition, next) = (slot.partition.clone(), slot.position(wanted.upto));
                self.slots.whole(wanted.place);
                self.close_stretches();
                Polled::Whole(partition, next)
            }
            Ok(Progress::Nothing) => return None,
            Err(fault) => Polled::Fault(fault),
        })
    }

    /// Takes requests that had to wait until it is known where the live partitions begin.
    pub(super) fn begin_postponed(&mut self) {
        for request in std::mem::take(&mut self.postponed) {
            match self.parts() {
                Some(parts) => {
                    let begun = self.rereads.begin(&request, None, || parts);
                    begun.expect("a request without saved position is never refused");
                }
                None => self.postponed.push(request),
            }
        }
    }

    /// All open partitions, from their beginning to where they stand; `None` while that is not
    /// known of one of them.
    fn parts(&self) -> Option<Vec<RereadPart>> {
        let known = self.slots.all().all(Slot::is_resolved);
        let part = |slot: &Slot| {
            let waiting = self.ready.iter().find(|batch| batch.partition == slot.partition);
            let upto = waiting.map(|batch| batch.rows.row(0).order().position).or(slot.next)?;
            let (next, upto) = (Position::of_number(0), Position::of_number(upto));
            Some(RereadPart { ordinal: slot.partition.ordinal, next, upto })
        };
        known.then(|| self.slots.all().filter_map(part).collect())
    }

    /// Records of the re-reading under way, `Idle` while there are none.
    pub(super) fn read_again(&mut self, budget: PollBudget) -> Result<Polled, Fault> {
        while let Some(rereading) = self.rereads.first() {
            let Some(part) = rereading.part() else {
                let end = self.rereads.end();
                self.close_stretches();
                return Ok(end);
            };
            let numbers = part.next.as_number().zip(part.upto.as_number());
            let place = slot::place(part.ordinal, self.config.topics.len());
            let Some(((next, upto), place)) = numbers.zip(place) else {
                return Err(damaged(rereading.partition()));
            };
            // Never further than the live partition, which may have gone back to what a topic made
            // anew has.
            let Some(stands_at) = self.slots.stands_at(place) else { return Ok(Polled::Idle) };
            let wanted = Stretch { place, next, upto: upto.min(stands_at) };
            let (ordinal, base) = (rereading.partition().ordinal, rereading.base());
            let mut builder = RawBuilder::new(&self.schema, ordinal);
            let progress = self.stretches.read(wanted, budget, &mut |offset, message| {
                builder.push(base + offset, message.key(), message.payload());
            });
            match progress? {
                Progress::Upto(next) => {
                    let rows = builder.finish().expect("progress is made by records");
                    return Ok(Polled::Rows(rereading.batch(rows, Position::of_number(next))));
                }
                Progress::Done => rereading.finish_part(),
                Progress::Nothing => return Ok(Polled::Idle),
            }
        }
        Ok(Polled::Idle)
    }

    /// Lets go of the second consumer when nobody needs it.
    fn close_stretches(&mut self) {
        if self.rereads.first().is_none() && self.slots.in_snapshot().is_none() {
            self.stretches.close();
        }
    }
}
