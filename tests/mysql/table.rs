//! Snapshot and changes: every row once, in order, as the table has it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::source::{PollBudget, Source as _};
use serde_json::{Value, json};
use xtask::services::mysql::{Kind, Server};
use xtask::services::ports::Port;

use crate::drive::{NOW_MS, Reading, ids, mirrored_ids, moment};
use crate::mariadb::{Database, both, database, own, own_mysql, shared};

const TABLE: &str = "create table table_process(id bigint primary key, source_table varchar(200), \
     sink_extend varchar(200))";

/// Texts that break a careless reader: quotes of all kinds, line ends, Chinese, emoji, empty, NULL.
const SPECIAL: &str = r#"(1, 'base_trademark', null), (2, '', ''), (3, 'it''s "quoted" \\ `x`', 'a\nb\r\nc\td'),
    (4, '品牌表 é', '😀'), (5, 'null', 'NULL'), (6, '{"a":[1,null]}', '\0\Z')"#;

/// The records' own words, as far as they do not depend on the server.
fn plain(database: &Database<'_>, record: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(record).expect("a record is JSON");
    let source = value["source"].take();
    assert_eq!((&source["db"], &source["table"]), (&json!(database.name), &json!("table_process")));
    assert_eq!((&source["connector"], &source["snapshot"]), (&json!("mysql"), &json!("false")));
    value["source"] = Value::Null;
    value
}

#[test]
fn a_snapshot_and_what_happens_next() {
    for database in both("happens_next") {
        database.sql(&format!("{TABLE}; insert into table_process values {SPECIAL}"));
        let mut read = Reading::new(database.config("table_process"));
        read.until_whole();
        let expected = [
            json!({"id": 1, "source_table": "base_trademark", "sink_extend": null}),
            json!({"id": 2, "source_table": "", "sink_extend": ""}),
            json!({"id": 3, "source_table": "it's \"quoted\" \\ `x`", "sink_extend": "a\nb\r\nc\td"}),
            json!({"id": 4, "source_table": "品牌表 é", "sink_extend": "😀"}),
            json!({"id": 5, "source_table": "null", "sink_extend": "NULL"}),
            json!({"id": 6, "source_table": "{\"a\":[1,null]}", "sink_extend": "\u{0}\u{1a}"}),
        ];
        let got: Vec<Value> = read.records.iter().map(|record| plain(&database, record)).collect();
        for (got, expected) in got.iter().zip(&expected) {
            let envelope = json!({"before": null, "after": expected, "source": null, "op": "r",
                "ts_ms": NOW_MS, "transaction": null});
            assert_eq!(got, &envelope);
        }
        assert_eq!(got.len(), expected.len());

        database.sql(
            "insert into table_process select id + 100, source_table, sink_extend from table_process; \
             update table_process set sink_extend = '新\n' where id = 1; \
             update table_process set id = 50 where id = 2; \
             delete from table_process where id = 50; \
             begin; insert into table_process values (7, 'seven', null); commit; \
             begin; insert into table_process values (8, 'never', null); rollback; \
             begin; insert into table_process values (9, 'kept', null); savepoint s; \
             insert into table_process values (10, 'gone', null); rollback to s; commit; \
             update table_process set source_table = source_table; \
             replace into table_process values (1, 'replaced', null); \
             create table `other`(id int primary key); insert into other values (1);"
        );
        read.until_sentinel(&database, "table_process", 999);
        assert_eq!(mirrored_ids(&read.mirror), ids(&database, "table_process"));
        let changes = read.changes(expected.len());
        let ops: String = changes.iter().map(|(op, ..)| op.as_str()).collect();
        // REPLACE of a row is an update to MariaDB and MySQL alike.
        assert_eq!(ops, "ccccccudcdccuc", "{:#?}", read.texts());
        for (copied, original) in changes.iter().zip(&expected) {
            let mut original = original.clone();
            original["id"] = json!(original["id"].as_i64().unwrap() + 100);
            assert_eq!((&copied.1, &copied.2), (&Value::Null, &original));
        }
        let (_, before, after) = &changes[6];
        assert_eq!(before, &expected[0]);
        assert_eq!(after["sink_extend"], "新\n");
        // A changed key: the old row goes, then the new one comes, in one transaction.
        assert_eq!((&changes[7].1, &changes[7].2), (&expected[1], &Value::Null));
        assert_eq!((&changes[8].2["id"], &changes[8].2["source_table"]), (&json!(50), &json!("")));
        assert_eq!(read.faults, []);
        assert_eq!(read.cuts.iter().filter(|(count, _)| *count == expected.len() + 8).count(), 0);
    }
}

