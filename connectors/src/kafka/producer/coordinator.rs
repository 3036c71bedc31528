//! The broker that keeps our transactions.

use std::time::{Duration, Instant};

use super::Settings;
use crate::kafka::wire::api::{self, Api};
use crate::kafka::wire::bytes::{Garbled, Reader};
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::connection::Connection;
use crate::kafka::wire::failure::{Failure, Patience};
use crate::kafka::wire::message::coordinator::{self as find, ProducerId};
use crate::kafka::wire::message::metadata::{self, Metadata};
use crate::kafka::wire::message::transaction::{self, Partitions};

/// First and longest pause before the same question again. The markers of the last transaction are
/// written within a few milliseconds, and until then the coordinator takes no new one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// How long brokers may take to hear of a new topic.
const NEWS_LIMIT: Duration = Duration::from_secs(5);

/// The coordinator of one transactional id. Lost connections are made anew: taking in partitions and
/// ending a transaction may be asked twice, with the same outcome.
#[derive(Debug)]
pub(super) struct Coordinator {
    settings: Settings,
    transactional_id: String,
    /// `None` until it is found, and again when it has moved or does not answer.
    connection: Option<Connection>,
    /// How many connections there have been.
    connections: u64,
}

impl Coordinator {
    /// Asks nobody yet.
    pub(super) fn new(settings: Settings, transactional_id: &str) -> Self {
        Self {
            settings,
            transactional_id: transactional_id.to_owned(),
            connection: None,
            connections: 0,
        }
    }

    /// Lets go of a connection that the broker has closed; whether that was so.
    pub(super) fn let_go_of_closed(&mut self) -> bool {
        let closed = self.connection.as_ref().is_some_and(|connection| !connection.is_open());
        if closed {
            self.connection = None;
        }
        closed
    }

    /// The number of the connection in use. As long as it stays, so does the coordinator, and what it
    /// has answered it carries out.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    pub(super) fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// An epoch of our own: the first one, or one after `former`, which only its owner gets.
    pub(super) fn init(
        &mut self,
        former: ProducerId,
        patience: &Patience,
    ) -> Result<ProducerId, Failure> {
        let timeout_ms = self.settings.transaction_timeout_ms;
        self.ask_until(
            &api::INIT_PRODUCER_ID,
            patience,
            |id, body| find::write_init(body, id, timeout_ms, former),
            find::read_init,
            ErrorCode::passes,
        )
    }

    /// What this broker knows of these topics.
    pub(super) fn metadata<'a>(
        &mut self,
        topics: impl ExactSizeIterator<Item = &'a str> + Clone,
        patience: &Patience,
    ) -> Result<Metadata, Failure> {
        self.ask_until(
            &api::METADATA,
            patience,
            |_id, body| metadata::write(body, topics.clone()),
            |reader| Ok((ErrorCode::NONE, metadata::read(reader)?)),
            |_| false,
        )
    }

    /// Takes partitions into the transaction, which begins with the first of them.
    pub(super) fn add(
        &mut self,
        producer: ProducerId,
        topics: &[Partitions<'_>],
        patience: &Patience,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let is_news = |code| code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        self.ask_until(
            &api::ADD_PARTITIONS,
            patience,
            |id, body| transaction::write_add(body, id, producer, topics),
            |reader| Ok((to_blame(&transaction::read_add(reader)?), ())),
            |code| code.passes() || (is_news(code) && started.elapsed() < NEWS_LIMIT),
        )
    }

    /// Commits or aborts.
    pub(super) fn end(
        &mut self,
        producer: ProducerId,
        commit: bool,
        patience: &Patience,
    ) -> Result<(), Failure> {
        self.ask_until(
            &api::END_TXN,
            patience,
            |id, body| transaction::write_end(body, id, producer, commit),
            |reader| Ok((transaction::read_end(reader)?, ())),
            ErrorCode::passes,
        )
    }

    /// Asks until the answer is not one that passes by itself, wherever the coordinator is meanwhile.
    fn ask_until<T>(
        &mut self,
        api: &'static Api,
        patience: &Patience,
        write: impl Fn(&str, &mut Vec<u8>),
        read: impl Fn(&mut Reader<'_>) -> Result<(ErrorCode, T), Garbled>,
        passes: impl Fn(ErrorCode) -> bool,
    ) -> Result<T, Failure> {
        let (mut pause, longest) = PAUSE;
        loop {
            let asked = self.ask(api, patience, &write, &read);
            let failure = match asked {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.code().is_none_or(ErrorCode::has_moved) {
                self.connection = None;
            }
            if patience.is_over() || !may_pass(&failure, &passes) {
                return Err(failure);
            }
            std::thread::sleep(pause);
            patience.check_stopped()?;
            pause = (pause * 2).min(longest);
        }
    }

    fn ask<T>(
        &mut self,
        api: &'static Api,
        patience: &Patience,
        write: impl Fn(&str, &mut Vec<u8>),
        read: impl Fn(&mut Reader<'_>) -> Result<(ErrorCode, T), Garbled>,
    ) -> Result<T, Failure> {
        if self.connection.is_none() {
            self.connection = Some(self.find(patience)?);
            self.connections += 1;
        }
        let connection = self.connection.as_mut().expect("found above");
        let id = &self.transactional_id;
        let (code, answer) = connection.ask(api, patience, |body| write(id, body), read)?;
        code.check().map_err(Failure::Refused)?;
        Ok(answer)
    }

    /// Asks the first broker that can be reached who it is.
    fn find(&self, patience: &Patience) -> Result<Connection, Failure> {
        let mut any = any_broker(&self.settings, patience)?;
        let (code, address) = any.ask(
            &api::FIND_COORDINATOR,
            patience,
            |body| find::write_find(body, &self.transactional_id),
            find::read_find,
        )?;
        code.check().map_err(Failure::Refused)?;
        let address = address.ok_or(Failure::Refused(ErrorCode::COORDINATOR_NOT_AVAILABLE))?;
        Connection::open(&address, &self.settings.client, patience)
    }
}

/// Whether asking again may help.
fn may_pass(failure: &Failure, passes: impl Fn(ErrorCode) -> bool) -> bool {
    match failure {
        Failure::Broken { .. } | Failure::Silent { .. } => true,
        Failure::Refused(code) => code.has_moved() || passes(*code),
        Failure::Garbled { .. } | Failure::Unserved { .. } | Failure::Stopped => false,
    }
}

fn any_broker(settings: &Settings, patience: &Patience) -> Result<Connection, Failure> {
    let mut last = None;
    for address in &settings.bootstrap {
        match Connection::open(address, &settings.client, patience) {
            Ok(connection) => return Ok(connection),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.expect("a cluster has at least one address"))
}

/// The code that says why partitions were not taken in.
fn to_blame(all: &[(String, i32, ErrorCode)]) -> ErrorCode {
    let mut bad = all.iter().map(|(_, _, code)| *code).filter(|code| *code != ErrorCode::NONE);
    let first = bad.clone().next().unwrap_or(ErrorCode::NONE);
    bad.find(|code| *code != ErrorCode::OPERATION_NOT_ATTEMPTED).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_to_blame_is_found_among_those_not_attempted() {
        let of = |codes: &[i16]| {
            let all = codes.iter().map(|code| ("t".to_owned(), 0, ErrorCode(*code)));
            to_blame(&all.collect::<Vec<_>>())
        };
        assert_eq!(of(&[0, 0]), ErrorCode::NONE);
        assert_eq!(of(&[55, 3, 55]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(of(&[0, 55]), ErrorCode::OPERATION_NOT_ATTEMPTED);
    }
}
