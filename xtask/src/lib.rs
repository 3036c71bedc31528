//! Chores in Rust.
