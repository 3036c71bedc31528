//! The controller: the only writer of commands, and the coordinator of epochs.
//!
//! When an epoch ends, and for whom, is in `close`. It starts the sources of a job only after the job's
//! sinks have finished what an earlier generation had planned.

mod close;
mod groups;
mod pace;
mod start;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use self::close::EARLY_CLOSE_MS;
use self::groups::RunningGroup;
use super::command::{Command, Order};
use super::event::ControlEvent;
use super::handle::{CloseRequest, Reply, Request};
use super::quarantine::{self, Quarantined};
use super::registry::{self, SubmitOptions};
use super::status::Status;
use crate::batch::buffer::Budget;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::restore::Saved;
use crate::checkpoint::writer::{UnitInboxes, WriterGauges, WriterInbox};
use crate::clock::Moment;
use crate::crash_point::CrashPoints;
use crate::epoch::hold::{HoldEntry, HoldReason, HoldTable};
use crate::error::{Fatal, JobError, exit};
use crate::event::{Event, EventLog};
use crate::graph::JobPlan;
use crate::limit::{CLOCK_BACK_MS, CLOCK_JUMP_MS, EPOCHS_INFLIGHT_MAX};
use crate::operator::ask::TableCount;
use crate::outbox::quota::Quota;
use crate::outbox::sinks::SinkTable;
use crate::random::Random;
use crate::runtime::pump::RereadCount;
use crate::runtime::step::{Inbox, Machine, Step, Waker};
use crate::state::backend::StateBackend;
use crate::state::size::{SizeTable, StateSize};

/// Faults kept for `status`.
const FAULTS_KEPT: usize = 32;

/// How epochs are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSettings {
    /// Milliseconds between two closes; `None` = only when asked.
    pub interval_ms: Option<u64>,
    /// Records let in by the sources after which the epoch closes.
    pub rows_max: Option<u64>,
    /// The stamp of all epochs, instead of the clock: for replays.
    pub fixed_stamp_ms: Option<i64>,
    /// Epochs of a group that are closed and not complete, at most.
    pub inflight_max: u64,
    /// End the process when all sources have ended and everything is delivered.
    pub stop_at_end: bool,
}

impl Default for EpochSettings {
    fn default() -> Self {
        Self {
            interval_ms: Some(1000),
            rows_max: None,
            fixed_stamp_ms: None,
            inflight_max: EPOCHS_INFLIGHT_MAX,
            stop_at_end: false,
        }
    }
}

/// One worker as the controller sees it.
pub(crate) struct WorkerPort {
    pub(crate) commands: Inbox<Command>,
    pub(crate) waker: Waker,
    pub(crate) holds: HoldTable,
}

/// What the controller is made of.
pub(crate) struct ControllerSetup {
    pub(crate) epoch: EpochSettings,
    pub(crate) workers: Vec<WorkerPort>,
    pub(crate) requests: Inbox<Request>,
    /// Who waits for the end of an epoch, and for the answer.
    pub(crate) closes: Inbox<(CloseRequest, Reply<u64>)>,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) writer: WriterInbox,
    pub(crate) gauges: Arc<Mutex<WriterGauges>>,
    pub(crate) units: UnitInboxes,
    pub(crate) births: Inbox<Box<dyn Machine>>,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) sizes: SizeTable,
    pub(crate) state_bytes_max: u64,
    pub(crate) quota: Quota,
    pub(crate) emitted: Arc<AtomicU64>,
    pub(crate) rereads: RereadCount,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) saved: Saved,
    pub(crate) waker: Waker,
    pub(crate) random: Random,
    pub(crate) source_queue_bytes: u64,
    pub(crate) reread_rows: usize,
    pub(crate) points: CrashPoints,
    pub(crate) log: EventLog,
}

/// The machine.
pub(crate) struct Controller {
    setup: ControllerSetup,
    groups: Vec<RunningGroup>,
    commands: u64,
    open: u64,
    stamp_ms: i64,
    started: bool,
    started_at: u64,
    close_at: u64,
    /// 0 before the first close.
    closed_at: u64,
    /// Records let in when the last epoch closed.
    emitted_before: u64,
    /// Wall clock less ticks, milliseconds.
    clock_drift: i64,
    faults: Vec<String>,
    stopping: bool,
    finished: bool,
    /// The epoch that was closed when every source had ended.
    last_cut: Option<u64>,
    /// Tables that operators ask for again at the next close, and when that comes if nothing else
    /// does.
    tables_late: TableCount,
    tables_again_at: u64,
    /// What the dispatchers are at.
    sinks: SinkTable,
    /// Jobs left out.
    quarantined: Vec<Quarantined>,
    /// Groups being cancelled: name, and who waits.
    cancels: Vec<(Arc<str>, Reply<Result<(), JobError>>)>,
}

