//! Databases of a MariaDB or MySQL for integration tests, and a user with no more rights than ours needs.
//!
//! Included by a test file with `#[path = "support/mariadb.rs"] mod mariadb;`. Everything here fails the
//! test by a panic with the reason.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::time::Duration;

use connectors::mysql::config::MysqlTableConfig;
use xtask::services::mysql::{Kind, Options, Server};
use xtask::services::offline;

/// How long anything here may take before the test fails; as long as a server has to become ready.
pub(crate) const LIMIT: Duration = xtask::services::READY_LIMIT;

/// Who reads: what the documentation asks for, and nothing else.
pub(crate) const READER: (&str, &str) = ("reader", "it's \"secret\"");

/// A database of one test.
#[derive(Clone, Copy)]
pub(crate) struct Database<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: &'a str,
}

/// A database on the MariaDB all tests share; `None` if this run does without services.
pub(crate) fn shared(name: &str) -> Option<Database<'_>> {
    (!offline()).then(|| database(Server::shared(), name))
}

/// A database on the MySQL all tests share; `None` if this run does without services, or there is no
/// MySQL to be had (which is said on the terminal).
pub(crate) fn shared_mysql(name: &str) -> Option<Database<'_>> {
    if offline() {
        return None;
    }
    Some(database(Server::shared_mysql()?, name))
}

/// Both of them, as far as they are there: what must hold on either.
pub(crate) fn both(name: &str) -> Vec<Database<'_>> {
    shared(name).into_iter().chain(shared_mysql(name)).collect()
}

/// A MariaDB of the test's own, with these arguments; `None` if this run does without services.
pub(crate) fn own(arguments: &[&str]) -> Option<Server> {
    let started = || Server::start(Kind::MariaDb, &options(arguments));
    (!offline()).then(|| started().unwrap_or_else(|error| panic!("{error:#}")))
}

/// A MySQL of the test's own; `None` also where there is none to be had.
pub(crate) fn own_mysql(arguments: &[&str]) -> Option<Server> {
    if offline() {
        return None;
    }
    Server::start_mysql(&options(arguments)).unwrap_or_else(|error| panic!("{error:#}"))
}

fn options(arguments: &[&str]) -> Options {
    arguments.iter().fold(Options::default(), |options, one| options.with(one))
}

/// Makes an empty database, and the reader if he is not there.
pub(crate) fn database<'a>(server: &'a Server, name: &'a str) -> Database<'a> {
    let (user, password) = (READER.0, READER.1.replace('\'', "''"));
    let database = Database { server, name };
    database.sql(&format!(
        "create user if not exists {user}@'%' identified by '{password}'; \
         grant select, replication client, replication slave on *.* to {user}@'%'; \
         drop database if exists `{name}`; create database `{name}`;"
    ));
    Database { server, name }
}

impl Database<'_> {
    /// Runs statements as root in this database and gives what they print.
    pub(crate) fn sql(&self, statements: &str) -> String {
        let name = self.name;
        let uses = if self.exists() { format!("use `{name}`;\n") } else { String::new() };
        let told = self.server.sql(&format!("{uses}{statements}"));
        told.unwrap_or_else(|error| panic!("{error:#}\n{statements}"))
    }

    fn exists(&self) -> bool {
        let found = self.server.sql(&format!("show databases like '{}'", self.name));
        found.is_ok_and(|found| !found.trim().is_empty())
    }

    /// Ends every connection of the reader, also those that the server has not yet found closed. Neither
    /// server purges or resets a log that somebody reads.
    pub(crate) fn cut(&self) {
        let found = self.sql(&format!(
            "select concat('kill ', id) from information_schema.processlist where user = '{}'",
            READER.0
        ));
        for kill in found.lines() {
            // It may have ended by itself.
            drop(self.server.sql(kill));
        }
    }

    /// How the reader reads a table of it. Short times, so that a test sees what takes long otherwise.
    pub(crate) fn config(&self, table: &str) -> MysqlTableConfig {
        let (user, password) = READER;
        let config = MysqlTableConfig::new("127.0.0.1", user, password, self.name, table);
        let mut config = config.expect("names are given");
        config.port = self.server.port();
        config.heartbeat = Duration::from_secs(1);
        config.heartbeat_timeout = Duration::from_secs(5);
        config.progress_interval = Duration::from_millis(100);
        config
    }
}
