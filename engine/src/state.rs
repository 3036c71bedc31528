//! Keyed state: where it is kept between crashes.

pub mod backend;
pub mod fjall;
pub mod memory;
pub mod size;
