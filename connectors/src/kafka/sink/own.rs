//! A unit as one transaction of our own producer.
//!
//! What a failure means for the unit: a refusal by the broker ends in an abort, of which the answer
//! is awaited; a connection that broke or a silence leaves the outcome open, so the producer is
//! lost, and the next one finds out by the progress record.

use std::sync::Arc;
use std::time::Instant;

use engine::crash_point::{CrashPoint, CrashPoints};
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::outbox::blocks::Blocks;
use engine::outbox::log::Check;
use engine::outbox::rows::records::RECORDS_BYTES_MAX;
use engine::outbox::rows::{Op, OutRow, RowReader};
use rdkafka::error::RDKafkaErrorCode;

use super::limits::Limits;
use super::targets::Targets;
use super::transaction::{Broken, Lost, Note, Trouble, Undelivered, died, never};
use super::{Stop, StopMode};
use crate::kafka::config::KafkaConfig;
use crate::kafka::producer::{Producer, Ready, Refusal, Settings};
use crate::kafka::watch::{fault_of, is_refusal};
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::failure::Failure;

/// A producer that has its transactional id for itself.
pub(super) struct Own {
    producer: Producer,
    /// The producer's number of each target; the last one is the progress topic.
    numbers: Vec<usize>,
    record_bytes_max: u64,
    stop: Stop,
}

impl Own {
    /// A producer under this id, whose batches are within `limits`. Fences every older one and ends
    /// what it left open.
    pub(super) fn open(
        config: &KafkaConfig,
        (settings, limits): (&Settings, &Limits),
        targets: &[String],
        id: &str,
        stop: &Stop,
    ) -> Result<Self, Fault> {
        let (names, numbers) = different(targets, &config.progress_topic);
        let told = stop.clone();
        let stopped = Arc::new(move || told.is_set());
        let limit = |name: &str| usize::try_from(limits.batch_bytes(name)).unwrap_or(usize::MAX);
        let topics: Vec<_> = names.into_iter().map(|name| (limit(&name), name)).collect();
        let producer = Producer::open(settings.clone(), id, &topics, stopped)
            .map_err(|failure| refused(&failure, id))?;
        let record_bytes_max = config.record_bytes_max();
        Ok(Self { producer, numbers, record_bytes_max, stop: stop.clone() })
    }

    /// Writes the rows of `blocks` and the note in one transaction, and commits it. Where `check` leaves
    /// records to the broker, it refuses a batch that is damaged ([`Trouble::Damaged`]).
    pub(super) fn deliver(
        &mut self,
        topics: &Targets,
        (blocks, check): (&Blocks, Check),
        note: &Note<'_>,
        points: &CrashPoints,
    ) -> Result<(), Broken> {
        let begun = Instant::now();
        self.producer.begin().map_err(|failure| self.not_begun(failure, begun))?;
        let written = points.pass(CrashPoint::TransactionBegun).map_err(|fatal| died(fatal).into());
        let written = written.and_then(|()| self.write(topics, (blocks, check), note, points));
        match written {
            Ok(()) => self.producer.commit().map_err(|failure| lost("commit", &failure, begun)),
            Err(End::Trouble(Trouble::Stopped)) if self.stop.mode() == StopMode::Leave => {
                Err(Broken::Aborted(Trouble::Stopped))
            }
            Err(End::Trouble(trouble)) => Err(self.abort(trouble, begun)),
            Err(End::Lost(failure)) => Err(lost("write", &failure, begun)),
        }
    }

    /// Nothing was open, so nothing can be in doubt, unless somebody else is there.
    fn not_begun(&self, failure: Failure, begun: Instant) -> Broken {
        match failure {
            Failure::Stopped => Broken::Aborted(Trouble::Stopped),
            Failure::Refused(_) | Failure::Garbled { .. } => lost("begin", &failure, begun),
            Failure::Broken { .. } | Failure::Silent { .. } | Failure::Unserved { .. } => {
                let text = format!("could not begin a kafka transaction: {failure}");
                Broken::Aborted(Trouble::Fault(Fault::later(text)))
            }
        }
    }

