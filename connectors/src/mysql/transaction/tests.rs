//! Logs as lists of events, and what the assembler makes of them.

use super::super::gtid::{Gtids, LastOfDomain};
use super::*;

fn assembler() -> Assembler {
    let table = TableName { database: "d".into(), table: "t".into(), ignore_case: false };
    let gtids = Gtids::MariaDb(LastOfDomain::parse("0-10-5").unwrap());
    Assembler::new(table, Place { file: "m.1".into(), offset: 100, gtids })
}

fn query(text: &str) -> Item {
    Item::Query { text: text.into(), database: "d".into(), thread: 9 }
}

fn gtid(number: u64, standalone: bool) -> Item {
    let gtid = Gtid::MariaDb { domain: 0, server: 10, number };
    Item::Gtid { gtid: Some(gtid), standalone }
}

fn mysql() -> Item {
    let gtid = Gtid::Mysql { origin: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(), number: 1 };
    Item::Gtid { gtid: Some(gtid), standalone: false }
}

/// Feeds events of 10 bytes each and gives the meanings that say something, and whether each ended.
fn run(assembler: &mut Assembler, items: &[Item]) -> Result<Vec<(Meaning, bool)>, Stop> {
    let mut told = Vec::new();
    for item in items {
        let end = u32::try_from(assembler.offset + 10).unwrap();
        let step = assembler.take(item, Header { end, bytes: 10 })?;
        if step != Step::default() {
            told.push((step.meaning, step.ends));
        }
    }
    Ok(told)
}

const ROWS: (Meaning, bool) = (Meaning::Rows, false);
const END: (Meaning, bool) = (Meaning::Nothing, true);

#[test]
fn a_place_moves_only_at_the_end_of_a_transaction() {
    let mut all = assembler();
    let items = [gtid(6, false), Item::Rows, Item::OtherRows, Item::Rows];
    assert_eq!(run(&mut all, &items), Ok(vec![ROWS, ROWS]));
    assert_eq!((all.place().offset, all.begin_of(Header { end: 140, bytes: 10 })), (100, 130));
    assert_eq!(all.gtid().unwrap().to_string(), "0-10-6");
    assert!(all.is_open());
    assert_eq!(run(&mut all, &[Item::Xid]), Ok(vec![END]));
    assert_eq!((all.place().offset, all.place().gtids.to_string()), (150, "0-10-6".into()));
    assert!(!all.is_open());
}

#[test]
fn bounds_of_transactions() {
    for (items, expected) in [
        (vec![mysql(), query("BEGIN"), Item::Rows, Item::Xid], vec![ROWS, END]),
        (vec![mysql(), query("BEGIN"), Item::Rows, query("COMMIT")], vec![ROWS, END]),
        (
            vec![mysql(), query("BEGIN"), Item::Rows, query("ROLLBACK")],
            vec![ROWS, (Meaning::Discarded, true)],
        ),
        (
            vec![mysql(), query("BEGIN"), Item::Rows, query("SAVEPOINT s"), Item::Xid],
            vec![ROWS, END],
        ),
        (vec![mysql(), query("CREATE USER u")], vec![END]),
        (vec![mysql(), query("ALTER TABLE t ADD c int")], vec![(Meaning::Altered, true)]),
        (vec![mysql(), query("ALTER TABLE x.t ADD c int")], vec![END]),
        (vec![gtid(6, true), query("TRUNCATE t")], vec![(Meaning::Truncated, true)]),
        // Create-select: a definition inside of a transaction.
        (
            vec![gtid(6, false), query("CREATE TABLE t(a int)"), Item::Rows, Item::Xid],
            vec![(Meaning::Altered, false), ROWS, END],
        ),
        (vec![gtid(6, false), query("INSERT INTO u VALUES (1)"), query("COMMIT")], vec![END]),
        (vec![gtid(6, false), query("# Dummy"), Item::Rows, Item::Xid], vec![ROWS, END]),
        (
            vec![
                mysql(),
                query("XA START X'31'"),
                Item::Rows,
                query("XA END X'31'"),
                Item::XaPrepare { one_phase: true },
            ],
            vec![ROWS, END],
        ),
        (
            vec![gtid(6, false), query("XA END X'31'"), Item::XaPrepare { one_phase: false }],
            vec![END],
        ),
        (vec![gtid(6, true), query("XA COMMIT X'31'")], vec![END]),
        (vec![mysql(), query("XA ROLLBACK X'31'")], vec![END]),
    ] {
        assert_eq!(run(&mut assembler(), &items), Ok(expected), "{items:?}");
    }
}

