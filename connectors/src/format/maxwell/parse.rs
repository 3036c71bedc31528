//! Reading one change record: a single walk over its bytes, then the reasons in their order.
//!
//! As in [`app_log`](crate::format::app_log), nothing is judged during the walk but the grammar,
//! and an equal name further on replaces what was found before. The rows inside are skipped, which
//! is the greater part of the work: `examples/maxwell_rate.rs` measures it.

use super::{ChangeKind, Dirty};
use crate::format::json_scan::member::named;
use crate::format::json_scan::text::{Text, str_of};
use crate::format::json_scan::{Malformed, Scanner, Span};

/// Reads change records, one at a time. Keep one per worker: it holds a buffer.
#[derive(Debug, Default)]
pub struct MaxwellParser {
    /// Decoded texts of the record.
    arena: String,
}

/// A change record that is not dirty: a view that is good until the parser reads the next one.
#[derive(Clone, Copy, Debug)]
pub struct MaxwellChange<'a> {
    pub(super) value: &'a str,
    pub(super) arena: &'a str,
    pub(super) database: Text,
    pub(super) table: Text,
    pub(super) kind: ChangeKind,
    pub(super) snapshot: bool,
    pub(super) ts: i64,
    pub(super) data: Option<Span>,
    pub(super) old: Option<Span>,
    pub(super) xid: Option<i64>,
    pub(super) commit: bool,
}

impl MaxwellParser {
    /// Reads one value.
    ///
    /// # Errors
    ///
    /// The first reason of warehouse 2.2 that makes the value a dead letter.
    pub fn parse<'a>(&'a mut self, value: &'a [u8]) -> Result<MaxwellChange<'a>, Dirty> {
        let Ok(value) = str::from_utf8(value) else { return Err(Dirty::BadJson) };
        self.arena.clear();
        let mut found = Found::default();
        let mut walk = Walk { scanner: Scanner::new(value), arena: &mut self.arena };
        if walk.record(&mut found).is_err() {
            return Err(Dirty::BadJson);
        }
        found.judge(value, &self.arena)
    }
}

impl<'a> MaxwellChange<'a> {
    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &'a str {
        self.database.read(self.value, self.arena)
    }

    /// Name of the table.
    #[must_use]
    pub fn table(&self) -> &'a str {
        self.table.read(self.value, self.arena)
    }

    /// What was done.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// Whether `type` had the prefix `bootstrap-`.
    #[must_use]
    pub const fn snapshot(&self) -> bool {
        self.snapshot
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn ts(&self) -> i64 {
        self.ts
    }

    /// Event time, milliseconds since 1970.
    #[must_use]
    pub const fn time(&self) -> i64 {
        // The parser has tested that this fits.
        self.ts * 1000
    }

    /// The JSON of `data`; `None` if it is absent or null.
    #[must_use]
    pub fn data(&self) -> Option<&'a str> {
        self.data.map(|span| str_of(self.value, span))
    }

    /// The JSON of `old`; `None` if it is absent or null.
    #[must_use]
    pub fn old(&self) -> Option<&'a str> {
        self.old.map(|span| str_of(self.value, span))
    }

    /// The transaction's number, if there is one.
    #[must_use]
    pub const fn xid(&self) -> Option<i64> {
        self.xid
    }

    /// Whether this is the last row of its transaction.
    #[must_use]
    pub const fn commit(&self) -> bool {
        self.commit
    }
}

/// What the walk finds; the last of equal names.
#[derive(Default)]
struct Found {
    database: Option<Text>,
    table: Option<Text>,
    kind: Option<Text>,
    ts: Option<i64>,
    data: Option<Span>,
    old: Option<Span>,
    xid: Option<i64>,
    commit: bool,
}

impl Found {
    /// Tests the reasons in their order.
    #[inline]
    fn judge<'a>(self, value: &'a str, arena: &'a str) -> Result<MaxwellChange<'a>, Dirty> {
        let (Some(database), Some(table), Some(kind)) = (self.database, self.table, self.kind)
        else {
            return Err(Dirty::BadEnvelope);
        };
        let (kind, snapshot) = ChangeKind::of_type(kind.read(value, arena));
        let ts = self.ts.ok_or(Dirty::BadTs)?;
        let ts = if kind == ChangeKind::Ddl { ts.div_euclid(1000) } else { ts };
        ts.checked_mul(1000).ok_or(Dirty::BadTs)?;
        let Self { data, old, xid, commit, .. } = self;
        Ok(MaxwellChange {
            value,
            arena,
            database,
            table,
            kind,
            snapshot,
            ts,
            data,
            old,
            xid,
            commit,
        })
    }
}

