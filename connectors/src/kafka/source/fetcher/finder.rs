//! Who leads the partitions, and a connection to each leader: found out on a thread beside, because
//! looking up names, connecting and the first questions wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use engine::error::Fault;

use crate::kafka::wire::address::Address;
use crate::kafka::wire::api::{NEEDED_TO_READ, TOPIC_IDS};
use crate::kafka::wire::connection::Connection;
use crate::kafka::wire::connection::polled::PolledConnection;
use crate::kafka::wire::failure::{Failure, Patience, Stopped};
use crate::kafka::wire::message::topic_id::{self, Cluster, Named};

/// How long one broker may take until it is connected and has answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What to find out.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) topics: Vec<String>,
    /// Leaders that are connected.
    pub(super) connected: Vec<(i32, Address)>,
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) topics: Vec<Named>,
    /// Connections to leaders that were not connected.
    pub(super) opened: Vec<(i32, PolledConnection)>,
    /// Why there is none to some leader.
    pub(super) failed: Option<Failure>,
}

/// The thread beside; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Finder {
    searches: Sender<Search>,
    found: Receiver<Result<Found, Failure>>,
    closed: Arc<AtomicBool>,
}

impl Finder {
    /// Starts the thread, which first asks one of these brokers.
    pub(super) fn start(bootstrap: Vec<Address>, client: String) -> Result<Self, Fault> {
        let (searches, asked) = channel();
        let (answer, found) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&closed);
        let stopped: Stopped = Arc::new(move || stop.load(Ordering::Relaxed));
        let mut seeker =
            Seeker { brokers: bootstrap.clone(), bootstrap, client, stopped, at: None };
        std::thread::Builder::new()
            .name("kafka leaders".to_owned())
            .spawn(move || {
                for search in asked {
                    if answer.send(seeker.find(&search)).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Fault::later(format!("could not start a thread: {error}")))?;
        Ok(Self { searches, found, closed })
    }

    /// Begins a search; true if an answer will come.
    pub(super) fn search(&self, search: Search) -> bool {
        self.searches.send(search).is_ok()
    }

    /// What came of the oldest search, if that is known by now.
    pub(super) fn found(&self) -> Option<Result<Found, Failure>> {
        self.found.try_recv().ok()
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

struct Seeker {
    bootstrap: Vec<Address>,
    /// The brokers last heard of, then those of the bootstrap.
    brokers: Vec<Address>,
    client: String,
    stopped: Stopped,
    /// Whom the last question went to.
    at: Option<Connection>,
}

impl Seeker {
    fn find(&mut self, search: &Search) -> Result<Found, Failure> {
        let Cluster { brokers, topics } = self.cluster(&search.topics)?;
        let leads = |node: &i32| {
            topics.iter().flat_map(|topic| &topic.partitions).any(|(_, leader)| leader == node)
        };
        let missing = brokers.iter().filter(|broker| leads(&broker.0));
        let missing = missing.filter(|broker| !search.connected.contains(broker));
        let (mut opened, mut failed) = (Vec::new(), None);
        for (node, address) in missing {
            match self.open(address).and_then(Connection::polled) {
                Ok(connection) => opened.push((*node, connection)),
                Err(failure) => failed = Some(failure),
            }
        }
        self.brokers = brokers.into_iter().map(|(_, address)| address).collect();
        self.brokers.extend(self.bootstrap.iter().cloned());
        Ok(Found { topics, opened, failed })
    }

    /// What the first broker says that answers.
    fn cluster(&mut self, topics: &[String]) -> Result<Cluster, Failure> {
        if let Some(connection) = self.at.take().filter(Connection::is_open)
            && let Ok(cluster) = self.ask(connection, topics)
        {
            return Ok(cluster);
        }
        let mut last = Failure::Stopped;
        for broker in self.brokers.clone() {
            match self.open(&broker).and_then(|connection| self.ask(connection, topics)) {
                Ok(cluster) => return Ok(cluster),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn ask(&mut self, mut connection: Connection, topics: &[String]) -> Result<Cluster, Failure> {
        let write = |body: &mut Vec<u8>| topic_id::write(body, topics);
        let answer = connection.ask(&TOPIC_IDS, &self.patience(), write, topic_id::read)?;
        self.at = Some(connection);
        Ok(answer)
    }

    fn open(&self, address: &Address) -> Result<Connection, Failure> {
        Connection::open_for(&NEEDED_TO_READ, address, &self.client, &self.patience())
    }

    fn patience(&self) -> Patience {
        Patience::new(ANSWER_LIMIT, &self.stopped)
    }
}
