//! connectors: see ARCHITECTURE.md.

pub mod format;
pub mod topic;
