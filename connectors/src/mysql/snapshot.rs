//! The table as it was at one place of the log, so that what follows in the log is all that is missing.
//!
//! **MariaDB** tells the place of a transaction's view: `START TRANSACTION WITH CONSISTENT SNAPSHOT`,
//! then the status variables `Binlog_snapshot_file` and `_position`. Rows and place fit exactly.
//!
//! **MySQL** does not. A transaction is in its log before a query can see it, and visible before
//! `gtid_executed` or any status statement is sure to name it. So nothing is asked about the end:
//!
//! ```text
//! 1  BEGIN (READ COMMITTED), touch the table        nobody can alter it until 5
//! 2  LOW: gtid_executed; without GTIDs the beginning of the file that is being written
//!         (what is in LOW is visible: a file is only begun when all before it is committed)
//! 3  SELECT all rows                                each is as old as LOW or newer
//! 4  read the log from LOW to its end and put every change over the rows, by key
//! 5  COMMIT                                         the rows are the table at the end of 4
//! ```
//!
//! Step 4 gives every key that changed its last state, so it does not matter which of those changes
//! the SELECT saw. No lock is taken, no mark is written, no right is needed that reading the log does
//! not need anyway. A table without a usable key is read again until nothing changed meanwhile.
//!
//! In both cases columns are read while the table cannot be altered, and rows come as records only
//! when all are there: a connection that breaks costs a second try, not a doubled row.

use std::collections::BTreeMap;

use engine::error::Fault;
use mysql_async::binlog::events::{EventData, TableMapEvent};

use super::change::{Change, of_event, of_selected};
use super::config::MysqlTableConfig;
use super::dump::{Begin, Dump, Logged};
use super::envelope::Row;
use super::gtid::Gtids;
use super::position::{Flavour, Place};
use super::session::{Server, Session};
use super::table::Table;
use super::transaction::{Assembler, Meaning};
use super::trouble::Trouble;

/// How often a table that keeps changing while it is read is read again at once.
const TRIES: usize = 20;
/// `ER_TABLE_DEF_CHANGED`: the table was altered after the view was made.
const ALTERED: &str = "error 1412";

/// A table at a place of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) table: Table,
    pub(super) rows: Vec<Row>,
    pub(super) place: Place,
}

/// Reads the table. `server_id` is free for a stream of the log.
pub(super) async fn snapshot(
    config: &MysqlTableConfig,
    server: &Server,
    server_id: u32,
) -> Result<Snapshot, Trouble> {
    for _ in 0..TRIES {
        let mut session = Session::connect(config).await?;
        let read = match server.flavour {
            Flavour::MariaDb => of_mariadb(config, &mut session).await?,
            Flavour::Mysql => of_mysql(config, server, server_id, &mut session).await?,
        };
        if let Some(snapshot) = read {
            return Ok(snapshot);
        }
    }
    let table = config.full_name();
    Err(Trouble::Later(format!(
        "could not read table \"{table}\": it changed {TRIES} times meanwhile"
    )))
}

/// `None` if the table was altered between its view and its columns.
async fn of_mariadb(
    config: &MysqlTableConfig,
    session: &mut Session,
) -> Result<Option<Snapshot>, Trouble> {
    let before = session.table(config).await?;
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
    let place = view_place(session).await?;
    match touch(config, session).await {
        Err(Trouble::Later(message)) if message.contains(ALTERED) => return Ok(None),
        touched => touched?,
    }
    let table = session.table(config).await?;
    if table != before {
        return Ok(None);
    }
    let mut rows = Rows::new(config);
    select(config, session, &table, &mut rows).await?;
    session.run("COMMIT").await?;
    Ok(Some(Snapshot { table, rows: rows.take(), place }))
}

