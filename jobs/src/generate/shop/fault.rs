//! Records that are no changes of a row, some for each reason for which a warehouse drops records
//! (warehouse 2.2, 5.1, 5.4).
//!
//! They stand alone, never in place of a change, so leaving them out leaves a whole shop. Where one
//! has a row, it is of a dimension table and its name says that it must not arrive anywhere.

use super::envelope::Stamp;
use super::row::write_integer;

/// The table that a fault is of, if of any.
const TABLE: &str = "base_trademark";

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The end is missing.
    Cut,
    /// No bytes.
    Empty,
    /// A line of another program.
    PlainText,
    /// A byte that UTF-8 does not have.
    NotUtf8,
    /// An array.
    NotObject,
    /// No `table`.
    NoTable,
    /// No `type`.
    NoType,
    /// A database was created: such a record has no table.
    DatabaseDdl,
    /// No `ts`.
    NoTs,
    /// `ts` is a text.
    TextTs,
    /// Another database.
    OtherDatabase,
    /// A table was altered; `ts` is in milliseconds (capture 2.6).
    TableDdl,
    /// A `type` that nobody knows.
    UnknownType,
    /// `data` without a member.
    EmptyData,
    /// No `data`.
    NoData,
    /// The key is null.
    NullKey,
    /// The key is missing.
    NoKey,
    /// The key is an empty text.
    EmptyKey,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Cut,
        Self::Empty,
        Self::PlainText,
        Self::NotUtf8,
        Self::NotObject,
        Self::NoTable,
        Self::NoType,
        Self::DatabaseDdl,
        Self::NoTs,
        Self::TextTs,
        Self::OtherDatabase,
        Self::TableDdl,
        Self::UnknownType,
        Self::EmptyData,
        Self::NoData,
        Self::NullKey,
        Self::NoKey,
        Self::EmptyKey,
    ];

    /// The reason under which the dimension job counts it, where `base_trademark` is configured with
    /// the key `id`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Cut | Self::Empty | Self::PlainText | Self::NotUtf8 | Self::NotObject => {
                "bad_json"
            }
            Self::NoTable | Self::NoType | Self::DatabaseDdl => "bad_envelope",
            Self::NoTs | Self::TextTs => "bad_ts",
            Self::OtherDatabase => "other_db",
            Self::TableDdl => "ddl",
            Self::UnknownType => "unknown_type",
            Self::EmptyData | Self::NoData => "empty_data",
            Self::NullKey | Self::NoKey | Self::EmptyKey => "null_pk",
        }
    }

    /// Whether no decoder makes a row of it.
    pub fn is_dirty(self) -> bool {
        matches!(self.reason(), "bad_json" | "bad_envelope" | "bad_ts")
    }

    /// Appends the record; the table by which a producer would partition.
    pub(super) fn write(self, stamp: &Stamp, out: &mut Vec<u8>) -> Option<&'static str> {
        let text = self.text();
        for byte in text.bytes() {
            match byte {
                b'@' => write_integer(stamp.seconds, out),
                b'#' => write_integer(super::row::id(stamp.xid), out),
                b'!' => out.push(0xff),
                _ => out.push(byte),
            }
        }
        text.contains(r#""table":"#).then_some(TABLE)
    }

    /// The record, with `@` for the second, `#` for the transaction, `!` for a byte that cannot be.
    fn text(self) -> &'static str {
        match self {
            Self::Cut => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"update","ts":@,"xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现","#
            }
            Self::Empty => "",
            Self::PlainText => "09:12:07,311 WARN  MaxwellContext - binlog reader reconnects",
            Self::NotUtf8 => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","ts":@,"xid":#,"commit":true,"data":{"id":1,"tm_name":"不应!出现"}}"#
            }
            Self::NotObject => r#"["gmall2022",{"type":"insert"},@]"#,
            Self::NoTable => {
                r#"{"database":"gmall2022","type":"insert","ts":@,"xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::NoType => {
                r#"{"database":"gmall2022","table":"base_trademark","ts":@,"xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::DatabaseDdl => {
                r#"{"type":"database-create","database":"gmall2022_copy","charset":"utf8","ts":@000,"sql":"create database gmall2022_copy"}"#
            }
            Self::NoTs => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::TextTs => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","ts":"@","xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::OtherDatabase => {
                r#"{"database":"gmall_copy","table":"base_trademark","type":"insert","ts":@,"xid":#,"commit":true,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::TableDdl => {
                r#"{"type":"table-alter","database":"gmall2022","table":"base_trademark","old":{"database":"gmall2022","charset":"utf8","table":"base_trademark","primary-key":["id"],"columns":[]},"def":{"database":"gmall2022","charset":"utf8","table":"base_trademark","primary-key":["id"],"columns":[{"type":"varchar","name":"country","charset":"utf8"}]},"ts":@000,"sql":"alter table base_trademark add country varchar(20)"}"#
            }
            Self::UnknownType => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"heartbeat","ts":@,"data":{"id":1,"tm_name":"不应出现"}}"#
            }
            Self::EmptyData => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"update","ts":@,"xid":#,"commit":true,"data":{}}"#
            }
            Self::NoData => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"delete","ts":@,"xid":#,"commit":true}"#
            }
            Self::NullKey => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","ts":@,"xid":#,"commit":true,"data":{"id":null,"tm_name":"不应出现","logo_url":null}}"#
            }
            Self::NoKey => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","ts":@,"xid":#,"commit":true,"data":{"tm_name":"不应出现","logo_url":null}}"#
            }
            Self::EmptyKey => {
                r#"{"database":"gmall2022","table":"base_trademark","type":"insert","ts":@,"xid":#,"commit":true,"data":{"id":"","tm_name":"不应出现","logo_url":null}}"#
            }
        }
    }
}
