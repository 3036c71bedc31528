//! Where the source is, as bytes in a checkpoint.
//!
//! ```text
//! u8   version, 1
//! u64  rows given out so far: the order of the next row
//! u8   0 = the snapshot is not whole (nothing follows), 1 = MariaDB, 2 = MySQL with GTIDs,
//!      3 = MySQL without
//! text server: server_uuid of MySQL, server_id of MariaDB
//! text file; u64 offset behind the last complete transaction
//! text GTID position (MariaDB) or GTID set (MySQL), empty if there is none
//! u8   0 = columns not known (the table was altered), 1 = known, then
//!      u16 columns, each: text name, text declared type, text charset, u64 octets, u8 nullable
//!      u16 key columns, each: u16 index
//! ```
//!
//! File and offset are exact where no GTID set is used; with one they only tell a person where we are.

use engine::source::Position;

use super::bytes::{Reader, push_text};
use super::gtid::{GtidSet, Gtids, LastOfDomain};
use super::table::Table;

const VERSION: u8 = 1;

/// Which of the two dialects a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    MariaDb,
    Mysql,
}

/// Between two transactions of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    /// Bytes from the beginning of the file.
    pub(super) offset: u64,
    /// All transactions before.
    pub(super) gtids: Gtids,
}

/// A place in the log of a server, with what is known of the table there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    pub(super) flavour: Flavour,
    /// See [`Mark`]'s layout.
    pub(super) server: String,
    pub(super) place: Place,
    /// `None` after the table was altered, until its next row.
    pub(super) table: Option<Table>,
}

/// What a position says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Rows given out so far.
    pub(super) rows: u64,
    /// `None` until the snapshot is whole.
    pub(super) at: Option<At>,
}

impl Mark {
    pub(super) fn encode(&self) -> Position {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.rows.to_be_bytes());
        let Some(at) = &self.at else {
            out.push(0);
            return Position(out);
        };
        out.push(match (at.flavour, &at.place.gtids) {
            (Flavour::MariaDb, _) => 1,
            (Flavour::Mysql, Gtids::Mysql(_)) => 2,
            (Flavour::Mysql, Gtids::None | Gtids::MariaDb(_)) => 3,
        });
        push_text(&mut out, &at.server);
        push_text(&mut out, &at.place.file);
        out.extend_from_slice(&at.place.offset.to_be_bytes());
        push_text(&mut out, &at.place.gtids.to_string());
        out.push(u8::from(at.table.is_some()));
        if let Some(table) = &at.table {
            table.encode(&mut out);
        }
        Position(out)
    }

    pub(super) fn decode(position: &Position) -> Option<Self> {
        let mut reader = Reader(&position.0);
        if reader.u8()? != VERSION {
            return None;
        }
        let rows = reader.u64()?;
        let kind = reader.u8()?;
        let at = match kind {
            0 => None,
            _ => Some(decode_at(kind, &mut reader)?),
        };
        reader.0.is_empty().then_some(Self { rows, at })
    }
}

fn decode_at(kind: u8, reader: &mut Reader<'_>) -> Option<At> {
    let server = reader.text()?;
    let (file, offset) = (reader.text()?, reader.u64()?);
    let text = reader.text()?;
    let (flavour, gtids) = match kind {
        1 => (Flavour::MariaDb, Gtids::MariaDb(LastOfDomain::parse(&text)?)),
        2 => (Flavour::Mysql, Gtids::Mysql(GtidSet::parse(&text)?)),
        3 => (Flavour::Mysql, Gtids::None),
        _ => return None,
    };
    let table = match reader.u8()? {
        0 => None,
        1 => Some(Table::decode(reader)?),
        _ => return None,
    };
    Some(At { flavour, server, place: Place { file, offset, gtids }, table })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::table::Column;
    use super::*;

    fn table() -> Table {
        let utf8 = || Some("utf8mb4".to_owned());
        let columns = [
            Column::new("id".into(), "int(11)".into(), None, 0, false),
            Column::new("名".into(), "varchar(20)".into(), utf8(), 80, true),
        ];
        Table { columns: columns.map(Result::unwrap).into(), key: vec![0] }
    }

    fn mark(table: Option<Table>) -> Mark {
        let gtids = Gtids::MariaDb(LastOfDomain::parse("0-10-15").unwrap());
        let place = Place { file: "master.000001".into(), offset: 1359, gtids };
        let at = At { flavour: Flavour::MariaDb, server: "10".into(), place, table };
        Mark { rows: 7, at: Some(at) }
    }

    /// Positions live in checkpoints of older builds: these bytes must be read for ever.
    #[test]
    fn golden_bytes() {
        let hex = |mark: &Mark| {
            let bytes = mark.encode().0;
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex(&Mark { rows: 2, at: None }), "01000000000000000200");
        assert_eq!(
            hex(&mark(None)),
            "01000000000000000701\
             000000023130\
             0000000d6d61737465722e303030303031000000000000054f\
             00000007302d31302d3135\
             00"
        );
        let hex = hex(&mark(Some(table())));
        assert!(
            hex.ends_with(
                "01\
                 0002\
                 000000026964\
                 00000007696e7428313129\
                 00000000\
                 0000000000000000\
                 00\
                 00000003e5908d\
                 0000000b766172636861722832\
                 3029\
                 00000007757466386d6234\
                 0000000000000050\
                 01\
                 00010000"
            ),
            "{hex}"
        );
    }

    #[test]
    fn what_was_written_is_read() {
        let mysql = At {
            flavour: Flavour::Mysql,
            server: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
            place: Place {
                file: "binlog.000003".into(),
                offset: u64::from(u32::MAX) + 9,
                gtids: Gtids::Mysql(
                    GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:t:3").unwrap(),
                ),
            },
            table: Some(table()),
        };
        let without = Place { gtids: Gtids::None, ..mysql.place.clone() };
        let reset = Place { gtids: Gtids::Mysql(GtidSet::default()), ..mysql.place.clone() };
        for mark in [
            Mark { rows: 0, at: None },
            mark(None),
            mark(Some(table())),
            Mark { rows: u64::MAX, at: Some(At { place: without, ..mysql.clone() }) },
            Mark { rows: 2, at: Some(At { place: reset, ..mysql.clone() }) },
            Mark { rows: 1, at: Some(mysql) },
        ] {
            assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        }
    }

    proptest! {
        #[test]
        fn other_bytes_are_refused(bytes: Vec<u8>, cut in 0_usize..120, flip in 0_usize..120) {
            drop(Mark::decode(&Position(bytes)));
            let whole = mark(Some(table())).encode().0;
            let cut = whole.iter().copied().take(cut.min(whole.len() - 1)).collect();
            prop_assert_eq!(Mark::decode(&Position(cut)), None);
            let mut flipped = whole;
            let place = flip % flipped.len();
            flipped[place] ^= 0xff;
            drop(Mark::decode(&Position(flipped)));
        }
    }
}
