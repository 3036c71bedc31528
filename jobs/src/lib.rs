//! jobs: see ARCHITECTURE.md.
pub mod generate;
