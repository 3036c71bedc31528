//! store: see ARCHITECTURE.md.

pub mod doris;
