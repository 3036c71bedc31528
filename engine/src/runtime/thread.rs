//! The only file that spawns threads that stay: one per machine and one per worker; and the machine's
//! clock. (Those that write files at the same time, in `checkpoint/disk/real.rs`, end with them.)

#![expect(clippy::disallowed_methods, reason = "threads and the clock enter the engine here")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use timely::communication::Config as Communication;
use timely::{Config, WorkerConfig};

use super::process::Process;
use super::step::{Machine, Step, Waker};
use crate::clock::{Clock, Moment};
use crate::error::Fatal;

/// Longest sleep of an idle machine: a lost wake-up costs this much and no more.
const PARK_MAX: Duration = Duration::from_millis(500);
/// How long an idle worker parks.
const WORKER_PARK: Duration = Duration::from_millis(10);

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            tick_us: u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What all threads of a run share.
struct Run {
    clock: Arc<dyn Clock>,
    stop: AtomicBool,
    fatal: Mutex<Option<Fatal>>,
    /// The thread that waits for the end, and the workers.
    waiting: Vec<Waker>,
}

impl Run {
    fn fail(&self, fatal: Fatal) {
        let mut slot = self.fatal.lock().expect("nothing panics under this lock");
        slot.get_or_insert(fatal);
        drop(slot);
        self.stop();
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.waiting.iter().for_each(Waker::wake);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// Runs the process until the controller is done or something fatal happens. Blocks.
pub fn run(process: Process, clock: Arc<dyn Clock>) -> Result<(), Fatal> {
    let Process { seats, machines, births, births_waker, .. } = process;
    births_waker.attach(thread::current());
    let mut waiting: Vec<Waker> = seats.iter().map(|seat| seat.waker.clone()).collect();
    waiting.push(births_waker);
    let (stop, fatal) = (AtomicBool::new(false), Mutex::new(None));
    let run = Arc::new(Run { clock, stop, fatal, waiting });

    let count = seats.len();
    let seats = Mutex::new(seats.into_iter().map(Some).collect::<Vec<_>>());
    let worker_run = run.clone();
    let communication =
        if count == 1 { Communication::Thread } else { Communication::Process(count) };
    let config = Config { communication, worker: WorkerConfig::default() };
    let workers = timely::execute(config, move |worker| {
        let seat = seats.lock().expect("nothing panics under this lock")[worker.index()].take();
        let mut seat = seat.expect("each worker sits down once").sit(worker);
        seat.waker().attach(thread::current());
        while !worker_run.is_stopped() {
            seat.step(worker, Some(WORKER_PARK)).unwrap_or_else(|fatal| worker_run.fail(fatal));
        }
        // The dataflows still hold capabilities; what is incomplete is recomputed by the next
        // generation, so they are dropped as they are.
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    });
    let workers = workers.map_err(Fatal::failed)?;

    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut machines: std::collections::VecDeque<_> = machines.into();
    let controller = machines.pop_front().map(|machine| spawn(machine, &run, true)).transpose()?;
    while let Some(machine) = machines.pop_front() {
        threads.push(spawn(machine, &run, false)?);
    }
    while !run.is_stopped() {
        for machine in births.drain() {
            threads.push(spawn(machine, &run, false)?);
        }
        thread::park_timeout(PARK_MAX / 10);
    }
    for thread in controller.into_iter().chain(threads) {
        thread.thread().unpark();
        if thread.join().is_err() {
            run.fail(Fatal::failed("a machine panicked"));
        }
    }
    for result in workers.join() {
        result.map_err(Fatal::failed)?;
    }
    let mut fatal = run.fatal.lock().expect("nothing panics under this lock");
    fatal.take().map_or(Ok(()), Err)
}

fn spawn(
    mut machine: Box<dyn Machine>,
    run: &Arc<Run>,
    ends_run: bool,
) -> Result<JoinHandle<()>, Fatal> {
    let run = run.clone();
    let builder = thread::Builder::new().name(machine.name());
    let body = move || {
        machine.waker().attach(thread::current());
        while !run.is_stopped() {
            match machine.step(run.clock.now()) {
                Ok(Step::Busy) => {}
                Ok(Step::IdleUntil(tick_us)) => {
                    let now = run.clock.now().tick_us;
                    let pause = Duration::from_micros(tick_us.saturating_sub(now));
                    thread::park_timeout(pause.min(PARK_MAX));
                }
                Ok(Step::Idle) => thread::park_timeout(PARK_MAX),
                Ok(Step::Done) => {
                    if ends_run {
                        run.stop();
                    }
                    return;
                }
                Err(fatal) => run.fail(fatal),
            }
        }
    };
    builder.spawn(body).map_err(Fatal::failed)
}