    fn write(
        &mut self,
        topics: &Targets,
        (blocks, check): (&Blocks, Check),
        note: &Note<'_>,
        points: &CrashPoints,
    ) -> Result<(), End> {
        let mut half = Half { until: blocks.rows() / 2, points };
        for index in 0..blocks.len() {
            if self.stop.is_set() {
                return Err(Trouble::Stopped.into());
            }
            let read = |check| blocks.read(index, check).map_err(Trouble::Broken);
            let block = read(check)?;
            match Ready::of(&block) {
                Some(ready) if self.write_ready(topics, &ready)? => {
                    half.pass(&mut self.producer, u64::from(block.header.rows))?;
                }
                // Nobody else checks what is not sent as it lies.
                Some(_) => self.write_rows(topics, &*read(Check::Here)?, &mut half)?,
                None => self.write_rows(topics, &block, &mut half)?,
            }
        }
        let record = record(Some(note.key.as_bytes()), Some(note.value.as_bytes()), &[]);
        self.producer.append(self.numbers[topics.names().len()], &record)?;
        Ok(self.producer.settle()?)
    }

    /// Sends the rows of a block as they lie there, if they can be; whether that is so.
    fn write_ready(&mut self, topics: &Targets, ready: &Ready) -> Result<bool, End> {
        if ready.largest as u64 > self.record_bytes_max {
            return Ok(false);
        }
        // Damage, perhaps: whoever reads its rows finds out.
        let Ok(target) = topics.of_number(ready.target) else { return Ok(false) };
        Ok(self.producer.append_ready(self.numbers[target], ready)?)
    }

    fn write_rows(
        &mut self,
        topics: &Targets,
        block: &Block,
        half: &mut Half<'_>,
    ) -> Result<(), End> {
        for row in RowReader::new(&block.bytes) {
            let row = row.map_err(|fault| never(format!("cannot deliver a block: {fault}")))?;
            let target = topics.of(&row)?;
            // Without headers no memory is asked for.
            let headers: Vec<_> = row.headers.collect();
            let record = record(row.key, row.value, &headers);
            self.check_size(&record, &topics.names()[target])?;
            self.producer.append(self.numbers[target], &record)?;
            half.pass(&mut self.producer, 1)?;
        }
        Ok(())
    }

    /// How many partitions each topic has that rows number; 0 where it does not take whole blocks.
    pub(super) fn partitions(&self, topics: &Targets) -> Vec<u32> {
        let numbers = self.numbers.iter().take(topics.numbered().len());
        numbers.map(|number| self.producer.partitions_for(*number, RECORDS_BYTES_MAX)).collect()
    }

    fn check_size(&self, record: &OutRow<'_>, topic: &str) -> Result<(), Trouble> {
        let bytes: usize = [record.key, record.value].into_iter().flatten().map(<[u8]>::len).sum();
        if bytes as u64 <= self.record_bytes_max {
            return Ok(());
        }
        let (code, topic) = (RDKafkaErrorCode::MessageSizeTooLarge, topic.to_owned());
        Err(Trouble::Undelivered(Undelivered { code, topic, bytes }))
    }

    fn abort(&mut self, trouble: Trouble, begun: Instant) -> Broken {
        match self.producer.abort() {
            Ok(()) => Broken::Aborted(trouble),
            Err(failure) => lost("abort", &failure, begun),
        }
    }
}

/// A row as a record: where it goes is known otherwise, and a null value is what deletes.
fn record<'a>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
) -> OutRow<'a> {
    OutRow { target: 0, topic: None, op: Op::Insert, time_ms: 0, key, value, headers }
}

/// The middle of a unit, where a crash may be wanted.
struct Half<'a> {
    /// Rows until then.
    until: u64,
    points: &'a CrashPoints,
}

impl Half<'_> {
    /// So many rows more are handed over. With the middle, all of them are sent.
    #[inline]
    fn pass(&mut self, producer: &mut Producer, rows: u64) -> Result<(), End> {
        let before = self.until;
        self.until = before.saturating_sub(rows);
        if before > 0 && before <= rows && self.points.is_heard() {
            producer.send_all()?;
            self.points.pass(CrashPoint::HalfSent).map_err(died)?;
        }
        Ok(())
    }
}

/// How the writing of a unit ended early.
enum End {
    /// The transaction can be aborted.
    Trouble(Trouble),
    /// Its outcome is open.
    Lost(Failure),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Batch { code, .. } if is_lost(code) => Self::Lost(Failure::Refused(code)),
            Refusal::Batch { code, topic, bytes, message } => {
                Self::Trouble(undelivered(code.known(), topic, bytes, message))
            }
            Refusal::Failure(Failure::Stopped) => Self::Trouble(Trouble::Stopped),
            Refusal::Failure(Failure::Refused(code)) if !is_lost(code) => {
                let what = "take partitions into a kafka transaction";
                let fault = fault_of(code.known(), what);
                let gone = code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                Self::Trouble(if gone { Trouble::Gone(fault) } else { Trouble::Fault(fault) })
            }
            Refusal::Failure(failure) => Self::Lost(failure),
        }
    }
}

