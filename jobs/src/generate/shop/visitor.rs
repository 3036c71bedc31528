//! Rows of what visitors do: cart_info, favor_info, comment_info, coupon_use.

use super::dimension::{goods, user};
use super::row::{Change, Row, Value};
use super::scene::Scene;
use super::story::{Item, Part};
use crate::generate::random::Random;

/// What buyers say: with its code and weight.
const COMMENTS: &[(u32, &str, &str)] = &[
    (50, "1201", "质量很好，包装完整，下次还来"),
    (20, "1202", "还可以，物流有点慢"),
    (10, "1203", "和描述的 \"全新\" 不一样，不满意"),
    (20, "1204", "系统自动好评"),
];

/// Where a coupon stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CouponState {
    Got,
    Using,
    Used,
}

/// A coupon that goes from one state to another.
pub(super) fn coupon_change(scene: &Scene<'_>, before: CouponState, after: CouponState) -> Change {
    Change::update("coupon_use", coupon_use(scene, before), coupon_use(scene, after))
}

/// A coupon as it was taken.
pub(super) fn coupon_got(scene: &Scene<'_>) -> Change {
    Change::insert("coupon_use", coupon_use(scene, CouponState::Got))
}

fn coupon_use(scene: &Scene<'_>, state: CouponState) -> Row {
    let coupon = scene.story.coupon.expect("only a story with a coupon has such a part");
    let using = state != CouponState::Got;
    let status = match state {
        CouponState::Got => "1401",
        CouponState::Using => "1402",
        CouponState::Used => "1403",
    };
    let time = |happened: bool, part| Value::from(happened.then(|| Value::Time(scene.at_ms(part))));
    vec![
        ("id", scene.id(Part::CouponGet).into()),
        ("coupon_id", coupon.id.into()),
        ("user_id", super::row::id(scene.story.user).into()),
        ("order_id", using.then(|| scene.id(Part::OrderPlaced)).into()),
        ("coupon_status", status.into()),
        ("get_time", Value::Time(scene.at_ms(Part::CouponGet))),
        ("using_time", time(using, Part::CouponUsing)),
        ("used_time", time(state == CouponState::Used, Part::CouponUsed)),
        ("expire_time", Value::Time(scene.at_ms(Part::CouponGet) + 7 * 86_400_000)),
    ]
}

/// What may change in a line of a cart.
struct CartState {
    count: i64,
    operated: Option<i64>,
    ordered: Option<i64>,
}

/// A line that comes into the cart.
pub(super) fn cart_added(scene: &Scene<'_>, index: usize) -> Change {
    Change::insert("cart_info", added(scene, index))
}

/// A line with another quantity.
pub(super) fn cart_counted(scene: &Scene<'_>, index: usize) -> Change {
    Change::update("cart_info", added(scene, index), counted(scene, index))
}

fn added(scene: &Scene<'_>, index: usize) -> Row {
    let item = scene.story.items[index];
    let state = CartState { count: item.first, operated: None, ordered: None };
    cart(scene, Part::CartAdd(index), item, &state)
}

/// The line with the quantity that is ordered.
fn counted(scene: &Scene<'_>, index: usize) -> Row {
    let item = scene.story.items[index];
    let changed = item.first != item.count;
    let operated = changed.then(|| scene.at_ms(Part::CartCount(index)));
    let state = CartState { count: item.count, operated, ordered: None };
    cart(scene, Part::CartAdd(index), item, &state)
}

/// A line that is ordered.
pub(super) fn cart_ordered(scene: &Scene<'_>, index: usize) -> Change {
    let item = scene.story.items[index];
    let at_ms = Some(scene.at_ms(Part::CartOrdered(index)));
    let state = CartState { count: item.count, operated: at_ms, ordered: at_ms };
    let after = cart(scene, Part::CartAdd(index), item, &state);
    Change::update("cart_info", counted(scene, index), after)
}