#[test]
fn what_cannot_be_followed_stops() {
    for (items, expected) in [
        (vec![Item::Rows], "rows outside of a transaction, before m.1:110"),
        (vec![mysql(), mysql()], "a transaction inside another"),
        (
            vec![mysql(), query("BEGIN"), query("update t set a=1")],
            "statement-based event for table \"d.t\", before m.1:130",
        ),
        (
            vec![gtid(6, false), Item::Rows, Item::XaPrepare { one_phase: false }],
            "a two-phase XA transaction",
        ),
    ] {
        let stop = run(&mut assembler(), &items).unwrap_err();
        assert!(stop.message.starts_with(expected), "{stop:?}");
    }
}

fn inside(assembler: &mut Assembler, item: &Item) -> Result<Step, Stop> {
    assembler.take(item, Header { end: 0, bytes: 10 })
}

#[test]
fn a_payload_lends_its_end_to_what_is_in_it() {
    let mut all = assembler();
    run(&mut all, &[mysql(), Item::Payload]).unwrap();
    for item in [query("BEGIN"), Item::Rows] {
        inside(&mut all, &item).unwrap();
    }
    assert_eq!(all.begin_of(Header { end: 0, bytes: 10 }), 120);
    assert!(inside(&mut all, &Item::Xid).unwrap().ends);
    assert_eq!(all.place().offset, 120);
    // The next one goes on behind it.
    assert_eq!(run(&mut all, &[mysql(), query("BEGIN"), Item::Xid]), Ok(vec![END]));
    assert_eq!(all.place().offset, 150);
}

#[test]
fn a_payload_that_is_not_whole_stops() {
    for next in [mysql(), Item::Skip, Item::Rotate { file: "m.2".into(), offset: 4 }] {
        for within in [&[][..], &[query("BEGIN"), Item::Rows]] {
            let mut all = assembler();
            run(&mut all, &[mysql(), Item::Payload]).unwrap();
            for item in within {
                inside(&mut all, item).unwrap();
            }
            let stop = run(&mut all, std::slice::from_ref(&next)).unwrap_err();
            assert_eq!(stop.message, "corrupt transaction payload, before m.1:120");
        }
    }
}

#[test]
fn files_and_offsets_are_followed() {
    let mut all = assembler();
    let artificial = Header { end: 0, bytes: 40 };
    all.take(&Item::Rotate { file: "m.2".into(), offset: 4 }, artificial).unwrap();
    assert_eq!((all.place().file.as_str(), all.place().offset), ("m.2", 4));
    // The log keeps 32 bits of an offset; a transaction can reach beyond 4 GiB.
    all.take(&Item::Skip, Header { end: 77, bytes: 10 }).unwrap();
    all.take(&Item::OtherRows, Header { end: 0xffff_fff0, bytes: 10 }).unwrap();
    for (item, end) in [(mysql(), 0x20), (query("BEGIN"), 0x30), (Item::Xid, 0x40)] {
        all.take(&item, Header { end, bytes: 16 }).unwrap();
    }
    assert_eq!(all.place().offset, (1 << 32) + 0x40);
}

/// What a server was writing when it was killed stays in the log.
#[test]
fn the_end_of_a_file_discards_what_it_cuts_off() {
    let mut all = assembler();
    let items = [gtid(6, false), Item::Rows, Item::Rotate { file: "m.2".into(), offset: 4 }];
    assert_eq!(run(&mut all, &items), Ok(vec![ROWS, (Meaning::Discarded, true)]));
    let place = all.place();
    assert_eq!((place.file.as_str(), place.offset), ("m.2", 4));
    assert_eq!(place.gtids.to_string(), "0-10-5");
    let next = [gtid(6, false), Item::Rows, Item::Xid];
    assert_eq!(run(&mut all, &next), Ok(vec![ROWS, END]));
}
