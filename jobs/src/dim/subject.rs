//! What config rows are about: dimension tables here, topics of facts in
//! [`dwd::route`](crate::dwd::route). The way of a config row is the same; how it is read is not.

use super::config::{Columns, ConfigRow, RouteKey};
use super::rejected::Rejected;
use crate::ods::ods_db::FOR_FACTS;

/// How config rows of a kind are read. MUST be pure: rows are read again at every start.
pub trait Subject: 'static {
    /// What a config row is about, whether its other columns are in order or not.
    ///
    /// # Errors
    ///
    /// It is about nothing of this kind.
    fn key(columns: &Columns) -> Result<RouteKey, Rejected>;

    /// Reads a config row.
    ///
    /// # Errors
    ///
    /// The first check that fails; none if [`Subject::key`] fails.
    fn row(columns: &Columns) -> Result<ConfigRow, Rejected>;

    /// The table whose changes a [`RouteKey`]'s source stands for.
    fn table_of(source: &str) -> &str;

    /// Requests to read again have numbers above this one.
    const REQUESTS_FROM: u32;

    /// What a request to read a table again is called.
    fn request(table: &str) -> String;

    /// The table of a request; `None` if it is not one of this kind.
    fn requested(name: &str) -> Option<&str>;
}

/// Rows that make dimension tables: a source is a table.
#[derive(Debug, Clone, Copy)]
pub struct Dimensions;

impl Subject for Dimensions {
    fn key(columns: &Columns) -> Result<RouteKey, Rejected> {
        RouteKey::read(columns)
    }

    fn row(columns: &Columns) -> Result<ConfigRow, Rejected> {
        ConfigRow::read(columns)
    }

    fn table_of(source: &str) -> &str {
        source
    }

    const REQUESTS_FROM: u32 = 0;

    fn request(table: &str) -> String {
        table.to_owned()
    }

    fn requested(name: &str) -> Option<&str> {
        (!name.starts_with(FOR_FACTS)).then_some(name)
    }
}