/// The line that does not stay.
pub(super) fn regretted(scene: &Scene<'_>) -> Row {
    let sku = scene.story.regret.expect("only a story with a regret has such a part");
    let item = Item { sku, first: 1, count: 1, source: "2401" };
    let state = CartState { count: 1, operated: None, ordered: None };
    cart(scene, Part::RegretAdd, item, &state)
}

fn cart(scene: &Scene<'_>, added: Part, item: Item, state: &CartState) -> Row {
    cart_row(&CartLine {
        id: scene.id(added),
        user: scene.story.user,
        sku: item.sku,
        count: state.count,
        source: item.source,
        created: scene.at_ms(added),
        operated: state.operated,
        ordered: state.ordered,
    })
}

/// What a row of cart_info says; instants in milliseconds since the epoch.
pub(super) struct CartLine {
    pub(super) id: i64,
    pub(super) user: u64,
    pub(super) sku: u32,
    pub(super) count: i64,
    pub(super) source: &'static str,
    pub(super) created: i64,
    pub(super) operated: Option<i64>,
    pub(super) ordered: Option<i64>,
}

/// A row of cart_info.
pub(super) fn cart_row(line: &CartLine) -> Row {
    vec![
        ("id", line.id.into()),
        ("user_id", line.user.to_string().into()),
        ("sku_id", line.sku.into()),
        ("cart_price", Value::Cents(goods::price_cents(line.sku))),
        ("sku_num", line.count.into()),
        ("img_url", goods::image(line.sku).into()),
        ("sku_name", goods::name(line.sku).into()),
        ("is_checked", 1_i64.into()),
        ("create_time", Value::Time(line.created)),
        ("operate_time", line.operated.map(Value::Time).into()),
        ("is_ordered", i64::from(line.ordered.is_some()).into()),
        ("order_time", line.ordered.map(Value::Time).into()),
        ("source_type", line.source.into()),
        ("source_id", Value::Null),
    ]
}

/// The favourite, perhaps one no more.
pub(super) fn favor(scene: &Scene<'_>, cancelled: Option<i64>) -> Row {
    let sku = scene.story.favor.expect("only a story with a favourite has such a part");
    favor_row(
        scene.id(Part::FavorAdd),
        scene.story.user,
        sku,
        scene.at_ms(Part::FavorAdd),
        cancelled,
    )
}

/// A row of favor_info.
pub(super) fn favor_row(
    id: i64,
    user: u64,
    sku: u32,
    created_ms: i64,
    cancelled_ms: Option<i64>,
) -> Row {
    vec![
        ("id", id.into()),
        ("user_id", super::row::id(user).into()),
        ("sku_id", sku.into()),
        ("spu_id", goods::spu(sku).into()),
        ("is_cancel", if cancelled_ms.is_some() { "1" } else { "0" }.into()),
        ("create_time", Value::Time(created_ms)),
        ("cancel_time", cancelled_ms.map(Value::Time).into()),
    ]
}

/// What the buyer says.
pub(super) fn comment(scene: &Scene<'_>, part: Part) -> Row {
    let story = &scene.story;
    let sku = story.items[story.chosen].sku;
    let mut random = Random::of(&[scene.shop.settings.seed, 12, story.number]);
    let &(_, code, text) = random.pick_weighted(COMMENTS, |&(weight, ..)| weight);
    vec![
        ("id", scene.id(part).into()),
        ("user_id", super::row::id(story.user).into()),
        ("nick_name", user::nick_name(scene.shop, story.user).into()),
        ("head_img", Value::Null),
        ("sku_id", sku.into()),
        ("spu_id", goods::spu(sku).into()),
        ("order_id", scene.id(Part::OrderPlaced).into()),
        ("appraise", code.into()),
        ("comment_txt", text.into()),
        ("create_time", Value::Time(scene.at_ms(part))),
        ("operate_time", Value::Null),
    ]
}
