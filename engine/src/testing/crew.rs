//! The workers of a simulation: one in the test's thread, or several that take turns.
//!
//! timely gives each worker its thread. Here a thread waits for the baton, does one step, and hands
//! it back; the test's seed decides who has it next. So of all threads one at most is running, and
//! the history is a function of the seed, although batches really move between threads: as pointers,
//! or (`binary`) as bytes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use timely::communication::allocator::Thread;
use timely::communication::{Allocator, Config as Communication, WorkerGuards};
use timely::worker::Worker;
use timely::{Config, WorkerConfig};

use crate::error::Fatal;
use crate::runtime::worker::{WorkerLoop, WorkerSeat};

/// The workers of one generation.
pub(crate) enum Crew {
    /// One, in the test's own thread.
    Alone(Box<(Worker, WorkerLoop)>),
    /// Several, in turns.
    Turns(Turns),
}

impl Crew {
    /// Seats a worker on each seat; `binary`: they exchange bytes.
    pub(crate) fn new(mut seats: Vec<WorkerSeat>, binary: bool) -> Self {
        if seats.len() > 1 {
            return Self::Turns(Turns::new(seats, binary));
        }
        let allocator = Allocator::Thread(Thread::default());
        let worker = Worker::new(WorkerConfig::default(), allocator, None);
        let seat = seats.remove(0).sit(&worker);
        Self::Alone(Box::new((worker, seat)))
    }

    /// Number of workers.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Alone(_) => 1,
            Self::Turns(turns) => turns.count,
        }
    }

    /// Lets worker `index` do one step.
    pub(crate) fn step(&mut self, index: usize) -> Result<(), Fatal> {
        match self {
            Self::Alone(alone) => {
                let (worker, seat) = alone.as_mut();
                seat.step(worker, None)
            }
            Self::Turns(turns) => turns.step(index),
        }
    }
}

/// Who may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The test.
    Test,
    /// This worker, for one step.
    Worker(usize),
    /// Everybody, to leave.
    Over,
}

struct Table {
    turn: Turn,
    /// What the last step answered.
    answer: Result<(), Fatal>,
}

struct Baton {
    table: Mutex<Table>,
    passed: Condvar,
}

impl Baton {
    fn pass(&self, to: Turn, answer: Result<(), Fatal>) {
        *self.lock() = Table { turn: to, answer };
        self.passed.notify_all();
    }

    /// Waits for one of these turns; the table as it lies then.
    fn wait(&self, mine: impl Fn(Turn) -> bool) -> MutexGuard<'_, Table> {
        let table = self.lock();
        let others = |table: &mut Table| !mine(table.turn);
        self.passed.wait_while(table, others).expect("nothing panics under this lock")
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics under this lock")
    }
}

/// Hands the baton back when a step panics: the test then fails instead of waiting for ever.
struct Hand<'a>(&'a Baton);

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.pass(Turn::Test, Err(Fatal::failed("a worker panicked")));
        }
    }
}

/// Several workers, each in a thread of timely's, of which one at most runs.
pub(crate) struct Turns {
    count: usize,
    baton: Arc<Baton>,
    /// Joined when dropped.
    threads: Option<WorkerGuards<()>>,
}

impl Turns {
    fn new(seats: Vec<WorkerSeat>, binary: bool) -> Self {
        let count = seats.len();
        let table = Table { turn: Turn::Test, answer: Ok(()) };
        let baton = Arc::new(Baton { table: Mutex::new(table), passed: Condvar::new() });
        let seats = Mutex::new(seats.into_iter().map(Some).collect::<Vec<_>>());
        let communication = match binary {
            true => Communication::ProcessBinary(count),
            false => Communication::Process(count),
        };
        let config = Config { communication, worker: WorkerConfig::default() };
        let theirs = baton.clone();
        let threads = timely::execute(config, move |worker| {
            let seat = seats.lock().expect("nothing panics under this lock")[worker.index()].take();
            work(worker, seat.expect("each worker sits down once"), &theirs);
        });
        Self { count, baton, threads: Some(threads.expect("threads can be had")) }
    }

    fn step(&self, index: usize) -> Result<(), Fatal> {
        self.baton.pass(Turn::Worker(index), Ok(()));
        let mut table = self.baton.wait(|turn| turn == Turn::Test);
        std::mem::replace(&mut table.answer, Ok(()))
    }
}

fn work(worker: &mut Worker, seat: WorkerSeat, baton: &Baton) {
    let mut seat = seat.sit(worker);
    let (index, hand) = (worker.index(), Hand(baton));
    loop {
        let turn = baton.wait(|turn| [Turn::Worker(index), Turn::Over].contains(&turn)).turn;
        if turn == Turn::Over {
            break;
        }
        let answer = seat.step(worker, None);
        baton.pass(Turn::Test, answer);
    }
    drop(hand);
    // A crash: whatever is under way is dropped as it is.
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.baton.pass(Turn::Over, Ok(()));
        // Joins; a panic of a worker has been told as the answer of its step.
        let _told = self.threads.take().map(WorkerGuards::join);
    }
}
