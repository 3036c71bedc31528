//! The sink of the embedded dimension tables: exactly once, by one batch per unit.
//!
//! The rows of a unit and the mark "delivered up to here" of its shard take effect together or not
//! at all, and are durable before the unit is acknowledged. A unit at or below the mark is there
//! already and is skipped. The mark belongs to a state directory (its family).
//!
//! The value of every outbox row is one change ([`connectors::format::dimension`]); its target and
//! key are not looked at. All rows of one key MUST come from one shard, else an upsert merges with a
//! row that another shard is replacing.
//!
//! A row that cannot be written (no such table or column, no key, a key or row beyond the limits)
//! is a fault that no retry helps, with table and reason: nothing of its unit is written, the sink
//! stops, and the unit stays in the outbox. Nothing is lost, and nothing is made up: tables and
//! columns are ensured before their rows are routed, and keys and sizes are checked there
//! ([`key_fault`](connectors::format::dimension::key_fault)), where such a row can go to a side
//! output. A unit cannot be delivered without it: it must be the same at every attempt.
//!
//! A request is served within `poll`; it waits for this machine's disk, for no peer.

mod unit;

use engine::checkpoint::layout::{SinkKey, decode_u64, encode_u64};
use engine::clock::Moment;
use engine::error::{Fatal, Fault};
use engine::outbox::blocks::Blocks;
use engine::sink::{
    Delivery, Sink, SinkFactory, SinkIdentity, SinkPoll, SinkReply, SinkRequest, TableDefinition,
    Unit, UnitPolicy,
};
use engine::state::backend::{Durability, StateView};

use super::catalog::Ensured;
use super::{DimensionError, DimensionStore};
use unit::UnitWriter;

const DELIVERED: &str = "delivered";
/// Marks read at a time.
const CHUNK: usize = 256;

/// Makes sinks that write to the embedded dimension tables, whichever a change names.
#[derive(Clone)]
pub struct DimensionSinkFactory {
    /// Where the tables are.
    pub store: DimensionStore,
}

impl SinkFactory for DimensionSinkFactory {
    fn describe(&self) -> String {
        "embedded dimension tables".to_owned()
    }

    fn unit_policy(&self) -> UnitPolicy {
        UnitPolicy::EVERY_EPOCH
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn create(&self) -> Result<Box<dyn Sink>, Fault> {
        Ok(Box::new(DimensionSink { store: self.store.clone(), mark: None, request: None }))
    }
}

struct DimensionSink {
    store: DimensionStore,
    /// Key of this shard's mark, once it is known who asks.
    mark: Option<Vec<u8>>,
    request: Option<SinkRequest>,
}

/// Why a request was not served.
enum Refusal {
    /// What is asked for does not fit.
    Fault(Fault),
    /// The tables themselves are broken.
    Broken(DimensionError),
    /// The outbox is.
    Unreadable(Fatal),
}

impl<E: Into<DimensionError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl DimensionSink {
    fn serve(&mut self, request: SinkRequest, now: Moment) -> Result<SinkReply, Refusal> {
        match request {
            SinkRequest::Prepare(identity) => {
                self.mark = Some(mark_key(&identity));
                Ok(SinkReply::Prepared)
            }
            SinkRequest::EnsureTable(definition) => self.ensure(&definition),
            SinkRequest::LastDelivered => Ok(SinkReply::LastDelivered(self.last_delivered()?)),
            SinkRequest::Deliver(unit, blocks) => {
                self.deliver(&unit, &blocks, now)?;
                Ok(SinkReply::Delivered)
            }
        }
    }

    fn ensure(&self, definition: &TableDefinition) -> Result<SinkReply, Refusal> {
        match self.store.ensure_table(definition)? {
            Ensured::Created | Ensured::Matched | Ensured::Altered(_) => Ok(SinkReply::TableReady),
            Ensured::Invalid(why) => Err(Refusal::Fault(Fault::never(why))),
            Ensured::Conflict(difference) => {
                let hint = "a table keeps its key and salt: route to another table";
                Err(Refusal::Fault(Fault::never(difference).with_hint(hint)))
            }
        }
    }

