//! Keys of the gate's state: a byte that says of what, then names with their lengths.

use engine::batch::order::Order;

use super::super::notice::{push_text, take_text};

/// Routes: of a source to a sink.
pub(super) const ROUTE_KEY: u8 = b'r';
/// Sinks that are being made.
pub(super) const WAIT_KEY: u8 = b'w';
/// Records that wait for one.
const ROW_KEY: u8 = b'x';
/// Sinks for which more came than may wait.
pub(super) const OVER_KEY: u8 = b'o';

pub(super) fn route_key(source: &str, sink: &str) -> Vec<u8> {
    state_key(ROUTE_KEY, source, sink)
}

pub(super) fn wait_key(source: &str, sink: &str) -> Vec<u8> {
    state_key(WAIT_KEY, source, sink)
}

pub(super) fn over_key(source: &str, sink: &str) -> Vec<u8> {
    state_key(OVER_KEY, source, sink)
}

pub(super) fn row_key(source: &str, sink: &str, order: Order) -> Vec<u8> {
    let mut key = state_key(ROW_KEY, source, sink);
    order.encode(&mut key);
    key
}

fn state_key(kind: u8, source: &str, sink: &str) -> Vec<u8> {
    let mut key = vec![kind];
    push_text(&mut key, source);
    push_text(&mut key, sink);
    key
}

pub(super) fn take_names(rest: &mut &[u8]) -> Option<(String, String)> {
    Some((take_text(rest)?, take_text(rest)?))
}