impl Controller {
    pub(crate) fn new(setup: ControllerSetup) -> Self {
        Self {
            open: setup.saved.greatest_complete() + 1,
            setup,
            groups: Vec::new(),
            commands: 0,
            stamp_ms: 0,
            started: false,
            close_at: 0,
            started_at: 0,
            closed_at: 0,
            emitted_before: 0,
            clock_drift: 0,
            faults: Vec::new(),
            stopping: false,
            finished: false,
            last_cut: None,
            tables_late: TableCount::default(),
            tables_again_at: 0,
            sinks: SinkTable::default(),
            quarantined: Vec::new(),
            cancels: Vec::new(),
        }
    }

    fn order(&mut self, make: impl Fn(usize) -> Order) {
        self.commands += 1;
        for (index, worker) in self.setup.workers.iter().enumerate() {
            worker.commands.push(Command { number: self.commands, order: make(index) });
            worker.waker.wake();
        }
    }

    fn request(&mut self, request: Request, now: Moment) -> Result<(), Fatal> {
        match request {
            Request::Submit(plans, options, reply) => {
                reply.answer(self.submit(&plans, &options)?);
            }
            Request::Cancel(job, reply) => self.cancel(&job, reply, now),
            Request::Stop => self.stop(now),
        }
        Ok(())
    }

    fn submit(
        &mut self,
        plans: &[Arc<JobPlan>],
        options: &SubmitOptions,
    ) -> Result<Result<(), JobError>, Fatal> {
        let running: Vec<_> = self
            .groups
            .iter()
            .flat_map(|group| group.jobs())
            .map(|job| job.plan.name.clone())
            .collect();
        if let Err(error) = registry::check(plans, &running) {
            return Ok(Err(error));
        }
        let (run, out) = quarantine::divide(plans, &self.setup.saved, options);
        if run.is_empty() && !out.is_empty() {
            let jobs: Vec<&str> = out.iter().map(|left| &*left.job).collect();
            let message = format!("no job is left to run; in quarantine: {}", jobs.join(", "));
            return Err(Fatal::failed(message));
        }
        let mut registered = Vec::new();
        for plan in &run {
            match registry::register(plan, &self.setup.saved, options) {
                Ok(job) => registered.push(job),
                Err(error) => return Ok(Err(error)),
            }
        }
        if let Err(error) = self.start(&registry::groups(&run), &registered)? {
            return Ok(Err(error));
        }
        let left_out = |plan: &&Arc<JobPlan>| out.iter().any(|left| left.job == plan.name);
        for plan in plans.iter().filter(left_out) {
            if let Err(error) = self.deliver_left_out(plan, &options.quarantine) {
                return Ok(Err(error));
            }
        }
        for left in out {
            self.setup.log.log(&Event::Quarantined(left.clone()));
            self.quarantined.push(left);
        }
        Ok(Ok(()))
    }

    fn event(&mut self, event: ControlEvent, now: Moment) -> Result<(), Fatal> {
        match event {
            ControlEvent::Applied { .. } => {}
            ControlEvent::Complete { group, epoch, positions } => {
                if let Some(group) = self.group(&group) {
                    group.complete(epoch, positions, now);
                }
            }
            ControlEvent::Settled { group, epoch } => {
                if let Some(group) = self.group(&group) {
                    group.settle(epoch);
                }
            }
            ControlEvent::SourceEnded(job, uid) => {
                for group in &mut self.groups {
                    group.source_ended(&job, &uid);
                }
            }
            ControlEvent::SinkReady(job, sink) => {
                let births = self.setup.births.clone();
                for group in &mut self.groups {
                    group.sink_ready(&job, &sink, &births);
                }
            }
            ControlEvent::Fault(report) => {
                self.setup.log.log(&Event::Fault(report.clone()));
                self.faults.push(format!("{} {}: {}", report.job, report.uid, report.fault));
                let surplus = self.faults.len().saturating_sub(FAULTS_KEPT);
                self.faults.drain(..surplus);
            }
        }
        Ok(())
    }

    fn group(&mut self, name: &str) -> Option<&mut RunningGroup> {
        self.groups.iter_mut().find(|group| &*group.name == name)
    }

    /// Says when the wall clock does not keep up with the ticks (fault 6).
    fn watch_clock(&mut self, now: Moment) {
        let tick_ms = i64::try_from(now.tick_us / 1000).unwrap_or(i64::MAX);
        let drift = now.wall_ms - tick_ms;
        let by_ms = drift - std::mem::replace(&mut self.clock_drift, drift);
        if self.started && !(-CLOCK_BACK_MS..=CLOCK_JUMP_MS).contains(&by_ms) {
            self.setup.log.log(&Event::ClockJump { by_ms });
        }
    }

    /// Lets everything under way complete, then ends; does not wait for state that is being restored.
    fn stop(&mut self, now: Moment) {
        if !self.stopping {
            self.stop_sources();
            self.close_all(None, now);
        }
    }

    /// Nothing more comes in; what is open stays so.
    fn stop_sources(&mut self) {
        self.stopping = true;
        self.groups.iter_mut().for_each(RunningGroup::stop_sources);
    }

