//! Activities and coupons, and what they take off a price.

use super::code::ENTERED_MS;
use super::{Subject, category};
use crate::generate::random::Random;
use crate::generate::shop::row::{Row, Value};

/// Rows of activity_info, activity_rule, activity_sku, coupon_info and coupon_range.
pub(super) const ACTIVITY_COUNT: u64 = 4;
pub(super) const RULE_COUNT: u64 = 6;
pub(super) const ACTIVITY_SKU_COUNT: u64 = 24;
pub(super) const COUPON_COUNT: u64 = 4;
pub(super) const RANGE_COUNT: u64 = 6;

/// Beginning and end of all campaigns: 2022-01-01 and 2032-01-01.
const RUN_MS: (i64, i64) = (1_640_966_400_000, 1_956_499_200_000);

/// Name, kind, and the articles it is for: first and last id.
const ACTIVITIES: &[(&str, &str, u32, u32)] = &[
    ("小米手机专场", "3101", 1, 6),
    ("Apple 品牌日", "3102", 7, 10),
    ("女神节", "3103", 27, 35),
    ("粮油年货节", "3101", 20, 24),
];

/// A rule of an activity; amounts in hundredths.
#[derive(Debug)]
pub(in crate::generate::shop) struct Rule {
    /// Id of the activity.
    pub(in crate::generate::shop) activity: i64,
    /// What must be bought for, and how many.
    from_cents: Option<i64>,
    from_count: Option<i64>,
    /// What is taken off: an amount, or a share of ten.
    cents: Option<i64>,
    tenths: Option<i64>,
    level: i64,
}

const fn sum_rule(activity: i64, from_cents: i64, cents: i64, level: i64) -> Rule {
    let (from_cents, cents) = (Some(from_cents), Some(cents));
    Rule { activity, from_cents, from_count: None, cents, tenths: None, level }
}

const fn count_rule(activity: i64, from_count: Option<i64>, tenths: i64, level: i64) -> Rule {
    Rule { activity, from_cents: None, from_count, cents: None, tenths: Some(tenths), level }
}

const RULES: &[Rule] = &[
    sum_rule(1, 300_000, 20_000, 1),
    sum_rule(1, 600_000, 50_000, 2),
    count_rule(2, Some(2), 1, 1),
    count_rule(2, Some(3), 2, 2),
    count_rule(3, None, 1, 1),
    sum_rule(4, 3_000, 500, 1),
];

/// A coupon; amounts in hundredths.
#[derive(Debug)]
pub(in crate::generate::shop) struct Coupon {
    /// Its id.
    pub(in crate::generate::shop) id: i64,
    name: &'static str,
    kind: &'static str,
    from_cents: i64,
    cents: i64,
    range: &'static str,
}

const COUPONS: &[Coupon] = &[
    coupon_of(1, "口红品类券", "3201", 6_900, 1_000, "3301"),
    coupon_of(2, "Apple 品牌券", "3201", 500_000, 20_000, "3302"),
    coupon_of(3, "手机代金券", "3203", 100_000, 3_000, "3303"),
    coupon_of(4, "粮油券", "3201", 10_000, 1_500, "3302"),
];

const fn coupon_of(
    id: i64,
    name: &'static str,
    kind: &'static str,
    from_cents: i64,
    cents: i64,
    range: &'static str,
) -> Coupon {
    Coupon { id, name, kind, from_cents, cents, range }
}

impl Coupon {
    /// What it takes off a price, if that is high enough.
    pub(in crate::generate::shop) fn reduction(&self, cents: i64) -> Option<i64> {
        (cents >= self.from_cents).then_some(self.cents)
    }
}

/// A coupon that visitors take; the last one is for nobody.
pub(in crate::generate::shop) fn draw_coupon(random: &mut Random) -> &'static Coupon {
    random.pick_weighted(COUPONS, |coupon| u32::from(coupon.id <= 3))
}

/// The best rule for a line of an order, and what it takes off.
pub(in crate::generate::shop) fn reduction(
    sku: u32,
    original: i64,
    count: i64,
) -> Option<(&'static Rule, i64)> {
    let of_sku =
        |(_, (_, _, first, last)): &(i64, &(_, _, u32, u32))| (*first..=*last).contains(&sku);
    let (activity, _) = (1..).zip(ACTIVITIES).find(of_sku)?;
    let enough = |rule: &&Rule| {
        rule.activity == activity
            && rule.from_cents.is_none_or(|from| original >= from)
            && rule.from_count.is_none_or(|from| count >= from)
    };
    let rule = RULES.iter().filter(enough).max_by_key(|rule| rule.level)?;
    let share = rule.tenths.map(|tenths| original / 10 * tenths);
    Some((rule, rule.cents.or(share).unwrap_or(0)))
}

/// The id of a rule.
pub(in crate::generate::shop) fn rule_id(rule: &Rule) -> i64 {
    let same = |other: &Rule| (other.activity, other.level) == (rule.activity, rule.level);
    (1..).zip(RULES).find(|(_, other)| same(other)).map_or(0, |(id, _)| id)
}

