//! Keyed state: where it is kept between crashes.

pub mod backend;
