//! Three real Kafka brokers that stand in for each other.
//!
//! Every topic has three replicas, of which two must have a record before it is acknowledged; likewise
//! the topics of transactions and of consumer groups. Any one of them may be killed: leaders move within
//! 2 to 4 s. With two gone nothing is acknowledged until one is back.

use anyhow::Result;

use super::kafka::{Broker, Options};
use super::ports::Port;

/// How many.
pub const BROKERS: usize = 3;

/// What differs from a lone broker: replicas, and short patience with a member that is gone
/// (Kafka's own defaults wait for 9 to 30 s).
const PROPERTIES: [(&str, &str); 12] = [
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("transaction.state.log.num.partitions", "3"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("controller.quorum.election.backoff.max.ms", "200"),
    ("replica.lag.time.max.ms", "3000"),
];

/// A running cluster; all of it goes when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
}

impl Cluster {
    /// Starts it and returns when every broker knows of all: 3 to 5 s, 430 MB.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start() -> Result<Cluster> {
        let ports: Vec<[Port; 2]> =
            (0..BROKERS).map(|_| Ok([Port::take()?, Port::take()?])).collect::<Result<_>>()?;
        let voter =
            |(id, ports): (usize, &[Port; 2])| format!("{id}@127.0.0.1:{}", ports[1].number());
        let voters: Vec<String> = (1..).zip(&ports).map(voter).collect();
        let mut brokers = Vec::new();
        for (id, ports) in (1..).zip(ports) {
            let common = PROPERTIES
                .iter()
                .fold(Options::default(), |options, (key, value)| options.with(key, value));
            let options = common
                .with("node.id", &id.to_string())
                .with("controller.quorum.voters", &voters.join(","));
            brokers.push(Broker::prepare(&options, ports, Some(id))?);
        }
        let mut cluster = Cluster { brokers };
        cluster.brokers.iter_mut().try_for_each(Broker::launch)?;
        cluster.wait()?;
        Ok(cluster)
    }

    /// Where clients connect: all brokers, whether they run or not.
    pub fn bootstrap(&self) -> String {
        self.brokers.iter().map(Broker::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// One of them, from 0.
    pub fn broker(&self, index: usize) -> &Broker {
        &self.brokers[index]
    }

    /// Kills one with SIGKILL, from 0.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.brokers[index].kill()
    }

    /// Starts those again that were killed, and returns when every broker knows of all.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn mend(&mut self) -> Result<()> {
        self.brokers
            .iter_mut()
            .filter(|broker| broker.pid().is_none())
            .try_for_each(Broker::launch)?;
        self.wait()
    }

    /// Starts one again, from 0, and returns when it knows of all that run.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_again(&mut self, index: usize) -> Result<()> {
        self.brokers[index].launch()?;
        let running = self.brokers.iter().filter(|broker| broker.pid().is_some()).count();
        self.brokers[index].wait(u32::try_from(running).expect("at most three"))
    }

    fn wait(&mut self) -> Result<()> {
        let all = u32::try_from(BROKERS).expect("three");
        self.brokers.iter_mut().try_for_each(|broker| broker.wait(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::offline;

    #[test]
    fn a_cluster_starts_and_is_mended() {
        if offline() {
            return;
        }
        let mut cluster = Cluster::start().unwrap();
        let bootstrap = cluster.bootstrap();
        assert_eq!(bootstrap.split(',').count(), BROKERS);
        cluster.kill(1).unwrap();
        assert_eq!(cluster.broker(1).pid(), None);
        cluster.mend().unwrap();
        assert!(cluster.broker(1).pid().is_some());
        assert_eq!(cluster.bootstrap(), bootstrap);
    }
}