/// A row of activity_info, which gets another description.
pub(super) fn activity(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let (name, kind, ..) = *subject.entry(ACTIVITIES);
    Some(vec![
        ("id", subject.id().into()),
        ("activity_name", name.into()),
        ("activity_type", kind.into()),
        ("activity_desc", format!("{name} 第{}期", version + 1).into()),
        ("start_time", Value::Time(RUN_MS.0)),
        ("end_time", Value::Time(RUN_MS.1)),
        ("create_time", Value::Time(ENTERED_MS)),
    ])
}

/// A row of activity_rule, which gives one yuan more or less.
pub(super) fn rule(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let rule = subject.entry(RULES);
    let (_, kind, ..) = ACTIVITIES[usize::try_from(rule.activity - 1).expect("ids from 1 on")];
    let more = i64::try_from(version % 2).expect("below 2");
    Some(vec![
        ("id", subject.id().into()),
        ("activity_id", rule.activity.into()),
        ("activity_type", kind.into()),
        ("condition_amount", rule.from_cents.map(Value::Cents).into()),
        ("condition_num", rule.from_count.into()),
        ("benefit_amount", rule.cents.map(|cents| Value::Cents(cents + 100 * more)).into()),
        ("benefit_discount", rule.tenths.map(|tenths| Value::Cents(1_000 * tenths + more)).into()),
        ("benefit_level", rule.level.into()),
    ])
}

/// A row of activity_sku.
pub(super) fn activity_sku(subject: &Subject<'_>, _version: u64) -> Option<Row> {
    let mut rows = (1..).zip(ACTIVITIES).flat_map(|(activity, (_, _, first, last))| {
        (*first..=*last).map(move |sku| (activity, sku))
    });
    let index = usize::try_from(subject.row).expect("few rows");
    let (activity, sku) = rows.nth(index).expect("as many as are counted");
    Some(activity_sku_row(subject.id(), activity, sku))
}

/// An article that an activity is for at times.
pub(super) fn trial_sku(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let sku = 11 + u32::try_from(subject.row % 9).expect("below 9");
    (version % 2 == 1).then(|| activity_sku_row(1_000 + subject.id(), 1 + subject.id() % 4, sku))
}

fn activity_sku_row(id: i64, activity: i64, sku: u32) -> Row {
    vec![
        ("id", id.into()),
        ("activity_id", activity.into()),
        ("sku_id", sku.into()),
        ("create_time", Value::Time(ENTERED_MS)),
    ]
}

/// A row of coupon_info, of which one more is taken.
pub(super) fn coupon(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let coupon = subject.entry(COUPONS);
    let yuan = |cents: i64| cents / 100;
    let text = format!("满{}元减{}元", yuan(coupon.from_cents), yuan(coupon.cents));
    let operated = (version > 0).then(|| Value::Time(subject.at_ms(version)));
    Some(vec![
        ("id", coupon.id.into()),
        ("coupon_name", coupon.name.into()),
        ("coupon_type", coupon.kind.into()),
        ("condition_amount", Value::Cents(coupon.from_cents)),
        ("condition_num", Value::Null),
        ("activity_id", Value::Null),
        ("benefit_amount", Value::Cents(coupon.cents)),
        ("benefit_discount", Value::Null),
        ("create_time", Value::Time(ENTERED_MS)),
        ("range_type", coupon.range.into()),
        ("limit_num", 1_000_000_i64.into()),
        ("taken_count", super::super::row::id(version).into()),
        ("start_time", Value::Time(RUN_MS.0)),
        ("end_time", Value::Time(RUN_MS.1)),
        ("operate_time", operated.into()),
        ("expire_time", Value::Time(RUN_MS.1)),
        ("range_desc", text.into()),
    ])
}

/// A row of coupon_range.
pub(super) fn range(subject: &Subject<'_>, _version: u64) -> Option<Row> {
    let lipstick = category::below("香水彩妆");
    let rows = [
        (1, "3301", lipstick),
        (2, "3302", 2),
        (3, "3303", 1),
        (3, "3303", 2),
        (4, "3302", 6),
        (4, "3302", 7),
    ];
    let index = usize::try_from(subject.row).expect("few rows");
    let (coupon, kind, range) = rows[index];
    Some(range_row(subject.id(), coupon, kind, range))
}

/// A product that a coupon is good for at times.
pub(super) fn trial_range(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let spu = 1 + subject.id() % 12;
    (version % 2 == 1).then(|| range_row(1_000 + subject.id(), 3, "3303", spu))
}

fn range_row(id: i64, coupon: i64, kind: &'static str, range: i64) -> Row {
    vec![
        ("id", id.into()),
        ("coupon_id", coupon.into()),
        ("range_type", kind.into()),
        ("range_id", range.into()),
    ]
}
