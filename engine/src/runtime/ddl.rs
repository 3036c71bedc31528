//! The machine that has a sink make tables (specification 11.6).
//!
//! One per operator that asks, so there is one creator per table and no race. Several tables are made
//! at a time, each by a sink of its own, so that one that hangs holds up no other; a failed attempt is
//! repeated with growing pauses. Each question is answered in time: all tables that one close asks for
//! hold its epoch `ddl_hold_ms` at most. A table that is not there by then is tried on; the question
//! is asked again in a later epoch, and after `ddl_timeout_ms` it is refused.

use std::sync::Arc;

use super::step::{Inbox, Machine, Step, Waker};
use crate::clock::Moment;
use crate::control::event::{ControlEvent, FaultReport};
use crate::error::{Fatal, Fault, Retry};
use crate::limit::{DDL_TIMEOUT_MS, TABLES_AT_ONCE_MAX};
use crate::operator::ask::{TableAnswer, TableDesk, TableQuestion};
use crate::sink::{
    Sink, SinkFactory, SinkIdentity, SinkPoll, SinkReply, SinkRequest, TableDefinition,
};

/// First and greatest pause between two attempts.
const RETRY_MS: (u64, u64) = (100, 10_000);
/// Pause between two polls of a request under way.
const POLL_MS: u64 = 1;
/// Shard number by which a sink knows that it is asked for tables alone.
pub const DDL_SHARD: u16 = u16::MAX;

/// How it came to be.
pub(crate) struct DdlSetup {
    pub(crate) identity: SinkIdentity,
    pub(crate) factory: Arc<dyn SinkFactory>,
    pub(crate) questions: Inbox<TableQuestion>,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) waker: Waker,
}

/// A sink that makes one table at a time.
struct Maker {
    sink: Box<dyn Sink>,
    prepared: bool,
}

impl Maker {
    fn begin(&mut self, identity: &SinkIdentity, definition: &TableDefinition) {
        self.sink.begin(match self.prepared {
            true => SinkRequest::EnsureTable(definition.clone()),
            false => SinkRequest::Prepare(identity.clone()),
        });
    }

    fn poll(&mut self, definition: &TableDefinition, now: Moment) -> SinkPoll {
        let polled = self.sink.poll(now);
        if polled != SinkPoll::Done(SinkReply::Prepared) {
            return polled;
        }
        self.prepared = true;
        self.sink.begin(SinkRequest::EnsureTable(definition.clone()));
        self.sink.poll(now)
    }
}

/// A table being made.
struct Task {
    definition: TableDefinition,
    /// Who waits: desk, id and the tick at which they have waited long enough.
    waiting: Vec<(Arc<TableDesk>, u64, u64)>,
    begun_at: u64,
    retry_at: u64,
    retry_ms: u64,
    fault: Option<Fault>,
    /// The sink that is at work on it.
    maker: Option<Maker>,
    /// Set once it is decided and nobody was waiting; the next question gets it.
    outcome: Option<TableAnswer>,
}

/// The machine.
pub(crate) struct Ddl {
    setup: DdlSetup,
    tasks: Vec<Task>,
    /// Sinks at work on what is no longer wanted.
    finishing: Vec<(Maker, TableDefinition)>,
    /// Sinks without work.
    idle: Vec<Maker>,
}

impl Ddl {
    /// Makes the first sink, so that what is wrong with the factory is known at once.
    pub(crate) fn new(setup: DdlSetup) -> Result<Self, Fault> {
        let first = Maker { sink: setup.factory.create()?, prepared: false };
        Ok(Self { setup, tasks: Vec::new(), finishing: Vec::new(), idle: vec![first] })
    }

    fn question(&mut self, question: TableQuestion, now: Moment) {
        let TableQuestion { desk, id, epoch, definition } = question;
        self.supersede(&definition);
        let known = self.tasks.iter().position(|task| task.definition == definition);
        let Some(index) = known else {
            let until = desk.held_until(epoch, now);
            return self.tasks.push(Task::new(definition, (desk, id, until), now));
        };
        let task = &mut self.tasks[index];
        if let Some(outcome) = task.outcome.take() {
            desk.answer(id, outcome);
            self.tasks.remove(index);
        } else {
            // It has been waited for before: what is known is said at once.
            task.waiting.push((desk, id, now.tick_us));
        }
    }

    /// Forgets editions of the table that nobody waits for: made later than this one, they would
    /// take its place. What is at work on one of them is let finish first.
    fn supersede(&mut self, definition: &TableDefinition) {
        let other = |task: &mut Task| {
            let edition = task.definition.edition != definition.edition;
            edition && task.is_of_table(definition) && task.waiting.is_empty()
        };
        for task in self.tasks.extract_if(.., other) {
            if let Some(maker) = task.maker {
                self.finishing.push((maker, task.definition));
            }
        }
    }

    /// Gives sinks to what is to be made now; one table is made once at a time.
    fn begin(&mut self, now: Moment) {
        for index in 0..self.tasks.len() {
            let at_work = self.tasks.iter().filter(|task| task.maker.is_some());
            let full = at_work.clone().count() >= TABLES_AT_ONCE_MAX;
            let task = &self.tasks[index];
            let finishing = || self.finishing.iter().any(|(_, other)| task.is_of_table(other));
            let twice =
                at_work.clone().any(|other| other.is_of_table(&task.definition)) || finishing();
            if full || twice || !task.is_due(now) {
                continue;
            }
            match self.maker() {
                Ok(mut maker) => {
                    let task = &mut self.tasks[index];
                    maker.begin(&self.setup.identity, &task.definition);
                    task.maker = Some(maker);
                }
                Err(fault) => {
                    self.report(&fault);
                    self.tasks[index].try_later(fault, now);
                }
            }
        }
    }

