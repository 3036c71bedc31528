//! A table that is altered while it is read: names stay right, or the source stops and says so.

use engine::error::Retry;
use serde_json::{Value, json};

use crate::drive::Reading;
use crate::mariadb::{Database, both, database, own, own_mysql, shared};

fn after(read: &Reading, index: usize) -> Value {
    read.changes(0)[index].2.clone()
}

/// Each alteration is waited for, so that the columns read again are those of its place in the log.
fn step(database: &Database<'_>, read: &mut Reading, statement: &str, insert: &str) -> Value {
    database.sql(&format!("{statement}; insert into t values {insert}"));
    read.until_count(read.records.len() + 1);
    after(read, read.records.len() - 1)
}

#[test]
fn columns_come_go_and_move() {
    for database in both("columns_move") {
        database.sql("create table t(id int primary key, v varchar(20))");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        let mut check = |statement: &str, insert: &str, expected: Value| {
            assert_eq!(step(&database, &mut read, statement, insert), expected, "{statement}");
        };
        check("select 1", "(1, 'a')", json!({"id": 1, "v": "a"}));
        check("alter table t add column n int", "(2, 'b', 7)", json!({"id": 2, "v": "b", "n": 7}));
        check(
            "alter table t add column f varchar(9) first",
            "('f', 3, 'c', null)",
            json!({"f": "f", "id": 3, "v": "c", "n": null}),
        );
        check("alter table t drop column n", "('g', 4, 'd')", json!({"f": "g", "id": 4, "v": "d"}));
        check(
            "alter table t change v w varchar(20)",
            "('h', 5, 'e')",
            json!({"f": "h", "id": 5, "w": "e"}),
        );
        check(
            "alter table t convert to character set latin1, modify w varchar(30)",
            "('é', 6, 'ü')",
            json!({"f": "é", "id": 6, "w": "ü"}),
        );
        check(
            "alter table t add index (w), comment = 'x'",
            "('i', 7, 'f')",
            json!({"f": "i", "id": 7, "w": "f"}),
        );
        check(
            "rename table t to gone; create table t(id int primary key, z int)",
            "(8, 1)",
            json!({"id": 8, "z": 1}),
        );
        check(
            "drop table t; create table t(id int primary key, y int)",
            "(9, 2)",
            json!({"id": 9, "y": 2}),
        );
        assert_eq!(read.faults, []);
        // Whoever comes later reads what is there now.
        let mut later = Reading::new(database.config("t"));
        later.until_whole();
        assert_eq!(after(&later, 0), json!({"id": 9, "y": 2}));
    }
}

/// A checkpoint before the alteration still has the columns of its time; old rows are read with them.
#[test]
fn old_rows_keep_their_columns_after_a_restart() {
    for database in both("old_rows") {
        database.sql("create table t(id int primary key, v varchar(20))");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        let saved = (read.position(), read.mirror.clone());
        database.sql(
            "insert into t values (1, 'a'); alter table t add column n int; \
             insert into t values (2, 'b', 1)",
        );
        read.until_count(2);
        let mut again = Reading::resume(database.config("t"), &saved.0, &saved.1);
        again.until_count(2);
        assert_eq!(after(&again, 0), json!({"id": 1, "v": "a"}));
        assert_eq!(after(&again, 1), json!({"id": 2, "v": "b", "n": 1}));
        assert_eq!(again.records, read.records);
        // From between the two: the alteration has been seen, the new columns not yet.
        let position = read.cuts.iter().find(|(count, _)| *count == 1).unwrap().1.clone();
        let mut between = Reading::resume(database.config("t"), &position, &Default::default());
        between.until_count(1);
        assert_eq!(between.records, read.records[1..]);
    }
}

