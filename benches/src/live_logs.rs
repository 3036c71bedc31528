//! Live log records on their way through a broker: produced at a steady rate, stamped with the time of
//! it, and read back as soon as they are committed.
//!
//! The stamp is the record's own `ts`, which the log split hands on; page and start records have it,
//! so latency needs nothing beside the product's own formats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use jobs::generate::{Generator, Settings, Shares};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::kafka_clients::{producer, send};
use crate::topics::{LIMIT, assign, reader};

/// Different lines; they come again and again.
const LINES: usize = 50_000;
/// How often the feeder works.
const TICK: Duration = Duration::from_millis(2);
/// Digits of a time in milliseconds, until the year 2286.
const DIGITS: usize = 13;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("a date of this age")
}

/// Produces so many records a second until it is dropped or stopped.
pub(crate) struct Feeder {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Feeder {
    /// Begins at once.
    pub(crate) fn start(bootstrap: &str, topic: &str, per_second: u64) -> Result<Self> {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let lines = Lines::make()?;
        let (asked, count) = (stop.clone(), sent.clone());
        let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
        let thread =
            std::thread::spawn(move || feed(&bootstrap, &topic, per_second, lines, &asked, &count));
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// Records produced so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; says what went wrong.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("stopped once")?;
        thread.join().map_err(|_panic| anyhow!("the feeder panicked"))?
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn feed(
    bootstrap: &str,
    topic: &str,
    per_second: u64,
    mut lines: Lines,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    let producer = producer(bootstrap)?;
    let (begun, mut made) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let elapsed_us = u64::try_from(begun.elapsed().as_micros())?;
        while made < elapsed_us * per_second / 1_000_000 {
            let (key, value) = lines.next(now_ms());
            send(&producer, BaseRecord::<[u8], [u8]>::to(topic).key(key).payload(value))?;
            made += 1;
        }
        sent.store(made, Ordering::Relaxed);
        producer.poll(Duration::ZERO);
        std::thread::park_timeout(TICK);
    }
    Ok(producer.flush(LIMIT)?)
}

/// Records made beforehand, so that making them costs the machine nothing while others are measured.
struct Lines {
    /// Key, record, and where the digits of its time begin.
    lines: Vec<(Vec<u8>, Vec<u8>, usize)>,
    next: usize,
}

impl Lines {
    fn make() -> Result<Self> {
        let shares = Shares { broken: 0, odd: 0, ..Shares::default() };
        let mut cursor = Generator::new(Settings { shares, ..Settings::default() }).open(0);
        let mut lines = Vec::new();
        while lines.len() < LINES {
            let mut line = Vec::new();
            let made = cursor.next(&mut line).context("the stream has no end")?;
            let key = made.key.and_then(|key| line.get(key)).unwrap_or_default().to_vec();
            let text = std::str::from_utf8(&line)?;
            let Some(at) = text.rfind("\"ts\":") else { continue };
            lines.push((key, line, at + "\"ts\":".len()));
        }
        Ok(Self { lines, next: 0 })
    }

    /// The next record, stamped.
    fn next(&mut self, now_ms: i64) -> (&[u8], &[u8]) {
        let index = self.next;
        self.next = (index + 1) % self.lines.len();
        let (key, value, at) = &mut self.lines[index];
        let digits = now_ms.to_string();
        if let Some(place) = value.get_mut(*at..*at + DIGITS) {
            place.copy_from_slice(digits.as_bytes());
        }
        (key, value)
    }
}

/// Reads committed page and start records of a log split.
pub(crate) struct Reader(BaseConsumer);

impl Reader {
    /// From the beginning of the topics, which must be there.
    pub(crate) fn start(bootstrap: &str, topics: &[String]) -> Result<Self> {
        let mut config = reader(bootstrap);
        config.set("fetch.wait.max.ms", "5");
        let consumer: BaseConsumer = config.create()?;
        assign(&consumer, topics)?;
        Ok(Self(consumer))
    }

    /// The stamp of the next record, if one comes within `wait`.
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<i64>> {
        let message = match self.0.poll(wait) {
            None => return Ok(None),
            // The client says so and goes on trying: a broker of a bench may stand still.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => return Ok(None),
            Some(message) => message?,
        };
        let text = std::str::from_utf8(message.payload().unwrap_or_default())?;
        let (_, stamp) = text.rsplit_once("\"ts\":").context("a record without time")?;
        let digits = stamp.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Ok(Some(digits.parse()?))
    }
}
