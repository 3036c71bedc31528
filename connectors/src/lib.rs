//! connectors: see ARCHITECTURE.md.

pub mod format;
