//! A connection for questions: who the server is, what the table looks like, where its log stands.
//!
//! Every session speaks UTF-8, lives in UTC and has no `sql_mode`, so that values come as they are
//! stored; every answer has a limit of time.

use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, OptsBuilder, Params, Row};

use engine::error::Fault;

use super::config::MysqlTableConfig;
use super::gtid::{GtidSet, Gtids, LastOfDomain};
use super::position::Flavour;
use super::statement::TableName;
use super::table::{Column, Table};
use super::trouble::Trouble;

/// A binlog event may be as large as this whatever the server's `max_allowed_packet` for statements.
const PACKET_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What we have to know of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) flavour: Flavour,
    pub(super) version: String,
    /// `server_uuid` of MySQL, `server_id` of MariaDB, which has no other.
    pub(super) id: String,
    /// Whether a MySQL server gives every transaction a GTID.
    pub(super) gtids: bool,
    /// Whether the events of its log end in a CRC.
    pub(super) checksum: bool,
    /// How it writes the name of our table.
    pub(super) name: TableName,
}

/// A connection and the limit of its answers.
#[derive(Debug)]
pub(super) struct Session {
    conn: Conn,
    limit: Duration,
}

/// Waits for an answer no longer than `limit`.
pub(super) async fn within<T, E: Into<Trouble>>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_elapsed) => Err(Trouble::silent(limit)),
    }
}

impl Session {
    pub(super) async fn connect(config: &MysqlTableConfig) -> Result<Self, Trouble> {
        let options = OptsBuilder::default()
            .ip_or_hostname(config.host.as_str())
            .tcp_port(config.port)
            .user(Some(config.user.as_str()))
            .pass(Some(config.password.as_str()))
            .prefer_socket(false)
            .tcp_keepalive(Some(config.heartbeat_timeout))
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .wait_timeout(Some(28_800))
            .setup(vec!["SET NAMES utf8mb4", "SET time_zone='+00:00'", "SET sql_mode=''"]);
        let limit = config.connect_timeout;
        let conn = within(limit, Conn::new(options)).await?;
        Ok(Self { conn, limit })
    }

    /// The connection itself, to become a stream of the log.
    pub(super) fn into_conn(self) -> Conn {
        self.conn
    }

    pub(super) async fn run(&mut self, statement: &str) -> Result<(), Trouble> {
        within(self.limit, self.conn.query_drop(statement)).await
    }

