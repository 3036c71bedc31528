//! What an operator may ask of the outside while it closes an epoch: a table, or old records.
//!
//! A table is asked for and waited for: the epoch is held until the answer is there, which comes
//! within `ddl_hold_ms`, be it "not yet" ([`crate::runtime::ddl`]). A request to read again is not
//! waited for: what it brings are rows of later epochs. After a crash a table is asked for again,
//! because the epoch happens again. A request to read again may outlive its epoch without leaving a
//! position behind, so the harness keeps it with the operator's state and sends it again at every
//! start; a source knows its number and takes it once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::error::Fault;
use crate::runtime::pump::{PumpOrder, RereadCount};
use crate::runtime::step::{Inbox, Waker};
use crate::sink::TableDefinition;
use crate::source::reread::Reread;

/// The answer to `Close::ensure_table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableAnswer {
    /// The table is there, with all columns asked for.
    Ready,
    /// Not yet; it is being tried. Asked again, the answer comes at once.
    Pending(Fault),
    /// It cannot be: another key or salt, or no success for `ddl_timeout_ms`.
    Refused(Fault),
}

/// A question on its way to the machine that makes tables.
pub(crate) struct TableQuestion {
    pub(crate) desk: Arc<TableDesk>,
    pub(crate) id: u64,
    pub(crate) definition: TableDefinition,
}

/// Where one operator of one worker finds its answers.
pub(crate) struct TableDesk {
    questions: Inbox<TableQuestion>,
    answers: Mutex<VecDeque<(u64, TableAnswer)>>,
    worker: Waker,
}

impl TableDesk {
    pub(crate) fn new(questions: Inbox<TableQuestion>, worker: Waker) -> Self {
        Self { questions, answers: Mutex::default(), worker }
    }

    fn ask(self: &Arc<Self>, id: u64, definition: TableDefinition) {
        self.questions.push(TableQuestion { desk: self.clone(), id, definition });
    }

    pub(crate) fn answer(&self, id: u64, answer: TableAnswer) {
        self.answers.lock().expect("nothing panics under this lock").push_back((id, answer));
        self.worker.wake();
    }

    pub(crate) fn take(&self) -> Option<(u64, TableAnswer)> {
        self.answers.lock().expect("nothing panics under this lock").pop_front()
    }

    pub(crate) fn has_answers(&self) -> bool {
        !self.answers.lock().expect("nothing panics under this lock").is_empty()
    }
}

/// The way to a source that can read again.
#[derive(Clone)]
pub(crate) struct RereadDesk {
    pub(crate) orders: Inbox<PumpOrder>,
    pub(crate) count: RereadCount,
    /// The source began at its first record in this generation.
    pub(crate) fresh: bool,
}

/// The desks of a job on one worker, by operator uid.
#[derive(Clone, Default)]
pub(crate) struct Desks {
    pub(crate) tables: BTreeMap<Arc<str>, Arc<TableDesk>>,
    pub(crate) rereads: BTreeMap<Arc<str>, RereadDesk>,
}

/// What one close asks.
#[derive(Default)]
pub struct Asked {
    tables: Vec<(u64, TableDefinition)>,
    rereads: Vec<Reread>,
    fresh: bool,
}

impl Asked {
    /// Questions of the operator with this uid.
    pub(crate) fn of(uid: &Arc<str>, desks: &Desks) -> Self {
        Self { fresh: desks.rereads.get(uid).is_some_and(|desk| desk.fresh), ..Self::default() }
    }

    /// Whether the source that reads again began at its first record in this generation: until the
    /// first epoch of the operator has ended, there is nothing that has passed it.
    pub fn nothing_has_passed(&self) -> bool {
        self.fresh
    }

    /// Asks the sink for a table; the answer comes under this id before the epoch ends.
    pub fn ensure_table(&mut self, id: u64, definition: TableDefinition) {
        self.tables.push((id, definition));
    }

    /// Asks the source to read again.
    pub fn reread(&mut self, request: Reread) {
        self.rereads.push(request);
    }

    /// What is asked to be read again.
    pub(crate) fn rereads(&self) -> &[Reread] {
        &self.rereads
    }

    /// Sends everything and returns for how many answers to wait.
    pub(crate) fn send(self, uid: &Arc<str>, desks: &Desks) -> usize {
        let waiting = self.tables.len();
        for (id, definition) in self.tables {
            desks.tables.get(uid).expect("declared in the plan").ask(id, definition);
        }
        for request in self.rereads {
            let desk = desks.rereads.get(uid).expect("declared in the plan");
            // Counted before it is sent: the input cannot seem to have ended in between.
            desk.count.fetch_add(1, Ordering::AcqRel);
            desk.orders.push(PumpOrder::Reread(request));
        }
        waiting
    }
}
