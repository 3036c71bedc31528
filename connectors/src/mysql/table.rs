//! The table that is read: its columns and key as known at a place in the log.
//!
//! The log of MariaDB (`binlog_row_metadata=NO_LOG`, its default) and of MySQL (`MINIMAL`) does not
//! name columns, so names come from `information_schema` and are kept with the position: a restart
//! reads old events with the columns of their time. Whenever rows are to be read, [`Table::misfit`]
//! holds the columns against the raw types in the log; what does not fit is never guessed.
//!
//! Misuse: two columns of one type that swapped names while we lagged behind two changes of the table
//! look right. Only `binlog_row_metadata=FULL`, where names are in the log and are compared too, finds
//! that out.

pub(super) mod kind;

use mysql_async::binlog::events::{OptionalMetadataField, TableMapEvent};

use kind::Kind;

use super::bytes::{Reader, push_list, push_text};

/// A column as `information_schema` declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// COLUMN_TYPE, such as `int(10) unsigned`.
    pub(super) declared: String,
    /// CHARACTER_SET_NAME; `None` where the type has none.
    pub(super) charset: Option<String>,
    /// CHARACTER_OCTET_LENGTH; 0 where the type has none.
    pub(super) octets: u64,
    pub(super) nullable: bool,
    /// Follows from the others.
    pub(super) kind: Kind,
}

/// A column that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

impl Column {
    pub(super) fn new(
        name: String,
        declared: String,
        charset: Option<String>,
        octets: u64,
        nullable: bool,
    ) -> Result<Self, Unreadable> {
        let Some(kind) = Kind::of(&declared, charset.as_deref(), octets) else {
            let charset = charset.map(|name| format!(" in charset {name}")).unwrap_or_default();
            return Err(Unreadable(format!("column \"{name}\" is {declared}{charset}")));
        };
        Ok(Self { name, declared, charset, octets, nullable, kind })
    }
}

/// The columns in table order and which of them are the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// Indexes of the key's columns in key order: of the primary key, else of the first unique key
    /// without nullable columns, else none.
    pub(super) key: Vec<usize>,
}

impl Table {
    /// Why rows with this table map cannot be read with these columns; `None` if they can.
    pub(super) fn misfit(&self, map: &TableMapEvent<'_>) -> Option<String> {
        let logged = map.columns_count();
        if u64::try_from(self.columns.len()) != Ok(logged) {
            return Some(format!("{} columns are known, the log has {logged}", self.columns.len()));
        }
        let nullable = map.null_bitmask();
        let names = logged_names(map);
        for (index, column) in self.columns.iter().enumerate() {
            let raw = map.get_column_type(index).ok().flatten();
            let metadata = map.get_column_metadata(index).unwrap_or_default();
            let null = nullable.get(index).is_some_and(|bit| *bit);
            let fits = raw.is_some_and(|raw| column.kind.fits(raw, metadata));
            let (name, declared) = (&column.name, &column.declared);
            if !fits || null != column.nullable {
                let raw = raw.map_or("a type unknown to us".to_owned(), |raw| format!("{raw:?}"));
                let null = if null { "nullable" } else { "not null" };
                return Some(format!(
                    "column \"{name}\" is known as {declared}, the log has {raw} {metadata:?} {null}"
                ));
            }
            if let Some(other) = names.get(index).filter(|other| *other != name) {
                return Some(format!("column \"{name}\" is known, the log calls it \"{other}\""));
            }
        }
        None
    }

    /// Appends what [`Table::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        push_list(out, &self.columns, |out, column| {
            push_text(out, &column.name);
            push_text(out, &column.declared);
            push_text(out, column.charset.as_deref().unwrap_or_default());
            out.extend_from_slice(&column.octets.to_be_bytes());
            out.push(u8::from(column.nullable));
        });
        push_list(out, &self.key, |out, index| {
            let index = u16::try_from(*index).expect("a table has at most 4096 columns");
            out.extend_from_slice(&index.to_be_bytes());
        });
    }

    /// Reads what [`Table::encode`] wrote.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let columns = reader.list(|reader| {
            let (name, declared) = (reader.text()?, reader.text()?);
            let charset = Some(reader.text()?).filter(|name| !name.is_empty());
            let (octets, nullable) = (reader.u64()?, reader.u8()? == 1);
            Column::new(name, declared, charset, octets, nullable).ok()
        })?;
        let key = reader.list(|reader| Some(usize::from(reader.u16()?)))?;
        key.iter().all(|index| *index < columns.len()).then_some(Self { columns, key })
    }
}

/// The names in the log, if it was written with full metadata; else none.
fn logged_names(map: &TableMapEvent<'_>) -> Vec<String> {
    for field in map.iter_optional_meta().flatten() {
        if let OptionalMetadataField::ColumnName(names) = field {
            let names = names.iter_names().flatten();
            return names.map(|name| name.name().into_owned()).collect();
        }
    }
    Vec::new()
}
