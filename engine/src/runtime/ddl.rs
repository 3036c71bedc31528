//! The machine that has a sink make tables (specification 11.6).
//!
//! One per operator that asks, so there is one creator per table and no race. It makes one table
//! after the other, tries again with growing pauses, and answers each question in time: an epoch
//! waits `ddl_hold_ms` at most. A table that is not there by then is tried on; the question is
//! asked again in a later epoch, and after `ddl_timeout_ms` it is refused.

use std::collections::VecDeque;
use std::sync::Arc;

use super::step::{Inbox, Machine, Step, Waker};
use crate::clock::Moment;
use crate::control::event::{ControlEvent, FaultReport};
use crate::error::{Fatal, Fault, Retry};
use crate::limit::{DDL_HOLD_MS, DDL_TIMEOUT_MS};
use crate::operator::ask::{TableAnswer, TableDesk, TableQuestion};
use crate::sink::{Sink, SinkIdentity, SinkPoll, SinkReply, SinkRequest, TableDefinition};

/// First and greatest pause between two attempts.
const RETRY_MS: (u64, u64) = (100, 10_000);
/// Pause between two polls of a request under way.
const POLL_MS: u64 = 1;
/// Shard number by which a sink knows that it is asked for tables alone.
pub const DDL_SHARD: u16 = u16::MAX;

/// How it came to be.
pub(crate) struct DdlSetup {
    pub(crate) identity: SinkIdentity,
    pub(crate) questions: Inbox<TableQuestion>,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) waker: Waker,
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
    /// Set once it is decided and nobody was waiting; the next question gets it.
    outcome: Option<TableAnswer>,
}

/// The machine.
pub(crate) struct Ddl {
    setup: DdlSetup,
    sink: Box<dyn Sink>,
    prepared: bool,
    tasks: VecDeque<Task>,
    /// The definition that the sink is at work on; `None` while it prepares.
    under_way: Option<Option<TableDefinition>>,
}

impl Ddl {
    pub(crate) fn new(setup: DdlSetup, sink: Box<dyn Sink>) -> Self {
        Self { setup, sink, prepared: false, tasks: VecDeque::new(), under_way: None }
    }

    fn question(&mut self, question: TableQuestion, now: Moment) {
        let TableQuestion { desk, id, definition } = question;
        let known = self.tasks.iter().position(|task| task.definition == definition);
        let Some(index) = known else {
            self.tasks.push_back(Task {
                definition,
                waiting: vec![(desk, id, now.tick_after_ms(DDL_HOLD_MS))],
                begun_at: now.tick_us,
                retry_at: 0,
                retry_ms: RETRY_MS.0,
                fault: None,
                outcome: None,
            });
            return;
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

    fn work(&mut self, now: Moment) -> Result<(), Fatal> {
        if self.under_way.is_none() {
            self.begin(now);
        }
        let Some(definition) = self.under_way.clone() else { return Ok(()) };
        match self.sink.poll(now) {
            SinkPoll::Pending => return Ok(()),
            SinkPoll::Done(SinkReply::Prepared) => self.prepared = true,
            SinkPoll::Done(_) => self.decide(definition.as_ref(), TableAnswer::Ready),
            SinkPoll::Fault(fault) => self.failed(definition.as_ref(), fault, now),
            SinkPoll::Broken(fatal) => return Err(fatal),
        }
        self.under_way = None;
        Ok(())
    }

    fn begin(&mut self, now: Moment) {
        let ready = |task: &&Task| task.outcome.is_none() && now.reached(task.retry_at);
        let Some(task) = self.tasks.iter().find(ready) else { return };
        let (request, under_way) = if self.prepared {
            (SinkRequest::EnsureTable(task.definition.clone()), Some(task.definition.clone()))
        } else {
            (SinkRequest::Prepare(self.setup.identity.clone()), None)
        };
        self.sink.begin(request);
        self.under_way = Some(under_way);
    }

    /// The end of a task, good or bad.
    fn decide(&mut self, definition: Option<&TableDefinition>, answer: TableAnswer) {
        let of = |task: &Task| Some(&task.definition) == definition;
        let Some(index) = self.tasks.iter().position(of) else { return };
        let task = &mut self.tasks[index];
        if task.waiting.is_empty() {
            task.outcome = Some(answer);
            return;
        }
        for (desk, id, _) in task.waiting.drain(..) {
            desk.answer(id, answer.clone());
        }
        self.tasks.remove(index);
    }

    fn failed(&mut self, definition: Option<&TableDefinition>, fault: Fault, now: Moment) {
        let (job, uid) = (self.setup.identity.job.clone(), self.setup.identity.sink.clone());
        let report = FaultReport { job, uid, fault: fault.clone() };
        self.setup.events.push(ControlEvent::Fault(report));
        if fault.retry == Retry::Never && definition.is_some() {
            return self.decide(definition, TableAnswer::Refused(fault));
        }
        // Without a definition the sink could not even begin: all tables wait.
        for task in &mut self.tasks {
            if definition.is_none_or(|definition| task.definition == *definition) {
                task.retry_at = now.tick_after_ms(task.retry_ms);
                task.retry_ms = (task.retry_ms * 2).min(RETRY_MS.1);
                task.fault = Some(fault.clone());
            }
        }
    }

    /// Tells those who have waited long enough, and gives up what has been tried long enough.
    fn watch_time(&mut self, now: Moment) {
        self.tasks.retain_mut(|task| task.watch_time(now));
    }
}

impl Task {
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
        self.work(now)?;
        self.watch_time(now);
        Ok(if self.tasks.iter().all(|task| task.outcome.is_some()) && self.under_way.is_none() {
            Step::Idle
        } else {
            Step::IdleUntil(now.tick_after_ms(POLL_MS))
        })
    }
}
