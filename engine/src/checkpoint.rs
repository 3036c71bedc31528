//! The consistent cut: what is written when an epoch completes, and how it is read back.
//!
//! ```text
//!  workers --blocks, bundles--> writer: append blocks, close mark, sync
//!                                       one atomic synced batch: state, positions, counters,
//!                                       outbox references, planned units, marks, `complete`
//!                                       then publish --> dispatchers may send, readers may read
//! ```

pub(crate) mod bundle;
pub mod disk;
pub mod layout;
pub(crate) mod load;
pub mod piece;
pub mod reserve;
pub mod restore;
pub mod writer;
