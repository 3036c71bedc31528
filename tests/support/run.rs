//! A `watershed run` of a test: a job file in a folder of its own, started, killed, stopped.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The process and its folder. Killed when dropped; its log is shown if the test fails.
pub(crate) struct Run {
    folder: tempfile::TempDir,
    process: Option<Child>,
    environment: (&'static str, &'static str),
}

impl Run {
    /// Writes the job file; nothing is started. The process will have this variable.
    pub(crate) fn new(jobs: &str, environment: (&'static str, &'static str)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("jobs.toml"), jobs).expect("a writable folder");
        Self { folder, process: None, environment }
    }

    /// The folder of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Starts supervisor and engine, with these worker threads.
    pub(crate) fn start(&mut self, workers: usize) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("log"))
            .expect("a writable folder");
        let process = Command::new(env!("CARGO_BIN_EXE_watershed"))
            .arg("--data")
            .arg(self.data())
            .args(["run", "--workers", &workers.to_string()])
            .arg(self.folder().join("jobs.toml"))
            .env(self.environment.0, self.environment.1)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        self.process = Some(process.expect("the binary starts"));
    }

    fn supervisor(&self) -> u32 {
        self.process.as_ref().expect("started").id()
    }

    /// Kills the engine alone, if there is one at this moment: its supervisor starts the next.
    pub(crate) fn kill_engine(&self) -> bool {
        let parent = self.supervisor();
        let path = format!("/proc/{parent}/task/{parent}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let engine = text.split_whitespace().find_map(|pid| pid.parse().ok());
        engine.is_some_and(|engine| signal(engine, Signal::KILL))
    }

    /// Kills the supervisor, whose death takes the engine along.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("started");
        process.kill().expect("it is ours");
        process.wait().expect("it was killed");
    }

    /// Asks for a stop and waits for it.
    pub(crate) fn stop(&mut self) {
        signal(self.supervisor(), Signal::TERM);
        let mut process = self.process.take().expect("started");
        let status = process.wait().expect("it is ours");
        assert!(status.success(), "stopped with {status}:\n{}", self.log());
    }

    /// The last lines it said.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have ended a moment ago: that is what a random instant means.
    kill_process(pid, signal).is_ok()
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _already_gone = process.kill();
            let _already_gone = process.wait();
        }
        if std::thread::panicking() {
            let _unprinted = writeln!(std::io::stderr(), "--- log of watershed\n{}", self.log());
        }
    }
}
