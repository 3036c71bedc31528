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
//! [`config::ConfigRow::read`] judges one row by itself, [`change::Routes`] decides what a change of a
//! row means beside the others; both are pure. A row that is refused changes nothing and says why
//! ([`rejected::Rejected`]); the row before it stays in force.
//!
//! What carries the decisions out is the job [`dimensions`]: its operators, in the order in which a
//! row meets them, are `config_step`, `routing` (at the gate) with `cells`, and `rows` with
//! `compose`; rows without key go to `keyless`. They speak to each other by `notice`.
//!
//! Names of columns are exact, as the source table has them: a column is routed if its name is in the
//! list, not if it is part of one. Names at the target are folded to upper case.

mod cells;
pub mod change;
mod compose;
pub mod config;
mod config_state;
pub(crate) mod config_step;
pub mod dimensions;
pub mod extend;
mod keyless;
pub mod lookup;
mod name;
pub(crate) mod notice;
pub mod rejected;
pub(crate) mod routing;
mod rows;
pub mod subject;
