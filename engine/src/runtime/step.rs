//! Step machines and the inboxes by which they reach each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;

use crate::clock::Moment;
use crate::error::Fatal;

/// What a machine says after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do at once.
    Busy,
    /// Nothing before this tick (microseconds), unless woken.
    IdleUntil(u64),
    /// Nothing until woken.
    Idle,
    /// Finished for good.
    Done,
}

/// An active part of the engine. A step MUST NOT wait for a peer; it may make one bounded call on
/// the disk or the state store.
pub trait Machine: Send {
    /// For thread names, traces and messages.
    fn name(&self) -> String;
    /// Does a bounded piece of work. An error ends the process.
    fn step(&mut self, now: Moment) -> Result<Step, Fatal>;
    /// What wakes this machine from outside.
    fn waker(&self) -> Waker;
}

/// Wakes the thread that drives a machine; does nothing in simulation, where none sleeps.
#[derive(Clone, Default)]
pub struct Waker {
    thread: Arc<Mutex<Option<Thread>>>,
}

impl Waker {
    /// From now on wakes `thread`.
    pub fn attach(&self, thread: Thread) {
        *self.thread.lock().expect("nothing panics under this lock") = Some(thread);
    }

    /// Wakes it.
    pub fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().expect("nothing panics under this lock") {
            thread.unpark();
        }
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// A first-in first-out queue into a machine, which is woken by every push.
///
/// Bounded by what feeds it, not here: blocks by the in-flight budget, bundles by the epochs in
/// flight, requests by [`REQUESTS_MAX`](crate::limit::REQUESTS_MAX).
pub struct Inbox<T> {
    items: Arc<Mutex<VecDeque<T>>>,
    waker: Waker,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), waker: self.waker.clone() }
    }
}

impl<T> Inbox<T> {
    /// An empty inbox of the machine that `waker` wakes.
    pub fn new(waker: Waker) -> Self {
        Self { items: Arc::default(), waker }
    }

    /// Appends and wakes.
    pub fn push(&self, item: T) {
        self.lock().push_back(item);
        self.waker.wake();
    }

    /// Takes the first item.
    pub fn pop(&self) -> Option<T> {
        self.lock().pop_front()
    }

    /// Takes all items.
    pub fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut *self.lock())
    }

    /// Number of waiting items.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.items.lock().expect("nothing panics under this lock")
    }
}
