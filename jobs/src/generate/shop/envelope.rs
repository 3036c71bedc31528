//! The envelope of a change record: members in Maxwell's order (capture 2.1, warehouse 2.2).
//!
//! ```text
//! {"database":"gmall2022","table":T,"type":"insert","ts":S,"xid":X,"xoffset":0,"data":{...}}
//! {"database":"gmall2022","table":T,"type":"update","ts":S,"xid":X,"commit":true,"data":{...},"old":{...}}
//! {"database":"gmall2022","table":T,"type":"bootstrap-insert","ts":S,"data":{...}}
//! ```

use super::row::{Change, Row, write_integer, write_old, write_row};

/// The business database.
pub(super) const DATABASE: &str = "gmall2022";

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Seconds since the epoch.
    pub(super) seconds: i64,
    /// Number of the transaction.
    pub(super) xid: u64,
    /// Index in the transaction, from 0; `None` for its last record.
    pub(super) offset: Option<u64>,
}

/// Appends the record of a change.
pub(super) fn write_change(change: &Change, stamp: &Stamp, out: &mut Vec<u8>) {
    let kind = match (&change.before, &change.after) {
        (None, _) => "insert",
        (Some(_), Some(_)) => "update",
        (Some(_), None) => "delete",
    };
    begin(DATABASE, change.table, kind, stamp.seconds, out);
    transaction(stamp, out);
    let row = change.after.as_ref().or(change.before.as_ref());
    out.extend_from_slice(b",\"data\":");
    write_row(row.expect("a change has a row"), out);
    if let (Some(before), Some(after)) = (&change.before, &change.after) {
        out.extend_from_slice(b",\"old\":");
        write_old(before, after, out);
    }
    out.push(b'}');
}

/// Appends a record of a bootstrap: a row, or a marker that has none.
pub(super) fn write_bootstrap(table: &str, kind: &str, row: &Row, seconds: i64, out: &mut Vec<u8>) {
    begin(DATABASE, table, kind, seconds, out);
    out.extend_from_slice(b",\"data\":");
    write_row(row, out);
    out.push(b'}');
}

/// Appends the members up to `ts`.
pub(super) fn begin(database: &str, table: &str, kind: &str, seconds: i64, out: &mut Vec<u8>) {
    let parts = [
        "{\"database\":\"",
        database,
        "\",\"table\":\"",
        table,
        "\",\"type\":\"",
        kind,
        "\",\"ts\":",
    ];
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    write_integer(seconds, out);
}

/// Appends the members that say where in which transaction the record stands.
pub(super) fn transaction(stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"xid\":");
    write_integer(super::row::id(stamp.xid), out);
    match stamp.offset {
        Some(offset) => {
            out.extend_from_slice(b",\"xoffset\":");
            write_integer(super::row::id(offset), out);
        }
        None => out.extend_from_slice(b",\"commit\":true"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_the_specification() {
        let row =
            |status: &'static str| vec![("id", 3_001_i64.into()), ("order_status", status.into())];
        let stamp = Stamp { seconds: 1_651_287_740, xid: 9_044, offset: None };
        let offset = Stamp { offset: Some(1), ..stamp };
        let mut out = Vec::new();
        write_change(&Change::insert("order_info", row("1001")), &offset, &mut out);
        out.push(b'\n');
        write_change(&Change::update("order_info", row("1001"), row("1002")), &stamp, &mut out);
        out.push(b'\n');
        write_change(&Change::delete("order_info", row("1002")), &stamp, &mut out);
        out.push(b'\n');
        write_bootstrap("base_trademark", "bootstrap-start", &Row::new(), 1_651_280_000, &mut out);
        let expected = r#"{"database":"gmall2022","table":"order_info","type":"insert","ts":1651287740,"xid":9044,"xoffset":1,"data":{"id":3001,"order_status":"1001"}}
{"database":"gmall2022","table":"order_info","type":"update","ts":1651287740,"xid":9044,"commit":true,"data":{"id":3001,"order_status":"1002"},"old":{"order_status":"1001"}}
{"database":"gmall2022","table":"order_info","type":"delete","ts":1651287740,"xid":9044,"commit":true,"data":{"id":3001,"order_status":"1002"}}
{"database":"gmall2022","table":"base_trademark","type":"bootstrap-start","ts":1651280000,"data":{}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
