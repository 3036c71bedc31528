//! Fakes with the semantics that matter: what a crash loses, what a peer may answer.

pub mod by_hand;
pub(crate) mod crew;
pub mod disk;
pub mod records;
pub mod simulate;
pub mod target;
