//! Chores in Rust: what tests and the command line share.
//!
//! ```text
//! cargo xtask ci ──> packages (apt) ──> services::install (Maven) ──> fmt, clippy, test
//! a test         ──> services::kafka::Broker ──> one real broker, dead with the test
//! ```
//!
//! Read in this order: [`services`] (the rules), [`services::kafka::Broker`] (what a test holds),
//! [`services::install`] (where the jars come from), [`packages`] (what Debian must bring).
//!
//! Not here: Kafka clients. `xtask` links no librdkafka, so that `cargo xtask ci` starts on a machine
//! that cannot build it yet; topics are created by the tests themselves.

pub mod packages;
pub mod services;
