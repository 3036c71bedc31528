//! The dimension tables: what is in them at first, and the endless order of their changes.
//!
//! Change `j` falls to a [`Kind`] by a fixed cycle, and within a kind round by round to one of its
//! rows. So the version that a row has before change `j`, and the instant of the change that made it,
//! is arithmetic, and an update can say what the row was without anybody having kept it. A row must
//! belong to one kind only, else its versions would not follow each other.

pub(super) mod campaign;
pub(super) mod category;
pub(super) mod code;
pub(super) mod goods;
pub(super) mod place;
pub(super) mod user;

use super::row::{Change, Row};
use super::{Settings, Shop};

/// Rows of one table that change in one manner.
pub(super) struct Kind {
    /// The table.
    pub(super) table: &'static str,
    /// Whether the rows are there from the beginning, as version 0.
    pub(super) is_base: bool,
    /// How many changes of a cycle it has.
    weight: usize,
    /// How many rows; `None` = without end, each changed once.
    pub(super) rows: fn(&Settings) -> Option<u64>,
    /// A row at a version, if it is there then. One version MUST differ from the next.
    pub(super) state: fn(&Subject<'_>, u64) -> Option<Row>,
}

/// All kinds; base rows in the order of the bootstrap.
pub(super) const KINDS: &[Kind] = &[
    base("base_dic", 0, |_| Some(code::COUNT), code::state),
    base("base_province", 1, |_| Some(34), place::province),
    base("base_region", 1, |_| Some(7), place::region),
    base("base_category1", 1, |_| Some(17), category::first),
    base("base_category2", 1, |_| Some(113), category::second),
    base("base_category3", 2, |_| Some(1_099), category::third),
    base("base_trademark", 2, |_| Some(11), goods::trademark),
    base("spu_info", 2, |_| Some(12), goods::product),
    base("sku_info", 8, |settings| Some(settings.skus.max(1).into()), goods::article),
    base("financial_sku_cost", 3, |settings| Some(settings.skus.max(1).into()), goods::cost),
    base("activity_info", 1, |_| Some(campaign::ACTIVITY_COUNT), campaign::activity),
    base("activity_rule", 1, |_| Some(campaign::RULE_COUNT), campaign::rule),
    base("activity_sku", 0, |_| Some(campaign::ACTIVITY_SKU_COUNT), campaign::activity_sku),
    base("coupon_info", 4, |_| Some(campaign::COUPON_COUNT), campaign::coupon),
    base("coupon_range", 0, |_| Some(campaign::RANGE_COUNT), campaign::range),
    base("user_info", 14, |settings| Some(settings.users.max(1).into()), user::member),
    extra("user_info", 16, |_| None, user::registered),
    extra("sku_info", 3, |_| Some(5), goods::trial),
    extra("base_category3", 2, |_| Some(10), category::trial),
    extra("activity_sku", 1, |_| Some(20), campaign::trial_sku),
    extra("coupon_range", 1, |_| Some(20), campaign::trial_range),
];

/// Index in [`KINDS`] of the users who register.
const REGISTERED: usize = 16;

/// Changes of a cycle: the sum of the weights.
const CYCLE: usize = 64;

const fn base(
    table: &'static str,
    weight: usize,
    rows: fn(&Settings) -> Option<u64>,
    state: fn(&Subject<'_>, u64) -> Option<Row>,
) -> Kind {
    Kind { table, is_base: true, weight, rows, state }
}

const fn extra(
    table: &'static str,
    weight: usize,
    rows: fn(&Settings) -> Option<u64>,
    state: fn(&Subject<'_>, u64) -> Option<Row>,
) -> Kind {
    Kind { table, is_base: false, weight, rows, state }
}

/// A row of a kind.
pub(super) struct Subject<'a> {
    /// The shop.
    pub(super) shop: &'a Shop,
    /// Index of the kind in [`KINDS`].
    kind: usize,
    /// Which of the kind's rows, from 0.
    pub(super) row: u64,
}

impl Subject<'_> {
    /// When the row got this version, milliseconds since the epoch; from version 1 on.
    pub(super) fn at_ms(&self, version: u64) -> i64 {
        let rows = (KINDS[self.kind].rows)(&self.shop.settings).unwrap_or(0);
        let index = (version - 1) * rows + self.row;
        self.shop.dimension_ms(self.shop.cycle.nth(self.kind, index))
    }

    /// The id of a row that is numbered from 1.
    pub(super) fn id(&self) -> i64 {
        super::row::id(self.row + 1)
    }

    /// The entry of a table for this row, and again from the table's begin behind its end.
    pub(super) fn entry<T>(&self, table: &'static [T]) -> &'static T {
        let index = usize::try_from(self.row).unwrap_or(usize::MAX);
        &table[index % table.len()]
    }
}

/// The row that the bootstrap reads.
pub(super) fn base_row(shop: &Shop, kind: usize, row: u64) -> Row {
    let subject = Subject { shop, kind, row };
    (KINDS[kind].state)(&subject, 0).expect("base rows are there from the beginning")
}

/// The columns of a table that has base rows.
pub(super) fn columns(shop: &Shop, table: &str) -> Option<Vec<&'static str>> {
    let kind = KINDS.iter().position(|kind| kind.is_base && kind.table == table)?;
    Some(base_row(shop, kind, 0).into_iter().map(|(name, _)| name).collect())
}

/// The change of a dimension with this number, from 0.
pub(super) fn change(shop: &Shop, number: u64) -> Change {
    let (kind, index) = shop.cycle.of(number);
    let Kind { table, rows, state, .. } = &KINDS[kind];
    let (row, version) = match rows(&shop.settings) {
        Some(rows) => (index % rows, index / rows),
        None => (index, 0),
    };
    let subject = Subject { shop, kind, row };
    Change { table, before: state(&subject, version), after: state(&subject, version + 1) }
}

/// Which kind the next change falls to: every kind as evenly as its weight allows, over and over.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    order: Vec<usize>,
}

