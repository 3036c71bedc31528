//! What a table source is told: which server, which table, and how patient to be.

use std::fmt;
use std::time::Duration;

use engine::error::Fault;

/// What to do about a saved position that the server does not have any more (its log was purged or
/// reset).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLostPosition {
    /// The job stops, and the fault names the oldest file of the log.
    #[default]
    Stop,
    /// Reads the table again, with a fault that says so. What was deleted in between is not told.
    Snapshot,
}

/// A checked description of a table on a server and how we read it.
#[derive(Clone)]
pub struct MysqlTableConfig {
    /// Name or address of the server.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// A user with SELECT on the table, REPLICATION CLIENT and REPLICATION SLAVE.
    pub user: String,
    /// Never shown.
    pub password: String,
    /// The database of the table.
    pub database: String,
    /// The table.
    pub table: String,
    /// The id under which we read the log, unique among all that read the log of this server; `None`
    /// takes a random one at each start.
    pub server_id: Option<u32>,
    /// What to do about a lost position.
    pub on_lost_position: OnLostPosition,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How often the server sends a sign of life when it has nothing else to send; whole seconds.
    pub heartbeat: Duration,
    /// Silence after which a connection is taken for dead; more than two heartbeats.
    pub heartbeat_timeout: Duration,
    /// How often the position of a table that nobody changes moves forward, so that the server may
    /// purge its log.
    pub progress_interval: Duration,
    /// The greatest snapshot and the greatest transaction, in bytes of records; more stops the source.
    pub transaction_bytes_max: usize,
}

impl MysqlTableConfig {
    /// A table on a server; the rest has its defaults and is public to be set.
    ///
    /// # Errors
    /// A name is empty.
    pub fn new(
        host: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
        database: impl Into<String>,
        table: impl Into<String>,
    ) -> Result<Self, Fault> {
        let config = Self {
            host: host.into(),
            port: 3306,
            user: user.into(),
            password: password.into(),
            database: database.into(),
            table: table.into(),
            server_id: None,
            on_lost_position: OnLostPosition::default(),
            connect_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(25),
            progress_interval: Duration::from_secs(30),
            transaction_bytes_max: 64 * 1024 * 1024,
        };
        for (option, value) in [
            ("hostname", &config.host),
            ("username", &config.user),
            ("database-name", &config.database),
            ("table-name", &config.table),
        ] {
            if value.is_empty() {
                let fault = Fault::never(format!("cannot read a mysql table: {option} is empty"));
                return Err(fault.with_hint("give one server, one user, one database, one table"));
            }
        }
        Ok(config)
    }

    /// `database.table`, the name of the partition.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.table)
    }

    /// For messages: system and object.
    pub(super) fn describe(&self) -> String {
        let Self { host, port, .. } = self;
        format!("mysql table \"{}\" at {host}:{port}", self.full_name())
    }
}

impl fmt::Debug for MysqlTableConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlTableConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &"…")
            .field("database", &self.database)
            .field("table", &self.table)
            .field("server_id", &self.server_id)
            .field("on_lost_position", &self.on_lost_position)
            .field("connect_timeout", &self.connect_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("heartbeat_timeout", &self.heartbeat_timeout)
            .field("progress_interval", &self.progress_interval)
            .field("transaction_bytes_max", &self.transaction_bytes_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_shows_the_password() {
        let config = MysqlTableConfig::new("h", "u", "hunter2", "d", "t").unwrap();
        let shown = format!("{config:?} {}", config.describe());
        assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let fault = MysqlTableConfig::new("h", "u", "", "d", "").unwrap_err().to_string();
        assert!(fault.contains("table-name is empty"), "{fault}");
        assert!(MysqlTableConfig::new("h", "u", "", "d", "t").is_ok());
    }
}
