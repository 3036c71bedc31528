//! Control: jobs come and go, epochs close, and what the outside may ask.

pub mod command;
pub mod controller;
pub mod event;
pub mod handle;
pub mod quarantine;
pub mod registry;
pub mod status;
