//! The member names that mean something in an app log.
//!
//! One list for all levels: which name counts at which level is said by whoever matches on it. An
//! escape in a name is decoded first (`"m\u0069d"` is `mid`).

use super::scan::{Quoted, Span};
use super::text::{str_of, unescape};

/// A known member name, or any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Other,
}

impl Name {
    /// Which name stands in `value` at `quoted`.
    #[inline]
    pub(super) fn of(quoted: Quoted, value: &str) -> Self {
        if quoted.escaped {
            return Self::of_escaped(quoted.inner, value);
        }
        Self::of_bytes(quoted.inner.of(value.as_bytes()))
    }

    /// A name in the record is short and an escape in it is rare: the allocation does no harm.
    #[cold]
    fn of_escaped(inner: Span, value: &str) -> Self {
        let mut decoded = String::new();
        if !unescape(str_of(value, inner), &mut decoded) {
            return Self::Other;
        }
        Self::of_bytes(decoded.as_bytes())
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
