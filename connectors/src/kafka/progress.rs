//! What a shard of a sink has delivered, told by the target itself.
//!
//! Each unit's transaction carries one record into a compacted topic of one partition, so the rows
//! and the statement that they are there become visible together. What must hold: the record of one
//! shard replaces its former one (same key); another state directory (family) has another key;
//! a reader of any later version can tell that it does not understand a record.
//!
//! ```text
//! key     <family: 16 hex digits>/<job>/<sink>/<shard>
//! value   watershed-progress 1 upper=<epoch> rows=<count> crc=<8 hex digits> instance=<16 hex digits>
//! ```
//!
//! `instance` is drawn anew by each sink instance: a record of another instance that came after
//! ours proves that somebody else delivers under our name.
//!
//! Trap: the last stable offset of the topic is held back by *any* open transaction in it, of any
//! job. So "to its end" means to the high watermark: what `last` may not see yet, it waits for.

use std::time::Duration;

use engine::error::Fault;
use engine::sink::{SinkIdentity, Unit};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Client;
use super::config::KafkaConfig;
use super::watch::fault_of_error;

const MAGIC: &str = "watershed-progress";
const VERSION: &str = "1";
/// One turn of waiting for records.
const TURN: Duration = Duration::from_millis(20);

/// One progress record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Last epoch delivered.
    pub upper: u64,
    /// Rows of the unit that ended there.
    pub rows: u64,
    /// Checksum of that unit.
    pub crc: u32,
    /// The sink instance that delivered it.
    pub instance: u64,
}

impl Progress {
    /// What is true once `unit` is delivered.
    pub fn of(unit: &Unit, instance: u64) -> Self {
        Self { upper: unit.upper, rows: unit.rows, crc: unit.crc, instance }
    }

    /// The record's value.
    pub fn encode(&self) -> String {
        let Self { upper, rows, crc, instance } = self;
        format!(
            "{MAGIC} {VERSION} upper={upper} rows={rows} crc={crc:08x} instance={instance:016x}"
        )
    }

    /// Reads a value; `None` if it is not ours.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let known = words.next()? == MAGIC && words.next()? == VERSION;
        let mut field = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let progress = Self {
            upper: field("upper")?.parse().ok()?,
            rows: field("rows")?.parse().ok()?,
            crc: u32::from_str_radix(field("crc")?, 16).ok()?,
            instance: u64::from_str_radix(field("instance")?, 16).ok()?,
        };
        (known && words.next().is_none()).then_some(progress)
    }

    /// Whether `unit` is there already. `Err` if the target has something that contradicts it: the
    /// same epochs with other rows, or a part of them.
    pub(super) fn covers(&self, unit: &Unit) -> Result<bool, Fault> {
        let Unit { lower, upper, rows, crc, .. } = unit;
        let same = self.rows == *rows && self.crc == *crc;
        if self.upper < *lower || self.upper > *upper || (self.upper == *upper && same) {
            return Ok(self.upper >= *upper);
        }
        Err(Fault::never(format!(
            "cannot deliver epochs {lower} to {upper} ({rows} rows, checksum {crc:08x}): the target \
             has a unit up to {} ({} rows, checksum {:08x})",
            self.upper, self.rows, self.crc
        ))
        .with_hint("another state directory was copied from this one, or the target was restored"))
    }
}

/// The key of a shard's progress records.
pub fn key(identity: &SinkIdentity) -> String {
    let SinkIdentity { family, job, sink, shard } = identity;
    format!("{family:016x}/{job}/{sink}/{shard}")
}