    fn mark(&self) -> &[u8] {
        self.mark.as_deref().expect("a sink is prepared before it delivers")
    }

    fn last_delivered(&self) -> Result<Option<u64>, Refusal> {
        let mark = self.store.backend.view()?.get(DELIVERED, self.mark())?;
        let epoch = |mark: Vec<u8>| decode_mark(&mark).map(|(epoch, _)| epoch);
        Ok(mark.map(epoch).transpose()?)
    }

    fn deliver(&self, unit: &Unit, blocks: &Blocks, now: Moment) -> Result<(), Refusal> {
        match self.last_delivered()? {
            Some(last) if unit.upper <= last => return Ok(()),
            Some(last) if unit.lower <= last => {
                let Unit { lower, upper, .. } = unit;
                let message =
                    format!("unit {lower} to {upper} was planned anew: {last} is delivered");
                return Err(Refusal::Fault(Fault::never(message)));
            }
            _ => {}
        }
        // The writer keeps the last change of each key and borrows it: all blocks stay until the end.
        let blocks: Result<Vec<_>, _> = blocks.iter().collect();
        let blocks = blocks.map_err(Refusal::Unreadable)?;
        let written_at = self.store.write_time(now);
        let mut writer = UnitWriter::new(&self.store, written_at)?;
        for block in &blocks {
            writer.write_block(&block.bytes)?;
        }
        let mut batch = writer.into_batch();
        let mark = [encode_u64(unit.upper), encode_u64(written_at)].concat();
        batch.put(&DELIVERED.into(), self.mark().to_vec(), mark);
        Ok(self.store.backend.commit(batch, Durability::Synced)?)
    }
}

fn mark_key(identity: &SinkIdentity) -> Vec<u8> {
    let SinkIdentity { family, job, sink, shard } = identity.clone();
    let mut key = encode_u64(family);
    key.extend(SinkKey { job, sink, shard }.encode());
    key
}

/// Epoch and write time of a mark.
fn decode_mark(mark: &[u8]) -> Result<(u64, u64), DimensionError> {
    let split = mark.split_at_checked(8).and_then(|(epoch, time)| {
        let time = Some(time).filter(|time| time.len() == 8)?;
        Some((decode_u64(epoch)?, decode_u64(time)?))
    });
    split.ok_or_else(|| DimensionError::Damaged { what: "the mark of a sink".to_owned() })
}

/// The greatest write time in the tables: every batch of rows carries a mark.
pub(super) fn last_written_at(view: &dyn StateView) -> Result<u64, DimensionError> {
    let mut greatest = 0;
    let mut after = Vec::new();
    loop {
        let entries = view.scan(DELIVERED, b"", &after, CHUNK)?;
        let last = entries.len() < CHUNK;
        for (key, mark) in entries {
            greatest = greatest.max(decode_mark(&mark)?.1);
            after = key;
        }
        if last {
            return Ok(greatest);
        }
    }
}

impl Sink for DimensionSink {
    fn begin(&mut self, request: SinkRequest) {
        assert!(self.request.is_none(), "one request at a time");
        self.request = Some(request);
    }

    fn poll(&mut self, now: Moment) -> SinkPoll {
        let request = self.request.take().expect("a request is begun before it is polled");
        match self.serve(request, now) {
            Ok(reply) => SinkPoll::Done(reply),
            Err(Refusal::Fault(fault)) => SinkPoll::Fault(fault),
            Err(Refusal::Unreadable(fatal)) => SinkPoll::Broken(fatal),
            // The tables lie on our own disk: what cannot be written there is no outside fault.
            Err(Refusal::Broken(error)) => {
                let hint = "free or check the disk of the data directory and start again";
                let no_space = matches!(&error, DimensionError::State(refused) if refused.no_space);
                let fault = Fault::never(error.to_string()).with_hint(hint);
                SinkPoll::Broken(Fatal { no_space, ..Fatal::disk(fault) })
            }
        }
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests;
