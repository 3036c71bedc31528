//! A source's own machine: discovers partitions, polls, fills the workers' queues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::queue::{SourceItem, SourceQueue};
use super::step::{Inbox, Machine, Step, Waker};
use super::turn::{Room, Turn};
use crate::checkpoint::piece::PositionRecord;
use crate::clock::Moment;
use crate::control::event::{ControlEvent, FaultReport};
use crate::error::{Fatal, Fault, Retry};
use crate::hash::hash_bytes;
use crate::limit::{BATCH_BYTES_TARGET, BATCH_ROWS_TARGET};
use crate::source::reread::Reread;
use crate::source::{Partition, PollBudget, Polled, Position, Source, Start};

/// How often a source is asked for new partitions.
const DISCOVER_EVERY_MS: u64 = 10_000;
/// Pause when a poll brought nothing.
const IDLE_POLL_MS: u64 = 5;
/// The same while records are arriving: a socket's buffer of 128 KiB fills in less.
const ARRIVING_POLL_US: u64 = 200;
/// First and greatest pause after a fault that may pass.
const RETRY_MS: (u64, u64) = (100, 10_000);

/// What the controller asks of a pump.
#[derive(Debug)]
pub(crate) enum PumpOrder {
    /// Delivered up to here.
    Acknowledge(Vec<(Partition, Position)>),
    /// Read again what has passed.
    Reread(Reread),
    /// Read no further.
    Stop,
}

/// How a pump came to be.
pub(crate) struct PumpSetup {
    pub(crate) job: Arc<str>,
    pub(crate) uid: Arc<str>,
    pub(crate) start: Start,
    pub(crate) saved: Vec<PositionRecord>,
    /// One queue per worker.
    pub(crate) queues: Vec<Arc<SourceQueue>>,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) orders: Inbox<PumpOrder>,
    pub(crate) rereads: RereadCount,
    pub(crate) waker: Waker,
}

/// Requests to read again that no source has finished yet: the input does not end before.
pub(crate) type RereadCount = Arc<AtomicU64>;

/// The machine.
pub(crate) struct Pump {
    setup: PumpSetup,
    source: Box<dyn Source>,
    saved: BTreeMap<Arc<str>, PositionRecord>,
    open: BTreeMap<Partition, usize>,
    ended: BTreeSet<Partition>,
    /// An earlier generation has read partitions of this source.
    has_run: bool,
    discovered: bool,
    discover_at: u64,
    retry_ms: u64,
    retry_at: u64,
    reported_end: bool,
    /// The last request to read again, by its name.
    rereads: BTreeMap<Arc<str>, Reread>,
    /// Requests that wait until the partitions are known.
    ordered: VecDeque<Reread>,
    turn: Turn,
}

impl Pump {
    pub(crate) fn new(mut setup: PumpSetup, source: Box<dyn Source>) -> Self {
        let saved = std::mem::take(&mut setup.saved);
        Self {
            has_run: saved.iter().any(|record| Reread::of(&record.partition).is_none()),
            saved: saved
                .into_iter()
                .map(|record| (record.partition.name.clone(), record))
                .collect(),
            rereads: BTreeMap::new(),
            ordered: VecDeque::new(),
            turn: Turn::default(),
            setup,
            source,
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            discovered: false,
            discover_at: 0,
            retry_ms: RETRY_MS.0,
            retry_at: 0,
            reported_end: false,
        }
    }

    /// Partitions spread evenly over workers, from a place that depends on the source. An extra one
    /// goes where the one it replaces was, so that the positions of both, which have one key in the
    /// checkpoint, come in order.
    fn worker_of(&self, partition: &Partition) -> usize {
        let first = hash_bytes(self.setup.uid.as_bytes()) % self.setup.queues.len() as u64;
        let number = match Reread::of(partition) {
            Some(request) => hash_bytes(request.name.as_bytes()) >> 32,
            None => u64::from(partition.ordinal),
        };
        let turn = (first + number) % self.setup.queues.len() as u64;
        usize::try_from(turn).expect("below the number of workers")
    }

