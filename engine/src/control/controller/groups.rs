//! One running group: its jobs, its sources, and how far it has come.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pace::Pace;
use crate::batch::buffer::Budget;
use crate::clock::Moment;
use crate::control::event::SourcePositions;
use crate::control::registry::RegisteredJob;
use crate::control::status::GroupStatus;
use crate::outbox::quota::Backlog;
use crate::runtime::pump::{Pump, PumpOrder};
use crate::runtime::queue::SourceQueue;
use crate::runtime::step::{Inbox, Machine};

/// A source of the group.
pub(super) struct RunningSource {
    pub(super) job: Arc<str>,
    pub(super) uid: Arc<str>,
    pub(super) bounded: bool,
    /// It begins at its first record: nothing was read by an earlier generation.
    pub(super) fresh: bool,
    pub(super) ended: bool,
    pub(super) queues: Vec<Arc<SourceQueue>>,
    pub(super) orders: Inbox<PumpOrder>,
    /// Started once the group's sinks are ready.
    pub(super) pump: Option<Pump>,
}

/// A group.
pub(super) struct RunningGroup {
    pub(super) name: Arc<str>,
    jobs: Vec<RegisteredJob>,
    pub(super) sources: Vec<RunningSource>,
    /// Sink shards that are not ready: job and uid, once per shard.
    waiting_sinks: Vec<(Arc<str>, Arc<str>)>,
    /// Closed epochs that are not complete, with the tick of the close.
    closed: VecDeque<(u64, u64)>,
    last_closed: u64,
    pub(super) complete: u64,
    completed_at: u64,
    /// Microseconds from close to complete of the last epoch.
    took_us: u64,
    settled: u64,
    /// Bytes that its sources had let in when its last epoch closed.
    let_in_before: u64,
    /// The sink for which too much waits: sources take nothing in.
    full_sink: Option<Backlog>,
    pace: Pace,
    /// Whether its sources take nothing in.
    stands: bool,
    /// Positions of complete epochs that are not delivered everywhere.
    positions: VecDeque<(u64, Vec<SourcePositions>)>,
}

