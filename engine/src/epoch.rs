//! Epochs: who closes them, what holds them, and what is said when one does not complete.

pub mod cut;
pub mod hold;
pub mod stall;
