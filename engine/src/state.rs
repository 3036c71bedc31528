//! Keyed state: where it is kept between crashes.

pub mod backend;
pub mod fjall;
pub(crate) mod keys;
pub mod memory;
pub(crate) mod run;
pub mod size;
