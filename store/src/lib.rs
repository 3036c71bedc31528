//! The embedded warehouse: what answers when no cluster is configured.
//!
//! ```text
//!  job ─> outbox ─> DwsSink ── rows + "delivered up to here", one synced batch ──> DwsStore (fjall)
//!                   DimensionSink ── likewise, into tables it was asked for ──> DimensionStore
//!                                                                                     │
//!                          joins  <── DimensionLookup  <── row of a key ──────────────┤
//!                                       dumps, demo, inspection  <── rows of a table ─┘
//! ```
//!
//! A job does not know that it writes here: it names a table, and the root hands it a sink.
//!
//! Read in this order:
//!
//! 1. [`doris`]: the DWS tables, in the place of Doris; its header has the layout.
//! 2. [`doris::DwsStore`]: the tables of one directory.
//! 3. [`doris::table::TableSpec`]: one table, where its rows lie, and reading them.
//! 4. [`doris::sink::DwsSinkFactory`]: writing, exactly once.
//! 5. [`doris::DwsError`]: why a directory is refused; it is never rewritten.
//! 6. [`phoenix`]: the dimension tables, in the place of Phoenix; its header has the layout.
//! 7. [`phoenix::catalog`]: which tables there are; they are made and widened while rows flow.
//! 8. [`phoenix::sink`]: changes merged into rows, exactly once. [`phoenix::table`] reads them.
//! 9. [`phoenix::lookup::DimensionLookup`]: rows for joins, never an old one.
//!
//! Not here: SQL, and servers with the protocols of the systems this stands in for; they come later.
//! Nothing but the root knows this crate: the product runs without it.

pub mod doris;
pub mod phoenix;
