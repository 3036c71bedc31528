//! Where transactions of the log begin and end, and with that, where we are.
//!
//! The assembler is told every event in order and says what each means; it holds no rows and does no
//! IO. A place only moves when a transaction has ended: what is saved is always between two.
//!
//! ```text
//! MySQL    GTID  QUERY BEGIN  rows…  XID | QUERY COMMIT | QUERY ROLLBACK
//!          GTID  QUERY <definition>
//!          GTID  PAYLOAD( BEGIN rows… XID )            events inside have no position of their own
//! MariaDB  GTID (not standalone)  rows…  XID | QUERY COMMIT
//!          GTID (standalone)  QUERY <definition>
//! both     GTID [QUERY] XA START  rows…  QUERY XA END  XA_PREPARE
//! ```

use super::gtid::Gtid;
use super::position::Place;
use super::statement::{Statement, TableName, kind};

/// An event, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// What follows stands in this file from this offset on.
    Rotate {
        file: String,
        offset: u64,
    },
    /// `standalone`: the one statement that follows is the transaction; MySQL does not say.
    Gtid {
        gtid: Option<Gtid>,
        standalone: bool,
    },
    Query {
        text: String,
        database: String,
        thread: u32,
    },
    /// The end of a transaction.
    Xid,
    /// The end of an XA transaction's first phase.
    XaPrepare {
        one_phase: bool,
    },
    /// Compressed transaction; its events follow.
    Payload,
    /// Rows of our table.
    Rows,
    /// Rows of another table.
    OtherRows,
    /// Says nothing.
    Skip,
}

/// The numbers of an event's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Offset behind the event, of which the log keeps 32 bits; 0 where it has none.
    pub(super) end: u32,
    /// Bytes of the event.
    pub(super) bytes: u32,
}

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Meaning {
    #[default]
    Nothing,
    /// Rows of our table to be added.
    Rows,
    /// The rows of this transaction never happened.
    Discarded,
    /// Our table, or what it is in, was altered.
    Altered,
    /// Our table was emptied.
    Truncated,
}

/// What the assembler makes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Step {
    pub(super) meaning: Meaning,
    /// The transaction ends here; [`Assembler::place`] is behind it.
    pub(super) ends: bool,
}

/// Why the log cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// What is there; place and file are added by the assembler.
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// A transaction under way.
#[derive(Debug, Clone, Default)]
struct Open {
    gtid: Option<Gtid>,
    /// BEGIN was seen: it ends by its own event.
    begun: bool,
    thread: Option<u32>,
    /// Rows of ours were in it.
    ours: bool,
    /// End of the compressed event it is in.
    payload_end: Option<u64>,
}

/// Follows the log.
#[derive(Debug)]
pub(super) struct Assembler {
    table: TableName,
    place: Place,
    open: Option<Open>,
    /// Offset behind the event before.
    offset: u64,
}

impl Assembler {
    /// Begins between two transactions.
    pub(super) fn new(table: TableName, place: Place) -> Self {
        Self { table, offset: place.offset, place, open: None }
    }

    /// Behind the last complete transaction.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether a transaction is under way.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The id of the transaction under way.
    pub(super) fn gtid(&self) -> Option<&Gtid> {
        self.open.as_ref()?.gtid.as_ref()
    }

    /// The connection that makes the transaction under way.
    pub(super) fn thread(&self) -> Option<u32> {
        self.open.as_ref()?.thread
    }

    /// Where the event that was taken last begins.
    pub(super) fn begin_of(&self, header: Header) -> u64 {
        let end = self.open.as_ref().and_then(|open| open.payload_end);
        end.unwrap_or_else(|| self.offset.saturating_sub(header.bytes.into()))
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, item: &Item, header: Header) -> Result<Step, Stop> {
        self.check_payload(item, header)?;
        if *item != Item::Skip {
            self.follow(header);
        }
        match item {
            Item::Rotate { file, offset } => self.rotate(file, *offset),
            Item::Gtid { gtid, standalone } => self.begin(gtid.clone(), !*standalone),
            Item::Query { text, database, thread } => self.query(text, database, *thread),
            Item::Xid => self.end(Meaning::Nothing),
            Item::XaPrepare { one_phase } => self.prepare(*one_phase),
            Item::Payload => self.payload(),
            Item::Rows => self.rows(),
            Item::OtherRows | Item::Skip => Ok(Step::default()),
        }
    }

    /// Events of a payload have no offset of their own. Any event that has one before the transaction
    /// has ended shows that its payload was not whole (`mysql_common` gives an empty one where zstd
    /// fails).
    fn check_payload(&self, item: &Item, header: Header) -> Result<(), Stop> {
        let inside = self.open.as_ref().is_some_and(|open| open.payload_end.is_some());
        let outside = header.end != 0 || matches!(item, Item::Rotate { .. } | Item::Gtid { .. });
        if inside && outside {
            return Err(self.stop("corrupt transaction payload"));
        }
        Ok(())
    }