/// Two alterations behind: the columns of the time between them are nowhere any more.
#[test]
fn columns_that_nobody_knows_stop_the_source() {
    for database in both("nobody_knows") {
        database.sql("create table t(id int primary key, v varchar(20))");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        let saved = read.position();
        database.sql(
            "insert into t values (1, 'a'); alter table t add column n int; \
             insert into t values (2, 'b', 1); alter table t add column m int; \
             insert into t values (3, 'c', 1, 2)",
        );
        let mut again = Reading::resume(database.config("t"), &saved, &Default::default());
        let fault = again.until_refused();
        assert_eq!(fault.retry, Retry::Never);
        let text = fault.to_string();
        for part in
            ["cannot tell the columns of table \"nobody_knows.t\"", "4 columns are known", "afresh"]
        {
            assert!(text.contains(part), "{text}");
        }
        // What came before is not lost.
        assert_eq!(again.changes(0).len(), 1);
    }
}

/// With full metadata the log has names, and a rename that was missed is found out.
#[test]
fn swapped_names_are_found_out_where_the_log_has_names() {
    let full = ["--binlog-row-metadata=FULL"];
    for server in own(&full).into_iter().chain(own_mysql(&full)) {
        let database = database(&server, "swapped");
        database.sql("create table t(id int primary key, a int, b int)");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        let saved = read.position();
        database.sql(
            "insert into t values (1, 10, 20); \
             alter table t change a x int, change b a int; insert into t values (2, 10, 20); \
             alter table t change x b int; insert into t values (3, 10, 20)",
        );
        let mut again = Reading::resume(database.config("t"), &saved, &Default::default());
        let text = again.until_refused().to_string();
        assert!(text.contains("\"b\" is known, the log calls it \"x\""), "{text}");
    }
}

/// The log does not say which rows a TRUNCATE takes: that is told, and nothing is made up.
#[test]
fn a_truncated_table_is_told() {
    for database in both("truncated") {
        database.sql("create table t(id int primary key); insert into t values (1), (2)");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        database.sql("truncate t; insert into t values (3)");
        let fault = read.until_fault();
        assert!(fault.to_string().contains("was truncated"), "{fault}");
        assert!(fault.to_string().contains("use DELETE"), "{fault}");
        read.until_count(3);
        assert_eq!(after(&read, 2), json!({"id": 3}));
    }
}

/// A definition inside of a transaction: the rows of a create-select come with it.
#[test]
fn a_table_made_from_a_query() {
    for database in both("from_a_query") {
        database.sql("create table t(id int primary key); create table s(id int, v int)");
        let mut read = Reading::new(database.config("t"));
        read.until_whole();
        database.sql(
            "insert into s values (1, 10), (2, 20); drop table t; \
             create table t(primary key(id)) select * from s",
        );
        read.until_count(2);
        assert_eq!(after(&read, 1), json!({"id": 2, "v": 20}));
        assert_eq!(read.faults, []);
    }
}

#[test]
fn tables_that_cannot_be_read_are_named() {
    let Some(database) = shared("cannot_be_read") else { return };
    database.sql(
        "create table my(id int primary key) engine=MyISAM; create view v as select 1 as id; \
         create table g(id int primary key, p point); \
         create table k(id int primary key, v varchar(9) character set gbk)",
    );
    for (table, part) in [
        ("nothing", "it does not exist"),
        ("my", "its engine MyISAM has no transactions"),
        ("v", "it is a view"),
        ("g", "column \"p\" is point"),
        ("k", "column \"v\" is varchar(9) in charset gbk"),
    ] {
        let fault = Reading::new(database.config(table)).until_refused();
        assert_eq!(fault.retry, Retry::Never);
        assert!(fault.message.contains(part), "{table}: {fault}");
        assert!(fault.message.contains(&format!("cannot_be_read.{table}")), "{fault}");
    }
    // Such a column in a table that is read already.
    database.sql("create table t(id int primary key)");
    let mut read = Reading::new(database.config("t"));
    read.until_whole();
    database.sql("alter table t add column p point; insert into t values (1, null)");
    assert!(read.until_refused().message.contains("column \"p\" is point"));
}
