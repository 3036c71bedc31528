//! The dispatcher of one sink shard: planned units to the sink, strictly in order, one at a time.
//!
//! At start it asks the target what it has, skips units that are there, and finishes the units an
//! earlier generation planned before it reports ready: only then are the job's sources opened.

use std::collections::VecDeque;
use std::sync::Arc;

use super::blocks::Blocks;
use super::sinks::{SinkTable, SinkWork, Standing};
use super::written::WrittenBlock;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::SinkKey;
use crate::checkpoint::writer::{PlannedUnit, WriterInbox, WriterItem};
use crate::clock::Moment;
use crate::control::event::{ControlEvent, FaultReport};
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::{Fatal, Fault, Retry, exit};
use crate::random::Random;
use crate::runtime::step::{Inbox, Machine, Step, Waker};
use crate::sink::{Sink, SinkIdentity, SinkPoll, SinkReply, SinkRequest};

/// First and greatest pause after a fault that may pass.
const RETRY_MS: (u64, u64) = (50, 10_000);
/// Pause between two polls of a pending request.
const POLL_MS: u64 = 1;
/// The same where the sink wakes us.
const POLL_WOKEN_MS: u64 = 100;

/// What a dispatcher is made of.
pub(crate) struct DispatchSetup {
    pub(crate) key: SinkKey,
    pub(crate) family: u64,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) inbox: Inbox<PlannedUnit>,
    pub(crate) writer: WriterInbox,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) sinks: SinkTable,
    pub(crate) waker: Waker,
    /// Whether its job does not run: then its faults are nobody else's.
    pub(crate) left_out: bool,
    /// Whether the sink has other shards beside this one.
    pub(crate) several: bool,
    pub(crate) points: CrashPoints,
    /// Units planned by earlier generations.
    pub(crate) planned: Vec<PlannedUnit>,
    pub(crate) random: Random,
}

enum State {
    /// Begin this request next.
    Begin(SinkRequest),
    /// Begun.
    Waiting(SinkRequest),
    /// Nothing under way.
    Free,
    /// A fault that stays: nothing more is sent.
    Stopped,
}

/// The machine.
pub(crate) struct Dispatcher {
    setup: DispatchSetup,
    sink: Box<dyn Sink>,
    /// Pause between two polls of a pending request.
    poll_ms: u64,
    state: State,
    units: VecDeque<PlannedUnit>,
    /// Restored units still to be delivered before the shard is ready.
    restored: usize,
    reported_ready: bool,
    last_delivered: Option<u64>,
    retry_ms: u64,
    retry_at: u64,
    /// Tick at which something last came through, or had not to wait.
    since_us: u64,
    fault: Option<String>,
    /// What `status` was last told.
    told: Option<Standing>,
}

impl Dispatcher {
    pub(crate) fn new(mut setup: DispatchSetup, mut sink: Box<dyn Sink>) -> Self {
        let units: VecDeque<_> = std::mem::take(&mut setup.planned).into();
        let identity = SinkIdentity {
            family: setup.family,
            job: setup.key.job.clone(),
            sink: setup.key.sink.clone(),
            shard: setup.key.shard,
        };
        let wakes = sink.wake_with(setup.waker.clone());
        Self {
            poll_ms: if wakes { POLL_WOKEN_MS } else { POLL_MS },
            restored: units.len(),
            units,
            setup,
            sink,
            state: State::Begin(SinkRequest::Prepare(identity)),
            reported_ready: false,
            last_delivered: None,
            retry_ms: RETRY_MS.0,
            retry_at: 0,
            since_us: 0,
            fault: None,
            told: None,
        }
    }

    /// The next unit as a request; units the target already has are acknowledged at once.
    fn next_request(&mut self) -> Option<SinkRequest> {
        while let Some(planned) = self.units.front() {
            if self.last_delivered.is_some_and(|last| planned.unit.upper <= last) {
                self.delivered();
                continue;
            }
            let blocks = Blocks::written(self.setup.disk.clone(), planned.blocks.clone());
            return Some(SinkRequest::Deliver(planned.unit.clone(), blocks));
        }
        None
    }

    fn delivered(&mut self) {
        let planned = self.units.pop_front().expect("only called with a unit at the front");
        // Those that the target had already were never asked for.
        planned.blocks.iter().for_each(WrittenBlock::let_go);
        let key = self.setup.key.clone();
        self.setup.writer.push(WriterItem::Delivered(key, planned.unit.upper));
        self.restored = self.restored.saturating_sub(1);
    }

    fn before(&self, request: &SinkRequest) -> Result<(), Fatal> {
        if !matches!(request, SinkRequest::Deliver(..)) {
            return Ok(());
        }
        self.setup.points.pass(CrashPoint::Published)?;
        if self.restored > 0 {
            self.setup.points.pass(CrashPoint::Draining)?;
        }
        Ok(())
    }

    fn after_delivery(&self) -> Result<(), Fatal> {
        self.setup.points.pass(CrashPoint::ReplySeen)?;
        if self.setup.several && self.setup.key.shard == 0 {
            self.setup.points.pass(CrashPoint::BetweenShards)?;
        }
        Ok(())
    }

