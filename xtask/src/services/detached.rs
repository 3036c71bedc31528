//! A broker for people: `cargo xtask services up kafka` starts it, it outlives the command.
//!
//! ```text
//! <cache>/run/kafka/pid     process id; the broker runs if that process has our properties file in its
//!                           command line (a number alone may have been given to another process)
//!                   ports   client and controller port, kept over restarts
//!                   server.properties  data/  log
//! ```
//!
//! Tests never use it: their brokers die with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process_group};

use super::folder::lock;
use super::install::{Installation, install};
use super::java::{self, Archive};
use super::kafka::Purpose;
use super::node::{self, Node};
use super::ports::Port;
use super::process::{POLL, group, start_detached, tail};
use super::version::Version;
use super::{STOP_LIMIT, cache, ready};

/// A broker that was started for a person.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Where clients connect: `127.0.0.1:<port>`.
    pub bootstrap: String,
    /// Its log file.
    pub log: PathBuf,
}

/// Starts the broker, or finds it running. Data and ports are those of the last time.
///
/// # Errors
/// As [`Broker::start`](super::kafka::Broker::start).
pub fn up(version: &Version, progress: &dyn Fn(&str)) -> Result<Running> {
    let installation = install(version, progress)?;
    let folder = folder(version)?;
    let _turn = lock(&folder.join("lock"))?;
    if let Some(running) = find(&folder) {
        return Ok(running);
    }
    let ports = ports(&folder)?;
    let numbers = [ports[0].number(), ports[1].number()];
    let node = Node::prepare(&folder, numbers, &[], &installation)?;
    node::write(&folder.join("ports"), &format!("{} {}\n", numbers[0], numbers[1]))?;
    start(&node, &installation)?;
    find(&folder).with_context(|| format!("kafka ended; {}", tail(&node.log())))
}

/// Stops the broker; whether it ran. Its data stays.
///
/// # Errors
/// It did not end within [`STOP_LIMIT`] and was killed, or the system refused.
pub fn down(version: &Version) -> Result<bool> {
    let folder = folder(version)?;
    let _turn = lock(&folder.join("lock"))?;
    let Some(running) = find(&folder) else {
        return Ok(false);
    };
    signal(running.pid, Signal::TERM)?;
    let started = Instant::now();
    while find(&folder).is_some() {
        if started.elapsed() > STOP_LIMIT {
            signal(running.pid, Signal::KILL)?;
            bail!("kafka did not end within {STOP_LIMIT:?} and was killed");
        }
        std::thread::sleep(POLL);
    }
    Ok(true)
}

/// The broker, if it runs.
///
/// # Errors
/// The folder of services cannot be made.
pub fn status(version: &Version) -> Result<Option<Running>> {
    Ok(find(&folder(version)?))
}

fn start(node: &Node, installation: &Installation) -> Result<()> {
    let command = java::broker(installation, Purpose::Test, Archive::Use, &node.properties());
    let mut child = start_detached(&command, &node.log())?;
    let pid = child.id();
    // Before the wait: should we be interrupted in it, `down` still finds the broker.
    node::write(&node.properties().with_file_name("pid"), &format!("{pid}\n"))?;
    let waited = ready::wait(node.client_port(), 1, &node.log(), || {
        Ok(child.try_wait().context("could not ask for kafka's end")?.map(|end| end.to_string()))
    });
    if waited.is_err() {
        // It may still run without answering: nobody would find it later.
        drop(signal(pid, Signal::KILL));
    }
    waited
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    kill_process_group(group(pid)?, signal)
        .with_context(|| format!("could not signal process group {pid}"))
}

/// `<cache>/run/kafka`, made if need be; each other version has a folder of its own, since it may not
/// understand the data.
fn folder(version: &Version) -> Result<PathBuf> {
    let name = match *version == Version::newest() {
        true => "kafka".to_owned(),
        false => format!("kafka-{version}"),
    };
    let folder = cache().join("run").join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| folder.canonicalize())
        .with_context(|| format!("could not make {}", folder.display()))
}

/// Reads pid and ports and looks whether that process is our broker.
fn find(folder: &Path) -> Option<Running> {
    let pid = read_numbers::<u32>(&folder.join("pid")).first().copied()?;
    let port = read_numbers::<u16>(&folder.join("ports")).first().copied()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let properties = folder.join("server.properties");
    let ours = words
        .split(|byte| *byte == 0)
        .any(|word| word == properties.as_os_str().as_encoded_bytes());
    ours.then(|| Running { pid, bootstrap: format!("127.0.0.1:{port}"), log: folder.join("log") })
}

/// The ports of the last time if both are still free, else new ones.
fn ports(folder: &Path) -> Result<[Port; 2]> {
    if let [client, controller] = read_numbers::<u16>(&folder.join("ports"))[..]
        && let (Some(client), Some(controller)) =
            (Port::try_take(client)?, Port::try_take(controller)?)
    {
        return Ok([client, controller]);
    }
    Ok([Port::take()?, Port::take()?])
}

/// The numbers in a small file; none if it is not there.
fn read_numbers<N: std::str::FromStr>(path: &Path) -> Vec<N> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
