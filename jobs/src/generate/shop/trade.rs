//! Rows of orders: order_info, order_detail with its activities and coupons, payment_info.

use super::dimension::{campaign, goods, user};
use super::row::{Change, Row, Value};
use super::scene::Scene;
use super::story::Part;
use crate::generate::random::Random;

/// What carrying costs below this sum, both in hundredths.
const FREIGHT: (i64, i64) = (800, 9_900);

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Placed,
    Paid,
    Cancelled,
    Received,
    Refunding,
    Refunded,
}

impl Stage {
    /// The code of the status, and what brought the order there.
    fn reached(self) -> (&'static str, Part) {
        match self {
            Self::Placed => ("1001", Part::OrderPlaced),
            Self::Paid => ("1002", Part::OrderPaid),
            Self::Cancelled => ("1003", Part::OrderCancelled),
            Self::Received => ("1004", Part::OrderReceived),
            Self::Refunding => ("1005", Part::OrderRefunding),
            Self::Refunded => ("1006", Part::OrderRefunded),
        }
    }
}

/// An order that goes from one stage to the next.
pub(super) fn order_change(scene: &Scene<'_>, before: Stage, after: Stage) -> Change {
    Change::update("order_info", order(scene, before), order(scene, after))
}

/// An order at a stage.
pub(super) fn order(scene: &Scene<'_>, stage: Stage) -> Row {
    let story = &scene.story;
    let sums = Sums::of(scene);
    let (status, part) = stage.reached();
    let created = scene.at_ms(Part::OrderPlaced);
    let operated = (stage != Stage::Placed).then(|| scene.at_ms(part));
    let open = matches!(stage, Stage::Placed | Stage::Cancelled);
    let refundable = (!open).then(|| scene.at_ms(Part::OrderPaid) + 7 * 86_400_000);
    vec![
        ("id", scene.id(Part::OrderPlaced).into()),
        ("consignee", user::name(scene.shop, story.user).into()),
        ("consignee_tel", user::phone(scene.shop, story.user).into()),
        ("total_amount", Value::Cents(sums.total())),
        ("order_status", status.into()),
        ("user_id", super::row::id(story.user).into()),
        ("payment_way", Value::Null),
        ("delivery_address", user::address(scene.shop, story.user).into()),
        ("order_comment", Value::Null),
        ("out_trade_no", trade_number(scene).into()),
        ("trade_body", trade_body(scene).into()),
        ("create_time", Value::Time(created)),
        ("operate_time", operated.map(Value::Time).into()),
        ("expire_time", Value::Time(created + 900_000)),
        ("process_status", Value::Null),
        ("tracking_no", Value::Null),
        ("parent_order_id", Value::Null),
        ("img_url", goods::image(story.items[0].sku).into()),
        ("province_id", story.province.into()),
        ("activity_reduce_amount", Value::Cents(sums.activity)),
        ("coupon_reduce_amount", Value::Cents(sums.coupon)),
        ("original_total_amount", Value::Cents(sums.original)),
        ("feight_fee", Value::Cents(sums.freight)),
        ("feight_fee_reduce", Value::Null),
        ("refundable_time", refundable.map(Value::Time).into()),
    ]
}

/// Sums over the lines of an order, in hundredths.
struct Sums {
    original: i64,
    activity: i64,
    coupon: i64,
    freight: i64,
}

impl Sums {
    fn of(scene: &Scene<'_>) -> Self {
        let mut sums = Self { original: 0, activity: 0, coupon: 0, freight: 0 };
        for index in 0..scene.story.items.len() {
            let amounts = scene.story.amounts(index);
            sums.original += amounts.original;
            sums.activity += amounts.activity.map_or(0, |(_, cents)| cents);
            sums.coupon += amounts.coupon.unwrap_or(0);
        }
        let (freight, free_from) = FREIGHT;
        sums.freight = if sums.original < free_from { freight } else { 0 };
        sums
    }

