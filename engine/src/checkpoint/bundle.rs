//! Everything one worker contributes to one epoch of one job.

use std::sync::Arc;

use super::piece::Piece;

/// A worker's share of an epoch.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) job: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) worker: usize,
    pub(crate) pieces: Vec<Piece>,
}