impl Cycle {
    pub(super) fn new() -> Self {
        let mut given = [0; KINDS.len()];
        let order = (1..=CYCLE).map(|turn| {
            // Who is furthest behind; the first of several.
            let behind = |kind: &usize| {
                let due = KINDS[*kind].weight * turn;
                (due.saturating_sub(given[*kind] * CYCLE), KINDS.len() - kind)
            };
            let kind = (0..KINDS.len()).max_by_key(behind).expect("there are kinds");
            given[kind] += 1;
            kind
        });
        Self { order: order.collect() }
    }

    /// How many users register with the changes before this one.
    pub(super) fn registered_before(&self, number: u64) -> u64 {
        self.count(REGISTERED, number)
    }

    /// The kind of a change, and how many of that kind come before it.
    fn of(&self, number: u64) -> (usize, u64) {
        let kind = self.order[place(number)];
        (kind, self.count(kind, number))
    }

    /// How many changes before this one are of the kind.
    fn count(&self, kind: usize, number: u64) -> u64 {
        let begun = &self.order[..place(number)];
        let begun = begun.iter().filter(|of_turn| **of_turn == kind).count();
        number / number_of(CYCLE) * number_of(KINDS[kind].weight) + number_of(begun)
    }

    /// The number of the kind's change with this index; the inverse of [`Self::of`].
    fn nth(&self, kind: usize, index: u64) -> u64 {
        let weight = number_of(KINDS[kind].weight);
        let mut turns = (0..).zip(&self.order).filter(|(_, of_turn)| **of_turn == kind);
        let within = usize::try_from(index % weight).expect("below a weight");
        let (turn, _) = turns.nth(within).expect("a kind has as many turns as its weight");
        index / weight * number_of(CYCLE) + turn
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % number_of(CYCLE)).expect("below the length of the cycle")
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).expect("the cycle is short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_gives_every_kind_its_weight() {
        let cycle = Cycle::new();
        assert_eq!(KINDS.iter().map(|kind| kind.weight).sum::<usize>(), CYCLE);
        for (kind, of) in KINDS.iter().enumerate() {
            let turns = cycle.order.iter().filter(|turn| **turn == kind).count();
            assert_eq!(turns, of.weight, "{} ({kind})", of.table);
        }
        let registered = &KINDS[REGISTERED];
        assert_eq!((registered.table, registered.is_base), ("user_info", false));
    }

    #[test]
    fn a_change_is_found_by_its_kind_and_index() {
        let cycle = Cycle::new();
        for number in (0..500).chain(1_000_000_000..1_000_000_100) {
            let (kind, index) = cycle.of(number);
            assert_eq!(cycle.nth(kind, index), number);
            assert_eq!(cycle.count(kind, number + 1), index + 1);
        }
    }
}
