//! Stories: one visitor of the shop from the first look to the last cent, and the records of each
//! step.
//!
//! A story depends on the seed, its number and the shares; when its steps come is a matter of the
//! [`layout`](super::layout). The parts of a step are its records in order. Their first one's number
//! is known without the others, so ids (the number of the record that inserts) need no counting.

use super::dimension::campaign::{self, Rule};
use super::dimension::{goods, place};
use super::step::Step;
use super::{Shares, Shop};
use crate::generate::random::Random;

/// Most different goods of an order.
const ITEMS_MAX: u32 = 3;

/// Traffic sources with their weights, as in the course's generator.
const SOURCES: &[(u32, &str)] = &[(40, "2401"), (25, "2402"), (15, "2403"), (20, "2404")];

/// Payment types likewise: Alipay, WeChat, UnionPay.
const PAYMENTS: &[(u32, &str)] = &[(40, "1101"), (50, "1102"), (10, "1103")];

/// One visitor.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) number: u64,
    pub(super) user: u64,
    pub(super) province: i64,
    /// What is ordered, or would be.
    pub(super) items: Vec<Item>,
    /// What lies in the cart for a while only.
    pub(super) regret: Option<u32>,
    /// The coupon that the visitor takes.
    pub(super) coupon: Option<&'static campaign::Coupon>,
    /// What becomes a favourite.
    pub(super) favor: Option<u32>,
    pub(super) payment: &'static str,
    /// The item that is given back or praised, by its index.
    pub(super) chosen: usize,
    plot: Plot,
}

/// One line of a cart or an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) sku: u32,
    /// How many lie in the cart at first.
    pub(super) first: i64,
    /// How many are ordered.
    pub(super) count: i64,
    pub(super) source: &'static str,
}

/// What a line of an order costs, in hundredths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts {
    pub(super) original: i64,
    /// The activity that makes it cheaper, and by how much.
    pub(super) activity: Option<(&'static Rule, i64)>,
    /// What the coupon takes off.
    pub(super) coupon: Option<i64>,
}

/// Which steps happen.
#[derive(Clone, Copy, Debug)]
struct Plot {
    orders: bool,
    pays: bool,
    cancels: bool,
    refunds: bool,
    receives: bool,
    comments: bool,
    unfavors: bool,
}

/// One record of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    CouponGet,
    CartAdd(usize),
    RegretAdd,
    FavorAdd,
    CartCount(usize),
    RegretDrop,
    OrderPlaced,
    Detail(usize),
    DetailActivity(usize),
    DetailCoupon,
    CouponUsing,
    CartOrdered(usize),
    PaymentOpened,
    PaymentDone,
    OrderPaid,
    CouponUsed,
    OrderCancelled,
    PaymentClosed,
    CouponBack,
    OrderReceived,
    RefundAsked,
    OrderRefunding,
    RefundOpened,
    RefundPassed,
    RefundPaid,
    RefundFinished,
    OrderRefunded,
    Comment(usize),
    FavorDrop,
}

impl Story {
    /// The story with this number.
    pub(super) fn at(shop: &Shop, number: u64) -> Self {
        let mut random = Random::of(&[shop.settings.seed, 11, number]);
        let shares = &shop.settings.shares;
        let sku = |random: &mut Random| random.between(1, shop.settings.skus.max(1));
        let user = 1 + random.bits() % shop.users_at(number);
        let items = items(random.between(1, ITEMS_MAX), sku, &mut random);
        let favor = random.chance(shares.favor).then(|| sku(&mut random));
        Self {
            number,
            user,
            province: place::draw(&mut random),
            regret: random.chance(2_500).then(|| sku(&mut random)),
            coupon: random.chance(shares.coupon).then(|| campaign::draw_coupon(&mut random)),
            payment: random.pick_weighted(PAYMENTS, |&(weight, _)| weight).1,
            chosen: usize::try_from(random.below(ITEMS_MAX)).expect("small") % items.len(),
            plot: Plot::draw(shares, favor.is_some(), &mut random),
            items,
            favor,
        }
    }

    /// The records of a step in order; none if it does not happen.
    pub(super) fn parts(&self, step: Step) -> Vec<Part> {
        let plot = self.plot;
        let when =
            |happens: bool, parts: &[Part]| if happens { parts.to_vec() } else { Vec::new() };
        match step {
            Step::Browse => self.browse(),
            Step::Rethink => self.rethink(),
            Step::Order => {
                if plot.orders {
                    self.order()
                } else {
                    Vec::new()
                }
            }
            Step::Pay => {
                let mut parts = when(plot.pays, &[Part::PaymentDone, Part::OrderPaid]);
                parts.extend((plot.pays && self.uses_coupon()).then_some(Part::CouponUsed));
                parts
            }
            Step::Cancel => {
                let mut parts = when(plot.cancels, &[Part::OrderCancelled, Part::PaymentClosed]);
                parts.extend((plot.cancels && self.uses_coupon()).then_some(Part::CouponBack));
                parts
            }
            Step::Receive => when(plot.receives, &[Part::OrderReceived]),
            Step::Refund => {
                when(plot.refunds, &[Part::RefundAsked, Part::OrderRefunding, Part::RefundOpened])
            }
            Step::RefundPass => when(plot.refunds, &[Part::RefundPassed]),
            Step::RefundDone => {
                when(plot.refunds, &[Part::RefundPaid, Part::RefundFinished, Part::OrderRefunded])
            }
            Step::Comment => when(plot.comments, &[Part::Comment(self.chosen)]),
            Step::Unfavor => when(plot.unfavors, &[Part::FavorDrop]),
        }
    }

