//! Connections to the brokers that lead partitions, and what is under way there.
//!
//! Invariant: the batches of one partition go over one connection, in order, and a broker takes the
//! requests of a connection one after the other; so the numbers of their records arrive in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::batches::Sealed;
use super::{Refusal, Settings};
use crate::kafka::wire::address::Address;
use crate::kafka::wire::api::PRODUCE;
use crate::kafka::wire::bytes::Garbled;
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::connection::Connection;
use crate::kafka::wire::failure::{Failure, Patience};
use crate::kafka::wire::message::produce::{self, Written};

/// Requests without answer on one connection: as many as brokers remember of a producer.
const UNDER_WAY_MAX: usize = 5;

/// All leaders.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    addresses: BTreeMap<i32, Address>,
    open: BTreeMap<i32, Leader>,
}

#[derive(Debug)]
struct Leader {
    connection: Connection,
    /// Of each request under way, what is in it.
    sent: VecDeque<Vec<Sent>>,
}

/// A batch under way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    topic: Arc<str>,
    partition: i32,
    /// Key and value of the largest record.
    largest: usize,
}

impl Leaders {
    /// Where brokers are now.
    pub(super) fn learn(&mut self, brokers: Vec<(i32, Address)>) {
        let addresses: BTreeMap<i32, Address> = brokers.into_iter().collect();
        self.open.retain(|node, _| self.addresses.get(node) == addresses.get(node));
        self.addresses = addresses;
    }

    /// Lets go of connections that their brokers have closed; whether there were any.
    pub(super) fn let_go_of_closed(&mut self) -> bool {
        let before = self.open.len();
        self.open.retain(|_, leader| leader.connection.is_open());
        self.open.len() < before
    }

    /// Connects to a leader if need be, and waits until it has room for one more request.
    pub(super) fn make_room(
        &mut self,
        node: i32,
        settings: &Settings,
        patience: &Patience,
    ) -> Result<(), Refusal> {
        let closed = |leader: &Leader| leader.sent.is_empty() && !leader.connection.is_open();
        if self.open.get(&node).is_none_or(closed) {
            let address = self.addresses.get(&node);
            let address = address.ok_or(Failure::Refused(ErrorCode::LEADER_NOT_AVAILABLE))?;
            let connection = Connection::open(address, &settings.client, patience)?;
            self.open.insert(node, Leader { connection, sent: VecDeque::new() });
        }
        let leader = self.leader(node);
        while leader.connection.under_way() >= UNDER_WAY_MAX {
            leader.receive(patience)?;
        }
        Ok(())
    }

    /// Sends batches of partitions it leads, those of one topic side by side.
    pub(super) fn send(
        &mut self,
        node: i32,
        transactional_id: &str,
        settings: &Settings,
        batches: &[Sealed],
        patience: &Patience,
    ) -> Result<(), Failure> {
        let leader = self.leader(node);
        let request = leader.connection.begin(&PRODUCE);
        let topics = || batches.chunk_by(|one, next| one.topic == next.topic);
        produce::write_head(request, transactional_id, settings.answer_limit_ms, topics().count());
        for of_topic in topics() {
            let name = of_topic.first().map_or("", |sealed| &*sealed.topic);
            produce::write_topic(request, name, of_topic.len());
            for sealed in of_topic {
                let bytes = sealed.records.bytes().len();
                produce::write_batch(request, sealed.partition, &sealed.header, bytes);
            }
        }
        let parts: Vec<&[u8]> = batches.iter().map(|sealed| sealed.records.bytes()).collect();
        leader.connection.send(&PRODUCE, &parts, patience)?;
        leader.sent.push_back(batches.iter().map(Sent::of).collect());
        Ok(())
    }

    fn leader(&mut self, node: i32) -> &mut Leader {
        self.open.get_mut(&node).expect("made_room has connected")
    }

    /// Waits for all answers; ends at the first batch that is refused.
    pub(super) fn settle(&mut self, patience: &Patience) -> Result<(), Refusal> {
        for leader in self.open.values_mut() {
            while leader.connection.under_way() > 0 {
                leader.receive(patience)?;
            }
        }
        Ok(())
    }

    /// Waits for all answers, whatever they say.
    pub(super) fn drain(&mut self, patience: &Patience) -> Result<(), Failure> {
        loop {
            match self.settle(patience) {
                Ok(()) => return Ok(()),
                Err(Refusal::Batch { .. }) => {}
                Err(Refusal::Failure(failure)) => return Err(failure),
            }
        }
    }
}

impl Leader {
    fn receive(&mut self, patience: &Patience) -> Result<(), Refusal> {
        let sent = self.sent.front().expect("every request is noted");
        let written = self.connection.receive(patience, |reader| {
            let written = produce::read(reader)?;
            // A batch without answer would be one that is lost without a word.
            let all = sent.iter().all(|sent| written.iter().any(|written| sent.is(written)));
            if all { Ok(written) } else { Err(Garbled("a batch is missing in it")) }
        })?;
        let sent = self.sent.pop_front().expect("it was there just now");
        match written.into_iter().find(|written| written.code != ErrorCode::NONE) {
            None => Ok(()),
            Some(bad) => {
                let bytes = sent.iter().find(|sent| sent.is(&bad)).map_or(0, |sent| sent.largest);
                let Written { topic, code, message, .. } = bad;
                Err(Refusal::Batch { code, topic, bytes, message })
            }
        }
    }
}

impl Sent {
    fn of(sealed: &Sealed) -> Self {
        let Sealed { topic, partition, records, .. } = sealed;
        Self { topic: Arc::clone(topic), partition: *partition, largest: records.largest() }
    }

    fn is(&self, written: &Written) -> bool {
        *self.topic == *written.topic && self.partition == written.partition
    }
}