#[test]
fn a_change_says_where_it_stands() {
    let Some(database) = shared("where_it_stands") else { return };
    database.sql(TABLE);
    let mut read = Reading::new(database.config("table_process"));
    read.until_whole();
    database.sql(
        "set timestamp=1700000002; insert into table_process(id) values (1); \
         begin; insert into table_process(id) values (2), (3); commit",
    );
    read.until_count(3);
    let sources: Vec<Value> = read
        .records
        .iter()
        .map(|record| serde_json::from_slice::<Value>(record).unwrap()["source"].take())
        .collect();
    for (source, row) in sources.iter().zip([0, 0, 1]) {
        let log = database.sql(&format!("show binlog events in {}", source["file"]));
        assert_eq!(source["row"], row);
        assert_eq!(
            (&source["ts_ms"], &source["server_id"]),
            (&json!(1_700_000_002_000_i64), &json!(10))
        );
        let at = format!("{}\t{}\tWrite_rows_v1", source["file"].as_str().unwrap(), source["pos"]);
        assert!(log.contains(&at), "{at}");
        let gtid = format!("GTID {}", source["gtid"].as_str().unwrap());
        assert!(log.contains(&gtid), "{gtid}");
    }
    assert_ne!(sources[0]["gtid"], sources[1]["gtid"]);
    assert_eq!(sources[1]["pos"], sources[2]["pos"]);
}

/// An empty table must say that it is whole, or a job would wait for its first row for ever.
#[test]
fn an_empty_table_is_whole_at_once() {
    for database in both("empty_table") {
        database.sql(TABLE);
        let mut read = Reading::new(database.config("table_process"));
        read.until_whole();
        assert_eq!((read.records.len(), read.wholes), (0, 1));
        read.until_sentinel(&database, "table_process", 1);
        assert_eq!(read.records.len(), 1);
        // And from there, had the job been stopped before the first row.
        let (count, position) = &read.cuts[0];
        assert_eq!(*count, 0);
        let mut again =
            Reading::resume(database.config("table_process"), position, &Default::default());
        again.until_count(1);
        assert_eq!(again.records, read.records);
    }
}

/// A table without any key is read too; its updates are updates, its equal rows are told one by one.
#[test]
fn a_table_without_key() {
    for database in both("without_key") {
        database.sql("create table t(id int, v varchar(9)); insert into t values (1,'a'), (2,'b')");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        database.sql("update t set id = 3 where id = 1; delete from t where id = 2");
        read.until_count(4);
        let ops: String = read.changes(0).iter().map(|(op, ..)| op.clone()).collect();
        assert_eq!(ops, "rrud");
        assert_eq!(mirrored_ids(&read.mirror), ["3"]);
    }
}

/// Without a primary key, a unique key of columns that are never NULL is the key.
#[test]
fn a_unique_key_is_a_key() {
    let Some(database) = shared("unique_key") else { return };
    database.sql(
        "create table t(id int not null, a int, unique key a_null(a), unique key z(id)); \
         insert into t values (1, 1)",
    );
    let mut read = Reading::new(database.config("t"));
    read.until_whole();
    database.sql("update t set a = 2; update t set id = 2");
    read.until_count(4);
    let ops: String = read.changes(0).iter().map(|(op, ..)| op.clone()).collect();
    assert_eq!(ops, "rudc");
}

