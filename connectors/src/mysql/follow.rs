//! The log behind a position, transaction by transaction, to the queue.
//!
//! A transaction is handed over when it is complete, in pieces of which only the last allows a cut.
//! While nothing happens to our table the position still moves now and then: else a table that nobody
//! touches for a month would need a month of the server's log after a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::error::Fault;
use engine::limit::{BATCH_BYTES_TARGET, BATCH_ROWS_TARGET};
use mysql_async::binlog::events::{EventData, TableMapEvent};
use tokio::time::Instant;

use super::change::{Change, of_event};
use super::config::MysqlTableConfig;
use super::dump::{Begin, Dump, Logged};
use super::envelope::{Envelopes, Op, Origin};
use super::position::{At, Mark};
use super::queue::{News, Outlet, Piece};
use super::session::{Server, Session};
use super::table::Table;
use super::transaction::{Assembler, Meaning};
use super::trouble::Trouble;

/// Records on their way to the source, and the position behind what was handed over.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    outlet: Outlet,
    mark: Arc<Mutex<Mark>>,
}

impl Handover {
    pub(super) fn new(outlet: Outlet, mark: Mark) -> Self {
        Self { outlet, mark: Arc::new(Mutex::new(mark)) }
    }

    /// Where the next attempt begins.
    pub(super) fn mark(&self) -> Mark {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the place: the next attempt begins with a snapshot. The count of rows goes on.
    pub(super) fn forget_place(&self) {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).at = None;
    }

    /// Hands over records that belong together; behind them is `at`. Only after the last a cut is
    /// allowed, and after a snapshot only when its end is told.
    pub(super) async fn give(&self, records: Vec<Vec<u8>>, at: At) -> Result<(), Trouble> {
        let before = self.mark();
        let whole = before.at.is_none();
        let count = u64::try_from(records.len()).expect("fits in memory");
        let after = Mark { rows: before.rows + count, at: Some(at) };
        let mut first = before.rows;
        let mut rest = records.into_iter().peekable();
        while rest.peek().is_some() {
            let records = take_piece(&mut rest);
            let boundary = rest.peek().is_none() && !whole;
            let next = if boundary { after.encode() } else { before.encode() };
            let count = u64::try_from(records.len()).expect("fits in memory");
            self.outlet.send(News::Piece(Piece { records, first, next, boundary })).await?;
            first += count;
        }
        if whole || count == 0 {
            self.outlet.send(News::Whole(after.encode())).await?;
        }
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    pub(super) async fn tell(&self, fault: Fault) -> Result<(), Trouble> {
        self.outlet.send(News::Fault(fault)).await
    }

    pub(super) async fn closed(&self) {
        self.outlet.closed().await;
    }
}

/// As many records as make a batch.
fn take_piece(rest: &mut std::iter::Peekable<std::vec::IntoIter<Vec<u8>>>) -> Vec<Vec<u8>> {
    let (mut piece, mut bytes) = (Vec::new(), 0);
    while piece.len() < BATCH_ROWS_TARGET && bytes < BATCH_BYTES_TARGET {
        let Some(record) = rest.next() else { break };
        bytes += record.len();
        piece.push(record);
    }
    piece
}

/// Follows the log.
pub(super) struct Follower<'a> {
    config: &'a MysqlTableConfig,
    server: &'a Server,
    handover: &'a Handover,
    envelopes: &'a Envelopes,
    dump: Dump,
    assembler: Assembler,
    /// `None` after the table was altered.
    table: Option<Table>,
    /// Of the transaction under way.
    records: Vec<Vec<u8>>,
    bytes: usize,
    told_at: Instant,
}

impl<'a> Follower<'a> {
    /// Asks for the log behind `at`, which was proved.
    pub(super) async fn begin(
        config: &'a MysqlTableConfig,
        server: &'a Server,
        server_id: u32,
        handover: &'a Handover,
        envelopes: &'a Envelopes,
        at: At,
    ) -> Result<Self, Trouble> {
        let dump = Dump::open(config, server, server_id, Begin::Behind(&at.place)).await?;
        Ok(Self {
            config,
            server,
            handover,
            envelopes,
            dump,
            assembler: Assembler::new(server.name.clone(), at.place),
            table: at.table,
            records: Vec::new(),
            bytes: 0,
            told_at: Instant::now(),
        })
    }

