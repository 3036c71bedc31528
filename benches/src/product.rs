//! The real binary in the hands of a bench: built, started, asked, its engine killed, stopped.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// How long a bench waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(2);

/// A supervisor and its engine. Dropped, both are killed.
pub(crate) struct Product {
    supervisor: Child,
    data: PathBuf,
}

/// The binary beside this one, built as this one was.
fn binary() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || -> Result<PathBuf> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_unset| "cargo".to_owned());
        let built = Command::new(cargo)
            .args(["build", "--release", "-q", "-p", "watershed", "--bin", "watershed"])
            .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
            .status()?;
        ensure!(built.success(), "could not build the binary: {built}");
        let mut path = std::env::current_exe()?;
        path.set_file_name("watershed");
        ensure!(path.exists(), "{} is not there; run with --release", path.display());
        Ok(path)
    };
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

impl Product {
    /// Builds the binary, so that this costs nothing later.
    pub(crate) fn build() -> Result<()> {
        binary().map(|_path| ())
    }

    /// Starts `watershed --data data arguments`; what it says goes to a file beside its data.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Result<Self> {
        let log = File::options().create(true).append(true).open(data.with_extension("log"))?;
        let supervisor = Command::new(binary()?)
            .arg("--data")
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { supervisor, data: data.to_owned() })
    }

    /// The engine that runs now, by its process id.
    pub(crate) fn engine(&self) -> Result<String> {
        let supervisor = self.supervisor.id();
        let path = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = std::fs::read_to_string(path)?;
        let engine = children.split_whitespace().next();
        Ok(engine.context("no engine runs")?.to_owned())
    }

    /// Kills the engine alone: its supervisor starts the next one.
    pub(crate) fn kill_engine(&self) -> Result<()> {
        signal(&self.engine()?, "KILL")
    }

    /// What `watershed status` says.
    pub(crate) fn status(&self) -> Result<String> {
        let output =
            Command::new(binary()?).arg("--data").arg(&self.data).arg("status").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Visible records of an embedded topic; `None` while nobody answers.
    pub(crate) fn visible(&self, topic: &str) -> Option<u64> {
        let mut stream = UnixStream::connect(self.data.join("control.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"{\"request\":\"topics\"}\n").ok()?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).ok()?;
        Some(next_offsets(&answer, topic))
    }

    /// Waits until more than `before` records of a topic are visible; answers how many.
    pub(crate) fn await_more(&mut self, topic: &str, before: u64) -> Result<u64> {
        let begun = Instant::now();
        loop {
            if let Some(records) = self.visible(topic).filter(|records| *records > before) {
                return Ok(records);
            }
            if let Some(status) = self.supervisor.try_wait()? {
                bail!("watershed ended with {status}: {}", self.said());
            }
            ensure!(begun.elapsed() < PATIENCE, "not more than {before} records of {topic}");
            std::thread::park_timeout(LOOK);
        }
    }

    /// The end of what it said.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        signal(&self.supervisor.id().to_string(), "TERM")?;
        let status = self.supervisor.wait()?;
        ensure!(status.success(), "watershed ended with {status}: {}", self.said());
        Ok(())
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // It has ended where all went well.
        let _gone = self.supervisor.kill();
        let _gone = self.supervisor.wait();
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(process: &str, name: &str) -> Result<()> {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process).status()?;
    ensure!(sent.success(), "no process {process}");
    Ok(())
}

/// The sum over the partitions of a topic in an answer of the control socket.
fn next_offsets(answer: &str, topic: &str) -> u64 {
    let name = format!("\"topic\":\"{topic}\"");
    let of = answer.split('}').filter(|partition| partition.contains(&name));
    let next = |partition: &str| {
        let (_, number) = partition.split_once("\"next_offset\":")?;
        number.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    of.filter_map(next).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_a_topic_are_added() {
        let answer = r#"{"topics":[{"file":0,"next_offset":5,"partition":0,"topic":"a"},{"topic":"a","partition":1,"next_offset":7,"file":9},{"next_offset":50,"topic":"ab"}]}"#;
        assert_eq!(next_offsets(answer, "a"), 12);
        assert_eq!(next_offsets(answer, "b"), 0);
    }
}
