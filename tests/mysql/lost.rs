//! Positions that a server does not have any more, and servers that are not the one they were.

use std::time::{Duration, Instant};

use connectors::mysql::config::{MysqlTableConfig, OnLostPosition};
use engine::error::{Fault, Retry};
use engine::source::Position;
use xtask::services::mysql::{Kind, Options, Server};

use crate::drive::{Mirror, Reading, ids, mirrored_ids};
use crate::mariadb::{Database, LIMIT, database, own, own_mysql};

/// A server with a table of which a position is saved, and more written since.
fn behind(server: &Server) -> (Position, Mirror) {
    let database = database(server, "lost");
    database.sql("create table t(id int primary key); insert into t values (1), (2)");
    let mut read = Reading::new(database.config("t"));
    read.until_whole();
    let saved = (read.position(), read.mirror.clone());
    database.sql("delete from t where id = 1; insert into t values (3); flush binary logs");
    read.until_count(4);
    drop(read);
    database.cut();
    saved
}

fn of(server: &Server) -> Database<'_> {
    Database { server, name: "lost" }
}

/// The named stop, and with the other policy a snapshot that stands for the table.
fn check_lost(server: &Server, saved: &(Position, Mirror), parts: &[&str]) {
    let database = of(server);
    let fault = Reading::resume(database.config("t"), &saved.0, &saved.1).until_refused();
    assert_eq!(fault.retry, Retry::Never);
    let text = fault.to_string();
    for part in
        [&["binlog position lost", "the oldest file is ", "on_lost_position"], parts].concat()
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let mut config = database.config("t");
    config.on_lost_position = OnLostPosition::Snapshot;
    let mut read = Reading::resume(config, &saved.0, &saved.1);
    read.until_whole();
    let told = read.faults[0].to_string();
    assert!(told.contains("going on with a new snapshot"), "{told}");
    read.until_sentinel(&database, "t", 99);
    assert_eq!(mirrored_ids(&read.mirror), ids(&database, "t"));
    database.sql("delete from t where id = 99");
}

/// Purges the first two files. A server keeps what a reader it does not yet know to be gone may need.
fn purge(server: &Server) {
    let started = Instant::now();
    while !of(server).sql("show binary logs").starts_with("master.000003") {
        assert!(started.elapsed() < LIMIT, "not purged");
        of(server).cut();
        of(server).sql("purge binary logs to 'master.000003'");
    }
}

#[test]
fn a_purged_log_is_named() {
    for server in own(&[]).into_iter().chain(own_mysql(&[])) {
        let saved = behind(&server);
        of(&server).sql("flush binary logs");
        purge(&server);
        let why = match server.kind() {
            Kind::MariaDb => "file master.000001 is gone",
            Kind::Mysql => "GTIDs that are needed were purged",
        };
        check_lost(&server, &saved, &[why, "the oldest file is master.000003"]);
    }
}

/// A log begun anew: the old position lies beyond its end, or, once it has grown, inside of it with
/// another meaning.
#[test]
fn a_log_begun_anew_is_found_out() {
    let Some(server) = own(&[]) else { return };
    let saved = behind(&server);
    of(&server).sql("reset master");
    check_lost(&server, &saved, &["file master.000001 ends at"]);
    let filling: String =
        (0..40).map(|id| format!("replace into t values ({});", 100 + id)).collect();
    of(&server).sql(&filling);
    check_lost(&server, &saved, &["at master.000001:", "the log was begun anew"]);
}

#[test]
fn a_mysql_log_begun_anew_is_found_out() {
    let Some(server) = own_mysql(&[]) else { return };
    let saved = behind(&server);
    of(&server).sql("reset binary logs and gtids");
    check_lost(&server, &saved, &["the server does not know GTIDs that were read from it"]);
}

