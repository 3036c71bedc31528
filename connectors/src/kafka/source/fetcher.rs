//! Our own consumer: reads partitions from their leaders, committed records only.
//!
//! ```text
//!   search    when leaders are looked for
//!   finder    who leads what, and a connection to each leader    on a thread beside, it waits
//!   leader    fetch . answer . next fetch                        never waits
//!   part      record batches of one partition, record by record
//! ```
//!
//! Why: librdkafka spends 1.7 to 2.3 µs on each record it reads (an allocation, two queues, a thread
//! of its own); here a record is found in the answer's own bytes and copied once. No thread, no queue
//! and no lock lie between the socket and the caller; one answer is held for each leader.
//!
//! Who uses it says where each partition begins ([`Fetcher::assign`]), polls, and listens to the
//! [`News`]: a partition of which something bad is told is let go of until it is assigned again.
//! Everything else that goes wrong (a leader moves or dies) is found out and mended here.

mod answer_size;
mod finder;
mod leader;
mod part;
mod search;

use std::collections::VecDeque;

use engine::clock::Moment;
use engine::error::Fault;
use engine::source::PollBudget;

use super::choice::Settings;
use super::inquiry::Place;
use crate::kafka::position::TopicId;
use crate::kafka::watch::fault_of;
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::failure::Failure;
use crate::kafka::wire::message::fetch::{Limits, Wanted};
use crate::kafka::wire::message::topic_id::Named;
use crate::kafka::wire::records::Unreadable;
use finder::{Finder, Found, Search};
use leader::{Leader, Readings};
use part::{Part, Take};
use search::Searches;

/// What whoever reads has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The offset to go on at is not there.
    OutOfRange,
    /// The log was cut back to this offset and goes on with other records than those read before.
    Diverged(Place, u64),
    /// A topic or partition is not there.
    Missing,
    /// It cannot be read by us, and why; librdkafka may.
    Foreign(String),
    /// What went wrong otherwise.
    Fault(Fault),
}

/// Why a partition cannot be read on.
#[derive(Debug)]
enum Bad {
    Refused(ErrorCode),
    Diverged(u64),
    /// What lies at this offset.
    Unreadable(u64, Unreadable),
}

/// Where a partition is being read.
#[derive(Debug)]
struct Reading {
    /// Which topic of its name the offsets belong to; that which is there when nobody has said it.
    topic: Option<TopicId>,
    /// The next offset to ask for.
    next: u64,
    /// The leader's epoch of the record before, -1 if that is not known.
    epoch: i32,
    leader: Option<i32>,
    /// How many answers held records of it.
    served: u64,
}

impl Reading {
    fn new(topic: Option<TopicId>, next: u64) -> Self {
        Self { topic, next, epoch: -1, leader: None, served: 0 }
    }

    /// What to ask for.
    fn wanted(&self, place: Place) -> Option<Wanted> {
        let Self { topic, next, epoch, .. } = *self;
        Some(Wanted { topic: topic?, number: place.number, offset: next, epoch })
    }

    /// Asks again for what was not given out.
    fn go_back(&mut self, part: &Part) {
        (self.next, self.epoch) = (part.next, part.epoch);
    }
}

/// The consumer.
#[derive(Debug)]
pub(super) struct Fetcher {
    topics: Vec<String>,
    limits: Limits,
    searches: Searches,
    readings: Readings,
    leaders: VecDeque<Leader>,
    news: VecDeque<News>,
}

impl Fetcher {
    /// A consumer of these topics that reads nothing yet.
    pub(super) fn start(topics: Vec<String>, settings: Settings) -> Result<Self, Fault> {
        Ok(Self {
            topics,
            limits: settings.limits,
            searches: Searches::new(Finder::start(settings.bootstrap, settings.client)?),
            readings: Readings::new(),
            leaders: VecDeque::new(),
            news: VecDeque::new(),
        })
    }

    /// Reads a partition of this topic from this offset on, whatever was read of it before.
    pub(super) fn assign(&mut self, place: Place, topic: Option<TopicId>, offset: u64) {
        self.leaders.iter_mut().for_each(|leader| leader.forget(place));
        let mut reading = Reading::new(topic, offset);
        // Most likely it is led by whom it was; a topic nobody knows is found out with its leaders.
        let before = self.readings.get(&place).filter(|_| topic.is_some());
        reading.leader = before.and_then(|before| before.leader);
        self.readings.insert(place, reading);
    }

    /// What was not told yet.
    pub(super) fn news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Hands records that have come to `take`, within the budget, in the order of their partitions.
    pub(super) fn poll(&mut self, mut budget: PollBudget, now: Moment, take: Take<'_>) {
        self.look_for_leaders(now);
        // Each in its turn goes first.
        self.leaders.rotate_left(usize::from(self.leaders.len() > 1));
        let mut broken = Vec::new();
        for leader in &mut self.leaders {
            let polled = leader.poll(&mut self.readings, &self.limits, now);
            leader.give(&mut self.readings, &mut budget, take);
            if let Err(failure) = polled {
                broken.push((leader.node, failure));
            }
        }
        for (node, failure) in broken {
            self.lose(node);
            self.failed(failure);
        }
        self.judge(now);
    }

