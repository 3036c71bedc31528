//! Going on from a position: ours after a crash of our process, and the reader's own after one of the
//! server.

use std::process::Command;

use serde_json::Value;

use crate::drive::{Mirror, Reading, ids, mirrored_ids};
use crate::mariadb::{Database, both, database, own, own_mysql};
use crate::table::churn;

/// Statements with all that can happen to a row, in transactions of one to three records, with other
/// tables and new files of the log in between.
fn history(database: &Database<'_>) {
    let rotate = "flush binary logs;";
    database.sql(&format!(
        "insert into t(id, v) values (10, 'a'), (11, 'b'); {rotate} \
         update t set v = 'c' where id = 10; insert into u values (1); \
         update t set id = 12 where id = 11; {rotate} insert into u values (2); \
         begin; delete from t where id = 1; insert into t(id) values (13); commit; \
         begin; insert into t(id) values (14); rollback; insert into u values (3); {rotate} \
         update t set v = null; insert into t(id) values (99)"
    ));
}

const TABLES: &str = "create table t(id int primary key, v varchar(20)); create table u(id int); \
     insert into t values (1, '1'), (2, '2'), (3, '3');";

/// Reads to the end, and gives for each cut how many records came before it and what the table was.
fn read_all(database: &Database<'_>) -> (Reading, Vec<Mirror>) {
    let mut read = Reading::new(database.config("t"));
    let mut mirrors = Vec::new();
    let mut written = false;
    read.until_whole();
    while !read.mirror.rows.contains_key("99") {
        if !written {
            history(database);
            written = true;
        }
        while mirrors.len() < read.cuts.len() {
            mirrors.push(read.mirror.clone());
        }
        let cuts = read.cuts.len();
        read.until("a cut", |read| read.cuts.len() > cuts);
    }
    mirrors.push(read.mirror.clone());
    (read, mirrors)
}

/// Whatever position a checkpoint holds, what follows is the same to the byte.
#[test]
fn every_position_resumes_byte_for_byte() {
    for database in both("every_position") {
        database.sql(TABLES);
        let (read, mirrors) = read_all(&database);
        assert_eq!(read.cuts.len(), mirrors.len());
        assert!(read.cuts.len() >= 7, "{:?}", read.cuts.len());
        for ((count, position), mirror) in read.cuts.iter().zip(&mirrors) {
            let rest = &read.records[*count..];
            let mut again = Reading::resume(database.config("t"), position, mirror);
            again.until_count(rest.len());
            assert_eq!(again.records, rest, "from the cut behind {count}");
            assert_eq!(again.mirror.rows, read.mirror.rows);
        }
        assert_eq!(mirrored_ids(&read.mirror), ids(&database, "t"));
    }
}

/// The server is killed while we read and while we do not; what it had committed comes once.
#[test]
fn a_killed_server_costs_nothing() {
    let servers = own(&[]).into_iter().chain(own_mysql(&[]));
    for mut server in servers {
        let about = database(&server, "killed");
        about.sql(TABLES);
        let config = about.config("t");
        let mut read = Reading::new(config.clone());
        read.until_whole();
        for round in 0..3 {
            let about = Database { server: &server, name: "killed" };
            about.sql(&format!(
                "insert into t(id) values ({0}); begin; insert into t(id) values ({0} + 1);",
                100 + round * 10
            ));
            let saved = (read.position(), read.mirror.clone());
            server.kill().unwrap();
            let faults = read.faults.len();
            read.until("the kill to be seen", |read| read.faults.len() > faults);
            server.restart().unwrap();
            let about = Database { server: &server, name: "killed" };
            about.sql(&format!("insert into t(id) values ({})", 102 + round * 10));
            let last = (102 + round * 10).to_string();
            read.until("what came after", |read| read.mirror.rows.contains_key(&last));
            // A process of ours that died with the server goes on from what it had saved.
            let mut other = Reading::resume(config.clone(), &saved.0, &saved.1);
            other.until("what came after", |read| read.mirror.rows.contains_key(&last));
            assert_eq!(other.mirror.rows, read.mirror.rows);
        }
        let about = Database { server: &server, name: "killed" };
        assert_eq!(mirrored_ids(&read.mirror), ids(&about, "t"));
        assert_eq!(read.records.len(), 3 + 6);
        server.stop().unwrap();
        server.restart().unwrap();
        let about = Database { server: &server, name: "killed" };
        read.until_sentinel(&about, "t", 999);
        assert!(
            read.faults.iter().all(|fault| fault.message.contains("could not")),
            "{:?}",
            read.faults
        );
    }
}

/// Connections are cut again and again, in the snapshot and in the stream, while the table is written.
#[test]
fn cut_connections_cost_nothing() {
    for database in both("cut_connections") {
        database.sql(TABLES);
        let mut read = Reading::new(database.config("t"));
        for round in 0..12 {
            database.sql(&format!(
                "insert into t(id) values ({}); update t set v = '{round}' where id < 3",
                100 + round
            ));
            database.cut();
            read.poll().unwrap();
        }
        read.until_sentinel(&database, "t", 999);
        assert_eq!(mirrored_ids(&read.mirror), ids(&database, "t"));
        assert_eq!(read.mirror.rows["1"]["v"], Value::from("11"));
    }
}

/// SIGKILL in the middle of commits, and of a log file being begun: what the server keeps comes, and
/// what it forgets does not.
#[test]
fn kills_in_the_middle_of_writes_cost_nothing() {
    let small = ["--max-binlog-size=4096"];
    for mut server in own(&small).into_iter().chain(own_mysql(&small)) {
        let about = database(&server, "killed");
        about.sql(
            "create table t(id bigint primary key, v varchar(300)); create table u(id bigint); \
             insert into t select seq, 's' from (with recursive n(seq) as (select 1 union all \
               select seq + 1 from n where seq < 100) select seq from n) x;",
        );
        let mut read = Reading::new(about.config("t"));
        read.until_whole();
        for round in 0..5 {
            let before = read.records.len();
            std::thread::scope(|scope| {
                // Ends with the server.
                scope.spawn(|| server.sql(&format!("use killed; {}", churn(round * 5000, 5000))));
                read.until("some writes", |read| read.records.len() > before + 40);
                let pid = server.pid().expect("it runs").to_string();
                let killed = Command::new("kill").args(["-KILL", &pid]).status();
                assert!(killed.expect("kill is there").success());
            });
            server.restart().unwrap();
        }
        let about = Database { server: &server, name: "killed" };
        read.until_sentinel(&about, "t", 9999);
        assert_eq!(mirrored_ids(&read.mirror), ids(&about, "t"));
        assert!(!read.faults.is_empty());
    }
}
