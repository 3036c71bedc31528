//! Dimensions: which source tables go to which dimension tables, as the rows of a config table say
//! (warehouse 4 and 5.2).
//!
//! ```text
//! columns of a config row ─ config ─> ConfigRow ─ change ─> effects against the routes in force:
//!        (Debezium envelope)  │            │                ensure table, put, remove, back-fill,
//!                             │ extend     │ definition     reject
//!                             └─> Extend   └─> TableDefinition (engine::sink)
//! ```
//!
//! All of this is pure: [`config::ConfigRow::read`] judges one row by itself, [`change::Routes`]
//! decides what a change of a row means beside the others. A row that is refused changes nothing
//! and says why ([`rejected::Rejected`]); the row before it stays in force.
//!
//! Names of columns are exact, as the source table has them: a column is routed if its name is in
//! the list, not if it is part of one. Names at the target are folded to upper case.

pub mod change;
pub mod config;
pub mod extend;
mod name;
pub mod rejected;
