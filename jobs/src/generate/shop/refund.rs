//! Rows of what is given back: order_refund_info and refund_payment.

use super::row::{Row, Value};
use super::scene::Scene;
use super::story::Part;
use super::trade::{trade_body, trade_number};
use crate::generate::random::Random;

/// Codes of reasons with their texts.
const REASONS: &[(&str, &str)] = &[
    ("1301", "质量问题"),
    ("1302", "商品与描述不符"),
    ("1303", "缺货"),
    ("1304", "号码不合适"),
    ("1305", "拍错"),
    ("1306", "不想买了"),
    ("1307", "其他"),
];

/// What the buyer asked for.
pub(super) fn asked(scene: &Scene<'_>, status: &'static str) -> Row {
    let story = &scene.story;
    let item = story.items[story.chosen];
    let mut random = Random::of(&[scene.shop.settings.seed, 14, story.number]);
    let kind = if random.chance(5_000) { "1501" } else { "1502" };
    let (reason, text) = random.pick(REASONS);
    vec![
        ("id", scene.id(Part::RefundAsked).into()),
        ("user_id", super::row::id(story.user).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("sku_id", item.sku.into()),
        ("refund_type", kind.into()),
        ("refund_num", item.count.into()),
        ("refund_amount", Value::Cents(story.amounts(story.chosen).total())),
        ("refund_reason_type", reason.into()),
        ("refund_reason_txt", text.into()),
        ("refund_status", status.into()),
        ("create_time", Value::Time(scene.at_ms(Part::RefundAsked))),
    ]
}

/// The payment back; `called_back` in milliseconds since the epoch.
pub(super) fn payment(scene: &Scene<'_>, status: &'static str, called_back: Option<i64>) -> Row {
    let story = &scene.story;
    vec![
        ("id", scene.id(Part::RefundOpened).into()),
        ("out_trade_no", trade_number(scene).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("sku_id", story.items[story.chosen].sku.into()),
        ("payment_type", story.payment.into()),
        ("trade_no", Value::Null),
        ("total_amount", Value::Cents(story.amounts(story.chosen).total())),
        ("subject", trade_body(scene).into()),
        ("refund_status", status.into()),
        ("create_time", Value::Time(scene.at_ms(Part::RefundOpened))),
        ("callback_time", called_back.map(Value::Time).into()),
        ("callback_content", Value::Null),
    ]
}