    /// Follows the log until that fails.
    pub(super) async fn run(&mut self, limit: Duration) -> Result<(), Trouble> {
        while let Some(logged) = self.dump.next(limit).await? {
            self.take(logged).await?;
        }
        Err(Trouble::Later("could not read on: the server ended the log".to_owned()))
    }

    async fn take(&mut self, logged: Logged) -> Result<(), Trouble> {
        let step = self.assembler.take(&logged.item, logged.header)?;
        match step.meaning {
            Meaning::Nothing => {}
            Meaning::Rows => self.add(&logged).await?,
            Meaning::Discarded => self.records.clear(),
            Meaning::Altered => self.table = None,
            Meaning::Truncated => self.tell_truncated().await?,
        }
        if step.ends && !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.give(records).await
        } else {
            self.tell_progress().await
        }
    }

    async fn give(&mut self, records: Vec<Vec<u8>>) -> Result<(), Trouble> {
        self.bytes = 0;
        self.told_at = Instant::now();
        self.handover.give(records, self.at()).await
    }

    fn at(&self) -> At {
        At {
            flavour: self.server.flavour,
            server: self.server.id.clone(),
            place: self.assembler.place().clone(),
            table: self.table.clone(),
        }
    }

    async fn tell_progress(&mut self) -> Result<(), Trouble> {
        let due = self.told_at.elapsed() >= self.config.progress_interval;
        if !due || self.assembler.is_open() {
            return Ok(());
        }
        self.told_at = Instant::now();
        let at = self.at();
        if self.handover.mark().at.as_ref() == Some(&at) {
            return Ok(());
        }
        self.handover.give(Vec::new(), at).await
    }

    async fn tell_truncated(&self) -> Result<(), Trouble> {
        let source = self.config.describe();
        let fault = Fault::later(format!("{source}: the table was truncated"));
        let hint =
            "the log does not say which rows went, so none is deleted downstream; use DELETE";
        self.handover.tell(fault.with_hint(hint)).await
    }

    async fn add(&mut self, logged: &Logged) -> Result<(), Trouble> {
        let map = self.dump.map_of(&logged.event).cloned();
        let map = map.ok_or_else(|| Trouble::odd("the table of some rows"))?;
        if self.table.as_ref().is_none_or(|table| table.misfit(&map).is_some()) {
            self.table = Some(self.table_of(&map).await?);
        }
        let table = self.table.as_ref().expect("set above");
        let changes = match logged.event.read_data() {
            Ok(Some(EventData::RowsEvent(rows))) => of_event(table, &map, &rows)?,
            other => return Err(Trouble::Broken(format!("could not read rows: {other:?}"))),
        };
        let mut origin = self.origin(logged);
        for (row, change) in changes.iter().enumerate() {
            origin.row = row;
            self.push(change, &origin);
        }
        self.check_size()
    }

    /// The columns after the table was altered: those of now, if the log agrees.
    async fn table_of(&self, map: &TableMapEvent<'static>) -> Result<Table, Trouble> {
        let mut session = Session::connect(self.config).await?;
        let mut table = session.table(self.config).await?;
        loop {
            let again = session.table(self.config).await?;
            if again == table {
                break;
            }
            table = again;
        }
        let Some(misfit) = table.misfit(map) else { return Ok(table) };
        let (name, place) = (self.config.full_name(), self.assembler.place());
        let message = format!(
            "cannot tell the columns of table \"{name}\" behind {}:{}: {misfit}",
            place.file, place.offset
        );
        let hint = "it was altered again since; start afresh with a new snapshot";
        Err(Trouble::Never(Fault::never(message).with_hint(hint)))
    }

    fn origin(&self, logged: &Logged) -> Origin {
        let header = logged.event.header();
        Origin {
            file: self.assembler.place().file.clone(),
            offset: self.assembler.begin_of(logged.header),
            row: 0,
            server_id: header.server_id(),
            seconds: header.timestamp(),
            gtid: self.assembler.gtid().map(ToString::to_string),
            thread: self.assembler.thread(),
        }
    }

    /// A changed key is the end of one row and the beginning of another.
    fn push(&mut self, change: &Change, origin: &Origin) {
        let envelopes = self.envelopes;
        let mut push = |op, rows| {
            let record = envelopes.change(op, rows, origin);
            self.bytes += record.len();
            self.records.push(record);
        };
        match change {
            Change::Create(after) => push(Op::Create, [None, Some(after)]),
            Change::Delete(before) => push(Op::Delete, [Some(before), None]),
            Change::Update { before, after } if before.key == after.key => {
                push(Op::Update, [Some(before), Some(after)]);
            }
            Change::Update { before, after } => {
                push(Op::Delete, [Some(before), None]);
                push(Op::Create, [None, Some(after)]);
            }
        }
    }

    fn check_size(&self) -> Result<(), Trouble> {
        let max = self.config.transaction_bytes_max;
        if self.bytes <= max {
            return Ok(());
        }
        let (name, place) = (self.config.full_name(), self.assembler.place());
        let message = format!(
            "cannot hold a transaction of table \"{name}\" behind {}:{}: it has more than {max} B",
            place.file, place.offset
        );
        Err(Trouble::Never(Fault::never(message).with_hint("change fewer rows at once")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::gtid::Gtids;
    use super::super::position::{Flavour, Place};
    use super::super::queue::{Inlet, queue};
    use super::*;

    fn at(offset: u64) -> At {
        let place = Place { file: "m.1".into(), offset, gtids: Gtids::None };
        At { flavour: Flavour::Mysql, server: "u".into(), place, table: None }
    }

    fn give(handover: &Handover, records: usize, offset: u64) {
        let records = (0..records).map(|number| number.to_string().into_bytes()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(handover.give(records, at(offset))).unwrap();
    }

    /// First row, number of rows, boundary, and where to go on of each piece; `None`: whole.
    fn taken(inlet: &mut Inlet) -> Vec<Option<(u64, usize, bool, Mark)>> {
        let news = std::iter::from_fn(|| inlet.take());
        let mark = |position| Mark::decode(&position).unwrap();
        news.map(|news| match news {
            News::Piece(piece) => {
                Some((piece.first, piece.records.len(), piece.boundary, mark(piece.next)))
            }
            News::Whole(_) => None,
            News::Fault(fault) => panic!("{fault}"),
        })
        .collect()
    }

    #[test]
    fn a_snapshot_allows_no_cut_before_it_is_whole() {
        for rows in [0, 3, 2500] {
            let (outlet, mut inlet) = queue();
            let handover = Handover::new(outlet, Mark { rows: 0, at: None });
            give(&handover, rows, 100);
            let taken = taken(&mut inlet);
            let (end, pieces) = taken.split_last().unwrap();
            assert_eq!((end, pieces.len()), (&None, rows.div_ceil(1024)));
            for (_, _, boundary, next) in pieces.iter().flatten() {
                assert_eq!((*boundary, next), (false, &Mark { rows: 0, at: None }));
            }
            let rows = u64::try_from(rows).unwrap();
            assert_eq!(handover.mark(), Mark { rows, at: Some(at(100)) });
        }
    }

    #[test]
    fn a_transaction_is_cut_only_behind_its_last_piece() {
        let (outlet, mut inlet) = queue();
        let before = Mark { rows: 10, at: Some(at(100)) };
        let handover = Handover::new(outlet, before.clone());
        give(&handover, 1030, 200);
        let after = Mark { rows: 1040, at: Some(at(200)) };
        let expected = [(10, 1024, false, before), (1034, 6, true, after.clone())];
        assert_eq!(taken(&mut inlet), expected.map(Some));
        assert_eq!(handover.mark(), after);
        give(&handover, 0, 300);
        assert_eq!(taken(&mut inlet), [None]);
    }
}
