//! Processes of services: one that dies with us, however we end, and one that outlives us.
//!
//! Both are led by a process group of their own, so that Ctrl-C in the terminal reaches us and not them,
//! and so that a kill takes whatever they started.
//!
//! A [`Process`] carries a parent-death signal. Setting it in the child between fork and exec would need
//! `unsafe`; `setpriv` (util-linux) sets it on itself and then becomes the service, under the same pid.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::packages;

/// How often we look again while waiting for something another process does.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// How many lines of a log an error carries.
const TAIL_LINES: usize = 30;

/// A running service; killed with its process group when dropped or when this process ends.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    ///
    /// # Errors
    /// `setpriv` is not there (the program itself failing shows as an early end), or the log cannot be
    /// written.
    pub fn start(command: &Command, log: &Path) -> Result<Process> {
        let mut guarded = wrapped("setpriv", &["--pdeathsig", "KILL", "--"], command);
        guarded.process_group(0);
        redirect(&mut guarded, log)?;
        let child = spawn(guarded).map_err(|error| packages::not_started("setpriv", error))?;
        Ok(Process { child, log: log.to_owned(), ended: None })
    }

    /// The id of the process and of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("could not ask for a service's end")?;
        }
        Ok(self.ended)
    }

    /// Kills it with SIGKILL and waits until it is gone. Does nothing to one that has ended.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            self.signal(Signal::KILL)?;
            self.ended = Some(self.child.wait().context("could not wait for a killed service")?);
        }
        Ok(())
    }

    /// Asks it to end with SIGTERM, waits for `limit`, then kills it.
    ///
    /// # Errors
    /// It had to be killed, or the system refused.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if self.ended()?.is_none() {
            self.signal(Signal::TERM)?;
        }
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                self.kill()?;
                bail!("a service did not end within {limit:?} and was killed\n{}", tail(&self.log));
            }
            thread::sleep(POLL);
        }
    }

    /// Signals the whole group. Only called while the child is not waited for, when its id cannot have
    /// been given to another process.
    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process_group(group(self.child.id())?, signal)
            .with_context(|| format!("could not signal process group {}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; the parent-death signal is still there.
        drop(self.kill());
    }
}

/// Starts `command` in a session of its own, with both outputs appended to `log`; it goes on when we
/// end. The child's id is that of the service.
///
/// # Errors
/// `setsid` (util-linux) is not there, or the log cannot be written.
pub fn start_detached(command: &Command, log: &Path) -> Result<Child> {
    let mut detached = wrapped("setsid", &["--"], command);
    redirect(&mut detached, log)?;
    detached.spawn().map_err(|error| packages::not_started("setsid", error))
}

/// The last lines of a log, with its path, for an error.
pub fn tail(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return format!("(no log at {})", log.display());
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    let last: Vec<&str> = lines.into_iter().skip(skipped).collect();
    format!("end of {}:\n{}", log.display(), last.join("\n"))
}

/// The process id `raw` as a group to signal.
pub(super) fn group(raw: u32) -> Result<Pid> {
    i32::try_from(raw)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{raw} is not a process id"))
}

/// `command` run by another program that first changes something about itself and then becomes it.
fn wrapped(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// No input, both outputs to the end of `log`.
fn redirect(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("could not open {}", log.display()))?;
    let second = file.try_clone().with_context(|| format!("could not open {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file).stderr(second);
    Ok(())
}

/// A command to start, and where to send what came of it.
type Order = (Command, SyncSender<io::Result<Child>>);

/// Spawns from a thread that lives as long as this process.
///
/// Linux sends the parent-death signal when the *thread* that made the child ends, not the process
/// (prctl(2), `PR_SET_PDEATHSIG`). Each test of a binary runs on a thread of its own: a broker that the
/// first test starts for all would die with that test.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<SyncSender<Order>>> = OnceLock::new();
    let orders = SPAWNER.get_or_init(|| Mutex::new(start_spawner()));
    let (answer, answered) = sync_channel(1);
    orders
        .lock()
        .expect("nothing panics while it holds the lock")
        .send((command, answer))
        .expect("the spawner lives as long as its sender, which is a static");
    answered.recv().expect("the spawner answers every order")
}

fn start_spawner() -> SyncSender<Order> {
    let (sender, orders) = sync_channel::<Order>(0);
    thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for (mut command, answer) in orders {
                // The asker waits for it; if it is gone, the child is killed by its drop.
                drop(answer.send(command.spawn()));
            }
        })
        .expect("a process that cannot start one thread cannot run tests");
    sender
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::folder::Folder;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Waits until the log has a whole line and returns it.
    fn first_line(log: &Path) -> String {
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                return line.to_owned();
            }
            thread::sleep(POLL);
        }
    }

    /// Alive and not a zombie that nobody has waited for.
    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
    }

    fn wait_dead(pid: &str) -> bool {
        let started = Instant::now();
        while alive(pid) {
            if started.elapsed() > Duration::from_secs(20) {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    #[test]
    fn a_kill_takes_the_whole_group() {
        let folder = Folder::make("process").unwrap();
        let log = folder.path().join("log");
        let mut process = Process::start(&shell("sleep 600 & echo $!; wait"), &log).unwrap();
        let grandchild = first_line(&log);
        assert!(alive(&grandchild) && process.ended().unwrap().is_none());
        process.kill().unwrap();
        assert!(process.ended().unwrap().is_some());
        assert!(wait_dead(&grandchild), "{grandchild} survived its group");
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let folder = Folder::make("process").unwrap();
        let log = folder.path().join("log");
        let path = log.clone();
        let mut process =
            thread::spawn(move || Process::start(&shell("echo up; sleep 600"), &path))
                .join()
                .unwrap()
                .unwrap();
        assert_eq!(first_line(&log), "up");
        // A parent-death signal bound to the ended thread would have come before the thread's join
        // returned, and a killed child is seen at once.
        assert!(process.ended().unwrap().is_none());
    }

    /// Not a test by itself: the process that the next test kills.
    #[test]
    fn owner_of_a_process() {
        if let Some(log) = std::env::var_os("WATERSHED_TEST_OWNER_LOG") {
            let log = PathBuf::from(log);
            let mut process = Process::start(&shell("echo $$; exec sleep 600"), &log).unwrap();
            process.child.wait().unwrap();
        }
    }

    #[test]
    fn a_killed_owner_leaves_no_process() {
        let folder = Folder::make("process").unwrap();
        let log = folder.path().join("log");
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "services::process::tests::owner_of_a_process"])
            .env("WATERSHED_TEST_OWNER_LOG", &log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = first_line(&log);
        assert!(alive(&pid));
        owner.kill().unwrap();
        owner.wait().unwrap();
        assert!(wait_dead(&pid), "{pid} survived its killed owner");
    }

    #[test]
    fn terminate_tells_how_it_ended_and_kills_what_does_not_listen() {
        let folder = Folder::make("process").unwrap();
        let log = folder.path().join("log");
        let mut polite =
            Process::start(&shell("trap 'exit 7' TERM; sleep 600 & echo up; wait"), &log).unwrap();
        first_line(&log);
        assert_eq!(polite.terminate(Duration::from_secs(20)).unwrap().code(), Some(7));

        let log = folder.path().join("deaf.log");
        let mut deaf =
            Process::start(&shell("trap '' TERM; echo deaf; while :; do sleep 600; done"), &log)
                .unwrap();
        first_line(&log);
        let error = deaf.terminate(Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("was killed") && error.contains("deaf"), "{error}");
        assert!(deaf.ended().unwrap().is_some());
    }
}