    /// Moves the offset behind the event, giving back the bits the log has no room for. Events that
    /// say nothing do not count: some are made up by the server and tell another offset.
    fn follow(&mut self, header: Header) {
        if header.end != 0 {
            let low = u64::from(header.end);
            let high = self.offset & !u64::from(u32::MAX);
            let wrapped = low < (self.offset & u64::from(u32::MAX));
            self.offset = high + low + if wrapped { 1 << 32 } else { 0 };
        }
    }

    /// A transaction that the end of its file cut off is what a server was writing when it was killed:
    /// it was never committed, and MariaDB leaves it there.
    fn rotate(&mut self, file: &str, offset: u64) -> Result<Step, Stop> {
        self.offset = offset;
        self.place.offset = offset;
        file.clone_into(&mut self.place.file);
        match self.open.take() {
            Some(_) => Ok(Step { meaning: Meaning::Discarded, ends: true }),
            None => Ok(Step::default()),
        }
    }

    fn begin(&mut self, gtid: Option<Gtid>, begun: bool) -> Result<Step, Stop> {
        if self.open.is_some() {
            return Err(self.stop("a transaction inside another"));
        }
        // MySQL's GTID event says nothing about what follows; its BEGIN does.
        let begun = begun && matches!(gtid, Some(Gtid::MariaDb { .. }));
        self.open = Some(Open { gtid, begun, ..Open::default() });
        Ok(Step::default())
    }

    fn query(&mut self, text: &str, database: &str, thread: u32) -> Result<Step, Stop> {
        match kind(text) {
            Statement::Begin | Statement::XaStart => {
                let open = self.open.get_or_insert_default();
                open.begun = true;
                open.thread = Some(thread);
                Ok(Step::default())
            }
            Statement::Commit => self.end(Meaning::Nothing),
            Statement::Rollback => self.end(Meaning::Discarded),
            Statement::Nothing => self.end_of_single(Meaning::Nothing),
            Statement::Change => {
                if self.table.is_named_in(text, database) {
                    return Err(self.statement_based());
                }
                self.end_of_single(Meaning::Nothing)
            }
            Statement::Definition if self.table.is_named_in(text, database) => {
                self.end_of_single(Meaning::Altered)
            }
            Statement::Truncate if self.table.is_named_in(text, database) => {
                self.end_of_single(Meaning::Truncated)
            }
            Statement::Definition | Statement::Truncate => self.end_of_single(Meaning::Nothing),
        }
    }

    fn statement_based(&self) -> Stop {
        let TableName { database, table, .. } = &self.table;
        let what = format!("statement-based event for table \"{database}.{table}\"");
        Stop { hint: Some("set binlog_format=ROW"), ..self.stop(&what) }
    }

    /// A statement: outside of BEGIN it is a transaction of its own.
    fn end_of_single(&mut self, meaning: Meaning) -> Result<Step, Stop> {
        if self.open.as_ref().is_some_and(|open| open.begun) {
            return Ok(Step { meaning, ends: false });
        }
        self.end(meaning)
    }

    fn end(&mut self, meaning: Meaning) -> Result<Step, Stop> {
        let open = self.open.take().unwrap_or_default();
        self.place.offset = open.payload_end.unwrap_or(self.offset);
        if let Some(gtid) = &open.gtid {
            self.place.gtids.add(gtid);
        }
        Ok(Step { meaning, ends: true })
    }

    fn prepare(&mut self, one_phase: bool) -> Result<Step, Stop> {
        let ours = self.open.as_ref().is_some_and(|open| open.ours);
        if ours && !one_phase {
            let hint = "rows of a prepared transaction are not held; commit in one phase";
            return Err(Stop { hint: Some(hint), ..self.stop("a two-phase XA transaction") });
        }
        self.end(Meaning::Nothing)
    }

    fn payload(&mut self) -> Result<Step, Stop> {
        self.open.get_or_insert_default().payload_end = Some(self.offset);
        Ok(Step::default())
    }

    fn rows(&mut self) -> Result<Step, Stop> {
        match &mut self.open {
            Some(open) if open.begun => open.ours = true,
            _ => return Err(self.stop("rows outside of a transaction")),
        }
        Ok(Step { meaning: Meaning::Rows, ends: false })
    }

    /// A stop at the event that was taken last.
    pub(super) fn stop(&self, what: &str) -> Stop {
        let offset = self.open.as_ref().and_then(|open| open.payload_end).unwrap_or(self.offset);
        Stop { message: format!("{what}, before {}:{offset}", self.place.file), hint: None }
    }
}

#[cfg(test)]
mod tests;
