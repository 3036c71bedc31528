//! Servers that are not there, not willing, or frozen; logs that cannot be followed.

use std::process::Command;
use std::time::Duration;

use connectors::mysql::config::MysqlTableConfig;
use engine::error::Retry;
use xtask::services::mysql::Kind;
use xtask::services::ports::Port;

use crate::drive::{Reading, ids, mirrored_ids};
use crate::mariadb::{Database, both, database, own, own_mysql, shared};

#[test]
fn a_server_that_is_not_there_may_come() {
    let Some(database) = shared("may_come") else { return };
    let port = Port::take().unwrap();
    let mut config = database.config("t");
    config.port = port.number();
    let fault = Reading::new(config).until_fault();
    assert_eq!(fault.retry, Retry::Later);
    assert!(fault.message.contains("\"may_come.t\" at 127.0.0.1:"), "{fault}");
    assert!(fault.message.contains("Connection refused"), "{fault}");
}

#[test]
fn what_only_a_person_can_mend_stops() {
    for database in both("only_a_person") {
        database.sql(
            "create table t(id int primary key); \
             create user if not exists poor@'%' identified by 'p'; \
             grant select on only_a_person.* to poor@'%'; \
             create user if not exists blind@'%' identified by 'p'; \
             grant replication client, replication slave on *.* to blind@'%'",
        );
        let config = database.config("t");
        let with = |user: &str, password: &str| MysqlTableConfig {
            user: user.to_owned(),
            password: password.to_owned(),
            ..config.clone()
        };
        for (config, part) in [
            (with("reader", "wrong"), "check username and password"),
            (with("poor", "p"), "REPLICATION"),
            (with("blind", "p"), "SELECT on"),
        ] {
            let fault = Reading::new(config).until_refused();
            assert_eq!(fault.retry, Retry::Never);
            assert!(fault.to_string().contains(part), "{fault}");
            assert!(!fault.to_string().contains("secret"), "{fault}");
        }
    }
}

/// What a stop must say, after these statements; a new session each time.
fn check_stop(database: &Database<'_>, statements: &str, parts: &[&str]) {
    let mut read = Reading::new(database.config("t"));
    read.until_whole();
    database.sql(statements);
    let fault = read.until_refused();
    assert_eq!(fault.retry, Retry::Never);
    for part in parts {
        assert!(fault.to_string().contains(part), "no {part:?} in {fault}");
    }
}

#[test]
fn a_log_without_whole_rows_stops() {
    for database in both("whole_rows") {
        database.sql("create table t(id int primary key, v int); create table u(id int)");
        check_stop(
            &database,
            "insert into t values (1, 1); set session binlog_row_image='MINIMAL'; update t set v = 2",
            &["1 of 2 columns", "binlog_row_image=FULL"],
        );
        if database.server.kind() == Kind::MariaDb {
            check_stop(
                &database,
                "set session binlog_format='STATEMENT'; insert into u values (1); \
                 set session binlog_format='ROW'; insert into t values (2, 2); \
                 set session binlog_format='STATEMENT'; update t set v = 3",
                &["statement-based event for table \"whole_rows.t\"", "binlog_format=ROW"],
            );
        }
    }
}

#[test]
fn settings_without_whole_rows_are_refused_at_once() {
    for (argument, parts) in [
        ("--binlog-format=MIXED", ["binlog_format is MIXED", "set binlog_format=ROW"]),
        ("--binlog-row-image=NOBLOB", ["binlog_row_image is NOBLOB", "set binlog_row_image=FULL"]),
        ("--skip-log-bin", ["log_bin is OFF", "set log_bin=ON"]),
    ] {
        let Some(server) = own(&[argument]) else { return };
        let database = database(&server, "refused");
        database.sql("create table t(id int primary key)");
        let fault = Reading::new(database.config("t")).until_refused();
        assert_eq!(fault.retry, Retry::Never);
        assert!(parts.iter().all(|part| fault.to_string().contains(part)), "{fault}");
    }
}

/// Compressed events of MariaDB are not read: of other tables they are passed over, of ours they stop.
#[test]
fn compressed_rows_stop() {
    let Some(server) = own(&["--log-bin-compress=ON", "--log-bin-compress-min-len=10"]) else {
        return;
    };
    let database = database(&server, "compressed");
    database.sql("create table t(id int primary key, v varchar(300)); create table u like t");
    check_stop(
        &database,
        "insert into u values (1, repeat('a', 300)); insert into t values (1, 'a'); \
         insert into t values (2, repeat('a', 300))",
        &["an event that MariaDB compressed", "log_bin_compress=OFF", "master.000001:"],
    );
}

