//! The embedded tables of a directory: what the dimension tables are like, and the rows of any table
//! by name.

use std::fmt::{Display, Write as _};
use std::io::Write;

use anyhow::bail;
use engine::error::Fatal;
use serde::Serialize;
use store::doris::DwsStore;
use store::phoenix::DimensionStore;
use store::phoenix::catalog::DimensionTable;

use crate::config::nearest::hint;
use crate::data_dir::DataDir;
use crate::private_copy::Looked;

/// A dimension table. Names are in upper case, as the store keeps them.
#[derive(Debug, Serialize)]
pub(super) struct TableInventory {
    name: String,
    schema: Option<String>,
    /// Names of the key columns, in key order.
    key: Vec<String>,
    /// All columns, the key columns among them, in order.
    columns: Vec<String>,
    /// 0 is a table without salt.
    salt_buckets: u16,
    /// Other properties, as they were given.
    options: Vec<(String, String)>,
    rows: u64,
}

impl TableInventory {
    fn new(table: &DimensionTable, rows: u64) -> Self {
        let owned = |name: &&str| (*name).to_owned();
        Self {
            name: table.name.clone(),
            schema: table.schema.clone(),
            key: table.key_names().iter().map(owned).collect(),
            columns: table.columns.iter().map(|column| column.name.clone()).collect(),
            salt_buckets: table.salt_buckets,
            options: table.options.clone(),
            rows,
        }
    }

    /// Appends it as two lines.
    pub(super) fn write(&self, out: &mut String) {
        let Self { name, schema, key, columns, salt_buckets, options, rows } = self;
        let schema = schema.as_ref().map_or(String::new(), |schema| format!("{schema}."));
        let salt = match salt_buckets {
            0 => String::new(),
            buckets => format!(", {buckets} salt buckets"),
        };
        let options: String = options
            .iter()
            .filter(|(option, _)| option != "SALT_BUCKETS")
            .map(|(option, value)| format!(", {option}={value}"))
            .collect();
        let _infallible = writeln!(
            out,
            "  {:<40} {rows:>10} rows, key {}{salt}{options}\n    {}",
            format!("{schema}{name}"),
            key.join(", "),
            columns.join(", ")
        );
    }
}

/// All dimension tables of a directory; every row is counted.
pub(super) fn dimensions(dir: &DataDir) -> anyhow::Result<Vec<TableInventory>> {
    let Some(store) = open_dimensions(dir)? else { return Ok(Vec::new()) };
    let counts = store.counts().map_err(damaged)?;
    let tables = store.tables();
    let rows_of =
        |name: &str| counts.iter().find(|(table, _)| table == name).map_or(0, |(_, n)| *n);
    Ok(tables.iter().map(|table| TableInventory::new(table, rows_of(&table.name))).collect())
}

/// Prints the rows of a dimension table, or of a DWS table, as JSON, one a line. A row that cannot be
/// read is passed over, and told at the end.
pub(crate) fn print_rows(dir: &DataDir, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let dimensions = open_dimensions(dir)?;
    if let Some(store) = dimensions.as_ref().filter(|store| store.table(name).is_some()) {
        return print_dimension(store, name, out);
    }
    let dws = open_dws(dir)?;
    let tables = dws.as_ref().map(|store| store.tables()).transpose().map_err(damaged)?;
    let tables = tables.unwrap_or_default();
    if let Some(store) = dws.filter(|_| tables.iter().any(|table| table == name)) {
        for row in store.rows(name).map_err(damaged)? {
            write_line(&row, out)?;
        }
        return Ok(());
    }
    let known = dimensions.map(|store| store.tables()).unwrap_or_default();
    let folded: Vec<String> = known.iter().map(|table| table.name.to_lowercase()).collect();
    let names = folded.iter().chain(&tables).map(String::as_str);
    bail!("no table \"{name}\"{}", hint(&name.to_lowercase(), names));
}

fn print_dimension(store: &DimensionStore, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut line, mut corrupt) = (Vec::new(), None);
    for row in store.scan(name).map_err(damaged)? {
        match row {
            Ok(row) => {
                line.clear();
                row.write_json(&mut line);
                write_line(&line, out)?;
            }
            Err(error) => corrupt = corrupt.or(Some(error)),
        }
    }
    match corrupt {
        None => Ok(()),
        Some(error) => {
            out.flush()?;
            Err(damaged(error).into())
        }
    }
}

fn write_line(line: &[u8], out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(line)?;
    out.write_all(b"\n")
}

/// The dimension tables, if there are any; looking makes none.
fn open_dimensions(dir: &DataDir) -> anyhow::Result<Option<Looked<DimensionStore>>> {
    Ok(dir.look_at_dim()?.transpose().map_err(damaged)?)
}

fn open_dws(dir: &DataDir) -> anyhow::Result<Option<Looked<DwsStore>>> {
    Ok(dir.look_at_dws()?.transpose().map_err(damaged)?)
}

/// Tables that cannot be read end the command as a disk that cannot.
fn damaged(error: impl Display) -> Fatal {
    Fatal::disk(error.to_string())
}