    fn maker(&mut self) -> Result<Maker, Fault> {
        match self.idle.pop() {
            Some(maker) => Ok(maker),
            None => Ok(Maker { sink: self.setup.factory.create()?, prepared: false }),
        }
    }

    /// Asks the sinks how it stands.
    fn poll(&mut self, now: Moment) -> Result<(), Fatal> {
        for mut task in std::mem::take(&mut self.tasks) {
            let Some(maker) = &mut task.maker else {
                self.tasks.push(task);
                continue;
            };
            let answer = match maker.poll(&task.definition, now) {
                SinkPoll::Pending => {
                    self.tasks.push(task);
                    continue;
                }
                SinkPoll::Done(_) => Some(TableAnswer::Ready),
                SinkPoll::Fault(fault) => {
                    self.report(&fault);
                    task.failed(fault, now)
                }
                SinkPoll::Broken(fatal) => return Err(fatal),
            };
            self.idle.extend(task.maker.take());
            if answer.is_none_or(|answer| task.decide(answer)) {
                self.tasks.push(task);
            }
        }
        Ok(())
    }

    /// Lets sinks finish what is no longer wanted; nobody waits for how it ends.
    fn finish(&mut self, now: Moment) -> Result<(), Fatal> {
        for (mut maker, definition) in std::mem::take(&mut self.finishing) {
            match maker.poll(&definition, now) {
                SinkPoll::Pending => self.finishing.push((maker, definition)),
                SinkPoll::Done(_) | SinkPoll::Fault(_) => self.idle.push(maker),
                SinkPoll::Broken(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }

    fn report(&self, fault: &Fault) {
        let (job, uid) = (self.setup.identity.job.clone(), self.setup.identity.sink.clone());
        let report = FaultReport { job, uid, fault: fault.clone() };
        self.setup.events.push(ControlEvent::Fault(report));
    }
}

impl Task {
    fn new(definition: TableDefinition, waits: (Arc<TableDesk>, u64, u64), now: Moment) -> Self {
        Self {
            definition,
            waiting: vec![waits],
            begun_at: now.tick_us,
            retry_at: 0,
            retry_ms: RETRY_MS.0,
            fault: None,
            maker: None,
            outcome: None,
        }
    }

    fn is_due(&self, now: Moment) -> bool {
        self.outcome.is_none() && self.maker.is_none() && now.reached(self.retry_at)
    }

    fn is_of_table(&self, definition: &TableDefinition) -> bool {
        (&self.definition.schema, &self.definition.name) == (&definition.schema, &definition.name)
    }

    /// The end of it, good or bad; true if nobody waits for it just now.
    fn decide(&mut self, answer: TableAnswer) -> bool {
        let nobody = self.waiting.is_empty();
        for (desk, id, _) in self.waiting.drain(..) {
            desk.answer(id, answer.clone());
        }
        self.outcome = Some(answer);
        nobody
    }

    /// What a failed attempt decides, if it does.
    fn failed(&mut self, fault: Fault, now: Moment) -> Option<TableAnswer> {
        // A sink that could not even prepare has said nothing of this table.
        let prepared = self.maker.as_ref().is_some_and(|maker| maker.prepared);
        if fault.retry == Retry::Never && prepared {
            return Some(TableAnswer::Refused(fault));
        }
        self.try_later(fault, now);
        None
    }

    fn try_later(&mut self, fault: Fault, now: Moment) {
        self.retry_at = now.tick_after_ms(self.retry_ms);
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MS.1);
        self.fault = Some(fault);
    }

    /// What keeps it from being there.
    fn fault(&self) -> Fault {
        let not_yet =
            || Fault::later(format!("table \"{}\" is not made yet", self.definition.name));
        self.fault.clone().unwrap_or_else(not_yet)
    }

    /// Answers who has waited long enough; false once the task can be forgotten.
    fn watch_time(&mut self, now: Moment) -> bool {
        let over = now.reached(self.begun_at + DDL_TIMEOUT_MS * 1000);
        if self.outcome.is_some() {
            // Nobody asked again: the config row was taken back meanwhile.
            return !now.reached(self.begun_at + 2 * DDL_TIMEOUT_MS * 1000);
        }
        let fault = self.fault();
        if over && let Some(mut maker) = self.maker.take() {
            maker.sink.close();
        }
        if over && self.waiting.is_empty() {
            self.outcome = Some(TableAnswer::Refused(fault));
            return true;
        }
        let due = |waits: &mut (Arc<TableDesk>, u64, u64)| over || now.reached(waits.2);
        for (desk, id, _) in self.waiting.extract_if(.., due) {
            let fault = fault.clone();
            desk.answer(
                id,
                if over { TableAnswer::Refused(fault) } else { TableAnswer::Pending(fault) },
            );
        }
        !over
    }
}

impl Machine for Ddl {
    fn name(&self) -> String {
        format!("ddl {}.{}", self.setup.identity.job, self.setup.identity.sink)
    }

    fn waker(&self) -> Waker {
        self.setup.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        for question in self.setup.questions.drain() {
            self.question(question, now);
        }
        self.begin(now);
        self.finish(now)?;
        self.poll(now)?;
        self.tasks.retain_mut(|task| task.watch_time(now));
        let decided = self.tasks.iter().all(|task| task.outcome.is_some());
        Ok(if decided && self.finishing.is_empty() {
            Step::Idle
        } else {
            Step::IdleUntil(now.tick_after_ms(POLL_MS))
        })
    }
}