    /// The first row of an answer.
    pub(super) async fn first<T: FromRow + Send + 'static>(
        &mut self,
        statement: &str,
        parameters: impl Into<Params> + Send,
    ) -> Result<Option<T>, Trouble> {
        within(self.limit, self.conn.exec_first(statement, parameters)).await
    }

    pub(super) async fn all<T: FromRow + Send + 'static>(
        &mut self,
        statement: &str,
        parameters: impl Into<Params> + Send,
    ) -> Result<Vec<T>, Trouble> {
        within(self.limit, self.conn.exec(statement, parameters)).await
    }

    /// Rows of a query over the binary protocol, which gives floats in full, one by one.
    pub(super) async fn each(
        &mut self,
        statement: &str,
        mut take: impl FnMut(Row) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut rows = within(self.limit, self.conn.exec_iter(statement, ())).await?;
        while let Some(row) = within(self.limit, rows.next()).await? {
            take(row)?;
        }
        within(self.limit, rows.drop_result()).await
    }

    /// Who the server is.
    ///
    /// # Errors
    /// Its settings cannot give us a log of whole rows.
    pub(super) async fn server(&mut self, config: &MysqlTableConfig) -> Result<Server, Trouble> {
        let all = self.variables().await?;
        let value = |name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let version = value("version").to_owned();
        let flavour = match version.contains("MariaDB") {
            true => Flavour::MariaDb,
            false => Flavour::Mysql,
        };
        for (name, needed) in
            [("log_bin", "ON"), ("binlog_format", "ROW"), ("binlog_row_image", "FULL")]
        {
            // A later server that has lost a setting has no choice left.
            let given = value(name);
            if !given.is_empty() && !given.eq_ignore_ascii_case(needed) {
                let fault =
                    Fault::never(format!("cannot read the log of the server: {name} is {given}"));
                return Err(Trouble::Never(fault.with_hint(format!("set {name}={needed}"))));
            }
        }
        let id = match flavour {
            Flavour::MariaDb => value("server_id"),
            Flavour::Mysql => value("server_uuid"),
        };
        let name = TableName {
            database: config.database.clone(),
            table: config.table.clone(),
            ignore_case: value("lower_case_table_names") != "0",
        };
        let gtids = flavour == Flavour::Mysql && value("gtid_mode") == "ON";
        let checksum = value("binlog_checksum") != "NONE";
        Ok(Server { flavour, id: id.to_owned(), gtids, checksum, name, version })
    }

    async fn variables(&mut self) -> Result<Vec<(String, String)>, Trouble> {
        const QUERY: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'log_bin', \
             'binlog_format', 'binlog_row_image', 'server_id', 'server_uuid', 'gtid_mode', \
             'binlog_checksum', 'lower_case_table_names')";
        within(self.limit, self.conn.query(QUERY)).await
    }

    /// Columns and key of the table now.
    ///
    /// # Errors
    /// There is no such table, or it is none that we can read.
    pub(super) async fn table(&mut self, config: &MysqlTableConfig) -> Result<Table, Trouble> {
        self.check_kind(config).await?;
        let columns = self.columns(config).await?;
        let names = self.key(config).await?;
        let index = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = names.iter().map(index).collect::<Option<Vec<usize>>>().unwrap_or_default();
        Ok(Table { columns, key })
    }

    /// Rows that change while a table without transactions is read would come twice.
    async fn check_kind(&mut self, config: &MysqlTableConfig) -> Result<(), Trouble> {
        let found: Option<(String, Option<String>, Option<String>)> = self
            .first(
                "SELECT t.TABLE_TYPE, t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t \
                 LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
                 WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?",
                (&config.database, &config.table),
            )
            .await?;
        let (what, hint) = match found {
            None => {
                ("it does not exist, or the user may not see it".to_owned(), "grant SELECT on it")
            }
            Some((kind, ..)) if kind != "BASE TABLE" => {
                (format!("it is a {}", kind.to_lowercase()), "name a plain table")
            }
            Some((_, engine, transactions)) if transactions.as_deref() != Some("YES") => {
                let engine = engine.unwrap_or_default();
                (format!("its engine {engine} has no transactions"), "use ENGINE=InnoDB")
            }
            Some(_) => return Ok(()),
        };
        let fault = Fault::never(format!("cannot read table \"{}\": {what}", config.full_name()));
        Err(Trouble::Never(fault.with_hint(hint)))
    }

    async fn columns(&mut self, config: &MysqlTableConfig) -> Result<Vec<Column>, Trouble> {
        let found: Vec<(String, String, Option<String>, Option<u64>, String)> = self
            .all(
                "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, \
                 IS_NULLABLE FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
                (&config.database, &config.table),
            )
            .await?;
        let columns = found.into_iter().map(|(name, declared, charset, octets, nullable)| {
            Column::new(name, declared, charset, octets.unwrap_or(0), nullable == "YES")
        });
        columns.collect::<Result<Vec<_>, _>>().map_err(|unreadable| {
            let table = config.full_name();
            let fault = Fault::never(format!("cannot read table \"{table}\": {}", unreadable.0));
            Trouble::Never(
                fault.with_hint("no such column can be read; text must be utf8 or latin1"),
            )
        })
    }

    /// Names of the columns of the primary key, else of the first unique key without nullable ones.
    async fn key(&mut self, config: &MysqlTableConfig) -> Result<Vec<String>, Trouble> {
        let found: Vec<(String, String, String)> = self
            .all(
                "SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), COALESCE(NULLABLE, '') \
                 FROM information_schema.STATISTICS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
                 ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
                (&config.database, &config.table),
            )
            .await?;
        // A part without a column is an expression (MySQL 8), of which we do not know the value.
        let useless = |index: &str| {
            found.iter().any(|(name, column, null)| {
                name == index && (null.eq_ignore_ascii_case("YES") || column.is_empty())
            })
        };
        let first = found.iter().map(|(name, ..)| name.as_str()).find(|name| !useless(name));
        let first = first.unwrap_or_default();
        let columns = found.iter().filter(|(name, ..)| name == first);
        Ok(columns.map(|(_, column, _)| column.clone()).collect())
    }

    /// File and offset of the end of the log.
    pub(super) async fn log_end(&mut self) -> Result<(String, u64), Trouble> {
        // The words of MySQL from 8.2 on, and of all others.
        let newer = within(self.limit, self.conn.query_first("SHOW BINARY LOG STATUS")).await;
        let row: Option<Row> = match newer {
            Err(Trouble::Later(_)) => {
                within(self.limit, self.conn.query_first("SHOW MASTER STATUS")).await?
            }
            newer => newer?,
        };
        let row = row.ok_or_else(|| Trouble::odd("the end of the log"))?;
        let file = row.get(0).ok_or_else(|| Trouble::odd("the end of the log"))?;
        let offset = row.get(1).ok_or_else(|| Trouble::odd("the end of the log"))?;
        Ok((file, offset))
    }

    /// The files of the log with their sizes, oldest first.
    pub(super) async fn log_files(&mut self) -> Result<Vec<(String, u64)>, Trouble> {
        let rows: Vec<Row> = within(self.limit, self.conn.query("SHOW BINARY LOGS")).await?;
        let file = |row: &Row| Some((row.get(0)?, row.get(1)?));
        rows.iter().map(file).collect::<Option<_>>().ok_or_else(|| Trouble::odd("the log files"))
    }

    /// All transactions that a MySQL server has executed.
    pub(super) async fn executed(&mut self) -> Result<GtidSet, Trouble> {
        let text: Option<String> = self.first("SELECT @@GLOBAL.gtid_executed", ()).await?;
        text.and_then(|text| GtidSet::parse(&text)).ok_or_else(|| Trouble::odd("gtid_executed"))
    }

    /// MariaDB's GTID position at an offset of its log; `None` if no event ends there.
    pub(super) async fn gtids_at(
        &mut self,
        file: &str,
        offset: u64,
    ) -> Result<Option<Gtids>, Trouble> {
        let text: Option<Option<String>> =
            self.first("SELECT BINLOG_GTID_POS(?, ?)", (file, offset)).await?;
        match text.flatten() {
            None => Ok(None),
            Some(text) => match LastOfDomain::parse(&text) {
                Some(last) => Ok(Some(Gtids::MariaDb(last))),
                None => Err(Trouble::odd("the GTID position")),
            },
        }
    }
}