    /// What the item with this index costs.
    pub(super) fn amounts(&self, index: usize) -> Amounts {
        let item = &self.items[index];
        let original = goods::price_cents(item.sku) * item.count;
        let activity = campaign::reduction(item.sku, original, item.count);
        let rest = original - activity.map_or(0, |(_, cents)| cents);
        let coupon = self.coupon.filter(|_| index == 0).and_then(|coupon| coupon.reduction(rest));
        Amounts { original, activity, coupon }
    }

    /// Whether the order satisfies what the coupon asks for.
    pub(super) fn uses_coupon(&self) -> bool {
        self.amounts(0).coupon.is_some()
    }

    fn indices(&self) -> std::ops::Range<usize> {
        0..self.items.len()
    }

    fn browse(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.coupon.map(|_| Part::CouponGet).into_iter().collect();
        parts.extend(self.indices().map(Part::CartAdd));
        parts.extend(self.regret.map(|_| Part::RegretAdd));
        parts.extend(self.favor.map(|_| Part::FavorAdd));
        parts
    }

    fn rethink(&self) -> Vec<Part> {
        let changed = |index: &usize| self.items[*index].first != self.items[*index].count;
        let counts = self.indices().filter(changed).map(Part::CartCount);
        counts.chain(self.regret.map(|_| Part::RegretDrop)).collect()
    }

    fn order(&self) -> Vec<Part> {
        let mut parts = vec![Part::OrderPlaced];
        parts.extend(self.indices().map(Part::Detail));
        let cheaper = |index: &usize| self.amounts(*index).activity.is_some();
        parts.extend(self.indices().filter(cheaper).map(Part::DetailActivity));
        if self.uses_coupon() {
            parts.extend([Part::DetailCoupon, Part::CouponUsing]);
        }
        parts.extend(self.indices().map(Part::CartOrdered));
        parts.push(Part::PaymentOpened);
        parts
    }
}

impl Amounts {
    /// What remains to be paid for the line.
    pub(super) fn total(&self) -> i64 {
        self.original - self.activity.map_or(0, |(_, cents)| cents) - self.coupon.unwrap_or(0)
    }
}

impl Plot {
    fn draw(shares: &Shares, favors: bool, random: &mut Random) -> Self {
        let mut chance = |share: u32| random.chance(share);
        let orders = chance(shares.order);
        let pays = chance(shares.pay) && orders;
        let refunds = chance(shares.refund) && pays;
        let receives = chance(8_500) && pays && !refunds;
        Self {
            orders,
            pays,
            cancels: chance(7_500) && orders && !pays,
            refunds,
            receives,
            comments: chance(shares.comment) && receives,
            unfavors: chance(2_000) && favors,
        }
    }
}

impl Part {
    /// The step it belongs to.
    pub(super) fn step(self) -> Step {
        match self {
            Self::CouponGet | Self::CartAdd(_) | Self::RegretAdd | Self::FavorAdd => Step::Browse,
            Self::CartCount(_) | Self::RegretDrop => Step::Rethink,
            Self::OrderPlaced
            | Self::Detail(_)
            | Self::DetailActivity(_)
            | Self::DetailCoupon
            | Self::CouponUsing
            | Self::CartOrdered(_)
            | Self::PaymentOpened => Step::Order,
            Self::PaymentDone | Self::OrderPaid | Self::CouponUsed => Step::Pay,
            Self::OrderCancelled | Self::PaymentClosed | Self::CouponBack => Step::Cancel,
            Self::OrderReceived => Step::Receive,
            Self::RefundAsked | Self::OrderRefunding | Self::RefundOpened => Step::Refund,
            Self::RefundPassed => Step::RefundPass,
            Self::RefundPaid | Self::RefundFinished | Self::OrderRefunded => Step::RefundDone,
            Self::Comment(_) => Step::Comment,
            Self::FavorDrop => Step::Unfavor,
        }
    }
}

/// So many items; a cart has no goods twice.
fn items(count: u32, sku: impl Fn(&mut Random) -> u32, random: &mut Random) -> Vec<Item> {
    let mut items = Vec::<Item>::new();
    for _ in 0..count {
        let (sku, first, count) = (sku(random), random.between(1, 3), random.between(1, 3));
        let source = random.pick_weighted(SOURCES, |&(weight, _)| weight).1;
        // Two of three keep the count they began with.
        let count = if random.chance(6_700) { first } else { count };
        if items.iter().all(|item| item.sku != sku) {
            items.push(Item { sku, first: first.into(), count: count.into(), source });
        }
    }
    items
}