/// Whether an abort under our number makes no sense.
fn is_lost(code: ErrorCode) -> bool {
    code.is_stale() || code.has_moved()
}

fn undelivered(
    code: RDKafkaErrorCode,
    topic: String,
    bytes: usize,
    message: Option<String>,
) -> Trouble {
    if code == RDKafkaErrorCode::InvalidMessage {
        return Trouble::Damaged(topic);
    }
    match message {
        // The broker knows more than the code says.
        Some(message) if code != RDKafkaErrorCode::MessageSizeTooLarge => {
            let fault = fault_of(code, &format!("write to kafka topic \"{topic}\""));
            Trouble::Fault(fault.with_hint(message))
        }
        Some(_) | None => Trouble::Undelivered(Undelivered { code, topic, bytes }),
    }
}

fn lost(what: &str, failure: &Failure, begun: Instant) -> Broken {
    let fenced = failure.code().is_some_and(|code| code.is_fenced());
    let fault = Fault::later(format!("could not {what} a kafka transaction: {failure}"));
    Broken::Lost(Lost { fault, fenced, open_for: begun.elapsed() })
}

/// Why there is no producer.
fn refused(failure: &Failure, id: &str) -> Fault {
    let what = format!("begin with kafka transactional id \"{id}\": {failure}");
    let is_final = failure.code().is_some_and(|code| is_refusal(code.known()));
    match failure {
        Failure::Unserved { .. } => Fault::never(format!("cannot {what}")).with_hint(
            "with any producer setting that only librdkafka has, for example \
             queue.buffering.max.messages, librdkafka writes, which also speaks older versions",
        ),
        _ if is_final => Fault::never(format!("cannot {what}")),
        _ => Fault::later(format!("could not {what}")),
    }
}

/// Every topic once, and the number of each target and of the progress topic among them.
fn different(targets: &[String], progress: &str) -> (Vec<String>, Vec<usize>) {
    let mut names: Vec<String> = Vec::new();
    let mut numbers = Vec::new();
    for name in targets.iter().map(String::as_str).chain([progress]) {
        let known = names.iter().position(|known| known == name);
        numbers.push(known.unwrap_or(names.len()));
        if known.is_none() {
            names.push(name.to_owned());
        }
    }
    (names, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::error::Retry;

    #[test]
    fn a_topic_named_twice_has_one_number() {
        let targets = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(
            different(&targets, "p"),
            (vec!["a".into(), "b".into(), "p".into()], vec![0, 1, 0, 2])
        );
        assert_eq!(different(&targets, "b").1, [0, 1, 0, 1]);
    }

    #[test]
    fn what_is_in_doubt_is_told_from_what_can_be_aborted() {
        let batch = |code| Refusal::Batch {
            code: ErrorCode(code),
            topic: "t".to_owned(),
            bytes: 9,
            message: None,
        };
        for (refusal, in_doubt) in [
            (batch(10), false),
            (batch(6), false),
            (batch(47), true),
            (Refusal::Failure(Failure::Refused(ErrorCode::PRODUCER_FENCED)), true),
            (Refusal::Failure(Failure::Refused(ErrorCode::NOT_COORDINATOR)), true),
            (Refusal::Failure(Failure::Refused(ErrorCode::CONCURRENT_TRANSACTIONS)), false),
            (Refusal::Failure(Failure::Stopped), false),
        ] {
            let text = format!("{refusal:?}");
            assert_eq!(matches!(End::from(refusal), End::Lost(_)), in_doubt, "{text}");
        }
        let fenced = Failure::Refused(ErrorCode::INVALID_PRODUCER_EPOCH);
        let Broken::Lost(lost) = lost("commit", &fenced, Instant::now()) else { panic!() };
        assert!(lost.fenced && lost.fault.retry == Retry::Later);
    }

    #[test]
    fn refusals_at_the_start_are_final_where_waiting_cannot_help() {
        for (code, retry) in [(50, Retry::Never), (53, Retry::Never), (51, Retry::Later)] {
            let fault = refused(&Failure::Refused(ErrorCode(code)), "id");
            assert_eq!(fault.retry, retry);
            assert!(fault.to_string().contains("\"id\""), "{fault}");
        }
    }
}
