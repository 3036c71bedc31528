//! The embedded warehouse: what answers when no cluster is configured.
//!
//! ```text
//!  job ─> outbox ─> DwsSink ── rows + "delivered up to here", one synced batch ──> DwsStore (fjall)
//!                                                                                     │
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
//!
//! Not here: SQL, servers with the protocols of the systems this stands in for, and dimension
//! tables; they come later. Nothing but the root knows this crate: the product runs without it.

pub mod doris;