    fn total(&self) -> i64 {
        self.original - self.activity - self.coupon + self.freight
    }
}

/// A line of the order.
pub(super) fn detail(scene: &Scene<'_>, index: usize) -> Row {
    let item = scene.story.items[index];
    let amounts = scene.story.amounts(index);
    let activity = amounts.activity.map(|(_, cents)| Value::Cents(cents));
    vec![
        ("id", scene.id(Part::Detail(index)).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("sku_id", item.sku.into()),
        ("sku_name", goods::name(item.sku).into()),
        ("img_url", goods::image(item.sku).into()),
        ("order_price", Value::Cents(goods::price_cents(item.sku))),
        ("sku_num", item.count.to_string().into()),
        ("create_time", Value::Time(scene.at_ms(Part::OrderPlaced))),
        ("source_type", item.source.into()),
        ("source_id", Value::Null),
        ("split_total_amount", Value::Cents(amounts.total())),
        ("split_activity_amount", activity.into()),
        ("split_coupon_amount", amounts.coupon.map(Value::Cents).into()),
    ]
}

/// The activity that makes a line cheaper.
pub(super) fn detail_activity(scene: &Scene<'_>, index: usize) -> Row {
    let (rule, _) = scene.story.amounts(index).activity.expect("only such lines have this part");
    vec![
        ("id", scene.id(Part::DetailActivity(index)).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("order_detail_id", scene.id(Part::Detail(index)).into()),
        ("activity_id", rule.activity.into()),
        ("activity_rule_id", campaign::rule_id(rule).into()),
        ("sku_id", scene.story.items[index].sku.into()),
        ("create_time", Value::Time(scene.at_ms(Part::OrderPlaced))),
    ]
}

/// The coupon that makes the first line cheaper.
pub(super) fn detail_coupon(scene: &Scene<'_>) -> Row {
    let coupon = scene.story.coupon.expect("only a story with a coupon has this part");
    vec![
        ("id", scene.id(Part::DetailCoupon).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("order_detail_id", scene.id(Part::Detail(0)).into()),
        ("coupon_id", coupon.id.into()),
        ("coupon_use_id", scene.id(Part::CouponGet).into()),
        ("sku_id", scene.story.items[0].sku.into()),
        ("create_time", Value::Time(scene.at_ms(Part::OrderPlaced))),
    ]
}

/// A payment that comes, or never will.
pub(super) fn payment_change(
    scene: &Scene<'_>,
    status: &'static str,
    called_back: Option<i64>,
) -> Change {
    let after = payment(scene, status, called_back);
    Change::update("payment_info", payment(scene, "1601", None), after)
}

/// The payment; `called_back` in milliseconds since the epoch.
pub(super) fn payment(scene: &Scene<'_>, status: &'static str, called_back: Option<i64>) -> Row {
    vec![
        ("id", scene.id(Part::PaymentOpened).into()),
        ("out_trade_no", trade_number(scene).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("user_id", super::row::id(scene.story.user).into()),
        ("payment_type", scene.story.payment.into()),
        ("trade_no", Value::Null),
        ("total_amount", Value::Cents(Sums::of(scene).total())),
        ("subject", trade_body(scene).into()),
        ("payment_status", status.into()),
        ("create_time", Value::Time(scene.at_ms(Part::PaymentOpened))),
        ("callback_time", called_back.map(Value::Time).into()),
        ("callback_content", called_back.map(|_| "trade_status=TRADE_SUCCESS").into()),
    ]
}

/// The number by which the payment service knows the order.
pub(super) fn trade_number(scene: &Scene<'_>) -> String {
    let bits = Random::of(&[scene.shop.settings.seed, 13, scene.story.number]).bits();
    format!("{}", 100_000_000_000_000 + bits % 900_000_000_000_000)
}

/// What is bought, in a few words.
pub(super) fn trade_body(scene: &Scene<'_>) -> String {
    let items = &scene.story.items;
    format!("{}等{}件商品", goods::name(items[0].sku), items.len())
}
