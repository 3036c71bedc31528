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

/// A connection to the coordinator of one transactional id.
#[derive(Debug)]
pub(super) struct Coordinator {
    connection: Connection,
    transactional_id: String,
}

impl Coordinator {
    /// Asks the first broker that can be reached.
    pub(super) fn find(
        settings: &Settings,
        transactional_id: &str,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        let mut any = any_broker(settings, patience)?;
        let (code, address) = any.ask(
            &api::FIND_COORDINATOR,
            patience,
            |body| find::write_find(body, transactional_id),
            find::read_find,
        )?;
        code.check().map_err(Failure::Refused)?;
        let address = address.ok_or(Failure::Refused(ErrorCode::COORDINATOR_NOT_AVAILABLE))?;
        let connection = Connection::open(&address, &settings.client, patience)?;
        Ok(Self { connection, transactional_id: transactional_id.to_owned() })
    }

    /// As [`Coordinator::find`], for the same id.
    pub(super) fn find_again(
        &self,
        settings: &Settings,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        Self::find(settings, &self.transactional_id, patience)
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    pub(super) fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// An epoch of our own: the first one, or one after `former`, which only its owner gets.
    pub(super) fn init(
        &mut self,
        settings: &Settings,
        former: ProducerId,
        patience: &Patience,
    ) -> Result<ProducerId, Failure> {
        let (id, timeout_ms) = (&self.transactional_id, settings.transaction_timeout_ms);
        ask_until(
            &mut self.connection,
            &api::INIT_PRODUCER_ID,
            patience,
            |body| find::write_init(body, id, timeout_ms, former),
            find::read_init,
            ErrorCode::passes,
        )
    }

    /// What this broker knows of these topics.
    pub(super) fn metadata<'a>(
        &mut self,
        topics: impl ExactSizeIterator<Item = &'a str>,
        patience: &Patience,
    ) -> Result<Metadata, Failure> {
        let write = |body: &mut Vec<u8>| metadata::write(body, topics);
        self.connection.ask(&api::METADATA, patience, write, metadata::read)
    }

    /// Takes partitions into the transaction, which begins with the first of them.
    pub(super) fn add(
        &mut self,
        producer: ProducerId,
        topics: &[Partitions<'_>],
        patience: &Patience,
    ) -> Result<(), Failure> {
        let (id, started) = (&self.transactional_id, Instant::now());
        let is_news = |code| code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        ask_until(
            &mut self.connection,
            &api::ADD_PARTITIONS,
            patience,
            |body| transaction::write_add(body, id, producer, topics),
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
        let id = &self.transactional_id;
        ask_until(
            &mut self.connection,
            &api::END_TXN,
            patience,
            |body| transaction::write_end(body, id, producer, commit),
            |reader| Ok((transaction::read_end(reader)?, ())),
            ErrorCode::passes,
        )
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

/// Asks until the answer is not one that passes by itself.
fn ask_until<T>(
    connection: &mut Connection,
    api: &'static Api,
    patience: &Patience,
    write: impl Fn(&mut Vec<u8>),
    read: impl Fn(&mut Reader<'_>) -> Result<(ErrorCode, T), Garbled>,
    passes: impl Fn(ErrorCode) -> bool,
) -> Result<T, Failure> {
    let (mut pause, longest) = PAUSE;
    loop {
        let (code, answer) = connection.ask(api, patience, &write, &read)?;
        match code.check() {
            Ok(()) => return Ok(answer),
            Err(code) if passes(code) && !patience.is_over() => {
                std::thread::sleep(pause);
                patience.check_stopped()?;
                pause = (pause * 2).min(longest);
            }
            Err(code) => return Err(Failure::Refused(code)),
        }
    }
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
