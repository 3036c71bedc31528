//! The supervisor: a small parent that starts the process again when it dies.
//!
//! ```text
//!  watershed run ─ parent: nothing but this file
//!      └─ watershed --child-of <pid> run: the engine; dies with its parent, whatever kills that
//! ```
//!
//! After a failure it starts the child again: at once, then after 1 s, doubling to 60 s; too many
//! failures in ten minutes and it gives up with code 75. A child that stopped as asked, cannot be
//! configured, or finds its directory in use is not started again. The same operator at fault three
//! times in a row puts its job into quarantine: the child is told to start without it, also by the
//! next supervisor, if this one is killed (`memory`).

mod history;
mod memory;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine::error::exit;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use self::history::{History, Next};
use crate::config::duration::duration_text;
use crate::crash;
use crate::signal::Signals;

/// A second request to stop so much later than the first is meant to end the wait. Sooner it is the
/// same one: a terminal sends its signal to the whole group, `timeout` sends it twice.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// How to supervise.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Failures within ten minutes after which to give up.
    pub(crate) failures_max: usize,
    /// How long a stop may take before the child is killed.
    pub(crate) shutdown_limit: Duration,
    /// Where the child leaves its crash records.
    pub(crate) crash_dir: PathBuf,
    /// Where it is kept who is in quarantine.
    pub(crate) quarantine: PathBuf,
}

/// Makes this process die with its parent, which must be `supervisor`.
pub(crate) fn enter_child(supervisor: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot bind to the supervisor")?;
    // It may have died before the line above, and will then never be heard of.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    anyhow::ensure!(parent == Some(supervisor), "the supervisor {supervisor} is gone");
    Ok(())
}

/// Runs this very program with the same arguments as a child, again and again; answers the exit
/// code once it is over. Blocks; must be called on the main thread, whose end would end the child.
pub(crate) fn supervise(policy: &Policy) -> anyhow::Result<u8> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut history = History::new(policy.failures_max, memory::remembered(&policy.quarantine));
    say_quarantine(&history);
    let begun = Instant::now();
    loop {
        let mut child = start(history.quarantined()).context("cannot start the process")?;
        let pid = child.id();
        let end = watch(&mut child, &mut signals, policy.shutdown_limit)?;
        let code = match end {
            End::Asked(code) => {
                memory::forget(&policy.quarantine);
                return Ok(code);
            }
            End::Own(status) => status,
        };
        if let Some(code @ (exit::STOPPED | exit::CONFIGURATION | exit::IN_USE)) = code_of(code) {
            if code == exit::STOPPED {
                memory::forget(&policy.quarantine);
            }
            return Ok(code);
        }
        let record = crash::record_of_process(&policy.crash_dir, pid);
        let operator = record.as_ref().and_then(|record| {
            let named = record.operator.as_ref().map(|(operator, _epoch)| operator.clone());
            named.or_else(|| history::operator(&record.thread))
        });
        let now_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let known = history.quarantined().len();
        let next = history.failed(now_ms, operator);
        if history.quarantined().len() > known {
            remember(&policy.quarantine, &history);
        }
        report(code, &next, &history);
        match next {
            Next::GiveUp => return Ok(exit::GAVE_UP),
            Next::Restart { after } => {
                if pause(&mut signals, after)? {
                    memory::forget(&policy.quarantine);
                    return Ok(exit::STOPPED);
                }
            }
        }
    }
}

/// The same program, the same arguments, and what tells it that it is the child.
fn start(quarantined: &[String]) -> io::Result<Child> {
    let mut arguments: Vec<OsString> =
        vec!["--child-of".into(), std::process::id().to_string().into()];
    for job in quarantined {
        arguments.extend(["--quarantine".into(), job.into()]);
    }
    let mut own = std::env::args_os();
    let name = own.next().unwrap_or_else(|| "watershed".into());
    arguments.extend(own);
    // Not by its path: that may meanwhile lead to a newer version, which is for the operator to
    // start.
    Command::new("/proc/self/exe").arg0(name).args(arguments).spawn()
}

/// How a child came to its end.
enum End {
    /// We were asked to stop; the exit code.
    Asked(u8),
    /// By itself, or somebody killed it.
    Own(ExitStatus),
}

/// Waits for the end of the child; passes on requests to stop, and enforces the limit.
fn watch(child: &mut Child, signals: &mut Signals, limit: Duration) -> anyhow::Result<End> {
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the process")? {
            return Ok(if asked.is_some() {
                End::Asked(asked_code(status))
            } else {
                End::Own(status)
            });
        }
        let left = asked.map(|at| limit.saturating_sub(at.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return kill(child, &format!("it did not stop within {}", text(limit)));
        }
        if signals.wait(left).context("cannot wait for signals")? {
            match asked {
                Some(at) if at.elapsed() >= IMPATIENCE => return kill(child, "asked twice"),
                Some(_) => {}
                None => {
                    asked = Some(Instant::now());
                    // A child that is just gone needs no signal; the next turn finds its status.
                    let _gone = kill_process(Pid::from_child(child), Signal::TERM);
                }
            }
        }
    }
}

fn kill(child: &mut Child, why: &str) -> anyhow::Result<End> {
    child.kill().context("cannot kill the process")?;
    child.wait().context("cannot wait for the process")?;
    say(&format!("killed the process: {why}; it goes on from its last complete epoch next time"));
    Ok(End::Asked(exit::FAILED))
}

/// A child that had no handler yet ends by our signal: as asked.
fn asked_code(status: ExitStatus) -> u8 {
    let by_ours = status.signal() == Some(Signal::TERM.as_raw())
        || status.signal() == Some(Signal::INT.as_raw());
    if by_ours { exit::STOPPED } else { code_of(status).unwrap_or(exit::FAILED) }
}

fn code_of(status: ExitStatus) -> Option<u8> {
    status.code().and_then(|code| u8::try_from(code).ok())
}

/// Lets `time` pass; answers whether a stop was asked for.
fn pause(signals: &mut Signals, time: Duration) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if signals.wait(Some(left)).context("cannot wait for signals")? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn report(status: ExitStatus, next: &Next, history: &History) {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let then = match next {
        Next::GiveUp => format!("giving up after {} failures in 10m", history.failures()),
        Next::Restart { after } if after.is_zero() => "starting it again".to_owned(),
        Next::Restart { after } => format!("starting it again in {}", text(*after)),
    };
    say(&format!("the process {how}; {then}"));
    say_quarantine(history);
}

fn say_quarantine(history: &History) {
    if !history.quarantined().is_empty() {
        say(&format!("in quarantine after repeated faults: {}", history.quarantined().join(", ")));
    }
}

fn remember(path: &Path, history: &History) {
    if let Err(error) = memory::remember(path, history.quarantined()) {
        say(&format!("could not remember who is in quarantine: {error}"));
    }
}

fn text(time: Duration) -> String {
    duration_text(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::print_stderr, reason = "the supervisor speaks to whoever started it")]
fn say(text: &str) {
    eprintln!("watershed supervisor: {text}");
}
