//! The handle by which the root, the console and tests talk to a running engine.

use std::sync::{Arc, Mutex};

use super::registry::SubmitOptions;
use super::status::Status;
use crate::error::JobError;
use crate::graph::JobPlan;
use crate::limit::REQUESTS_MAX;
use crate::runtime::step::Inbox;

/// A request to the controller.
pub(crate) enum Request {
    Submit(Vec<Arc<JobPlan>>, SubmitOptions, Reply<Result<(), JobError>>),
    Cancel(Arc<str>, Reply<Result<(), JobError>>),
    Stop,
}

/// Order to close the open epoch when its turn comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloseRequest {
    /// Stamp of the epoch that begins; the clock's if absent.
    pub next_stamp_ms: Option<i64>,
}

/// Where an answer will lie.
pub struct Reply<T> {
    slot: Arc<Mutex<Option<T>>>,
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone() }
    }
}

impl<T> Default for Reply<T> {
    fn default() -> Self {
        Self { slot: Arc::default() }
    }
}

impl<T> Reply<T> {
    /// The answer, once it is there; taken out.
    pub fn take(&self) -> Option<T> {
        self.slot.lock().expect("nothing panics under this lock").take()
    }

    pub(crate) fn answer(&self, value: T) {
        *self.slot.lock().expect("nothing panics under this lock") = Some(value);
    }
}

/// The controller has too many requests waiting; ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("busy: too many requests are waiting")]
pub struct Busy;

/// Cheap to clone, usable from any thread; never slows data.
#[derive(Clone)]
pub struct Handle {
    pub(crate) requests: Inbox<Request>,
    pub(crate) closes: Inbox<(CloseRequest, Reply<u64>)>,
    pub(crate) status: Arc<Mutex<Status>>,
}

impl Handle {
    /// Installs jobs that start together: they share their streams from the first record on.
    pub fn submit(
        &self,
        plans: Vec<Arc<JobPlan>>,
        options: SubmitOptions,
    ) -> Result<Reply<Result<(), JobError>>, Busy> {
        let reply = Reply::default();
        self.request(Request::Submit(plans, options, reply.clone()))?;
        Ok(reply)
    }

    /// Closes the open epoch of all groups, at once if every group may close one, else as soon as
    /// enough of those under way are complete; the answer is its number.
    pub fn close(&self, request: CloseRequest) -> Result<Reply<u64>, Busy> {
        let reply = Reply::default();
        ask(&self.closes, (request, reply.clone()))?;
        Ok(reply)
    }

    /// Ends the group of `job`: its sources stop, the last epoch completes, the dataflows go.
    pub fn cancel(&self, job: &str) -> Result<Reply<Result<(), JobError>>, Busy> {
        let reply = Reply::default();
        self.request(Request::Cancel(job.into(), reply.clone()))?;
        Ok(reply)
    }

    /// Closes, completes and delivers everything, then ends the process.
    pub fn stop(&self) -> Result<(), Busy> {
        self.request(Request::Stop)
    }

    /// The last published status.
    pub fn status(&self) -> Status {
        self.status.lock().expect("nothing panics under this lock").clone()
    }

    fn request(&self, request: Request) -> Result<(), Busy> {
        ask(&self.requests, request)
    }
}

fn ask<T>(inbox: &Inbox<T>, request: T) -> Result<(), Busy> {
    if inbox.len() >= REQUESTS_MAX {
        return Err(Busy);
    }
    inbox.push(request);
    Ok(())
}
