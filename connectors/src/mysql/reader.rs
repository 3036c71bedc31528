//! The thread beside: connects, takes the snapshot, follows the log, and begins again when that fails.
//!
//! Nothing here is seen by the engine but what goes through the queue. An attempt is a task of its own,
//! because `mysql_common` panics on some malformed events: a panic there is a broken connection
//! (capture.md 8.4-5), and [`is_reading`] says so to a process that would end otherwise.

use std::cell::Cell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use engine::error::Fault;
use tokio::time::{Instant, sleep};

use super::config::{MysqlTableConfig, OnLostPosition};
use super::envelope::Envelopes;
use super::follow::{Follower, Handover};
use super::patience::{Attempt, Next, Patience};
use super::position::{At, Mark};
use super::queue::Outlet;
use super::resume;
use super::session::{Server, Session};
use super::snapshot::snapshot;
use super::trouble::Trouble;

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread that reads a log, where a panic is caught and taken for a broken
/// connection. A panic hook that ends the process should ask.
pub fn is_reading() -> bool {
    READING.get()
}

/// What an attempt needs.
#[derive(Clone)]
struct Task {
    config: Arc<MysqlTableConfig>,
    server_id: u32,
    handover: Handover,
    envelopes: Envelopes,
    /// Milliseconds since 1970 as the engine told last.
    clock: Arc<AtomicI64>,
}

/// Starts the thread. It ends when the other end of `outlet` is dropped.
pub(super) fn start(
    config: Arc<MysqlTableConfig>,
    mark: Mark,
    outlet: Outlet,
    clock: Arc<AtomicI64>,
) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let not_started = |error| Fault::later(format!("could not start a reader of mysql: {error}"));
    let runtime = runtime.map_err(not_started)?;
    let envelopes = Envelopes::new(&config.database, &config.table);
    let server_id = config.server_id.unwrap_or_else(random_id);
    let task = Task { config, server_id, handover: Handover::new(outlet, mark), envelopes, clock };
    let thread = std::thread::Builder::new().name("mysql reader".to_owned());
    let started = thread.spawn(move || {
        READING.set(true);
        runtime.block_on(until_closed(&task));
        // Looking up a name may still be waiting for an answer nobody needs.
        runtime.shutdown_background();
    });
    started.map(|_thread| ()).map_err(not_started)
}

/// An id that hardly anybody has chosen by hand.
fn random_id() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    let low = u32::try_from(random & 0x3fff_ffff).expect("30 bits");
    (1 << 30) | low
}

async fn until_closed(task: &Task) {
    let mut closed = pin!(task.handover.closed());
    let mut work = pin!(keep_reading(task));
    std::future::poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => work.as_mut().poll(cx),
    })
    .await;
}

/// One attempt after the other.
async fn keep_reading(task: &Task) {
    let mut patience = Patience::default();
    let source = task.config.describe();
    loop {
        let attempt = try_once(task).await;
        let told = match patience.after(attempt, &source, task.server_id) {
            Next::End => return,
            Next::Stop(fault) => {
                drop(task.handover.tell(fault).await);
                return;
            }
            Next::Again(fault, pause) => {
                let told = task.handover.tell(fault).await;
                sleep(pause).await;
                told
            }
            Next::Lost(reason) => match lost(task, &source, &reason).await {
                Ok(()) => Ok(()),
                Err(_stopped) => return,
            },
        };
        if told.is_err() {
            return;
        }
    }
}

/// An attempt in a task of its own, and how it went.
async fn try_once(task: &Task) -> Attempt {
    let before = task.handover.mark();
    let streaming = Arc::new(OnceLock::new());
    let reading = tokio::spawn(read(task.clone(), streaming.clone()));
    let trouble = match reading.await {
        Ok(trouble) => trouble,
        Err(error) if error.is_panic() => {
            Trouble::Broken("could not read an event: its decoder gave up".to_owned())
        }
        Err(_cancelled) => Trouble::Closed,
    };
    let streamed = streaming.get().map(Instant::elapsed);
    Attempt { trouble, moved: task.handover.mark() != before, streamed }
}

/// Reads until that fails; says when the log begins to stream.
async fn read(task: Task, streaming: Arc<OnceLock<Instant>>) -> Trouble {
    match read_on(&task, &streaming).await {
        Ok(()) => Trouble::Closed,
        Err(trouble) => trouble,
    }
}

async fn read_on(task: &Task, streaming: &OnceLock<Instant>) -> Result<(), Trouble> {
    let config = &task.config;
    let mut session = Session::connect(config).await?;
    let server = session.server(config).await?;
    if let Some(at) = &task.handover.mark().at {
        resume::check(&mut session, &server, at).await?;
    } else {
        take_snapshot(task, &server).await?;
    }
    drop(session);
    let at = task.handover.mark().at.expect("the snapshot is whole");
    let Task { server_id, handover, envelopes, .. } = task;
    let mut follower =
        Follower::begin(config, &server, *server_id, handover, envelopes, at).await?;
    streaming.get_or_init(Instant::now);
    follower.run(config.heartbeat_timeout).await
}

async fn take_snapshot(task: &Task, server: &Server) -> Result<(), Trouble> {
    let snapshot = snapshot(&task.config, server, task.server_id).await?;
    let read_ms = task.clock.load(Ordering::Relaxed);
    let records = snapshot.rows.iter().map(|row| task.envelopes.read(row, read_ms)).collect();
    let at = At {
        flavour: server.flavour,
        server: server.id.clone(),
        place: snapshot.place,
        table: Some(snapshot.table),
    };
    task.handover.give(records, at).await
}

/// Tells that the position is lost; whether to go on with a new snapshot.
async fn lost(task: &Task, source: &str, reason: &str) -> Result<(), Trouble> {
    let mark = task.handover.mark();
    let saved = mark.at.map_or("?".to_owned(), |at| {
        format!("{}:{} {}", at.place.file, at.place.offset, at.place.gtids)
    });
    let oldest = oldest_file(&task.config).await.unwrap_or_else(|_silent| "unknown".to_owned());
    let message = format!(
        "{source}: binlog position lost: {reason}; wanted {}, the oldest file is {oldest}",
        saved.trim_end()
    );
    match task.config.on_lost_position {
        OnLostPosition::Stop => {
            let hint =
                "start afresh, or set on_lost_position to \"snapshot\" to read the table again";
            task.handover.tell(Fault::never(message).with_hint(hint)).await?;
            Err(Trouble::Closed)
        }
        OnLostPosition::Snapshot => {
            task.handover.forget_place();
            let fault = Fault::later(message).with_hint("going on with a new snapshot");
            task.handover.tell(fault).await
        }
    }
}

async fn oldest_file(config: &MysqlTableConfig) -> Result<String, Trouble> {
    let files = Session::connect(config).await?.log_files().await?;
    files.into_iter().next().map(|(file, _)| file).ok_or_else(|| Trouble::odd("the log files"))
}
