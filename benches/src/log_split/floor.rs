//! The floor: what the log split costs without an engine and without splitting.
//!
//! Each record is parsed as the job does, and its planned outputs are produced.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use connectors::format::app_log::AppLogParser;
use jobs::dwd::log_split::ODS_LOG;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::input::{Place, Plan};
use super::outputs;
use crate::kafka_clients::{floor, send};
use crate::pair::{Given, Outcome};
use crate::topics::{PARTITIONS, contents};

/// Reads the input and writes what the plan says.
pub(super) fn run(given: &Given) -> Result<Outcome> {
    let outputs = outputs(&given.prefix);
    let mut written = Floor {
        plan: Plan::load(&given.dir)?,
        outputs: &outputs,
        places: [Place::default(); PARTITIONS as usize],
        stock_at: 0,
        parser: AppLogParser::default(),
    };
    let (bootstrap, id) = (&given.bootstrap, &given.prefix);
    let used = floor(bootstrap, ODS_LOG, id, given.records, |message, producer| {
        let partition = usize::try_from(message.partition())?;
        written.record(producer, partition, message.payload().unwrap_or(b""))
    })?;
    Ok(Outcome { used, written: contents(bootstrap, &outputs)? })
}

struct Floor<'a> {
    outputs: &'a [String],
    plan: Plan,
    places: [Place; PARTITIONS as usize],
    stock_at: usize,
    parser: AppLogParser,
}

impl Floor<'_> {
    fn record(&mut self, producer: &BaseProducer, partition: usize, value: &[u8]) -> Result<()> {
        let place = self.places.get_mut(partition).context("a partition of ours")?;
        let log = self.parser.parse(value).ok();
        let key = log.as_ref().map(|log| {
            black_box(log.ts());
            log.mid().as_bytes()
        });
        for planned in self.plan.next(partition, place)? {
            let topic = self.outputs.get(planned.topic).context("a topic of ours")?;
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.key = key;
            record.payload = match key {
                Some(_) => Some(taken(self.plan.stock(), &mut self.stock_at, planned.length)?),
                None => Some(value),
            };
            send(producer, record)?;
        }
        Ok(())
    }
}

/// The next `length` bytes of the stock, from its beginning again where it ends.
fn taken<'s>(stock: &'s [u8], at: &mut usize, length: usize) -> Result<&'s [u8]> {
    if *at + length > stock.len() {
        *at = 0;
    }
    let bytes = stock.get(*at..*at + length).context("the stock is too small")?;
    *at += length;
    Ok(bytes)
}
