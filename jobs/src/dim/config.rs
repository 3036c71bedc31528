//! A config row: one source table goes to one dimension table.
//!
//! Read from the columns of the config table, whose layout is recognised by their names (warehouse
//! 4.1 to 4.4), never by the table's. The checks are those of warehouse 4.5 in their order; the
//! first that fails refuses the row.
//!
//! Decisions where the specification leaves room:
//!
//! - Names of tables are trimmed like those of columns. A list whose names differ only in case
//!   names a column twice, because the target has no case.
//! - The family of the 2023 layout becomes the table's property `DEFAULT_COLUMN_FAMILY` (5.8), as
//!   it is spelt.
//! - In the older layout a row of `sink_type` hbase is a dimension. Whatever its `operate_type`
//!   says, all operations of its source are routed; rows that differ in that column only are one
//!   route.

use std::collections::{BTreeMap, BTreeSet};

use connectors::format::dimension::COLUMNS_MAX;
use engine::sink::TableDefinition;

use super::extend::Extend;
use super::name::{fold, is_identifier};
use super::rejected::{Reason, Rejected};

/// The columns of a row of the config table; `None` is NULL.
pub type Columns = BTreeMap<String, Option<String>>;

/// Which config table a row is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `table_process` of 2022: dimensions.
    TableProcess,
    /// `table_process_dim` of 2023: dimensions.
    TableProcessDim,
    /// `table_process_dwd` of 2023: facts.
    TableProcessDwd,
    /// The table before 2022, with `operate_type` and `sink_type`: dimensions and facts.
    Older,
}

impl Layout {
    /// The layout with these columns; `None` if there is none.
    pub fn of(columns: &Columns) -> Option<Self> {
        let has = |name: &str| columns.contains_key(name);
        if !["source_table", "sink_table", "sink_columns"].into_iter().all(has) {
            return None;
        }
        if has("operate_type") && has("sink_type") {
            return Some(Self::Older);
        }
        if has("sink_row_key") {
            return Some(Self::TableProcessDim);
        }
        if has("source_type") {
            return Some(Self::TableProcessDwd);
        }
        (has("sink_pk") || has("sink_extend")).then_some(Self::TableProcess)
    }

    /// The column that names the key.
    const fn key_column(self) -> &'static str {
        match self {
            Self::TableProcessDim => "sink_row_key",
            Self::TableProcess | Self::TableProcessDwd | Self::Older => "sink_pk",
        }
    }
}

/// What a config row is about: several tables may be fed from one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Name of the source table, exact; where rows say more of their source, that, too
    /// ([`Subject::table_of`](super::subject::Subject::table_of)).
    pub source_table: String,
    /// Name of the dimension table, in upper case; or of the topic.
    pub sink_table: String,
}

impl RouteKey {
    /// The key of a config row, whether its other columns are in order or not.
    ///
    /// # Errors
    ///
    /// [`Reason::UnknownLayout`], [`Reason::NotADimension`], [`Reason::NoSourceTable`],
    /// [`Reason::NoSinkTable`].
    pub fn read(columns: &Columns) -> Result<Self, Rejected> {
        dimension_layout(columns)?;
        let source_table = text(columns, "source_table")
            .ok_or_else(|| Rejected::new(Reason::NoSourceTable, "source_table is empty"))?;
        let sink_table = text(columns, "sink_table")
            .ok_or_else(|| Rejected::new(Reason::NoSinkTable, "sink_table is empty"))?;
        Ok(Self { source_table: source_table.to_owned(), sink_table: fold(sink_table) })
    }
}

/// A config row that is in order by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRow {
    /// As in its [`RouteKey`].
    pub source_table: String,
    /// Likewise.
    pub sink_table: String,
    /// The columns to be routed, exact names in their order, key columns among them.
    pub columns: Vec<String>,
    /// The key columns in key order; a topic has none.
    pub keys: Vec<String>,
    /// The key columns that `sink_columns` did not name: a reason to warn.
    pub added_keys: Vec<String>,
    /// Properties of the table.
    pub extend: Extend,
    /// Column family, in the 2023 layout.
    pub family: Option<String>,
}

impl ConfigRow {
    /// Reads a config row.
    ///
    /// # Errors
    ///
    /// The first check of warehouse 4.5 that fails.
    pub fn read(columns: &Columns) -> Result<Self, Rejected> {
        let layout = dimension_layout(columns)?;
        let RouteKey { source_table, sink_table } = RouteKey::read(columns)?;
        let names = column_names(text(columns, "sink_columns"))?;
        let keys = key_names(text(columns, layout.key_column()))?;
        let (columns_and_keys, added_keys) = with_keys(names, &keys)?;
        let row = Self {
            source_table,
            sink_table,
            columns: columns_and_keys,
            keys,
            added_keys,
            extend: extend(text(columns, "sink_extend"))?,
            family: text(columns, "sink_family").map(str::to_owned),
        };
        row.check_names()?;
        Ok(row)
    }

    /// What the row is about.
    pub fn key(&self) -> RouteKey {
        RouteKey { source_table: self.source_table.clone(), sink_table: self.sink_table.clone() }
    }