    /// Whether part of an answer is here, or one should be at once.
    pub(super) fn is_arriving(&self) -> bool {
        self.leaders.iter().any(Leader::is_arriving)
    }

    /// Lets go of a leader. What it sent and nobody took yet is asked for again.
    fn lose(&mut self, node: i32) {
        for leader in self.leaders.iter().filter(|leader| leader.node == node) {
            for part in &leader.parts {
                let reading = self.readings.get_mut(&part.place);
                reading.into_iter().for_each(|one| one.go_back(part));
            }
        }
        self.leaders.retain(|leader| leader.node != node);
        let of_node = self.readings.values_mut().filter(|one| one.leader == Some(node));
        of_node.for_each(|one| one.leader = None);
    }

    /// Tells or mends what was bad about partitions.
    fn judge(&mut self, now: Moment) {
        let bad = self.leaders.iter_mut().flat_map(|leader| std::mem::take(&mut leader.bad));
        for (place, bad) in bad.collect::<Vec<_>>() {
            let news = match bad {
                Bad::Diverged(end) => Some(News::Diverged(place, end)),
                Bad::Unreadable(offset, reason) => Some(self.unreadable(place, offset, reason)),
                Bad::Refused(code) => self.refused(place, code),
            };
            match news {
                Some(News::OutOfRange | News::Diverged(..)) => drop(self.readings.remove(&place)),
                _ => self.leave(place, now),
            }
            self.news.extend(news);
        }
    }

    /// Has the partition asked for again after a while, of whoever leads it then.
    fn leave(&mut self, place: Place, now: Moment) {
        self.readings.get_mut(&place).into_iter().for_each(|reading| reading.leader = None);
        self.searches.later(now);
    }

    /// What has to be told of a refusal.
    fn refused(&self, place: Place, code: ErrorCode) -> Option<News> {
        match code {
            ErrorCode::OFFSET_OUT_OF_RANGE => Some(News::OutOfRange),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID => Some(News::Missing),
            code if code.is_no_leader() => None,
            code => {
                let what = format!("read kafka partition \"{}\"", name(&self.topics, place));
                Some(News::Fault(fault_of(code.known(), &what)))
            }
        }
    }

    fn unreadable(&self, place: Place, offset: u64, unreadable: Unreadable) -> News {
        let name = name(&self.topics, place);
        match unreadable {
            Unreadable::OldFormat(format) => {
                News::Foreign(format!("kafka partition \"{name}\" has records of format {format}"))
            }
            Unreadable::Damaged(why) => News::Fault(
                Fault::later(format!("could not read \"{name}\" at offset {offset}: {why}"))
                    .with_hint("it is asked for again; if it stays so, look at the broker's disk"),
            ),
        }
    }

    /// Takes what a search has found, and begins one where a leader is missing.
    fn look_for_leaders(&mut self, now: Moment) {
        match self.searches.found() {
            Some(Ok(found)) => self.found(found),
            Some(Err(failure)) => self.failed(failure),
            None => {}
        }
        let Some(missing) = self.without_leader() else {
            return self.searches.not_needed(now);
        };
        let fault = self.searches.in_vain(now, || name(&self.topics, missing));
        self.news.extend(fault.map(News::Fault));
        self.searches.begin(now, || {
            let address = |leader: &Leader| (leader.node, leader.connection.address().clone());
            let connected = self.leaders.iter().map(address).collect();
            Search { topics: self.topics.clone(), connected }
        });
    }

    fn found(&mut self, found: Found) {
        for (node, connection) in found.opened {
            // It is at another address by now.
            if self.leaders.iter().any(|leader| leader.node == node) {
                self.lose(node);
            }
            self.leaders.push_back(Leader::new(node, connection, &self.limits));
        }
        for Named { name, id, partitions, .. } in found.topics {
            let Some(topic) = self.topics.iter().position(|one| *one == name) else { continue };
            let id = TopicId::new(id);
            if id.is_none() && !partitions.is_empty() {
                self.news.push_back(News::Foreign(format!("kafka topic \"{name}\" has no id")));
            }
            for (number, leader) in partitions {
                self.led_by(Place { topic, number }, id, leader);
            }
        }
        if let Some(failure) = found.failed {
            self.failed(failure);
        }
    }

    fn led_by(&mut self, place: Place, topic: Option<TopicId>, leader: i32) {
        let is_connected = self.leaders.iter().any(|one| one.node == leader);
        if let Some(reading) = self.readings.get_mut(&place).filter(|_| is_connected) {
            reading.topic = reading.topic.or(topic);
            // Where it has moved, the former leader says so first.
            reading.leader.get_or_insert(leader);
        }
    }

    fn failed(&mut self, failure: Failure) {
        if let Failure::Unserved { .. } = failure {
            self.news.push_back(News::Foreign(failure.to_string()));
        }
        self.searches.failed(failure);
    }

    /// A partition that nobody reads.
    fn without_leader(&self) -> Option<Place> {
        let mut all = self.readings.iter();
        all.find(|(_, reading)| reading.leader.is_none()).map(|(place, _)| *place)
    }
}

fn name(topics: &[String], place: Place) -> String {
    format!("{}/{}", topics[place.topic], place.number)
}

#[cfg(test)]
mod tests;
