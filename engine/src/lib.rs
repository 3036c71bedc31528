//! engine: see ARCHITECTURE.md.
pub mod checkpoint;
pub mod clock;
pub mod outbox;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