    /// Whether operators of the group still take their state back. It has completed nothing since
    /// the start, so a stop need not wait for it: what it has read is read again.
    fn is_loading(&self, group: &RunningGroup) -> bool {
        let loading = |hold: &HoldEntry| hold.reason == HoldReason::Loading && group.has(&hold.job);
        self.setup.workers.iter().any(|worker| worker.holds.entries().iter().any(loading))
    }

    fn cancel(&mut self, job: &str, reply: Reply<Result<(), JobError>>, now: Moment) {
        let found = self
            .groups
            .iter_mut()
            .find(|group| group.jobs().any(|member| &*member.plan.name == job));
        let Some(group) = found else {
            let reason = "no job of this name is running".to_owned();
            reply.answer(Err(JobError { job: job.to_owned(), reason }));
            return;
        };
        group.stop_sources();
        let name = group.name.clone();
        let stamp = self.next_stamp(now);
        self.close(&BTreeSet::from([name.clone()]), stamp, true, now);
        self.cancels.push((name, reply));
    }

    /// Ends cancelled groups whose last epoch has been delivered.
    fn finish_cancels(&mut self) {
        let cancels = std::mem::take(&mut self.cancels);
        for (name, reply) in cancels {
            let settled = self.group(&name).is_none_or(|group| group.is_settled());
            if !settled {
                self.cancels.push((name, reply));
                continue;
            }
            let index = self.groups.iter().position(|group| group.name == name);
            if let Some(group) = index.map(|index| self.groups.remove(index)) {
                // Importers first: a link's reader must not outlive what it reads.
                let jobs: Vec<_> = group.jobs().map(|job| job.plan.name.clone()).collect();
                for job in jobs.into_iter().rev() {
                    self.sinks.forget(&job);
                    self.order(|_worker| Order::Kill(job.clone()));
                }
            }
            reply.answer(Ok(()));
        }
    }

    /// Stops before the kernel does (specification 13.7): a restart would load the same state.
    fn check_state(&self, sizes: &[StateSize]) -> Result<(), Fatal> {
        let limit = self.setup.state_bytes_max;
        let bytes: u64 = sizes.iter().map(|size| size.bytes).sum();
        let Some(largest) = sizes.iter().max_by_key(|size| size.bytes) else { return Ok(()) };
        if bytes <= limit {
            return Ok(());
        }
        let mib = |bytes: u64| bytes >> 20;
        let message = format!(
            "state takes {} MiB of memory, more than state.memory_max, which is {} MiB; most of it, {} \
             MiB in {} entries, is that of {}.{}; raise state.memory_max, or give the job a machine of \
             its own",
            mib(bytes),
            mib(limit),
            mib(largest.bytes),
            largest.entries,
            largest.job,
            largest.uid,
        );
        Err(Fatal::new(exit::CONFIGURATION, message))
    }

    fn publish(&self, states: Vec<StateSize>, now: Moment) {
        let status = Status {
            generation: self.setup.saved.generation,
            open_epoch: self.open,
            workers: self.setup.workers.len(),
            groups: self.groups.iter().map(|group| group.status(now)).collect(),
            holds: self.setup.workers.iter().flat_map(|worker| worker.holds.entries()).collect(),
            inflight_bytes: self.setup.budget.live(),
            kept_bytes: self.setup.budget.kept(),
            states,
            sinks: self.sinks.all(now),
            faults: self.faults.clone(),
            quarantined: self.quarantined.clone(),
            finished: self.finished,
        };
        *self.setup.status.lock().expect("nothing panics under this lock") = status;
    }

    fn next_wake(&self, now: Moment) -> Step {
        if self.finished {
            return Step::Done;
        }
        // Rows and bytes are counted by others: look again soon where they decide.
        let watched = self.setup.epoch.rows_max.map_or(EARLY_CLOSE_MS, |_rows| 1);
        let close_at = if now.reached(self.close_at) { u64::MAX } else { self.close_at };
        Step::IdleUntil(close_at.min(now.tick_after_ms(watched)))
    }
}

impl Machine for Controller {
    fn name(&self) -> String {
        "controller".to_owned()
    }

    fn waker(&self) -> Waker {
        self.setup.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        if !self.started {
            self.watch_clock(now);
            self.started = true;
            self.started_at = now.tick_us;
            self.stamp_ms = self.next_stamp(now);
            self.close_at =
                now.tick_after_ms(self.setup.epoch.interval_ms.unwrap_or(u64::MAX / 2000));
        }
        self.watch_clock(now);
        for event in self.setup.events.drain() {
            self.event(event, now)?;
        }
        while let Some(request) = self.setup.requests.pop() {
            self.request(request, now)?;
        }
        self.brake(now);
        self.end_epochs(now);
        self.finish_ended(now);
        self.finish_cancels();
        self.finished = self.stopping
            && self.groups.iter().all(|group| group.is_settled() || self.is_loading(group));
        let states = self.setup.sizes.all();
        let checked = self.check_state(&states);
        self.publish(states, now);
        checked.map(|()| self.next_wake(now))
    }
}
