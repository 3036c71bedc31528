//! One timely worker: applies commands in order, wakes operators that have work, steps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use timely::worker::Worker;

use super::step::{Inbox, Waker};
use crate::batch::buffer::Budget;
use crate::checkpoint::writer::WriterInbox;
use crate::control::command::{Command, JobSeat, Order};
use crate::control::event::ControlEvent;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::epoch::cut::{Cut, EpochTable};
use crate::epoch::hold::HoldTable;
use crate::error::Fatal;
use crate::limit::COMMANDS_PER_STEP;
use crate::operator::context::{JobContext, WorkerContext};
use crate::operator::install::install;
use crate::operator::link::LinkTable;
use crate::state::size::SizeTable;

/// What a worker needs to start; made by the process, handed to the worker's thread.
pub struct WorkerSeat {
    pub(crate) commands: Inbox<Command>,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) writer: WriterInbox,
    pub(crate) budget: Arc<Budget>,
    pub(crate) operator_rows: usize,
    pub(crate) emitted: Arc<AtomicU64>,
    pub(crate) holds: HoldTable,
    pub(crate) sizes: SizeTable,
    pub(crate) waker: Waker,
    pub(crate) points: CrashPoints,
}

/// A running worker.
pub struct WorkerLoop {
    seat_commands: Inbox<Command>,
    events: Inbox<ControlEvent>,
    context: Rc<WorkerContext>,
    waker: Waker,
    points: CrashPoints,
    dataflows: BTreeMap<Arc<str>, usize>,
}

impl WorkerSeat {
    /// Takes the seat on the thread that owns `worker`.
    pub fn sit(self, worker: &Worker) -> WorkerLoop {
        let context = WorkerContext {
            index: worker.index(),
            peers: worker.peers(),
            holds: self.holds,
            sizes: self.sizes,
            epochs: RefCell::new(EpochTable::default()),
            links: RefCell::new(LinkTable::default()),
            budget: self.budget,
            operator_rows: self.operator_rows,
            emitted: self.emitted,
            writer: self.writer,
            wakes: RefCell::default(),
        };
        WorkerLoop {
            seat_commands: self.commands,
            events: self.events,
            context: Rc::new(context),
            waker: self.waker,
            points: self.points,
            dataflows: BTreeMap::new(),
        }
    }
}

impl WorkerLoop {
    /// What wakes this worker's thread.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// One round: commands, wakes, one step; parks up to `park` if there is nothing to do. With
    /// `None` it never parks: that is how a simulation steps it. An error ends the process.
    pub fn step(&mut self, worker: &mut Worker, park: Option<Duration>) -> Result<(), Fatal> {
        for _ in 0..COMMANDS_PER_STEP {
            let Some(command) = self.seat_commands.pop() else { break };
            self.apply(worker, command)?;
        }
        let woken = self.wake();
        match park {
            Some(park) if !woken => {
                worker.step_or_park(Some(park));
            }
            _ => {
                worker.step();
            }
        }
        Ok(())
    }

    fn wake(&self) -> bool {
        let mut woken = false;
        for wake in self.context.wakes.borrow().iter() {
            if (wake.ready)() {
                wake.activator.activate();
                woken = true;
            }
        }
        woken
    }

    fn apply(&mut self, worker: &mut Worker, command: Command) -> Result<(), Fatal> {
        match command.order {
            Order::Submit(seat) => {
                self.submit(worker, seat);
                self.points.pass(CrashPoint::JobApplied)?;
            }
            Order::Close(cut) => self.close(&cut),
            Order::Kill(job) => self.kill(worker, &job),
        }
        let applied = ControlEvent::Applied { worker: self.context.index, command: command.number };
        self.events.push(applied);
        Ok(())
    }

    fn submit(&mut self, worker: &mut Worker, seat: JobSeat) {
        let (epoch, stamp) = seat.open;
        self.context.epochs.borrow_mut().open(epoch, stamp);
        let context = Rc::new(JobContext {
            worker: self.context.clone(),
            job: seat.plan.name.clone(),
            open_epoch: epoch,
            sources: seat.sources,
            loads: seat.loads,
            desks: seat.desks,
        });
        let dataflow = install(worker, &context, &seat.plan);
        self.dataflows.insert(seat.plan.name.clone(), dataflow);
    }

    fn close(&self, cut: &Cut) {
        let mut epochs = self.context.epochs.borrow_mut();
        epochs.order(cut);
        // Nothing asks for a stamp further back than the epochs in flight; keep a wide margin.
        epochs.forget_before(cut.epoch.saturating_sub(1024));
    }

    fn kill(&mut self, worker: &mut Worker, job: &Arc<str>) {
        if let Some(dataflow) = self.dataflows.remove(job) {
            worker.drop_dataflow(dataflow);
            self.context.sizes.forget(job);
            self.context.wakes.borrow_mut().retain(|wake| wake.job != *job);
        }
    }
}
