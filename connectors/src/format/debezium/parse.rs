//! Reading one envelope: a single walk over its bytes, then the judgement.
//!
//! Nothing is judged during the walk but the grammar, and the last of equal names counts.

use crate::format::json_scan::member::named;
use crate::format::json_scan::text::{Text, str_of};
use crate::format::json_scan::{Malformed, Scanner, Span};

/// Why a record is a dead letter, in the order of testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dirty {
    /// Empty, not UTF-8, not JSON, not an object, text after the object, or nested too deeply.
    BadJson,
    /// `op` is none of r, c, u, d and t, or a row that it needs is no object.
    BadEnvelope,
}

impl Dirty {
    /// The value of the `reason` label and field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadEnvelope => "bad_envelope",
        }
    }
}

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DebeziumOp {
    /// `r`: read by the snapshot.
    Read,
    /// `c`: inserted.
    Create,
    /// `u`: updated, perhaps in its key.
    Update,
    /// `d`: deleted; there is no row after it.
    Delete,
}

impl DebeziumOp {
    /// All ops, each at the index that is its code.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Update, Self::Delete];

    /// The integer that stands for it in a column.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Read => 0,
            Self::Create => 1,
            Self::Update => 2,
            Self::Delete => 3,
        }
    }

    /// The op that has this code.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The letter in the envelope, also the label of the counter `config_applied`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
        }
    }
}

/// What became of a record that is not dirty.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// A change of a row.
    Change(DebeziumChange<'a>),
    /// Nothing to be done; the reason to count it by.
    Dropped(&'static str),
}

/// A change of a row: a view that is good until the parser reads the next one.
#[derive(Clone, Copy, Debug)]
pub struct DebeziumChange<'a> {
    pub(super) value: &'a str,
    pub(super) arena: &'a str,
    pub(super) op: DebeziumOp,
    pub(super) before: Option<Span>,
    pub(super) after: Option<Span>,
    pub(super) source_table: Option<Text>,
    pub(super) ts_ms: Option<i64>,
}

impl<'a> DebeziumChange<'a> {
    /// What was done.
    #[must_use]
    pub const fn op(&self) -> DebeziumOp {
        self.op
    }

    /// The JSON object of the row before; there for `d`, mostly for `u`.
    #[must_use]
    pub fn before(&self) -> Option<&'a str> {
        self.before.map(|span| str_of(self.value, span))
    }

    /// The JSON object of the row after; there for all but `d`.
    #[must_use]
    pub fn after(&self) -> Option<&'a str> {
        self.after.map(|span| str_of(self.value, span))
    }

    /// `source.table`.
    #[must_use]
    pub fn source_table(&self) -> Option<&'a str> {
        self.source_table.map(|text| text.read(self.value, self.arena))
    }

    /// When it was read, milliseconds since 1970; not when it happened.
    #[must_use]
    pub const fn ts_ms(&self) -> Option<i64> {
        self.ts_ms
    }
}

/// Reads envelopes, one at a time.
#[derive(Debug, Default)]
pub struct DebeziumParser {
    /// Decoded texts of the record.
    arena: String,
}

impl DebeziumParser {
    /// Reads one value; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// The reason that makes the value a dead letter.
    pub fn parse<'a>(&'a mut self, value: Option<&'a [u8]>) -> Result<Outcome<'a>, Dirty> {
        let Some(value) = value else { return Ok(Outcome::Dropped(TOMBSTONE)) };
        let Ok(value) = str::from_utf8(value) else { return Err(Dirty::BadJson) };
        self.arena.clear();
        let mut walk = Walk { scanner: Scanner::new(value), arena: &mut self.arena };
        let Ok(found) = walk.record() else { return Err(Dirty::BadJson) };
        match found {
            Payload::Envelope(found) => found.judge(value, &self.arena),
            Payload::Null => Ok(Outcome::Dropped(TOMBSTONE)),
            Payload::Other => Err(Dirty::BadEnvelope),
        }
    }
}

const TOMBSTONE: &str = "tombstone";
const TRUNCATE: &str = "truncate";

/// What holds the envelope: the record or its `payload`.
enum Payload {
    Envelope(Found),
    Null,
    Other,
}

/// What stands as `before` or `after`.
#[derive(Clone, Copy, Default)]
enum Image {
    /// Null or absent.
    #[default]
    None,
    Object(Span),
    Other,
}

impl Image {
    fn optional(self) -> Result<Option<Span>, Dirty> {
        match self {
            Self::None => Ok(None),
            Self::Object(span) => Ok(Some(span)),
            Self::Other => Err(Dirty::BadEnvelope),
        }
    }
}

/// What the walk finds in an envelope; the last of equal names.
#[derive(Default)]
struct Found {
    op: Option<Text>,
    before: Image,
    after: Image,
    source_table: Option<Text>,
    ts_ms: Option<i64>,
    payload: Option<Box<Payload>>,
}