/// A member that means something, or any other.
enum Name {
    Database,
    Table,
    Type,
    Ts,
    Xid,
    Commit,
    Data,
    Old,
    Other,
}

impl Name {
    #[inline]
    fn of_bytes(name: &[u8]) -> Self {
        match name {
            b"database" => Self::Database,
            b"table" => Self::Table,
            b"type" => Self::Type,
            b"ts" => Self::Ts,
            b"xid" => Self::Xid,
            b"commit" => Self::Commit,
            b"data" => Self::Data,
            b"old" => Self::Old,
            _ => Self::Other,
        }
    }
}

/// The walk over one value.
struct Walk<'w> {
    scanner: Scanner<'w>,
    arena: &'w mut String,
}

impl Walk<'_> {
    fn record(&mut self, found: &mut Found) -> Result<(), Malformed> {
        self.scanner.skip_space();
        if !self.scanner.at_object()? {
            return Err(Malformed);
        }
        self.scanner.enter()?;
        let mut first = true;
        while let Some(quoted) = self.scanner.next_name(first)? {
            first = false;
            let name = named(quoted, self.scanner.value(), Name::of_bytes);
            self.member(name, found)?;
        }
        self.scanner.finish()
    }

    #[inline]
    fn member(&mut self, name: Name, found: &mut Found) -> Result<(), Malformed> {
        match name {
            Name::Database => found.database = self.scanner.text(self.arena)?,
            Name::Table => found.table = self.scanner.text(self.arena)?,
            Name::Type => found.kind = self.scanner.text(self.arena)?,
            Name::Ts => found.ts = self.integer()?,
            Name::Xid => found.xid = self.integer()?,
            Name::Commit => {
                found.commit = self.scanner.peek()? == b't';
                self.scanner.skip()?;
            }
            Name::Data => found.data = self.scanner.not_null()?,
            Name::Old => found.old = self.scanner.not_null()?,
            Name::Other => self.scanner.skip()?,
        }
        Ok(())
    }

    #[inline]
    fn integer(&mut self) -> Result<Option<i64>, Malformed> {
        Ok(self.scanner.integer()?.map(|(integer, _token)| integer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json_scan::DEPTH_MAX;

    /// `@` stands for a good database, table and type; `$` for all that a record needs.
    fn full(pattern: &str) -> String {
        let names = r#""database":"d","table":"t","type":"insert""#;
        pattern.replace('$', &format!(r#"{names},"ts":7"#)).replace('@', names)
    }

    fn reason(value: &[u8]) -> &'static str {
        MaxwellParser::default().parse(value).err().map_or("none", Dirty::as_str)
    }

    #[test]
    fn the_first_reason_in_the_order_of_the_table_holds() {
        for (value, expected) in [
            ("", "bad_json"),
            (" \n", "bad_json"),
            ("hello", "bad_json"),
            ("null", "bad_json"),
            ("[{$}]", "bad_json"),
            (r#""{}""#, "bad_json"),
            ("{$}x", "bad_json"),
            ("{$}{$}", "bad_json"),
            ("{$,}", "bad_json"),
            ("\u{feff}{$}", "bad_json"),
            (r#"{$,"data":{"id":1}"#, "bad_json"),
            (r#"{$,"data":{"id":01}}"#, "bad_json"),
            (r#"{$,"data":{"id":1,}}"#, "bad_json"),
            (r#"{$,"data":{"id" 1}}"#, "bad_json"),
            (r#"{$,"old":{"id":nul}}"#, "bad_json"),
            ("{}", "bad_envelope"),
            (r#"{"table":"t","type":"insert"}"#, "bad_envelope"),
            (r#"{"database":"d","type":"insert","ts":"x"}"#, "bad_envelope"),
            (r#"{"database":"d","table":"t","ts":7}"#, "bad_envelope"),
            (r#"{$,"table":null}"#, "bad_envelope"),
            (r#"{$,"database":7}"#, "bad_envelope"),
            (r#"{$,"type":["insert"]}"#, "bad_envelope"),
            (r#"{$,"table":"\ud800"}"#, "bad_envelope"),
            (r#"{"type":"database-create","database":"d","ts":7}"#, "bad_envelope"),
            ("{@}", "bad_ts"),
            (r#"{@,"ts":null}"#, "bad_ts"),
            (r#"{@,"ts":"1651287740"}"#, "bad_ts"),
            (r#"{@,"ts":1651287740.0}"#, "bad_ts"),
            (r#"{@,"ts":1e9}"#, "bad_ts"),
            (r#"{@,"ts":-0}"#, "bad_ts"),
            (r#"{@,"ts":9223372036854775808}"#, "bad_ts"),
            (r#"{@,"ts":9223372036854776}"#, "bad_ts"),
            (r#"{@,"ts":9223372036854775}"#, "none"),
            (r#"{@,"ts":-1}"#, "none"),
            (" {$} \r\n", "none"),
            (r#"{$,"type":"no such thing","database":"","table":""}"#, "none"),
            (r#"{$,"data":7,"old":"x","xid":"9","commit":"true","query":{"a":[1]}}"#, "none"),
        ] {
            assert_eq!(reason(full(value).as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn utf_8_and_depth_are_checked_inside_the_rows() {
        for pattern in [r#"{$,"data":{"a":"?"}}"#, r#"{$,"old":{"?":1}}"#, r#"{$,"x":["?"]}"#] {
            let value = full(pattern).into_bytes();
            let spoilt: Vec<u8> =
                value.iter().map(|byte| if *byte == b'?' { 0xff } else { *byte }).collect();
            assert_eq!((reason(&value), reason(&spoilt)), ("none", "bad_json"), "{pattern}");
        }
        for (levels, expected) in [(DEPTH_MAX, "none"), (DEPTH_MAX + 1, "bad_json")] {
            let deep = format!("{}{}", "[".repeat(levels - 2), "]".repeat(levels - 2));
            let value = full(&format!("{{$,\"data\":{{\"a\":{deep}}}}}"));
            assert_eq!(reason(value.as_bytes()), expected);
        }
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        let value = full(
            r#"{$,"data":{"a":1},"data":null,"old":null,"old":{"b":2},"d\u0061ta":{"c":3},
                "table":"u","typ\u0065":"bootstrap-insert","ts":8,"xid":1,"xid":null,
                "commit":true,"commit":false}"#,
        );
        let mut parser = MaxwellParser::default();
        let change = parser.parse(value.as_bytes()).expect("a clean record");
        assert_eq!((change.database(), change.table()), ("d", "u"));
        assert_eq!((change.kind(), change.snapshot()), (ChangeKind::Insert, true));
        assert_eq!((change.ts(), change.time()), (8, 8000));
        assert_eq!((change.data(), change.old()), (Some(r#"{"c":3}"#), Some(r#"{"b":2}"#)));
        assert_eq!((change.xid(), change.commit()), (None, false));
        assert_eq!(reason(full(r#"{$,"ts":"x"}"#).as_bytes()), "bad_ts");
        assert_eq!(reason(full(r#"{"ts":"x",$}"#).as_bytes()), "none");
    }

    #[test]
    fn the_sample_records_are_read() {
        let mut parser = MaxwellParser::default();
        let update = r#"{"database":"gmall2022","table":"order_info","type":"update","ts":1651287740,"xid":9044,"commit":true,"data":{"id":3001,"total_amount":3948.00},"old":{"order_status":"1001","operate_time":null}}"#;
        let change = parser.parse(update.as_bytes()).expect("a clean record");
        assert_eq!((change.database(), change.table()), ("gmall2022", "order_info"));
        assert_eq!((change.kind(), change.snapshot()), (ChangeKind::Update, false));
        assert_eq!((change.xid(), change.commit()), (Some(9044), true));
        assert_eq!(change.data(), Some(r#"{"id":3001,"total_amount":3948.00}"#));
        assert_eq!(change.old(), Some(r#"{"order_status":"1001","operate_time":null}"#));
        let start = r#"{"database":"gmall2022","table":"base_trademark","type":"bootstrap-start","ts":1651280000,"data":{}}"#;
        let change = parser.parse(start.as_bytes()).expect("a clean record");
        assert_eq!((change.kind(), change.snapshot()), (ChangeKind::BootstrapMarker, true));
        assert_eq!((change.data(), change.old()), (Some("{}"), None));
        assert_eq!((change.xid(), change.commit()), (None, false));
    }

    #[test]
    fn table_ddl_has_its_time_in_milliseconds() {
        let ddl = r#"{"type":"table-create","database":"d","table":"t","def":{},"ts":1651287740999,"sql":"create table t"}"#;
        let mut parser = MaxwellParser::default();
        let change = parser.parse(ddl.as_bytes()).expect("a clean record");
        assert_eq!((change.kind(), change.ts()), (ChangeKind::Ddl, 1_651_287_740));
    }
}