/// The last committed record of `key`, read to the end the progress topic has now. Waits for
/// transactions that are open in it, so it MUST NOT be called while one of ours is.
pub(super) fn last(
    config: &KafkaConfig,
    key: &str,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Progress>, Fault> {
    let topic = config.progress_topic.as_str();
    let all = Client::new(config, &[("isolation.level", "read_uncommitted")], stopped)?;
    let end = end(&all, topic)?;
    // An end of partition is told by an empty answer, for which the broker waits this long.
    let eof = [("enable.partition.eof", "true"), ("fetch.wait.max.ms", "10")];
    let committed = Client::new(config, &eof, stopped)?;
    while self::end(&committed, topic)? < end {
        // The pause between two questions.
        all.poll(TURN)?;
    }
    read(&committed, topic, key)
}

/// The end of the topic, as this client may see it.
fn end(client: &Client<'_>, topic: &str) -> Result<i64, Fault> {
    let what = format!("read the end of kafka topic \"{topic}\"");
    client.ask(&what, |consumer, turn| match consumer.fetch_watermarks(topic, 0, turn) {
        Ok((_start, end)) => Ok(end),
        // It has this partition, or the sink would not have been prepared: a slow broker has not told this
        // client yet. That may pass, and must not end the sink.
        Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) => {
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
        }
        Err(error) => Err(error),
    })
}

/// Reads until the consumer says that there is no more.
fn read(client: &Client<'_>, topic: &str, key: &str) -> Result<Option<Progress>, Fault> {
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).expect("a valid offset");
    let what = format!("read kafka topic \"{topic}\"");
    client.consumer().assign(&from).map_err(|error| fault_of_error(&error, &what))?;
    let mut last = None;
    loop {
        match client.poll(TURN)? {
            Some(Ok(message)) if message.key() == Some(key.as_bytes()) => last = decode(&message)?,
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            // Broken connections mend themselves; what lasts is told by the watch.
            Some(Ok(_) | Err(_)) | None => {}
        }
    }
}

fn decode(message: &BorrowedMessage<'_>) -> Result<Option<Progress>, Fault> {
    let Some(value) = message.payload() else { return Ok(None) };
    let decoded = Progress::decode(value).ok_or_else(|| {
        let (topic, offset) = (message.topic(), message.offset());
        Fault::never(format!("cannot read the progress record at {offset} of \"{topic}\""))
            .with_hint("it was written by another version of watershed, or by another program")
    });
    decoded.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::error::Retry;
    use proptest::prelude::*;

    const PROGRESS: Progress =
        Progress { upper: 41, rows: 1000, crc: 0xbeef, instance: 0x0123_4567_89ab_cdef };

    #[test]
    fn golden_bytes() {
        let golden =
            "watershed-progress 1 upper=41 rows=1000 crc=0000beef instance=0123456789abcdef";
        assert_eq!(PROGRESS.encode(), golden);
        assert_eq!(Progress::decode(golden.as_bytes()), Some(PROGRESS));
        let identity =
            SinkIdentity { family: 0xf00d, job: "log".into(), sink: "out".into(), shard: 3 };
        assert_eq!(key(&identity), "000000000000f00d/log/out/3");
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let good = PROGRESS.encode();
        for bad in [
            good.replace(" 1 ", " 2 "),
            good.replace("upper", "Upper"),
            good.replace("41", "-1"),
            format!("{good} more=1"),
            good.replace(" instance=0123456789abcdef", ""),
            String::new(),
        ] {
            assert_eq!(Progress::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_unit_is_there_not_there_or_contradicted() {
        let unit = |lower, upper, rows| Unit { lower, upper, rows, bytes: 1, crc: 0xbeef };
        assert_eq!(PROGRESS.covers(&unit(40, 41, 1000)), Ok(true));
        assert_eq!(PROGRESS.covers(&unit(30, 35, 7)), Ok(true));
        assert_eq!(PROGRESS.covers(&unit(42, 50, 7)), Ok(false));
        for contradicting in [unit(40, 41, 7), unit(41, 50, 1000)] {
            assert_eq!(PROGRESS.covers(&contradicting).unwrap_err().retry, Retry::Never);
        }
    }

    proptest! {
        #[test]
        fn values_return(upper: u64, rows: u64, crc: u32, instance: u64) {
            let progress = Progress { upper, rows, crc, instance };
            prop_assert_eq!(Progress::decode(progress.encode().as_bytes()), Some(progress));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Progress::decode(&bytes), None);
        }
    }
}
