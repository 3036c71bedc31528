//! Plain files as sources.
//!
//! [`lines`] reads a recorded file from its beginning to its end, for replay and demonstration. A
//! file that grows, or is rotated, is another matter: that needs to be told apart from its
//! successors, and is not read here.

pub mod lines;
