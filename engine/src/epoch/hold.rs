//! Retained capabilities, each with its reason.
//!
//! Anything that holds a capability stops the epoch from completing. No operator may retain a bare
//! one: `Hold` enters it into the worker's [`HoldTable`], which `watershed status` reads (and later a
//! stall detector), so that "nothing comes out" always has an answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use timely::dataflow::operators::Capability;

/// Why an epoch cannot close here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// State is being restored.
    Loading,
    /// Rows wait for the close of their epoch.
    Pending,
    /// A source may still emit.
    Source,
    /// An imported stream may still deliver.
    Link,
    /// A table is being made.
    Ddl,
    /// There is more to do than one turn allows.
    Budget,
}

impl HoldReason {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Pending => "pending",
            Self::Source => "source",
            Self::Link => "link",
            Self::Ddl => "ddl",
            Self::Budget => "budget",
        }
    }
}

/// One hold as the stall detector sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldEntry {
    /// Worker index.
    pub worker: usize,
    /// Job name.
    pub job: Arc<str>,
    /// Operator uid.
    pub uid: Arc<str>,
    /// Epoch held.
    pub epoch: u64,
    /// Why.
    pub reason: HoldReason,
}

/// All holds of one worker; readable from any thread.
#[derive(Debug, Clone, Default)]
pub struct HoldTable {
    inner: Arc<Mutex<HoldRows>>,
}

#[derive(Debug, Default)]
struct HoldRows {
    next: u64,
    rows: BTreeMap<u64, HoldEntry>,
}

impl HoldTable {
    /// A copy of all holds, in the order in which they were taken.
    pub fn entries(&self) -> Vec<HoldEntry> {
        self.lock().rows.values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HoldRows> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }

    fn enter(&self, entry: HoldEntry) -> u64 {
        let mut rows = self.lock();
        rows.next += 1;
        let id = rows.next;
        rows.rows.insert(id, entry);
        id
    }
}

/// Capabilities for all output ports of an operator at one epoch.
pub(crate) struct Hold {
    capabilities: Vec<Capability<u64>>,
    table: HoldTable,
    id: u64,
}

impl Hold {
    pub(crate) fn new(table: &HoldTable, entry: HoldEntry, caps: Vec<Capability<u64>>) -> Self {
        Self { capabilities: caps, id: table.enter(entry), table: table.clone() }
    }

    /// The capability of output `port`.
    pub(crate) fn port(&self, port: usize) -> &Capability<u64> {
        &self.capabilities[port]
    }

    /// From now on it is held for another reason.
    pub(crate) fn because(&self, reason: HoldReason) {
        if let Some(row) = self.table.lock().rows.get_mut(&self.id) {
            row.reason = reason;
        }
    }

    /// Moves all ports on to `epoch`.
    pub(crate) fn downgrade(&mut self, epoch: u64) {
        for capability in &mut self.capabilities {
            capability.downgrade(&epoch);
        }
        if let Some(row) = self.table.lock().rows.get_mut(&self.id) {
            row.epoch = epoch;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.table.lock().rows.remove(&self.id);
    }
}