impl Found {
    fn judge<'a>(self, value: &'a str, arena: &'a str) -> Result<Outcome<'a>, Dirty> {
        let (before, after) = (self.before.optional()?, self.after.optional()?);
        let (op, needed) = match self.op.map(|op| op.read(value, arena)) {
            Some("r") => (DebeziumOp::Read, after),
            Some("c") => (DebeziumOp::Create, after),
            Some("u") => (DebeziumOp::Update, after),
            Some("d") => (DebeziumOp::Delete, before),
            Some("t") => return Ok(Outcome::Dropped(TRUNCATE)),
            _ => return Err(Dirty::BadEnvelope),
        };
        needed.ok_or(Dirty::BadEnvelope)?;
        let Self { source_table, ts_ms, .. } = self;
        let change = DebeziumChange { value, arena, op, before, after, source_table, ts_ms };
        Ok(Outcome::Change(change))
    }
}

/// A member that means something, or any other.
enum Name {
    Before,
    After,
    Source,
    Op,
    TsMs,
    Payload,
    Other,
}

impl Name {
    fn of_bytes(name: &[u8]) -> Self {
        match name {
            b"before" => Self::Before,
            b"after" => Self::After,
            b"source" => Self::Source,
            b"op" => Self::Op,
            b"ts_ms" => Self::TsMs,
            b"payload" => Self::Payload,
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
    fn record(&mut self) -> Result<Payload, Malformed> {
        self.scanner.skip_space();
        let null = self.scanner.peek()? == b'n';
        if !null && !self.scanner.at_object()? {
            return Err(Malformed);
        }
        let mut found = self.envelope(true)?;
        self.scanner.finish()?;
        if let Payload::Envelope(Found { op: None, payload, .. }) = &mut found
            && let Some(payload) = payload.take()
        {
            return Ok(*payload);
        }
        Ok(found)
    }

    /// The value that is next; only an outer envelope may hold another one.
    fn envelope(&mut self, outer: bool) -> Result<Payload, Malformed> {
        if !self.scanner.at_object()? {
            return Ok(self.scanner.not_null()?.map_or(Payload::Null, |_span| Payload::Other));
        }
        let mut found = Found::default();
        self.scanner.enter()?;
        let mut first = true;
        while let Some(quoted) = self.scanner.next_name(first)? {
            first = false;
            match named(quoted, self.scanner.value(), Name::of_bytes) {
                Name::Before => found.before = self.image()?,
                Name::After => found.after = self.image()?,
                Name::Source => found.source_table = self.source_table()?,
                Name::Op => found.op = self.scanner.text(self.arena)?,
                Name::TsMs => {
                    found.ts_ms = self.scanner.integer()?.map(|(integer, _token)| integer);
                }
                Name::Payload if outer => {
                    found.payload = Some(Box::new(self.envelope(false)?));
                }
                Name::Payload | Name::Other => self.scanner.skip()?,
            }
        }
        Ok(Payload::Envelope(found))
    }

    fn image(&mut self) -> Result<Image, Malformed> {
        let object = self.scanner.at_object()?;
        let other = |span| if object { Image::Object(span) } else { Image::Other };
        Ok(self.scanner.not_null()?.map_or(Image::None, other))
    }

    fn source_table(&mut self) -> Result<Option<Text>, Malformed> {
        if !self.scanner.at_object()? {
            self.scanner.skip()?;
            return Ok(None);
        }
        self.scanner.enter()?;
        let (mut table, mut first) = (None, true);
        while let Some(quoted) = self.scanner.next_name(first)? {
            first = false;
            if named(quoted, self.scanner.value(), |name| name == b"table") {
                table = self.scanner.text(self.arena)?;
            } else {
                self.scanner.skip()?;
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `op before after table ts_ms`, or what else became of the record.
    fn read(value: &str) -> String {
        let mut parser = DebeziumParser::default();
        match parser.parse(Some(value.as_bytes())) {
            Err(dirty) => dirty.as_str().to_owned(),
            Ok(Outcome::Dropped(reason)) => format!("dropped {reason}"),
            Ok(Outcome::Change(change)) => {
                let rows = [change.before(), change.after(), change.source_table()];
                let rows = rows.map(|row| row.unwrap_or("-"));
                let ts_ms = change.ts_ms().map_or("-".to_owned(), |ts_ms| ts_ms.to_string());
                format!("{} {} {ts_ms}", change.op().as_str(), rows.join(" "))
            }
        }
    }

    #[test]
    fn both_forms_are_read_bare_and_wrapped() {
        let flink = r#"{"before":null,"after":{"sink_pk":"id"},"source":{"version":"1.9.7.Final","ts_ms":0,"db":"gmall_config","sequence":null,"table":"table_process","query":null},"op":"r","ts_ms":1651280100123,"transaction":null}"#;
        let debezium = r#"{"before":{"a":1},"after":null,"source":{"snapshot":"last","ts_us":1,"table":"table_process"},"transaction":null,"op":"d","ts_ms":5,"ts_us":5000,"ts_ns":5000000}"#;
        for (bare, expected) in [
            (flink, r#"r - {"sink_pk":"id"} table_process 1651280100123"#),
            (debezium, r#"d {"a":1} - table_process 5"#),
        ] {
            assert_eq!(read(bare), expected);
            let schema = r#"{"type":"struct","fields":[{"field":"payload"},{"field":"op"}]}"#;
            let wrapped = format!(r#" {{"schema":{schema},"payload":{bare}}} "#);
            assert_eq!(read(&wrapped), expected);
            assert_eq!(read(&format!(r#"{{"payload":{bare},"schema":null}}"#)), expected);
        }
    }

    #[test]
    fn each_op_needs_its_row() {
        for (value, expected) in [
            (r#"{"op":"c","after":{}}"#, "c - {} - -"),
            (r#"{"op":"r","after":{},"before":{}}"#, "r {} {} - -"),
            (r#"{"op":"u","after":{"a":1},"before":{"a":0}}"#, r#"u {"a":0} {"a":1} - -"#),
            (r#"{"op":"u","after":{},"before":null}"#, "u - {} - -"),
            (r#"{"op":"d","before":{"a":1}}"#, r#"d {"a":1} - - -"#),
            (r#"{"op":"t","before":null,"after":null}"#, "dropped truncate"),
            (r#"{"op":"c","after":null}"#, "bad_envelope"),
            (r#"{"op":"c","before":{}}"#, "bad_envelope"),
            (r#"{"op":"u","before":{}}"#, "bad_envelope"),
            (r#"{"op":"u","before":7,"after":{}}"#, "bad_envelope"),
            (r#"{"op":"c","after":[{}]}"#, "bad_envelope"),
            (r#"{"op":"d","after":{}}"#, "bad_envelope"),
            (r#"{"op":"d","before":{},"after":"x"}"#, "bad_envelope"),
            (r#"{"op":"m","after":{}}"#, "bad_envelope"),
            (r#"{"op":"C","after":{}}"#, "bad_envelope"),
            (r#"{"op":null,"after":{}}"#, "bad_envelope"),
            (r#"{"after":{}}"#, "bad_envelope"),
            ("{}", "bad_envelope"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_decided_upon_may_be_missing_or_of_any_type() {
        for (value, expected) in [
            (r#"{"op":"c","after":{},"source":null,"ts_ms":null}"#, "c - {} - -"),
            (r#"{"op":"c","after":{},"source":"table","ts_ms":"5"}"#, "c - {} - -"),
            (r#"{"op":"c","after":{},"source":{"table":7},"ts_ms":5.0}"#, "c - {} - -"),
            (r#"{"op":"c","after":{},"source":{"t\u0061ble":"t\u0031"}}"#, "c - {} t1 -"),
            (r#"{"op":"c","after":{},"payload":{"op":"d"}}"#, "c - {} - -"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    #[test]
    fn tombstones_and_what_is_no_json() {
        let mut parser = DebeziumParser::default();
        assert!(matches!(parser.parse(None), Ok(Outcome::Dropped("tombstone"))));
        for (value, expected) in [
            ("null", "dropped tombstone"),
            (r#"{"schema":null,"payload":null}"#, "dropped tombstone"),
            (r#"{"schema":null,"payload":7}"#, "bad_envelope"),
            (r#"{"payload":{"payload":{"op":"c","after":{}}}}"#, "bad_envelope"),
            ("", "bad_json"),
            (" ", "bad_json"),
            ("nul", "bad_json"),
            ("null null", "bad_json"),
            ("7", "bad_json"),
            ("[]", "bad_json"),
            (r#"{"op":"c","after":{}"#, "bad_json"),
            (r#"{"op":"c","after":{"a":01}}"#, "bad_json"),
            (r#"{"op":"c","after":{}}{}"#, "bad_json"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
        let spoilt = [&br#"{"op":"c","after":{"a":""#[..], b"\xff", br#""}}"#].concat();
        assert_eq!(parser.parse(Some(&spoilt)).err(), Some(Dirty::BadJson));
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        let value = r#"{"op":"d","before":7,"after":{"a":1},"source":{"table":"x","table":"y"},
            "before":null,"after":{"a":2},"o\u0070":"c","ts_ms":1,"ts_ms":2,"source":{"table":"z"}}"#;
        assert_eq!(read(value), r#"c - {"a":2} z 2"#);
        let value = r#"{"payload":null,"payload":{"op":"d","op":"c","after":{}}}"#;
        assert_eq!(read(value), "c - {} - -");
    }

    #[test]
    fn codes_come_back() {
        for op in DebeziumOp::ALL {
            assert_eq!(DebeziumOp::of_code(op.code()), Some(op));
        }
        assert_eq!((DebeziumOp::of_code(4), DebeziumOp::of_code(-1)), (None, None));
    }
}
