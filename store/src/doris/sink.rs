//! The sink of the embedded tables: exactly once, by one batch per unit.
//!
//! The rows of a unit and the mark "delivered up to here" of its shard take effect together or not
//! at all, and are durable before the unit is acknowledged. A unit at or below the mark is there
//! already and is skipped. The mark belongs to a state directory (its family): another directory
//! starts from nothing and writes its rows over the old ones.
//!
//! A request is served within `poll`; it waits for this machine's disk, for no peer.

use std::sync::Arc;

use engine::checkpoint::layout::{SinkKey, decode_u64, encode_u64};
use engine::clock::Moment;
use engine::error::{Fatal, Fault};
use engine::outbox::blocks::Blocks;
use engine::outbox::rows::{Op, RowReader, RowRef};
use engine::sink::{
    Delivery, Sink, SinkFactory, SinkIdentity, SinkPoll, SinkReply, SinkRequest, Unit, UnitPolicy,
};
use engine::state::backend::{Durability, StateBatch, StateError};

use super::DwsStore;
use super::table::{TableSpec, space, stored_key};

const DELIVERED: &str = "delivered";

/// Makes sinks that write to embedded tables; the target of a row is the index of its table.
#[derive(Clone)]
pub struct DwsSinkFactory {
    /// Where the tables are.
    pub store: DwsStore,
    /// The tables.
    pub tables: Vec<TableSpec>,
}

impl SinkFactory for DwsSinkFactory {
    fn describe(&self) -> String {
        let names: Vec<&str> = self.tables.iter().map(|table| table.name.as_str()).collect();
        format!("embedded tables {}", names.join(", "))
    }

    fn unit_policy(&self) -> UnitPolicy {
        UnitPolicy::EVERY_EPOCH
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn create(&self) -> Result<Box<dyn Sink>, Fault> {
        let spaces = self.tables.iter().map(|table| space(&table.name)).collect();
        Ok(Box::new(DwsSink { store: self.store.clone(), spaces, mark: None, request: None }))
    }
}

struct DwsSink {
    store: DwsStore,
    /// The space of each target.
    spaces: Vec<Arc<str>>,
    /// Key of this shard's mark, once it is known who asks.
    mark: Option<Vec<u8>>,
    request: Option<SinkRequest>,
}

impl DwsSink {
    fn serve(&mut self, request: SinkRequest) -> Result<SinkReply, Fatal> {
        match request {
            SinkRequest::Prepare(identity) => {
                self.mark = Some(mark_key(&identity));
                Ok(SinkReply::Prepared)
            }
            // A table is there with its first row.
            SinkRequest::EnsureTable(_) => Ok(SinkReply::TableReady),
            SinkRequest::LastDelivered => Ok(SinkReply::LastDelivered(self.last_delivered()?)),
            SinkRequest::Deliver(unit, blocks) => {
                self.deliver(&unit, &blocks)?;
                Ok(SinkReply::Delivered)
            }
        }
    }

    fn mark(&self) -> &[u8] {
        self.mark.as_deref().expect("a sink is prepared before anything else")
    }

    fn last_delivered(&self) -> Result<Option<u64>, Fatal> {
        let view = self.store.backend.view().map_err(|error| refused(&error))?;
        let mark = view.get(DELIVERED, self.mark()).map_err(|error| refused(&error))?;
        let damaged = || Fatal::disk("mark of the embedded tables is damaged");
        mark.map(|mark| decode_u64(&mark).ok_or_else(damaged)).transpose()
    }

    fn deliver(&self, unit: &Unit, blocks: &Blocks) -> Result<(), Fatal> {
        match self.last_delivered()? {
            Some(last) if unit.upper <= last => return Ok(()),
            Some(last) if unit.lower <= last => {
                let Unit { lower, upper, .. } = unit;
                let message =
                    format!("unit {lower} to {upper} was planned anew: {last} is delivered");
                return Err(Fatal::disk(message));
            }
            _ => {}
        }
        let mut batch = StateBatch::default();
        for block in blocks {
            let block = block?;
            for row in RowReader::new(&block.bytes) {
                let row = row.map_err(|fault| Fatal::disk(fault.to_string()))?;
                self.write(&row, &mut batch)?;
            }
        }
        batch.put(&DELIVERED.into(), self.mark().to_vec(), encode_u64(unit.upper));
        self.store.backend.commit(batch, Durability::Synced).map_err(|error| refused(&error))
    }

    fn write(&self, row: &RowRef<'_>, batch: &mut StateBatch) -> Result<(), Fatal> {
        let target = row.target;
        let Some(space) = self.spaces.get(usize::from(target)) else {
            return Err(Fatal::disk(format!("row is for table {target}, which this sink lacks")));
        };
        let Some(key) = row.key.filter(|key| !key.is_empty()) else {
            return Err(Fatal::disk(format!("row for {space:?} has no key")));
        };
        match (row.op, row.value) {
            (Op::Insert, Some(value)) => batch.put(space, stored_key(key), value.to_vec()),
            (Op::Insert, None) | (Op::Delete, _) => batch.delete(space, stored_key(key)),
        }
        Ok(())
    }
}

fn mark_key(identity: &SinkIdentity) -> Vec<u8> {
    let SinkIdentity { family, job, sink, shard } = identity.clone();
    let mut key = encode_u64(family);
    key.extend(SinkKey { job, sink, shard }.encode());
    key
}

/// After an error the store may have lost its tail: a restart finds out.
fn refused(error: &StateError) -> Fatal {
    let hint = "free or check the disk of the data directory and start again";
    let message = format!("cannot write to the embedded tables: {error} ({hint})");
    Fatal { no_space: error.no_space, ..Fatal::disk(message) }
}

impl Sink for DwsSink {
    fn begin(&mut self, request: SinkRequest) {
        assert!(self.request.is_none(), "one request at a time");
        self.request = Some(request);
    }

    fn poll(&mut self, _now: Moment) -> SinkPoll {
        let request = self.request.take().expect("a request is begun before it is polled");
        // The tables lie on our own disk: what cannot be written there is no outside fault.
        self.serve(request).map_or_else(SinkPoll::Broken, SinkPoll::Done)
    }

    fn close(&mut self) {}
}

#[cfg(test)]
mod tests;
