//! Fakes with the semantics that matter: what a crash loses, what a peer may answer.

pub mod disk;