#[test]
fn two_phase_transactions_stop_where_they_touch_the_table() {
    for database in both("two_phase") {
        database.sql("create table t(id int primary key); create table u(id int)");
        let xa = |id: &str, statement: &str, end: &str| {
            format!("xa start '{id}'; {statement}; xa end '{id}'; {end};")
        };
        // One phase is an ordinary transaction; of other tables they are passed over.
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        database.sql(&format!(
            "{} {} {} insert into t values (2)",
            xa("a", "insert into t values (1)", "xa commit 'a' one phase"),
            xa("b", "insert into u values (1)", "xa prepare 'b'; xa commit 'b'"),
            xa("c", "insert into u values (2)", "xa prepare 'c'; xa rollback 'c'"),
        ));
        read.until_sentinel(&database, "t", 9);
        assert_eq!(mirrored_ids(&read.mirror), ["1", "2", "9"]);
        check_stop(
            &database,
            &xa("d", "insert into t values (3)", "xa prepare 'd'; xa rollback 'd'"),
            &["a two-phase XA transaction", "commit in one phase"],
        );
    }
}

/// The server ends the older of two streams under one id; both saying so again and again is a hint.
#[test]
fn a_taken_server_id_is_suspected() {
    for database in both("taken_id") {
        database.sql("create table t(id int primary key)");
        let mut config = database.config("t");
        config.server_id = Some(4711);
        let mut one = Reading::new(config.clone());
        one.until_whole();
        let mut two = Reading::new(config);
        two.until_whole();
        let hinted = |read: &Reading| {
            read.faults.iter().any(|fault| fault.to_string().contains("server_id 4711"))
        };
        let started = std::time::Instant::now();
        while !(hinted(&one) || hinted(&two)) {
            one.poll().unwrap();
            two.poll().unwrap();
            assert!(started.elapsed() < crate::mariadb::LIMIT, "{:?}", one.faults);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(two);
        // Alone again, nothing was lost.
        one.until_sentinel(&database, "t", 1);
    }
}

/// A server that answers no more, its connections still open.
#[test]
fn a_frozen_server_is_left_and_found_again() {
    let Some(server) = own(&[]) else { return };
    let database = database(&server, "frozen");
    database.sql("create table t(id int primary key); insert into t values (1)");
    let mut config = database.config("t");
    config.heartbeat_timeout = Duration::from_millis(2500);
    config.connect_timeout = Duration::from_secs(2);
    let mut read = Reading::new(config);
    read.until_sentinel(&database, "t", 2);
    let signal = |name: &str| {
        let pid = server.pid().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let fault = read.until_fault();
    signal("-CONT");
    // By the stream's own deadline (2.5 s), or by that of asking whether a quiet one is deaf (2 s).
    assert!(fault.message.contains("could not hear from the server for 2"), "{fault}");
    read.until_sentinel(&database, "t", 3);
    assert_eq!(mirrored_ids(&read.mirror), ids(&database, "t"));
}

/// MySQL's own kinds of transactions: compressed, tagged, and several origins at once.
#[test]
fn transactions_that_only_mysql_has() {
    let Some(server) = own_mysql(&[]) else { return };
    let database = database(&server, "only_mysql");
    database.sql("create table t(id int primary key, v varchar(300)); create table u like t");
    let mut read = Reading::new(database.config("t"));
    read.until_whole();
    let saved = (read.position(), read.mirror.clone());
    database.sql(
        "set session binlog_transaction_compression=ON; \
         begin; insert into u values (1, repeat('x', 300)); insert into t values (1, '中'); \
         insert into t values (2, repeat('y', 300)); commit; \
         set session binlog_transaction_compression=OFF; \
         set gtid_next='automatic:night_1'; insert into t values (3, 'tagged'); \
         set gtid_next='11111111-2222-3333-4444-555555555555:7'; insert into t values (4, 'other'); \
         set gtid_next='automatic'; insert into t values (5, 'plain'); update t set v = 'z' where id = 2",
    );
    read.until_count(6);
    let sources: Vec<String> = read.texts();
    assert!(sources[2].contains(":night_1:1\""), "{}", sources[2]);
    assert!(sources[3].contains("\"11111111-2222-3333-4444-555555555555:7\""), "{}", sources[3]);
    // From every cut, by a set that has tags and holes.
    for (count, position) in read.cuts.clone() {
        let mirror = if count == 0 { saved.1.clone() } else { mirror_behind(&read, count) };
        let mut again = Reading::resume(database.config("t"), &position, &mirror);
        again.until_count(6 - count);
        assert_eq!(again.records, read.records[count..], "from {count}");
    }
}

fn mirror_behind(read: &Reading, count: usize) -> crate::drive::Mirror {
    let mut mirror = crate::drive::Mirror::default();
    for record in &read.records[..count] {
        mirror.apply(&serde_json::from_slice(record).expect("a record is JSON"));
    }
    mirror
}