/// Statements that keep a table of some hundred rows busy: inserts, updates, moved keys, deletes,
/// transactions of several of them, some rolled back, other tables in between.
pub(crate) fn churn(first: u64, count: u64) -> String {
    let mut statements = String::new();
    for number in first..first + count {
        let (a, b) = (number % 97, number * 31 % 89);
        statements.push_str(&match number % 6 {
            0 => format!("replace into t values ({a}, 'r{number}');"),
            1 => format!("update t set v = 'u{number}' where id = {b};"),
            2 => format!("delete from t where id = {a};"),
            3 => format!(
                "begin; update ignore t set id = {} where id = {b}; insert into u values ({number}); \
                 insert ignore into t values ({a}, 'i{number}'); commit;",
                100 + number % 50
            ),
            4 => format!("begin; delete from t where id > {b}; rollback;"),
            _ => format!("insert into u values ({number});"),
        });
        statements.push('\n');
    }
    statements
}

/// Begins readings while the table is written to, and holds each one's end against the table's.
fn snapshots_under_writes(database: &Database<'_>, rounds: u64) {
    database.sql(
        "create table t(id bigint primary key, v varchar(300)); create table u(id bigint); \
         insert into t select seq, concat('s', seq) from (\
           with recursive n(seq) as (select 1 union all select seq + 1 from n where seq < 300) \
           select seq from n) x;",
    );
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let first = written.fetch_add(50, Ordering::Relaxed);
                database.sql(&churn(first, 50));
            }
        });
        let mut readings: Vec<Reading> = Vec::new();
        while readings.len() < usize::try_from(rounds).expect("few") {
            // Another share of the writes falls into each snapshot.
            let before = written.load(Ordering::Relaxed);
            let mut read = Reading::new(database.config("t"));
            read.until_whole();
            readings.push(read);
            while written.load(Ordering::Relaxed) == before && !writing.is_finished() {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("the writer");
        database.sql("insert into t(id) values (9999)");
        let expected = ids(database, "t");
        for read in &mut readings {
            read.until("the last write", |read| read.mirror.rows.contains_key("9999"));
            assert_eq!(mirrored_ids(&read.mirror), expected);
            assert_eq!(read.faults, []);
        }
        assert!(readings.iter().any(|read| read.changes(0).iter().any(|(op, ..)| op == "u")));
    });
}

#[test]
fn a_snapshot_under_writes_loses_and_doubles_nothing() {
    for database in both("under_writes") {
        snapshots_under_writes(&database, 12);
    }
}

/// Without GTIDs a MySQL is read from the beginning of its current file.
#[test]
fn a_mysql_without_gtids() {
    let Some(server) = own_mysql(&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]) else {
        return;
    };
    let database = database(&server, "without_gtids");
    snapshots_under_writes(&database, 6);
    database.sql(&format!("{TABLE}; insert into table_process values {SPECIAL}"));
    let mut read = Reading::new(database.config("table_process"));
    read.until_whole();
    let saved = (read.position(), read.mirror.clone());
    database.sql("flush binary logs; update table_process set source_table = 'x'");
    read.until_count(12);
    let mut again = Reading::resume(database.config("table_process"), &saved.0, &saved.1);
    again.until_count(6);
    assert_eq!(again.records, read.records[6..]);
    assert_eq!(read.changes(6).len(), 6);
}

/// A transaction above one batch comes in several, of which only the last allows a cut.
#[test]
fn a_large_transaction_is_whole_or_not_at_all() {
    let Some(database) = shared("large_transaction") else { return };
    database.sql("create table t(id int primary key, v varchar(300))");
    let mut read = Reading::new(database.config("t"));
    read.budget = PollBudget { rows: 300, bytes: 100_000 };
    read.until_whole();
    database.sql(
        "insert into t select seq, repeat('x', 200) from seq_1_to_5000; update t set v = 'y' where id <= 10",
    );
    read.until_count(5010);
    let cuts: Vec<usize> = read.cuts.iter().map(|(count, _)| *count).collect();
    assert!(cuts.iter().all(|count| [0, 5000, 5010].contains(count)), "{cuts:?}");
    let mut config = database.config("t");
    config.transaction_bytes_max = 100_000;
    let saved = read.cuts.iter().find(|(count, _)| *count == 0).unwrap().1.clone();
    let fault = Reading::resume(config.clone(), &saved, &Default::default()).until_refused();
    assert!(fault.message.contains("more than 100000 B"), "{fault}");
    // The same limit holds for a snapshot.
    let fault = Reading::new(config).until_refused();
    assert!(fault.message.contains("\"large_transaction.t\": it has more"), "{fault}");
}