/// While we read, too: both servers leave the stream open, deaf.
#[test]
fn a_log_reset_under_a_running_source_is_found_out() {
    for (server, reset) in own(&[])
        .map(|server| (server, "reset master"))
        .into_iter()
        .chain(own_mysql(&[]).map(|server| (server, "reset binary logs and gtids")))
    {
        let database = database(&server, "lost");
        database.sql("create table t(id int primary key)");
        let mut read = Reading::new(quick(&database));
        read.until_whole();
        database.sql("insert into t values (1)");
        read.until_count(1);
        database.sql(&format!("{reset}; insert into t values (2)"));
        let fault = read.until_refused();
        assert!(fault.message.contains("binlog position lost"), "{fault}");
        assert_eq!(read.records.len(), 1);
    }
}

/// Looks at the server three times a second.
fn quick(database: &Database<'_>) -> MysqlTableConfig {
    let mut config = database.config("t");
    config.heartbeat = Duration::from_millis(100);
    config.heartbeat_timeout = Duration::from_millis(350);
    config
}

/// A stream that is quiet because nothing happens to the table is left alone.
#[test]
fn a_quiet_stream_is_not_taken_for_a_deaf_one() {
    for server in own(&[]).into_iter().chain(own_mysql(&[])) {
        let database = database(&server, "lost");
        database.sql("create table t(id int primary key); create table u(id int)");
        let mut read = Reading::new(quick(&database));
        read.until_whole();
        for statement in ["insert into u values (1)", "flush binary logs", "flush status"] {
            database.sql(statement);
            // Three looks and more.
            let until = Instant::now() + Duration::from_millis(1200);
            read.until("the looks", |_read| Instant::now() > until);
            // A server that is slow to be heard of, on a slow machine, is another matter.
            let deaf = |fault: &Fault| fault.message.contains("could not hear of changes");
            assert!(!read.faults.iter().any(deaf), "{statement}: {:?}", read.faults);
        }
    }
}

/// A file and an offset mean nothing on another server.
#[test]
fn another_server_is_refused() {
    let Some(mut server) = own(&[]) else { return };
    let saved = behind(&server);
    server.stop().unwrap();
    server.set_options(Options::default().with("--server-id=11"));
    server.restart().unwrap();
    let fault = Reading::resume(of(&server).config("t"), &saved.0, &saved.1).until_refused();
    assert_eq!(fault.retry, Retry::Never);
    for part in
        ["the server is MariaDB with server_id 11, it was MariaDB with server_id 10", "afresh"]
    {
        assert!(fault.to_string().contains(part), "{fault}");
    }
    // The other one again: the position is as good as before.
    server.stop().unwrap();
    server.set_options(Options::default());
    server.restart().unwrap();
    let mut read = Reading::resume(of(&server).config("t"), &saved.0, &saved.1);
    read.until_count(2);
}

/// GTIDs mean the same on every server of a group: one with another uuid goes on where we were.
#[test]
fn another_mysql_with_the_same_gtids_goes_on() {
    let Some(mut server) = own_mysql(&[]) else { return };
    let saved = behind(&server);
    server.stop().unwrap();
    std::fs::remove_file(server.data().join("auto.cnf")).unwrap();
    server.restart().unwrap();
    of(&server).sql("insert into t values (4)");
    let mut read = Reading::resume(of(&server).config("t"), &saved.0, &saved.1);
    read.until_count(3);
    assert_eq!(mirrored_ids(&read.mirror), ["2", "3", "4"]);
    // Without GTIDs it would be another server.
    server.stop().unwrap();
    let off = Options::default().with("--gtid-mode=OFF").with("--enforce-gtid-consistency=OFF");
    server.set_options(off);
    server.restart().unwrap();
    let fault = Reading::resume(of(&server).config("t"), &saved.0, &saved.1).until_refused();
    assert!(fault.message.contains("gtid_mode OFF"), "{fault}");
}

#[test]
fn a_position_of_the_other_kind_is_refused() {
    let (Some(mariadb), Some(mysql)) = (own(&[]), own_mysql(&[])) else { return };
    let saved = behind(&mariadb);
    behind(&mysql);
    let fault = Reading::resume(of(&mysql).config("t"), &saved.0, &saved.1).until_refused();
    assert!(fault.message.contains("the server is MySQL with server_uuid"), "{fault}");
}