impl RunningGroup {
    pub(super) fn new(
        name: Arc<str>,
        jobs: Vec<RegisteredJob>,
        sources: Vec<RunningSource>,
        waiting_sinks: Vec<(Arc<str>, Arc<str>)>,
    ) -> Self {
        Self {
            name,
            jobs,
            sources,
            waiting_sinks,
            closed: VecDeque::new(),
            last_closed: 0,
            complete: 0,
            completed_at: 0,
            took_us: 0,
            settled: 0,
            let_in_before: 0,
            full_sink: None,
            pace: Pace::default(),
            stands: false,
            positions: VecDeque::new(),
        }
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &RegisteredJob> {
        self.jobs.iter()
    }

    /// Whether the job of this name is one of its jobs.
    pub(super) fn has(&self, job: &str) -> bool {
        self.jobs().any(|member| &*member.plan.name == job)
    }

    /// A sink shard is ready; with the last one the sources begin.
    pub(super) fn sink_ready(
        &mut self,
        job: &Arc<str>,
        sink: &Arc<str>,
        births: &Inbox<Box<dyn Machine>>,
    ) {
        let ready = |waiting: &(Arc<str>, Arc<str>)| waiting.0 == *job && waiting.1 == *sink;
        if let Some(index) = self.waiting_sinks.iter().position(ready) {
            self.waiting_sinks.swap_remove(index);
        }
        self.start_sources(births);
    }

    pub(super) fn start_sources(&mut self, births: &Inbox<Box<dyn Machine>>) {
        if self.waiting_sinks.is_empty() {
            for pump in self.sources.iter_mut().filter_map(|source| source.pump.take()) {
                births.push(Box::new(pump));
            }
        }
    }

    pub(super) fn source_ended(&mut self, job: &Arc<str>, uid: &Arc<str>) {
        let ended = |source: &&mut RunningSource| source.job == *job && source.uid == *uid;
        if let Some(source) = self.sources.iter_mut().find(ended) {
            source.ended = true;
        }
    }

    /// Whether every source has ended and all it read is in the dataflow.
    pub(super) fn has_ended(&self) -> bool {
        let drained = |source: &RunningSource| !source.queues.iter().any(|queue| queue.has_items());
        self.sources.iter().all(|source| source.bounded && source.ended && drained(source))
    }

    /// Whether an epoch should end early: a source may read on only then. None is under way, and the
    /// disk has rested for as long as the last one took: live epochs find it free.
    pub(super) fn wants_cut(&self, now: Moment) -> bool {
        let rested = now.tick_us >= self.completed_at + self.took_us;
        let mut queues = self.sources.iter().flat_map(|source| &source.queues);
        self.closed.is_empty() && rested && queues.any(|queue| queue.wants_cut())
    }

    /// Whether an epoch should end early because memory fills. Only the end of one that holds
    /// something frees anything, and what is under way does so by itself: so none is under way, or
    /// the open one has let in a share of the budget already. Where sources may let in nothing, what
    /// fills memory waits for a close in some operator.
    pub(super) fn fills(&self, budget: &Budget) -> bool {
        if !budget.is_filling() {
            return false;
        }
        let open = self.let_in() - self.let_in_before;
        let alone = self.closed.is_empty() && (open > 0 || budget.is_closed());
        alone || open >= budget.early_share()
    }

    fn let_in(&self) -> u64 {
        let queues = self.sources.iter().flat_map(|source| &source.queues);
        queues.map(|queue| queue.let_in()).sum()
    }

    /// Stops sources while too much waits for this sink, or while they go at the pace of one that is
    /// behind ([`Pace::holds`]), and lets them go on when neither is so.
    pub(super) fn brake(
        &mut self,
        full_sink: Option<Backlog>,
        is_behind: bool,
        stands_still: bool,
    ) {
        let stands = self.pace.holds(is_behind, stands_still) || full_sink.is_some();
        if self.stands != stands {
            let queues = self.sources.iter().flat_map(|source| &source.queues);
            queues.for_each(|queue| queue.brake(stands));
        }
        self.stands = stands;
        self.full_sink = full_sink;
    }

    /// Whether its sources have begun.
    pub(super) fn is_running(&self) -> bool {
        self.waiting_sinks.is_empty()
    }

    pub(super) fn is_braked(&self) -> bool {
        self.full_sink.is_some()
    }

    pub(super) fn stop_sources(&mut self) {
        for source in &self.sources {
            source.orders.push(PumpOrder::Stop);
        }
    }

    pub(super) fn close(&mut self, epoch: u64, now: Moment) {
        self.closed.push_back((epoch, now.tick_us));
        self.let_in_before = self.let_in();
        self.last_closed = epoch;
    }

    pub(super) fn complete(&mut self, epoch: u64, positions: Vec<SourcePositions>, now: Moment) {
        self.positions.push_back((epoch, positions));
        while let Some((_, at)) = self.closed.pop_front_if(|(closed, _)| *closed <= epoch) {
            self.took_us = now.tick_us.saturating_sub(at);
        }
        self.complete = epoch;
        self.completed_at = now.tick_us;
    }

    /// Everything up to `epoch` is delivered: the sources may tell the outside.
    pub(super) fn settle(&mut self, epoch: u64) {
        self.settled = epoch;
        while let Some((_, delivered)) = self.positions.pop_front_if(|(of, _)| *of <= epoch) {
            for positions in delivered {
                let ours = |source: &&RunningSource| {
                    source.job == positions.job && source.uid == positions.uid
                };
                if let Some(source) = self.sources.iter().find(ours) {
                    source.orders.push(PumpOrder::Acknowledge(positions.partitions));
                }
            }
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.closed.len() as u64
    }

    /// Whether everything closed so far is complete and delivered.
    pub(super) fn is_settled(&self) -> bool {
        self.closed.is_empty() && self.settled >= self.last_closed
    }

    pub(super) fn status(&self, now: Moment) -> GroupStatus {
        let since = |tick_us: u64| now.tick_us.saturating_sub(tick_us) / 1000;
        GroupStatus {
            name: self.name.clone(),
            jobs: self.jobs().map(|job| job.plan.name.clone()).collect(),
            running: self.is_running(),
            closed: self.last_closed,
            complete: self.complete,
            settled: self.settled,
            full_sink: self.full_sink.clone(),
            epoch_age_ms: self.closed.front().map_or(0, |(_, closed_at)| since(*closed_at)),
            checkpoint_age_ms: if self.complete == 0 { 0 } else { since(self.completed_at) },
        }
    }
}