    fn discover(&mut self, now: Moment) -> Result<bool, Fault> {
        let Some(mut partitions) = self.source.discover(now)? else { return Ok(false) };
        partitions.sort_by_key(|partition| partition.ordinal);
        self.check_saved(&partitions)?;
        for partition in partitions {
            if !self.open.contains_key(&partition) {
                self.open(partition)?;
            }
        }
        if !self.discovered {
            self.resume_rereads()?;
            self.setup.queues.iter().for_each(|queue| queue.push(SourceItem::Discovered));
        }
        self.discovered = true;
        self.discover_at = now.tick_after_ms(DISCOVER_EVERY_MS);
        Ok(true)
    }

    /// A partition that has a saved position and is gone: what it held would be lost in silence.
    fn check_saved(&self, partitions: &[Partition]) -> Result<(), Fault> {
        let is_there = |name: &Arc<str>| partitions.iter().any(|found| found.name == *name);
        let own = self.saved.values().filter(|saved| Reread::of(&saved.partition).is_none());
        match own.map(|saved| &saved.partition.name).find(|name| !is_there(name)) {
            Some(gone) if !self.discovered => Err(Fault::never(format!(
                "partition \"{gone}\" has a saved position, but {} no longer has it",
                self.source.describe().name
            ))
            .with_hint("bring it back, or start with a new data directory")),
            _ => Ok(()),
        }
    }

    fn open(&mut self, partition: Partition) -> Result<(), Fault> {
        let saved = self.saved.get(&partition.name).cloned();
        let start = match &saved {
            Some(record) => Start::At(record.position.clone()),
            // Found while running, or while we were away: nothing of it may be missed.
            None if self.discovered || self.has_run => Start::Earliest,
            None => self.setup.start.clone(),
        };
        self.source.open(&partition, &start)?;
        self.opened(partition, saved);
        Ok(())
    }

    fn opened(&mut self, partition: Partition, saved: Option<PositionRecord>) {
        let worker = self.worker_of(&partition);
        self.setup.queues[worker].push(SourceItem::Opened(partition.clone(), saved));
        self.open.insert(partition, worker);
    }

    /// What an earlier generation was reading again goes on where its checkpoint left it.
    fn resume_rereads(&mut self) -> Result<(), Fault> {
        let saved: Vec<_> = self.saved.values().cloned().collect();
        for record in saved {
            let Some(request) = Reread::of(&record.partition) else { continue };
            // Resumed already, before a fault with a later one.
            if self.rereads.contains_key(&request.name) {
                continue;
            }
            if !Reread::is_end(&record.position) {
                self.source.reread(&request, Some(&record.position))?;
                self.setup.rereads.fetch_add(1, Ordering::AcqRel);
                self.opened(record.partition.clone(), Some(record));
            }
            self.rereads.insert(request.name.clone(), request);
        }
        Ok(())
    }

    /// Takes the requests that came meanwhile. One that was asked for again after a restart is
    /// under way or finished already.
    fn reread(&mut self) -> Result<(), Fault> {
        while let Some(request) = self.ordered.front().cloned() {
            let before = self.rereads.get(&request.name).cloned();
            if before.as_ref().is_some_and(|before| before.number >= request.number) {
                self.setup.rereads.fetch_sub(1, Ordering::AcqRel);
                self.ordered.pop_front();
                continue;
            }
            self.source.reread(&request, None)?;
            self.ordered.pop_front();
            if let Some(before) = before {
                self.replace(&before.partition());
            }
            self.opened(request.partition(), None);
            self.rereads.insert(request.name.clone(), request);
            self.reported_end = false;
        }
        Ok(())
    }

