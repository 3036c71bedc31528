//! The broadcast gate: configuration takes effect between epochs only.
//!
//! Input 0 is the configuration, sent to every worker; the other inputs are rows. Rows wait for the
//! close of their epoch, which no epoch reaches before all configuration of it is there, so no row
//! races its configuration, and every worker decides alike. What the configuration says is state,
//! stored once and loaded by all: after a restart nothing is read anew.
//!
//! In the first epoch of a job the rows see the configuration of that same epoch, unless it is asked
//! for that they do not wait even then: the source of the configuration
//! puts the whole snapshot into it ([`Description::snapshot`](crate::source::Description::snapshot)),
//! so not one row is routed before the configuration is known.

use std::collections::BTreeMap;

use super::stateful::{Close, Output, SHARED_GROUP, Stateful};
use crate::batch::row::Row;
use crate::checkpoint::piece::Delta;
use crate::counter::Counters;
use crate::source::reread::Reread;

/// Key of the mark that the first epoch is over.
const OPENED_KEY: &[u8] = b"\0opened";

/// Which configuration a row of epoch `e` sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMode {
    /// That of all epochs before `e`; in the first epoch of all, its own.
    Previous,
    /// That of all epochs before `e`: rows of the first epoch of all see none. For comparison with
    /// jobs that hold nothing back.
    Unheld,
    /// That of all epochs up to and including `e`.
    Strict,
}

/// What stands at the gate. MUST be deterministic in its rows; `config` MUST NOT depend on the worker.
pub trait GateLogic {
    /// Applies a row of the configuration.
    fn config(&mut self, row: Row<'_>, context: &mut GateContext<'_>);
    /// Takes a row of input `input` (1 and up), by order value.
    fn row(&mut self, input: usize, row: Row<'_>, context: &mut GateContext<'_>);
    /// All configuration and all rows of the epoch have been taken.
    fn closed(&mut self, context: &mut GateContext<'_>);
    /// Takes back an entry that [`GateContext::save`] or [`GateContext::save_config`] wrote.
    fn load(&mut self, key: &[u8], value: &[u8]);
    /// Number of entries kept, for gauges.
    fn entries(&self) -> usize;
}

/// What the logic has at hand.
pub struct GateContext<'a> {
    /// Where rows go.
    pub output: &'a mut Output,
    /// Counters of the job.
    pub counters: &'a mut Counters,
    /// The last value of each entry that this epoch changes.
    changed: &'a mut BTreeMap<(u16, Vec<u8>), Option<Vec<u8>>>,
    asked: &'a mut super::ask::Asked,
    worker: usize,
}

impl GateContext<'_> {
    /// Writes what every worker knows; written down once.
    pub fn save_config(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.is_first_worker() {
            self.save(SHARED_GROUP, key, value);
        }
    }

    /// Writes what this worker alone keeps; after a change of the number of workers the owner of
    /// `group` loads it.
    pub fn save(&mut self, group: u16, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.changed.insert((group, key), value);
    }

    /// Whether this worker counts and says what all know.
    pub fn is_first_worker(&self) -> bool {
        self.worker == 0
    }

    /// Asks the source to read again; said by one worker.
    pub fn reread(&mut self, request: Reread) {
        if self.is_first_worker() {
            self.asked.reread(request);
        }
    }
}

/// The operator around a [`GateLogic`].
pub struct Gate<L> {
    logic: L,
    mode: GateMode,
    opened: bool,
    /// The first of the two passes over the rows of the epoch in hand is over.
    half: bool,
    /// What the epoch in hand has changed so far.
    changed: BTreeMap<(u16, Vec<u8>), Option<Vec<u8>>>,
}

impl<L: GateLogic> Gate<L> {
    /// A gate that no epoch has passed.
    pub fn new(mode: GateMode, logic: L) -> Self {
        Self { logic, mode, opened: false, half: false, changed: BTreeMap::new() }
    }
}

impl<L: GateLogic> Gate<L> {
    /// A pass over the rows, as long as the turn lasts: those of the configuration, or the others.
    fn pass(&mut self, of_config: bool, close: &mut Close<'_>) {
        while let Some((input, row)) = close.next_row() {
            if of_config == (input == 0) {
                self.with(close, |logic, context| match input {
                    0 => logic.config(row, context),
                    input => logic.row(input, row, context),
                });
            }
        }
    }

    fn with(&mut self, close: &mut Close<'_>, act: impl FnOnce(&mut L, &mut GateContext<'_>)) {
        let mut context = GateContext {
            output: close.output,
            counters: close.counters,
            changed: &mut self.changed,
            asked: close.asked,
            worker: close.worker,
        };
        act(&mut self.logic, &mut context);
    }
}

impl<L: GateLogic> Stateful for Gate<L> {
    fn close(&mut self, close: &mut Close<'_>) {
        let config_first = match self.mode {
            GateMode::Strict => true,
            GateMode::Previous => !self.opened,
            GateMode::Unheld => false,
        };
        if !self.half {
            self.pass(config_first, close);
            self.half = !close.is_interrupted();
            if !self.half {
                return;
            }
            close.rewind();
        }
        self.pass(!config_first, close);
        if close.is_interrupted() {
            return;
        }
        self.half = false;
        let opens = !std::mem::replace(&mut self.opened, true);
        self.with(close, |logic, context| {
            logic.closed(context);
            if opens {
                context.save_config(OPENED_KEY.to_vec(), Some(Vec::new()));
            }
        });
        let changed = std::mem::take(&mut self.changed);
        let delta = |((group, key), value)| Delta { group, key, value };
        close.deltas.extend(changed.into_iter().map(delta));
    }

    fn load(&mut self, _group: u16, key: &[u8], value: &[u8]) {
        if key == OPENED_KEY {
            self.opened = true;
        } else {
            self.logic.load(key, value);
        }
    }

    fn entries(&self) -> usize {
        self.logic.entries()
    }
}