/// A table that nobody touches moves on with the log, so that its server may purge what is read.
#[test]
fn the_position_of_an_idle_table_moves() {
    for database in both("idle_table") {
        database.sql(&format!(
            "{TABLE}; create table u(id int); insert into table_process(id) values (1)"
        ));
        let mut read = Reading::new(database.config("table_process"));
        read.until_whole();
        let first = read.position();
        database.sql("insert into u values (1); insert into u values (2)");
        read.until("progress", |read| read.wholes > 1);
        assert_eq!(read.records.len(), 1);
        let saved = (read.position(), read.mirror.clone());
        assert_ne!(saved.0, first);
        database.sql("insert into table_process(id) values (2)");
        let mut again = Reading::resume(database.config("table_process"), &saved.0, &saved.1);
        again.until_count(1);
        assert_eq!(mirrored_ids(&again.mirror), ["1", "2"]);
    }
}

/// The matrix of server settings that change what is in the log: names of columns, no checksums,
/// files of 4 KiB.
#[test]
fn settings_of_the_log_make_no_difference() {
    let arguments =
        ["--binlog-row-metadata=FULL", "--binlog-checksum=NONE", "--max-binlog-size=4096"];
    let full = own(&arguments).into_iter();
    let full =
        full.chain(own_mysql(&[&arguments[..], &["--binlog-transaction-compression=ON"]].concat()));
    for server in full {
        let database = database(&server, "settings");
        snapshots_under_writes(&database, 3);
        assert!(files_of(&server) > 3);
        database.sql(&format!("{TABLE}; insert into table_process values {SPECIAL}"));
        let mut read = Reading::new(database.config("table_process"));
        read.until_whole();
        database.sql("update table_process set id = id + 10");
        read.until_count(6 + 12);
        let values = read.mirror.rows.values();
        assert!(values.clone().any(|row| row["source_table"] == "品牌表 é"));
        assert_eq!(mirrored_ids(&read.mirror), ["11", "12", "13", "14", "15", "16"]);
    }
}

fn files_of(server: &Server) -> usize {
    server.sql("show binary logs").expect("an answer").lines().count()
}

/// Waiting for the server must not stop the thread that polls, least of all for one that is not there.
#[test]
fn no_call_waits() {
    let Some(database) = shared("no_call_waits") else { return };
    database.sql(TABLE);
    let free = Port::take().unwrap();
    for port in [database.server.port(), free.number()] {
        let mut config = database.config("table_process");
        config.port = port;
        let mut longest = Duration::ZERO;
        let mut timed = |work: &mut dyn FnMut()| {
            let started = Instant::now();
            work();
            longest = longest.max(started.elapsed());
        };
        let mut read = None;
        timed(&mut || read = Some(Reading::new(config.clone())));
        let mut read = read.unwrap();
        for _ in 0..200 {
            timed(&mut || {
                read.poll().unwrap();
                read.source.discover(moment()).unwrap();
            });
            std::thread::park_timeout(Duration::from_millis(1));
        }
        timed(&mut || read.source.close());
        // A call that waited for an answer would wait for seconds.
        assert!(longest < Duration::from_millis(500), "{longest:?} at {port}");
    }
}

#[test]
fn the_two_kinds_are_what_they_say() {
    for database in both("kinds") {
        let version = database.server.version().unwrap();
        assert_eq!(
            version.contains("MariaDB"),
            database.server.kind() == Kind::MariaDb,
            "{version}"
        );
    }
}
