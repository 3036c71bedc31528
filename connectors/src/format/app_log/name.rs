//! The member names that mean something in an app log.
//!
//! One list for all levels: which name counts at which level is said by whoever matches on it. An
//! escape in a name is decoded first (`"m\u0069d"` is `mid`).

use crate::format::json_scan::Quoted;
use crate::format::json_scan::member::named;

/// A known member name, or any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Name {
    Actions,
    Ar,
    Ch,
    Common,
    Displays,
    DuringTime,
    Err,
    IsNew,
    Item,
    ItemType,
    LastPageId,
    Mid,
    Page,
    PageId,
    Start,
    Ts,
    Uid,
    Vc,
    #[default]
    Other,
}

impl Name {
    /// Its bit in a set of names.
    #[inline]
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Which name stands in `value` at `quoted`.
    #[inline]
    pub(super) fn of(quoted: Quoted, value: &str) -> Self {
        named(quoted, value, Self::of_bytes)
    }

    #[inline]
    fn of_bytes(name: &[u8]) -> Self {
        match name {
            b"ts" => Self::Ts,
            b"ar" => Self::Ar,
            b"ch" => Self::Ch,
            b"vc" => Self::Vc,
            b"mid" => Self::Mid,
            b"uid" => Self::Uid,
            b"err" => Self::Err,
            b"page" => Self::Page,
            b"item" => Self::Item,
            b"start" => Self::Start,
            b"common" => Self::Common,
            b"is_new" => Self::IsNew,
            b"actions" => Self::Actions,
            b"page_id" => Self::PageId,
            b"displays" => Self::Displays,
            b"item_type" => Self::ItemType,
            b"during_time" => Self::DuringTime,
            b"last_page_id" => Self::LastPageId,
            _ => Self::Other,
        }
    }
}
