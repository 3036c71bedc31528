//! The loader: streams the keyed state of a job from the store to its operators.
//!
//! No state is loaded on a worker thread by a blocking scan: the loader fills one queue per
//! stateful operator and worker in chunks, the operator holds epoch 0 until the end mark. Entries
//! come in the order of their stored keys, which is what makes taking them in cheap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::layout::{self, space};
use crate::clock::Moment;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::Fatal;
use crate::hash::worker_of_group;
use crate::limit::LOAD_CHUNK;
use crate::operator::stateful::SHARED_GROUP;
use crate::runtime::step::{Machine, Step, Waker};
use crate::state::backend::{StateBackend, StateError, StateView};

/// Chunks that may wait at one operator.
const CHUNKS_WAITING_MAX: usize = 8;

/// What the loader hands to an operator.
#[derive(Debug)]
pub(crate) enum LoadItem {
    /// Some entries.
    Entries(LoadChunk),
    /// That was all.
    End,
}

/// Entries of one operator, one behind the other: two allocations, however many there are.
#[derive(Debug, Default)]
pub(crate) struct LoadChunk {
    bytes: Vec<u8>,
    /// Key group, length of the key, length of the value.
    entries: Vec<(u16, usize, usize)>,
}

impl LoadChunk {
    fn push(&mut self, group: u16, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.entries.push((group, key.len(), value.len()));
    }

    /// Key group, key and value of each entry.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.entries.iter().map(move |&(group, key, value)| {
            let (key, after) = rest.split_at(key);
            let (value, after) = after.split_at(value);
            rest = after;
            (group, key, value)
        })
    }
}

/// From the loader to one operator on one worker.
#[derive(Debug, Default)]
pub(crate) struct LoadQueue {
    items: Mutex<VecDeque<LoadItem>>,
    worker: Waker,
}

impl LoadQueue {
    pub(crate) fn has_items(&self) -> bool {
        !self.lock().is_empty()
    }

    pub(crate) fn take(&self) -> Option<LoadItem> {
        self.lock().pop_front()
    }

    fn push(&self, item: LoadItem) {
        self.lock().push_back(item);
        self.worker.wake();
    }

    /// Chunks not yet taken: the loader waits while there are many.
    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LoadItem>> {
        self.items.lock().expect("nothing panics under this lock")
    }
}

/// The load queues of one job on one worker, by operator uid; none on a fresh start.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadQueues {
    queues: BTreeMap<Arc<str>, Arc<LoadQueue>>,
}

impl LoadQueues {
    pub(crate) fn new(uids: impl Iterator<Item = Arc<str>>, worker: &Waker) -> Self {
        let queue = || Arc::new(LoadQueue { items: Mutex::default(), worker: worker.clone() });
        Self { queues: uids.map(|uid| (uid, queue())).collect() }
    }

    pub(crate) fn get(&self, uid: &Arc<str>) -> Option<Arc<LoadQueue>> {
        self.queues.get(uid).cloned()
    }
}

/// The machine that streams the state of one job.
pub(crate) struct Loader {
    job: Arc<str>,
    view: Box<dyn StateView>,
    /// Operators still to load: uid and id.
    operators: VecDeque<(Arc<str>, u32)>,
    /// Queues by worker.
    workers: Vec<LoadQueues>,
    /// Key of the last entry read of the operator in hand.
    after: Vec<u8>,
    waker: Waker,
    points: CrashPoints,
}

impl Loader {
    pub(crate) fn new(
        job: Arc<str>,
        backend: &dyn StateBackend,
        operators: VecDeque<(Arc<str>, u32)>,
        workers: Vec<LoadQueues>,
        points: CrashPoints,
    ) -> Result<Self, StateError> {
        let (view, after, waker) = (backend.view()?, Vec::new(), Waker::default());
        Ok(Self { job, view, operators, workers, after, waker, points })
    }

    /// The next entries of an operator, a chunk for each worker, and whether they are its last.
    fn read(&mut self, op: u32) -> Result<(Vec<LoadChunk>, bool), StateError> {
        let peers = self.workers.len();
        let mut chunks: Vec<LoadChunk> = (0..peers).map(|_| LoadChunk::default()).collect();
        let mut last = Vec::new();
        let (space, prefix) = (space::state(&self.job), op.to_be_bytes());
        let read =
            self.view.visit(&space, &prefix, &self.after, LOAD_CHUNK, &mut |key, value| {
                last.clear();
                last.extend_from_slice(key);
                let (_, group, key) =
                    layout::split_state_key(key).expect("the scan's prefix is the operator's id");
                if group == SHARED_GROUP {
                    chunks.iter_mut().for_each(|chunk| chunk.push(group, key, value));
                } else {
                    chunks[worker_of_group(group, peers)].push(group, key, value);
                }
            })?;
        self.after = last;
        Ok((chunks, read < LOAD_CHUNK))
    }
}

impl Machine for Loader {
    fn name(&self) -> String {
        format!("loader {}", self.job)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn step(&mut self, now: Moment) -> Result<Step, Fatal> {
        let Some((uid, op)) = self.operators.front().cloned() else { return Ok(Step::Done) };
        let queues: Vec<_> = self.workers.iter().filter_map(|queues| queues.get(&uid)).collect();
        if queues.iter().any(|queue| queue.len() >= CHUNKS_WAITING_MAX) {
            return Ok(Step::IdleUntil(now.tick_after_ms(1)));
        }
        let (chunks, finished) = self.read(op).map_err(Fatal::disk)?;
        for (queue, chunk) in queues.iter().zip(chunks) {
            if !chunk.entries.is_empty() {
                queue.push(LoadItem::Entries(chunk));
            }
        }
        if finished {
            self.points.pass(CrashPoint::BeforeEndMark)?;
            queues.iter().for_each(|queue| queue.push(LoadItem::End));
            self.operators.pop_front();
            self.after.clear();
            self.points.pass(CrashPoint::AfterEndMark)?;
        }
        Ok(Step::Busy)
    }
}
