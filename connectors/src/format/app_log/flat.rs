//! The flat shape: members of the element, of `common` and of `page` side by side.
//!
//! The only shape that compares names, for an object that holds a name twice is read differently by
//! different consumers. Who wins is [`FlatClash`]; between `common` and `page` it is `page`, as if
//! the course's `putAll` had been called in this order. `ts` is not open to a clash: it is the
//! element's or the record's, as [`super::ActionTs`] says, and those of `common` and `page` go.
//!
//! Names are compared pair by pair: some hundred comparisons of short names, without allocation.

use super::members::{Member, members};
use super::name::Name;
use super::split::{Kind, Object};
use super::{Element, FlatClash, Split};
use crate::format::json_scan::Span;

/// Appends the flat record of an element.
pub(super) fn write(split: &Split<'_>, kind: Kind, element: Element, out: &mut Vec<u8>) {
    let (common, page) = (split.layout.common, split.layout.page);
    let element_wins = split.options.flat_clash == FlatClash::Element;
    let over_element: &[Span] = if element_wins { &[] } else { &[common, page] };
    let over_common: &[Span] = if element_wins { &[element.span, page] } else { &[page] };
    let over_page: &[Span] = if element_wins { &[element.span] } else { &[] };
    let mut object = Object::open(out);
    write_members(split, element.span, over_element, split.keeps_own_ts(kind), &mut object);
    write_members(split, common, over_common, false, &mut object);
    write_members(split, page, over_page, false, &mut object);
    if split.adds_ts(kind) {
        split.write_ts(&mut object);
    }
    object.close();
}

/// Appends the members of `source`, less those whose name is also in an object of `over`.
fn write_members(
    split: &Split<'_>,
    source: Span,
    over: &[Span],
    keeps_ts: bool,
    object: &mut Object<'_>,
) {
    for member in members(split.value, source) {
        let stays = if member.name() == Name::Ts {
            keeps_ts
        } else {
            !over.iter().any(|winner| holds(split.value, *winner, &member))
        };
        if stays {
            object.next();
            split.copy(member.span, object.out);
        }
    }
}

fn holds(value: &[u8], object: Span, member: &Member<'_>) -> bool {
    members(value, object).any(|other| other.is_named_as(member))
}
