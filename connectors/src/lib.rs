//! connectors: see ARCHITECTURE.md.

pub mod file;
pub mod format;
pub mod kafka;
pub mod topic;