    fn report_ready(&mut self) {
        if self.restored == 0 && !self.reported_ready {
            self.reported_ready = true;
            let SinkKey { job, sink, .. } = self.setup.key.clone();
            self.setup.events.push(ControlEvent::SinkReady(job, sink));
        }
    }

    fn answered(&mut self, reply: SinkReply, now: Moment) {
        self.retry_ms = RETRY_MS.0;
        self.since_us = now.tick_us;
        self.fault = None;
        self.state = match reply {
            SinkReply::Prepared => State::Begin(SinkRequest::LastDelivered),
            SinkReply::LastDelivered(last) => {
                self.last_delivered = last;
                State::Free
            }
            SinkReply::Delivered => {
                self.delivered();
                State::Free
            }
            SinkReply::TableReady => State::Free,
        };
    }

    fn fault(&mut self, request: SinkRequest, fault: Fault, now: Moment) -> Result<Step, Fatal> {
        let SinkKey { job, sink, shard } = self.setup.key.clone();
        let never = fault.retry == Retry::Never;
        let message = format!("sink \"{sink}\" of job {job}, shard {shard}: {fault}");
        self.fault = Some(fault.to_string());
        self.setup.events.push(ControlEvent::Fault(FaultReport { job, uid: sink, fault }));
        if never {
            self.state = State::Stopped;
            // Before the job runs it is a matter of configuration; later others go on without it.
            if matches!(request, SinkRequest::Prepare(_)) && !self.setup.left_out {
                return Err(Fatal::new(exit::CONFIGURATION, message));
            }
            return Ok(Step::Idle);
        }
        let jitter = self.setup.random.below(self.retry_ms / 2 + 1);
        self.retry_at = now.tick_after_ms(self.retry_ms + jitter);
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MS.1);
        self.state = State::Begin(request);
        Ok(Step::IdleUntil(self.retry_at))
    }
}

impl Machine for Dispatcher {
    fn name(&self) -> String {
        let SinkKey { job, sink, shard } = &self.setup.key;
        format!("sink {job}.{sink}.{shard}")
    }

    fn waker(&self) -> Waker {
        self.setup.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        let step = self.work(now);
        self.tell();
        step
    }
}

impl Dispatcher {
    fn work(&mut self, now: Moment) -> Result<Step, Fatal> {
        if self.told.as_ref().is_none_or(|told| told.work == SinkWork::Idle) {
            self.since_us = now.tick_us;
        }
        self.units.extend(self.setup.inbox.drain());
        match std::mem::replace(&mut self.state, State::Free) {
            State::Begin(request) => {
                if !now.reached(self.retry_at) {
                    self.state = State::Begin(request);
                    return Ok(Step::IdleUntil(self.retry_at));
                }
                self.before(&request)?;
                self.sink.begin(request.clone());
                self.state = State::Waiting(request);
                Ok(Step::Busy)
            }
            State::Waiting(request) => match self.sink.poll(now) {
                SinkPoll::Pending => {
                    self.state = State::Waiting(request);
                    Ok(Step::IdleUntil(now.tick_after_ms(self.poll_ms)))
                }
                SinkPoll::Done(SinkReply::Delivered) => {
                    self.setup.points.pass(CrashPoint::ReplyUnseen)?;
                    self.answered(SinkReply::Delivered, now);
                    self.after_delivery()?;
                    Ok(Step::Busy)
                }
                SinkPoll::Done(reply) => {
                    self.answered(reply, now);
                    Ok(Step::Busy)
                }
                SinkPoll::Fault(fault) => self.fault(request, fault, now),
                SinkPoll::Broken(fatal) => Err(fatal),
            },
            State::Free => {
                self.report_ready();
                match self.next_request() {
                    Some(request) => {
                        self.state = State::Begin(request);
                        Ok(Step::Busy)
                    }
                    None => {
                        self.report_ready();
                        Ok(Step::Idle)
                    }
                }
            }
            State::Stopped => {
                self.state = State::Stopped;
                Ok(Step::Idle)
            }
        }
    }

    fn standing(&self) -> SinkWork {
        match &self.state {
            State::Stopped => SinkWork::Stopped,
            State::Begin(_) | State::Waiting(_) if self.fault.is_some() => SinkWork::Retrying,
            State::Begin(SinkRequest::Deliver(..)) | State::Waiting(SinkRequest::Deliver(..)) => {
                SinkWork::Delivering
            }
            State::Begin(_) | State::Waiting(_) => SinkWork::Preparing,
            State::Free if self.units.is_empty() => SinkWork::Idle,
            State::Free => SinkWork::Delivering,
        }
    }

    /// Says how it stands where that has changed.
    fn tell(&mut self) {
        let (work, units) = (self.standing(), self.units.len());
        let is_known = |told: &Standing| {
            let same = told.units == units && told.since_us == self.since_us;
            told.work == work && (work == SinkWork::Idle || (same && told.fault == self.fault))
        };
        if self.told.as_ref().is_some_and(is_known) {
            return;
        }
        let standing = Standing { work, since_us: self.since_us, units, fault: self.fault.clone() };
        self.setup.sinks.set(&self.setup.key, standing.clone());
        self.told = Some(standing);
    }
}