    fn replace(&mut self, partition: &Partition) {
        if self.ended.remove(partition) {
            self.open.remove(partition);
        } else if let Some(worker) = self.open.remove(partition) {
            self.setup.queues[worker].push(SourceItem::Replaced(partition.clone()));
            self.setup.rereads.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn poll(&mut self, now: Moment) -> Result<Step, Fault> {
        let budget = PollBudget { rows: BATCH_ROWS_TARGET, bytes: BATCH_BYTES_TARGET };
        let room = self.room();
        match self.turn.poll(self.source.as_mut(), room, budget, now) {
            Polled::Rows(batch) => {
                let worker = self.open[&batch.partition];
                self.setup.queues[worker].push(SourceItem::Rows(batch));
                Ok(Step::Busy)
            }
            Polled::Whole(partition, position) => {
                self.setup.queues[self.open[&partition]]
                    .push(SourceItem::Whole(partition, position));
                Ok(Step::Busy)
            }
            Polled::End(partition) => {
                self.setup.queues[self.open[&partition]].push(SourceItem::End(partition.clone()));
                if Reread::of(&partition).is_some() {
                    self.setup.rereads.fetch_sub(1, Ordering::AcqRel);
                }
                self.ended.insert(partition);
                Ok(Step::Busy)
            }
            Polled::Idle if room.live && self.source.is_arriving() => {
                Ok(Step::IdleUntil(now.tick_us + ARRIVING_POLL_US))
            }
            Polled::Idle => Ok(Step::IdleUntil(now.tick_after_ms(IDLE_POLL_MS))),
            Polled::Fault(fault) => Err(fault),
        }
    }

    /// A poll may bring records for any worker: it needs room with all of them.
    fn room(&self) -> Room {
        let mut room = Room { live: true, again: true };
        for (live, again) in self.setup.queues.iter().map(|queue| queue.room()) {
            room.live &= live;
            room.again &= again;
        }
        room
    }

    fn report_end(&mut self) {
        let ended = self.discovered && self.ended.len() == self.open.len();
        if ended && !self.reported_end {
            self.reported_end = true;
            let (job, uid) = (self.setup.job.clone(), self.setup.uid.clone());
            self.setup.events.push(ControlEvent::SourceEnded(job, uid));
        }
    }

    fn fault(&mut self, fault: Fault, now: Moment) -> Result<Step, Fatal> {
        let never = fault.retry == Retry::Never;
        let text = format!("source \"{}\" of job {}: {fault}", self.setup.uid, self.setup.job);
        self.setup.events.push(ControlEvent::Fault(FaultReport {
            job: self.setup.job.clone(),
            uid: self.setup.uid.clone(),
            fault,
        }));
        if never {
            return Err(Fatal::failed(text));
        }
        self.retry_at = now.tick_after_ms(self.retry_ms);
        self.retry_ms = (self.retry_ms * 2).min(RETRY_MS.1);
        Ok(Step::IdleUntil(self.retry_at))
    }

    fn run(&mut self, now: Moment) -> Result<Step, Fault> {
        if !self.discovered || now.reached(self.discover_at) {
            let known = self.discover(now)?;
            if !known && !self.discovered {
                return Ok(Step::IdleUntil(now.tick_after_ms(IDLE_POLL_MS)));
            }
        }
        self.reread()?;
        let step = self.poll(now)?;
        self.retry_ms = RETRY_MS.0;
        self.report_end();
        Ok(step)
    }
}

impl Machine for Pump {
    fn name(&self) -> String {
        format!("source {}.{}", self.setup.job, self.setup.uid)
    }

    fn waker(&self) -> Waker {
        self.setup.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        for order in self.setup.orders.drain() {
            match order {
                PumpOrder::Acknowledge(mut positions) => {
                    positions.retain(|(partition, _)| Reread::of(partition).is_none());
                    self.source.acknowledge(&positions);
                }
                PumpOrder::Reread(request) => self.ordered.push_back(request),
                PumpOrder::Stop => {
                    self.source.close();
                    return Ok(Step::Done);
                }
            }
        }
        if !now.reached(self.retry_at) {
            return Ok(Step::IdleUntil(self.retry_at));
        }
        match self.run(now) {
            Ok(step) => Ok(step),
            Err(fault) => self.fault(fault, now),
        }
    }
}
