//! One leader: a fetch under way, and what the one before has brought.
//!
//! The next fetch goes out as soon as an answer has come, so the broker works and the socket fills
//! while records are given out. Its answer is not looked for before all of these are: that is what
//! holds the broker back when we are slower.

use std::collections::{BTreeMap, VecDeque};

use engine::clock::Moment;
use engine::source::PollBudget;

use super::answer_size::AnswerSize;
use super::part::{Part, Take, scan};
use super::{Bad, Reading};
use crate::kafka::source::inquiry::Place;
use crate::kafka::wire::api::FETCH;
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::connection::polled::PolledConnection;
use crate::kafka::wire::failure::Failure;
use crate::kafka::wire::message::fetch::{self, Fetched, Limits, Wanted};
use crate::kafka::wire::records::Unreadable;

/// How much longer than it was told to wait a broker may take.
const ANSWER_LIMIT_MS: u64 = 30_000;

/// The partitions being read, and which of them a leader has.
pub(super) type Readings = BTreeMap<Place, Reading>;

/// A connected leader.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) node: i32,
    pub(super) connection: PolledConnection,
    /// What the fetch under way asked for.
    asked: Vec<(Place, Wanted)>,
    size: AnswerSize,
    /// Tick by which something more has to come, once it was looked for.
    answer_by: Option<u64>,
    /// What came and was not given out.
    pub(super) parts: VecDeque<Part>,
    /// Partitions that could not be read, since somebody last asked.
    pub(super) bad: Vec<(Place, Bad)>,
}

impl Leader {
    pub(super) fn new(node: i32, connection: PolledConnection, limits: &Limits) -> Self {
        let (asked, parts, bad) = (Vec::new(), VecDeque::new(), Vec::new());
        let size = AnswerSize::new(limits.bytes);
        Self { node, connection, asked, size, answer_by: None, parts, bad }
    }

    /// Gives out what has come; asks and receives if that is nothing.
    pub(super) fn poll(
        &mut self,
        readings: &mut Readings,
        limits: &Limits,
        now: Moment,
    ) -> Result<(), Failure> {
        if !self.parts.is_empty() {
            return Ok(());
        }
        self.ask(readings, limits)?;
        let received = self.connection.received();
        if self.connection.poll()? {
            self.size.came(self.connection.answer().len());
            self.accept(readings)?;
            return self.ask(readings, limits);
        }
        self.size.waits(now);
        // Nobody may have looked for a long time.
        if received != self.connection.received() {
            self.answer_by = None;
        }
        let wait_ms = u64::try_from(limits.wait_ms).unwrap_or(0);
        let limit = now.tick_after_ms(wait_ms + ANSWER_LIMIT_MS);
        if self.connection.is_waiting() && now.reached(*self.answer_by.get_or_insert(limit)) {
            let address = self.connection.address().clone();
            return Err(Failure::Silent { address, what: FETCH.name });
        }
        Ok(())
    }

    /// Asks for more of its partitions, those first that had nothing for the longest time: an answer
    /// that is full has no room for the last ones.
    fn ask(&mut self, readings: &Readings, limits: &Limits) -> Result<(), Failure> {
        if self.connection.is_waiting() {
            return Ok(());
        }
        let ours = readings.iter().filter(|(_, reading)| reading.leader == Some(self.node));
        let mut ours: Vec<_> = ours.collect();
        ours.sort_by_key(|(_, reading)| reading.served);
        let asked = ours.iter().filter_map(|(place, one)| Some((**place, one.wanted(**place)?)));
        self.asked = asked.collect();
        if self.asked.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Wanted> = self.asked.iter().map(|(_, wanted)| *wanted).collect();
        self.answer_by = None;
        let limits = Limits { bytes: self.size.ask(), ..*limits };
        self.connection.ask(&FETCH, |body| fetch::write(body, &limits, &wanted))
    }

    /// Takes an answer in: what can be read of it, and where to go on.
    fn accept(&mut self, readings: &mut Readings) -> Result<(), Failure> {
        let (code, fetched) = self.connection.read(&FETCH, fetch::read)?;
        code.check().map_err(Failure::Refused)?;
        let answer = self.connection.answer();
        for fetched in fetched {
            let is_asked =
                |wanted: &Wanted| (wanted.topic, wanted.number) == (fetched.topic, fetched.number);
            let asked = self.asked.iter().find(|(_, wanted)| is_asked(wanted));
            let Some((place, wanted)) = asked else { continue };
            let Some(reading) = readings.get_mut(place) else { continue };
            // Sent elsewhere meanwhile.
            if reading.leader != Some(self.node) || reading.wanted(*place) != Some(*wanted) {
                continue;
            }
            match accept(*place, reading, fetched, answer) {
                Ok(part) => self.parts.extend(part),
                Err(bad) => self.bad.push((*place, bad)),
            }
        }
        Ok(())
    }

    /// Whether part of an answer is here, or one should be at once.
    pub(super) fn is_arriving(&self) -> bool {
        self.connection.received() > 0 || (self.connection.is_waiting() && self.size.is_due())
    }

    /// Gives out records within the budget.
    pub(super) fn give(
        &mut self,
        readings: &mut Readings,
        budget: &mut PollBudget,
        take: Take<'_>,
    ) {
        while budget.rows > 0 && budget.bytes > 0 {
            let Some(part) = self.parts.front_mut() else { return };
            match part.give(self.connection.answer(), budget, take) {
                Ok(false) => return,
                Ok(true) => {}
                Err(unreadable) => {
                    // Once more from there: what comes then may be better.
                    if let Some(reading) = readings.get_mut(&part.place) {
                        reading.go_back(part);
                    }
                    self.bad.push((part.place, Bad::Unreadable(part.next, unreadable)));
                }
            }
            self.parts.pop_front();
        }
    }

    /// Forgets what came of a partition.
    pub(super) fn forget(&mut self, place: Place) {
        self.parts.retain(|part| part.place != place);
    }
}

/// One partition of an answer.
fn accept(
    place: Place,
    reading: &mut Reading,
    fetched: Fetched,
    answer: &[u8],
) -> Result<Option<Part>, Bad> {
    if let Some(end) = fetched.diverging {
        return Err(Bad::Diverged(u64::try_from(end).unwrap_or(0)));
    }
    if fetched.code != ErrorCode::NONE {
        return Err(Bad::Refused(fetched.code));
    }
    let (from, to) = (answer.len() - fetched.records.end, answer.len() - fetched.records.start);
    let unreadable = |reason: Unreadable| Bad::Unreadable(reading.next, reason);
    let Some(scanned) = scan(&answer[from..to]).map_err(unreadable)? else { return Ok(None) };
    let batches = from..from + scanned.bytes;
    let part = Part::new(place, (reading.next, reading.epoch), batches, fetched.aborted);
    reading.next = scanned.next.max(reading.next);
    reading.epoch = scanned.epoch;
    reading.served += 1;
    Ok(Some(part))
}
