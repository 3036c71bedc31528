//! What is kept of one key: its state and its timers, and how both lie in the checkpoint.
//!
//! One entry for each key, value: varint `timers << 2 | old << 1 | state`, the timers, ascending, 8
//! bytes each, so that they sort, and the state's own bytes if there is one. `old` is never written:
//! it marks, in memory, the state of an entry in the form of layout 1, which knew nothing of timers.

use crate::batch::order::{flip, unflip};
use crate::batch::stored::{push_varint, take_varint};
use crate::operator::keyed::Codec;

const HAS_STATE: u64 = 1;
const IS_OLD: u64 = 2;
const COUNT_SHIFT: u32 = 2;
const TIMER_BYTES: usize = 8;

/// State and timers of a key; when both are gone it stays until the epoch closes.
pub(super) struct Kept<S> {
    pub(super) state: Option<S>,
    /// Ascending. Timers that layout 1 wrote are not among them.
    timers: Vec<i64>,
    /// Part of the checkpoint: only then must its end be told to it.
    pub(super) saved: bool,
    /// What is saved is an entry in the form of layout 1, which has to go when this one changes.
    pub(super) old: bool,
}

impl<S> Kept<S> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { state: None, timers: Vec::new(), saved: false, old: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.is_none() && self.timers.is_empty()
    }

    pub(super) fn timers(&self) -> &[i64] {
        &self.timers
    }

    /// False if it is set already.
    pub(super) fn set_timer(&mut self, at: i64) -> bool {
        let Err(index) = self.timers.binary_search(&at) else { return false };
        // Most keys never have a second one.
        self.timers.reserve_exact(1);
        self.timers.insert(index, at);
        true
    }

    pub(super) fn end_timer(&mut self, at: i64) {
        let index = self.timers.binary_search(&at).expect("a timer that is due is set");
        self.timers.remove(index);
    }
}

impl<S: Codec> Kept<S> {
    /// The entry's value; `None` if there is nothing to keep.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(8 + TIMER_BYTES * (1 + self.timers.len()));
        let state = if self.state.is_some() { HAS_STATE } else { 0 };
        push_varint(&mut bytes, (self.timers.len() as u64) << COUNT_SHIFT | state);
        for at in &self.timers {
            bytes.extend_from_slice(&flip(*at).to_be_bytes());
        }
        self.state.iter().for_each(|state| state.encode(&mut bytes));
        Some(bytes)
    }

    /// Reads what [`Kept::encoded`] wrote, or [`old_state`] made.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (header, timers, state) = parts(value)?;
        let state = match header & HAS_STATE {
            0 => None,
            _ => Some(S::decode(state)?),
        };
        let timers = timers.collect();
        Some(Self { state, timers, saved: true, old: header & IS_OLD != 0 })
    }
}

/// Timers in an entry's value.
pub(super) fn timers_of(value: &[u8]) -> Option<impl Iterator<Item = i64>> {
    parts(value).map(|(_, timers, _)| timers)
}

/// The value that an entry with a state of layout 1 would have; replaces `value`.
pub(super) fn old_state(state: &[u8], value: &mut Vec<u8>) {
    value.clear();
    push_varint(value, HAS_STATE | IS_OLD);
    value.extend_from_slice(state);
}

fn parts(mut value: &[u8]) -> Option<(u64, impl Iterator<Item = i64>, &[u8])> {
    let header = take_varint(&mut value)?;
    let count = usize::try_from(header >> COUNT_SHIFT).ok()?;
    let (timers, state) = value.split_at_checked(count.checked_mul(TIMER_BYTES)?)?;
    let (timers, _) = timers.as_chunks::<TIMER_BYTES>();
    Some((header, timers.iter().map(|at| unflip(u64::from_be_bytes(*at))), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(Vec<u8>);

    impl Codec for Text {
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }

        fn decode(bytes: &[u8]) -> Option<Self> {
            Some(Self(bytes.to_vec()))
        }
    }

    #[test]
    fn what_is_kept_comes_back() {
        for state in [None, Some(&b""[..]), Some(b"abc")] {
            for timers in [vec![], vec![7], vec![-5, 0, 3]] {
                let mut kept = Kept::<Text>::new();
                kept.state = state.map(|state| Text(state.to_vec()));
                timers.iter().rev().for_each(|at| assert!(kept.set_timer(*at)));
                assert!(timers.iter().all(|at| !kept.set_timer(*at)));
                let Some(bytes) = kept.encoded() else {
                    assert!(state.is_none() && timers.is_empty());
                    continue;
                };
                assert_eq!(timers_of(&bytes).unwrap().collect::<Vec<_>>(), timers);
                let back = Kept::<Text>::decode(&bytes).unwrap();
                assert_eq!(
                    (back.state.map(|text| text.0).as_deref(), back.timers),
                    (state, timers)
                );
                assert!(back.saved && !back.old);
            }
        }
    }

    /// The stored form.
    #[test]
    fn golden_bytes() {
        let mut kept = Kept::new();
        kept.state = Some(Text(b"s".to_vec()));
        assert!(kept.set_timer(1));
        assert_eq!(kept.encoded().unwrap(), [5, 0x80, 0, 0, 0, 0, 0, 0, 1, b's']);
        kept.end_timer(1);
        assert_eq!(kept.encoded().unwrap(), [1, b's']);
        let mut old = Vec::new();
        old_state(b"s", &mut old);
        let old = Kept::<Text>::decode(&old).unwrap();
        assert!(old.old && old.state.is_some() && old.timers.is_empty());
        for broken in [&b""[..], &[5, 0, 0], &[0xFF]] {
            assert!(Kept::<Text>::decode(broken).is_none());
        }
    }
}
