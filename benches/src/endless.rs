//! Jobs whose sources have no end: run until they have read so many records and all is delivered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use engine::control::handle::{CloseRequest, Reply};
use engine::control::registry::SubmitOptions;
use engine::error::JobError;
use engine::graph::JobPlan;
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run as run_engine};

use crate::embedded::{Embedded, WORKERS};
use crate::topics::LIMIT;
use crate::usage::{Measured, Used};

/// How often the engine's progress is looked at.
const LOOK: Duration = Duration::from_millis(5);

impl Embedded {
    /// Runs `plans` until sources have let `records` in and their epoch is delivered; answers what was
    /// used from the first record on.
    pub(crate) fn run_until(
        &self,
        records: u64,
        plans: impl FnOnce(&Self) -> Result<Vec<Arc<JobPlan>>>,
    ) -> Result<Used> {
        let settings = ProcessSettings::new(WORKERS, u64::from(std::process::id()));
        let (disk, backend) = (self.disk.clone(), self.backend.clone());
        let process = Process::open(&settings, disk, backend, self.marks.clone())?;
        let (handle, emitted) = (process.handle.clone(), process.emitted.clone());
        let submitted = handle.submit(plans(self)?, SubmitOptions::default())?;
        let engine =
            std::thread::spawn(move || run_engine(process, Arc::new(SystemClock::default())));

        let watch = Watch { submitted, ended: &|| engine.is_finished() };
        let seen = || emitted.load(Ordering::Relaxed);
        watch.until("the first record", || seen() > 0)?;
        let measured = Measured::begin()?;
        watch.until("the last record", || seen() >= records)?;
        let closed = handle.close(CloseRequest::default())?;
        let mut last = None;
        watch.until("the end of the last epoch", || {
            last = last.or_else(|| closed.take());
            let groups = handle.status().groups;
            last.is_some_and(|last| groups.iter().all(|group| group.settled >= last))
        })?;
        let used = measured.end()?;

        handle.stop()?;
        engine.join().map_err(|_panic| anyhow!("the engine panicked"))??;
        Ok(used)
    }
}

/// Waits for the engine, but not for ever.
struct Watch<'a> {
    submitted: Reply<Result<(), JobError>>,
    ended: &'a dyn Fn() -> bool,
}

impl Watch<'_> {
    fn until(&self, what: &str, mut reached: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !reached() {
            if let Some(Err(refused)) = self.submitted.take() {
                return Err(refused).context("the engine refused the job");
            }
            if (self.ended)() || started.elapsed() > 10 * LIMIT {
                bail!("the engine did not come to {what}");
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}