    /// What is odd about the row, though it is taken.
    pub fn warning(&self) -> Option<String> {
        let Self { source_table, sink_table, .. } = self;
        (!self.added_keys.is_empty()).then(|| {
            let added = self.added_keys.join(", ");
            format!("config row {source_table} to {sink_table}: key column {added} is not in sink_columns and was added")
        })
    }

    /// The table that the row needs, in `schema` if one is configured. Every column is VARCHAR, all
    /// names are in upper case.
    pub fn definition(&self, schema: Option<&str>) -> TableDefinition {
        let properties = self.extend.properties().iter();
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let family = self.family.iter().map(|family| option("DEFAULT_COLUMN_FAMILY", family));
        let options = properties.map(|property| option(&property.name, property.value.as_str()));
        TableDefinition {
            schema: schema.map(fold),
            name: self.sink_table.clone(),
            columns: self.columns.iter().map(|name| (fold(name), "VARCHAR".to_owned())).collect(),
            keys: self.folded_keys(),
            options: family.chain(options).collect(),
            split_on: self.extend.split_on().to_vec(),
            edition: 0,
        }
    }

    /// The key columns as the target knows them.
    pub(super) fn folded_keys(&self) -> Vec<String> {
        self.keys.iter().map(|key| fold(key)).collect()
    }

    fn check_names(&self) -> Result<(), Rejected> {
        let names = [&self.sink_table].into_iter().chain(&self.columns).chain(&self.family);
        for name in names {
            if !is_identifier(name) {
                let rule = "a letter, then letters, digits and _";
                let text = format!("{name:?} cannot be a name at the target: {rule}");
                return Err(Rejected::new(Reason::BadName, text));
            }
        }
        Ok(())
    }
}

/// The column's text, trimmed; `None` if it is NULL, blank or absent.
pub(crate) fn text<'c>(columns: &'c Columns, name: &str) -> Option<&'c str> {
    let text = columns.get(name)?.as_deref()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The layout of a row that is about a dimension.
fn dimension_layout(columns: &Columns) -> Result<Layout, Rejected> {
    let not_a_dimension = |text| Err(Rejected::new(Reason::NotADimension, text));
    match Layout::of(columns) {
        None => {
            let names: Vec<&str> = columns.keys().map(String::as_str).collect();
            let text = format!("no config table has the columns {}", names.join(", "));
            Err(Rejected::new(Reason::UnknownLayout, text))
        }
        Some(Layout::TableProcessDwd) => not_a_dimension("the row routes facts (source_type)"),
        Some(Layout::Older) => match text(columns, "sink_type") {
            Some(kind) if kind.eq_ignore_ascii_case("hbase") => Ok(Layout::Older),
            _ => not_a_dimension("the row routes facts (sink_type is not hbase)"),
        },
        Some(layout @ (Layout::TableProcess | Layout::TableProcessDim)) => Ok(layout),
    }
}

/// The names of `sink_columns`, in their order.
pub(crate) fn column_names(list: Option<&str>) -> Result<Vec<String>, Rejected> {
    let list = list.ok_or_else(|| Rejected::new(Reason::NoColumns, "sink_columns is empty"))?;
    let names = names(list);
    if names.iter().any(String::is_empty) {
        let text = format!("sink_columns has an empty name: {list:?}");
        return Err(Rejected::new(Reason::EmptyColumn, text));
    }
    check_columns(&names)?;
    Ok(names)
}

fn key_names(list: Option<&str>) -> Result<Vec<String>, Rejected> {
    let list = list.unwrap_or("id");
    let names = names(list);
    if names.iter().any(String::is_empty) {
        let text = format!("the key has an empty name: {list:?}");
        return Err(Rejected::new(Reason::EmptyKey, text));
    }
    match double(&names) {
        None => Ok(names),
        Some(name) => {
            let text = format!("the key names {name:?} twice");
            Err(Rejected::new(Reason::DuplicateKey, text))
        }
    }
}

/// The columns with the key columns they lack in front, and these.
fn with_keys(names: Vec<String>, keys: &[String]) -> Result<(Vec<String>, Vec<String>), Rejected> {
    let added: Vec<String> = keys.iter().filter(|key| !names.contains(key)).cloned().collect();
    let all: Vec<String> = added.iter().cloned().chain(names).collect();
    check_columns(&all)?;
    Ok((all, added))
}

fn check_columns(names: &[String]) -> Result<(), Rejected> {
    if let Some(name) = double(names) {
        let text = format!("sink_columns has {name:?} twice (case makes no difference)");
        return Err(Rejected::new(Reason::DuplicateColumn, text));
    }
    if names.len() > COLUMNS_MAX {
        let text = format!("{} columns, allowed are {COLUMNS_MAX}", names.len());
        return Err(Rejected::new(Reason::TooManyColumns, text));
    }
    Ok(())
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// The first name that is there before, in any case.
fn double(names: &[String]) -> Option<&str> {
    let mut known = BTreeSet::new();
    names.iter().find(|name| !known.insert(fold(name))).map(String::as_str)
}

fn extend(text: Option<&str>) -> Result<Extend, Rejected> {
    let text = text.unwrap_or_default();
    Extend::parse(text).map_err(|fault| {
        Rejected::new(Reason::BadExtend, format!("cannot read sink_extend {text:?}: {fault}"))
    })
}

#[cfg(test)]
mod tests;
