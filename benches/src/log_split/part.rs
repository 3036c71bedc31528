//! One part of the bench, in a process of its own: its figures go to the parent as one line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use jobs::dwd::log_split::{NAME, TOPICS};
use jobs::outside::dead_topic;

use super::{floor, whole};
use crate::usage::Used;

/// The hidden command.
pub(crate) const COMMAND: &str = "log_split-part";

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Clients without an engine.
    Floor,
    /// The job.
    Watershed,
}

/// What a part is given.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Which it is.
    pub(crate) kind: Kind,
    /// Address of the broker.
    pub(crate) bootstrap: String,
    /// Topic to read.
    pub(crate) input: String,
    /// Begins the names of its topics.
    pub(crate) prefix: String,
    /// Records in `input`.
    pub(crate) records: u32,
    /// The plan of the floor, or where the state of the job is to lie.
    pub(crate) dir: PathBuf,
}

/// What a part has used, and the number of its outputs as far as it knows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) used: Used,
    pub(crate) records_out: Option<u64>,
}

impl Kind {
    /// In the table, and in the hidden command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Watershed => "watershed",
        }
    }
}

/// Names of the topics a part writes and that are compared.
pub(crate) fn outputs(prefix: &str) -> Vec<String> {
    let dead = dead_topic(NAME);
    let names = TOPICS.iter().copied().chain([dead.as_str()]);
    names.map(|name| format!("{prefix}{name}")).collect()
}

impl Setup {
    /// Runs it in a child process.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let child = Command::new(std::env::current_exe()?)
            .args([COMMAND, self.kind.name(), &self.bootstrap, &self.input, &self.prefix])
            .arg(self.records.to_string())
            .arg(&self.dir)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(child.status.success(), "the {} ended with {}", self.kind.name(), child.status);
        let line = String::from_utf8(child.stdout)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [seconds, cpu_seconds, peak_rss_bytes, records_out] = words[..] else {
            bail!("the {} said {line:?}", self.kind.name());
        };
        let used = Used {
            seconds: seconds.parse()?,
            cpu_seconds: cpu_seconds.parse()?,
            peak_rss_bytes: peak_rss_bytes.parse()?,
        };
        Ok(Outcome { used, records_out: records_out.parse().ok() })
    }
}

/// Does the work in this process and prints the figures.
pub(crate) fn work(words: &[&str]) -> Result<()> {
    let [kind, bootstrap, input, prefix, records, dir] = words[..] else {
        bail!("{COMMAND} is not for people");
    };
    let (records, dir) = (records.parse().context("a number of records")?, Path::new(dir));
    let (used, records_out) = if kind == Kind::Floor.name() {
        (floor::run(bootstrap, input, &outputs(prefix), records, dir)?, None)
    } else {
        let (used, records_out) = whole::run(bootstrap, input, prefix, records, dir)?;
        (used, Some(records_out))
    };
    let Used { seconds, cpu_seconds, peak_rss_bytes } = used;
    let records_out = records_out.map_or("-".to_owned(), |records| records.to_string());
    println!("{seconds} {cpu_seconds} {peak_rss_bytes} {records_out}");
    Ok(())
}
