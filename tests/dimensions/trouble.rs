//! Tables that are slow to make, fail at first, or cannot be made: a sink around the embedded one.
//!
//! It also tells what was delivered, unit by unit, as the store acknowledges it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use engine::clock::Moment;
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::sink::{
    Delivery, Sink, SinkFactory, SinkPoll, SinkReply, SinkRequest, TableDefinition, Unit,
    UnitPolicy,
};

/// What happens when a table is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// How long each attempt takes.
    pub(crate) slow_ms: u64,
    /// How many attempts fail before one does not.
    pub(crate) later: u32,
    /// Whether the store refuses the table for good.
    pub(crate) never: bool,
}

/// Called with each unit when it is acknowledged.
pub(crate) type Delivered = Arc<dyn Fn(&Unit, &[Arc<Block>]) + Send + Sync>;

/// Makes sinks in trouble; the troubles outlive crashes.
#[derive(Clone)]
pub(crate) struct Troubled {
    pub(crate) inner: Arc<dyn SinkFactory>,
    /// By sink table, upper case.
    pub(crate) tables: Arc<Mutex<BTreeMap<String, Trouble>>>,
    pub(crate) delivered: Option<Delivered>,
}

impl Troubled {
    pub(crate) fn new(inner: Arc<dyn SinkFactory>, troubles: &[(&str, Trouble)]) -> Self {
        let tables = troubles.iter().map(|(name, trouble)| (name.to_uppercase(), *trouble));
        Self { inner, tables: Arc::new(Mutex::new(tables.collect())), delivered: None }
    }

    /// How one attempt ends.
    fn attempt(&self, definition: &TableDefinition) -> Result<(), Fault> {
        let mut tables = self.tables.lock().expect("one thread");
        let Some(trouble) = tables.get_mut(&definition.name) else { return Ok(()) };
        if let Some(left) = trouble.later.checked_sub(1) {
            trouble.later = left;
            return Err(Fault::later("the store is busy"));
        }
        if trouble.never {
            return Err(Fault::never("the store has no room for tables"));
        }
        Ok(())
    }

    fn slow_ms(&self, definition: &TableDefinition) -> u64 {
        let tables = self.tables.lock().expect("one thread");
        tables.get(&definition.name).map_or(0, |trouble| trouble.slow_ms)
    }
}

impl SinkFactory for Troubled {
    fn describe(&self) -> String {
        "tables in trouble".to_owned()
    }

    fn unit_policy(&self) -> UnitPolicy {
        self.inner.unit_policy()
    }

    fn delivery(&self) -> Delivery {
        self.inner.delivery()
    }

    fn create(&self) -> Result<Box<dyn Sink>, Fault> {
        let inner = self.inner.create()?;
        Ok(Box::new(TroubledSink { factory: self.clone(), inner, request: None, until: None }))
    }
}

struct TroubledSink {
    factory: Troubled,
    inner: Box<dyn Sink>,
    request: Option<SinkRequest>,
    /// When the attempt under way is over.
    until: Option<u64>,
}

impl Sink for TroubledSink {
    fn begin(&mut self, request: SinkRequest) {
        self.until = None;
        if !matches!(request, SinkRequest::EnsureTable(_)) {
            self.inner.begin(request.clone());
        }
        self.request = Some(request);
    }

    fn poll(&mut self, now: Moment) -> SinkPoll {
        let Some(SinkRequest::EnsureTable(definition)) = &self.request else {
            let polled = self.inner.poll(now);
            let delivered = polled == SinkPoll::Done(SinkReply::Delivered);
            if delivered
                && let (Some(SinkRequest::Deliver(unit, blocks)), Some(tell)) =
                    (&self.request, &self.factory.delivered)
            {
                let blocks: Vec<_> = blocks.iter().map(|block| block.expect("readable")).collect();
                tell(unit, &blocks);
            }
            return polled;
        };
        let slow_ms = self.factory.slow_ms(definition);
        let until = *self.until.get_or_insert_with(|| now.tick_after_ms(slow_ms));
        if !now.reached(until) {
            return SinkPoll::Pending;
        }
        match self.factory.attempt(definition) {
            Err(fault) => SinkPoll::Fault(fault),
            Ok(()) => {
                self.inner.begin(SinkRequest::EnsureTable(definition.clone()));
                self.inner.poll(now)
            }
        }
    }

    fn close(&mut self) {
        self.inner.close();
    }
}
