//! The consistent cut: what is written when an epoch completes, and how it is read back.

pub mod disk;