/// Where in the log the view of this transaction is.
async fn view_place(session: &mut Session) -> Result<Place, Trouble> {
    let status: Vec<(String, String)> =
        session.all("SHOW STATUS LIKE 'Binlog_snapshot_%'", ()).await?;
    let value = |name: &str| {
        let found = status.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let file = value("Binlog_snapshot_file").to_owned();
    let offset = value("Binlog_snapshot_position").parse();
    let offset = offset.map_err(|_not_one| Trouble::odd("the place of the snapshot"))?;
    let gtids = session.gtids_at(&file, offset).await?;
    let gtids = gtids.ok_or_else(|| Trouble::odd("the GTID position of the snapshot"))?;
    Ok(Place { file, offset, gtids })
}

/// Keeps the table from being altered until the transaction ends (a metadata lock).
async fn touch(config: &MysqlTableConfig, session: &mut Session) -> Result<(), Trouble> {
    let name = quoted_table(config);
    let _any: Option<u8> = session.first(&format!("SELECT 1 FROM {name} LIMIT 1"), ()).await?;
    Ok(())
}

/// `None` if the table has no key and was changed meanwhile.
async fn of_mysql(
    config: &MysqlTableConfig,
    server: &Server,
    server_id: u32,
    session: &mut Session,
) -> Result<Option<Snapshot>, Trouble> {
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    session.run("START TRANSACTION READ ONLY").await?;
    touch(config, session).await?;
    let table = session.table(config).await?;
    let low = if server.gtids {
        let gtids = Gtids::Mysql(session.executed().await?);
        Place { file: String::new(), offset: 4, gtids }
    } else {
        let (file, _) = session.log_end().await?;
        Place { file, offset: 4, gtids: Gtids::None }
    };
    let mut rows = Rows::new(config);
    select(config, session, &table, &mut rows).await?;
    let dump = Dump::open(config, server, server_id, Begin::Window(&low)).await?;
    let (changes, place) = window(config, server, dump, &table, low).await?;
    session.run("COMMIT").await?;
    if table.key.is_empty() && !changes.is_empty() {
        return Ok(None);
    }
    for change in changes {
        rows.put_over(change)?;
    }
    Ok(Some(Snapshot { table, rows: rows.take(), place }))
}

async fn select(
    config: &MysqlTableConfig,
    session: &mut Session,
    table: &Table,
    rows: &mut Rows,
) -> Result<(), Trouble> {
    let names = |indexes: &mut dyn Iterator<Item = usize>| {
        indexes.map(|index| quoted(&table.columns[index].name)).collect::<Vec<_>>().join(", ")
    };
    let columns = names(&mut (0..table.columns.len()));
    let mut query = format!("SELECT {columns} FROM {}", quoted_table(config));
    if !table.key.is_empty() {
        query.push_str(&format!(" ORDER BY {}", names(&mut table.key.iter().copied())));
    }
    session.each(&query, |row| rows.add(of_selected(table, &row.unwrap())?)).await
}

/// The changes of the table from `low` to the end of the log, and that end.
async fn window(
    config: &MysqlTableConfig,
    server: &Server,
    mut dump: Dump,
    table: &Table,
    low: Place,
) -> Result<(Vec<Change>, Place), Trouble> {
    let mut assembler = Assembler::new(server.name.clone(), low);
    let (mut complete, mut open) = (Vec::new(), Vec::new());
    while let Some(logged) = dump.next(config.heartbeat_timeout).await? {
        let step = assembler.take(&logged.item, logged.header)?;
        match step.meaning {
            Meaning::Nothing => {}
            Meaning::Rows => open.push(kept(&dump, logged)?),
            Meaning::Discarded => open.clear(),
            // Whoever altered the table did so before we touched it, and what came before that is
            // in the rows.
            Meaning::Altered | Meaning::Truncated => {
                complete.clear();
                open.clear();
            }
        }
        if step.ends {
            complete.append(&mut open);
        }
    }
    let mut changes = Vec::new();
    for (logged, map) in &complete {
        changes.extend(changes_of(logged, map, table)?);
    }
    Ok((changes, assembler.place().clone()))
}

type Kept = (Logged, TableMapEvent<'static>);

fn kept(dump: &Dump, logged: Logged) -> Result<Kept, Trouble> {
    let map = dump.map_of(&logged.event).cloned();
    let map = map.ok_or_else(|| Trouble::odd("the table of some rows"))?;
    Ok((logged, map))
}

fn changes_of(
    logged: &Logged,
    map: &TableMapEvent<'static>,
    table: &Table,
) -> Result<Vec<Change>, Trouble> {
    if let Some(misfit) = table.misfit(map) {
        return Err(Trouble::Later(format!("could not read rows of the log: {misfit}")));
    }
    match logged.event.read_data() {
        Ok(Some(EventData::RowsEvent(rows))) => Ok(of_event(table, map, &rows)?),
        other => Err(Trouble::Broken(format!("could not read an event of rows: {other:?}"))),
    }
}

/// Rows by key, in the order in which they were read; bounded.
#[derive(Debug)]
struct Rows {
    rows: Vec<Option<Row>>,
    places: BTreeMap<Vec<u8>, usize>,
    bytes: usize,
    bytes_max: usize,
    table: String,
}

impl Rows {
    fn new(config: &MysqlTableConfig) -> Self {
        Self {
            rows: Vec::new(),
            places: BTreeMap::new(),
            bytes: 0,
            bytes_max: config.transaction_bytes_max,
            table: config.full_name(),
        }
    }

    fn add(&mut self, row: Row) -> Result<(), Trouble> {
        self.bytes += row.object.len();
        if self.bytes > self.bytes_max {
            let max = self.bytes_max;
            let message = format!("cannot read table \"{}\": it has more than {max} B", self.table);
            let hint = "this source is for small tables, such as table_process";
            return Err(Trouble::Never(Fault::never(message).with_hint(hint)));
        }
        if !row.key.is_empty() {
            self.places.insert(row.key.clone(), self.rows.len());
        }
        self.rows.push(Some(row));
        Ok(())
    }

    fn put_over(&mut self, change: Change) -> Result<(), Trouble> {
        match change {
            Change::Create(after) => self.set(after),
            Change::Update { before, after } => {
                if before.key != after.key {
                    self.remove(&before);
                }
                self.set(after)
            }
            Change::Delete(before) => {
                self.remove(&before);
                Ok(())
            }
        }
    }

    fn set(&mut self, row: Row) -> Result<(), Trouble> {
        match self.places.get(&row.key) {
            Some(place) => self.rows[*place] = Some(row),
            None => self.add(row)?,
        }
        Ok(())
    }

    fn remove(&mut self, row: &Row) {
        if let Some(place) = self.places.remove(&row.key) {
            self.rows[place] = None;
        }
    }

    fn take(self) -> Vec<Row> {
        self.rows.into_iter().flatten().collect()
    }
}

fn quoted_table(config: &MysqlTableConfig) -> String {
    format!("{}.{}", quoted(&config.database), quoted(&config.table))
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str) -> Row {
        Row { object: value.as_bytes().to_vec(), key: key.as_bytes().to_vec() }
    }

    fn config() -> MysqlTableConfig {
        MysqlTableConfig::new("h", "u", "", "d", "t").unwrap()
    }

    /// Whichever part of the changes the SELECT has seen, the outcome is the table at the end.
    #[test]
    fn changes_put_over_any_view_give_the_end() {
        let update = |from: &str, to: &str, value| Change::Update {
            before: row(from, "?"),
            after: row(to, value),
        };
        let changes = [
            Change::Create(row("c", "c1")),
            update("a", "a", "a2"),
            update("b", "x", "x1"),
            Change::Delete(row("a", "a2")),
            Change::Create(row("a", "a3")),
            update("x", "b", "b4"),
            Change::Delete(row("c", "c1")),
        ];
        let seen_after = |count: usize| {
            let mut table = BTreeMap::from([("a", "a1"), ("b", "b1"), ("k", "k1")]);
            for change in &changes[..count] {
                let text = |bytes: &[u8]| -> &'static str {
                    Box::leak(String::from_utf8(bytes.to_vec()).unwrap().into_boxed_str())
                };
                match change {
                    Change::Create(after) => {
                        table.insert(text(&after.key), text(&after.object));
                    }
                    Change::Update { before, after } => {
                        table.remove(text(&before.key));
                        table.insert(text(&after.key), text(&after.object));
                    }
                    Change::Delete(before) => {
                        table.remove(text(&before.key));
                    }
                }
            }
            table
        };
        let end: Vec<Row> =
            seen_after(changes.len()).iter().map(|(key, value)| row(key, value)).collect();
        for count in 0..=changes.len() {
            let mut rows = Rows::new(&config());
            for (key, value) in seen_after(count) {
                rows.add(row(key, value)).unwrap();
            }
            for change in changes.clone() {
                rows.put_over(change).unwrap();
            }
            let mut outcome = rows.take();
            outcome.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(outcome, end, "after {count}");
        }
    }

    #[test]
    fn a_table_too_large_is_named() {
        let mut rows = Rows::new(&MysqlTableConfig { transaction_bytes_max: 3, ..config() });
        rows.add(row("a", "12")).unwrap();
        let Err(Trouble::Never(fault)) = rows.add(row("b", "34")) else { panic!("taken") };
        assert!(fault.message.contains("\"d.t\": it has more than 3 B"), "{fault}");
    }

    #[test]
    fn names_are_quoted() {
        let config = MysqlTableConfig::new("h", "u", "", "d`1", "t").unwrap();
        assert_eq!(quoted_table(&config), "`d``1`.`t`");
    }
}
