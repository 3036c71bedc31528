//! A real Kafka broker in the hands of a test.
//!
//! ```no_run
//! use xtask::services::kafka::{Broker, Options};
//!
//! # fn main() -> anyhow::Result<()> {
//! let shared = Broker::shared(); // most tests: one broker for the run, unique topic names
//! let servers = shared.bootstrap();
//!
//! let mut own = Broker::start(&Options::default())?; // a test that kills it owns it
//! own.kill()?;
//! own.restart()?;
//! # Ok(()) }
//! ```
//!
//! Facts to know (all of 4.3.1): acknowledged records and even an open transaction survive [`Broker::kill`];
//! a killed broker comes back 2 s later than a stopped one, when its old session has run out; a topic must
//! be made before it is used.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::folder::Folder;
use super::install::{Installation, install};
use super::java::{self, Archive};
use super::node::Node;
use super::ports::Port;
use super::process::Process;
use super::version::Version;
use super::{STOP_LIMIT, ready, to_terminal};

/// What a broker is for, which decides its JVM's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Starts quickly, stays small (143 MB).
    #[default]
    Test,
    /// Full speed after warming up: both compilers, 512 MB of heap, more threads.
    Measure,
}

/// How to start a broker.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What it is for.
    pub purpose: Purpose,
    /// Which Kafka it is.
    pub version: Version,
    /// Broker properties on top of the template's, which they override.
    pub properties: Vec<(String, String)>,
}

impl Options {
    /// For benches: as [`Purpose::Measure`] says.
    pub fn measure() -> Options {
        Options { purpose: Purpose::Measure, ..Options::default() }
            .with("num.network.threads", "2")
            .with("num.io.threads", "4")
    }

    /// A broker of another version than all others are.
    pub fn of(version: Version) -> Options {
        Options { version, ..Options::default() }
    }

    /// Adds a broker property.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Options {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// One running (or killed) broker with its own ports and data; all of it goes when this is dropped.
#[derive(Debug)]
pub struct Broker {
    // Fields are dropped in this order: the process before its data, the ports last.
    process: Option<Process>,
    node: Node,
    purpose: Purpose,
    installation: Installation,
    _folder: Folder,
    _ports: [Port; 2],
}

impl Broker {
    /// Starts a broker on free ports and returns when it answers: 1 s on a quiet machine, plus the
    /// installation the first time ever (told on the terminal).
    ///
    /// # Errors
    /// It could not be installed, ended by itself, or did not answer within
    /// [`READY_LIMIT`](super::READY_LIMIT); with the end of its log.
    pub fn start(options: &Options) -> Result<Broker> {
        let ports = [Port::take()?, Port::take()?];
        let mut broker = Broker::prepare(options, ports, None)?;
        broker.restart()?;
        Ok(broker)
    }

    /// One that does not run yet, as this member of a cluster if it is one.
    pub(super) fn prepare(
        options: &Options,
        ports: [Port; 2],
        member: Option<usize>,
    ) -> Result<Broker> {
        let installation = install(&options.version, &to_terminal)?;
        let folder = Folder::make("kafka")?;
        let numbers = [ports[0].number(), ports[1].number()];
        let node = Node::prepare(folder.path(), numbers, &options.properties, &installation)?;
        if let Some(member) = member {
            node.join(member)?;
        }
        Ok(Broker {
            process: None,
            node,
            purpose: options.purpose,
            installation,
            _folder: folder,
            _ports: ports,
        })
    }

    /// The broker all tests of a binary share, started by the first that asks. Use names of your own for
    /// topics and transactional ids. It cannot be killed or restarted through this; it dies with the
    /// process (parent-death signal, since statics are never dropped).
    ///
    /// # Panics
    /// If it could not be started, with the reason, in every test that asks: a service that cannot be
    /// brought up is a failed test.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| {
            Broker::start(&Options::default()).map_err(|error| format!("{error:#}"))
        });
        match started {
            Ok(broker) => broker,
            Err(reason) => panic!("could not start the shared Kafka broker: {reason}"),
        }
    }

    /// Where clients connect: `127.0.0.1:<port>`, the same over restarts.
    pub fn bootstrap(&self) -> String {
        self.node.bootstrap()
    }

    /// The broker's log file, over all its starts.
    pub fn log(&self) -> PathBuf {
        self.node.log()
    }

    /// The id of its process, while it runs: for reading its memory and processor time.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills it with SIGKILL. Its data and ports stay; a killed or stopped broker stays as it is.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order (SIGTERM, 0.3 s). Its data and ports stay.
    ///
    /// # Errors
    /// It had to be killed after [`STOP_LIMIT`].
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            // Java's exit status after SIGTERM is 143: how it ended says nothing.
            process.terminate(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Starts it again on the same data and ports and returns when it answers; one that still runs is
    /// killed first. 1.2-1.5 s after [`stop`](Broker::stop), 3.4-3.8 s after [`kill`](Broker::kill).
    ///
    /// # Errors
    /// As [`start`](Broker::start).
    pub fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.wait(1)
    }

    /// Starts it without waiting.
    pub(super) fn launch(&mut self) -> Result<()> {
        self.kill()?;
        let properties = self.node.properties();
        let command = java::broker(&self.installation, self.purpose, Archive::Use, &properties);
        self.process = Some(Process::start(&command, &self.node.log())?);
        Ok(())
    }

    /// Waits until it answers and knows of so many brokers; one that does not is killed.
    pub(super) fn wait(&mut self, brokers: u32) -> Result<()> {
        let mut process = self.process.take().context("a broker that was launched")?;
        ready::wait(self.node.client_port(), brokers, &self.node.log(), || {
            Ok(process.ended()?.map(|status| status.to_string()))
        })
        .context("could not start a Kafka broker")?;
        self.process = Some(process);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::services::offline;

    #[test]
    fn a_broker_starts_is_killed_restarts_and_stops() {
        if offline() {
            return;
        }
        let mut broker = Broker::start(&Options::default()).unwrap();
        let (first, bootstrap) = (broker.pid().unwrap(), broker.bootstrap());
        broker.kill().unwrap();
        assert_eq!(broker.pid(), None);
        let started = Instant::now();
        broker.restart().unwrap();
        println!("restart after a kill: {:?}", started.elapsed());
        assert_ne!(broker.pid().unwrap(), first);
        assert_eq!(broker.bootstrap(), bootstrap);
        broker.stop().unwrap();
        let started = Instant::now();
        broker.restart().unwrap();
        println!("restart after a stop: {:?}", started.elapsed());
        let folder = broker.log().parent().unwrap().to_owned();
        drop(broker);
        assert!(!folder.exists());
    }

    #[test]
    fn two_brokers_stand_side_by_side() {
        if offline() {
            return;
        }
        let own = Broker::start(&Options::default()).unwrap();
        assert_ne!(own.bootstrap(), Broker::shared().bootstrap());
    }

    #[test]
    fn a_broker_that_cannot_start_says_why() {
        if offline() {
            return;
        }
        let wrong = Options::default().with("log.retention.hours", "many");
        let text = format!("{:#}", Broker::start(&wrong).unwrap_err());
        assert!(text.contains("ended before it was ready") && text.contains("many"), "{text}");
    }
}
