//! What each part of a story changes: one line for each record a story may have.

use super::refund;
use super::row::Change;
use super::scene::Scene;
use super::story::Part;
use super::trade::{self, Stage, order_change, payment_change};
use super::visitor::{self, CouponState, coupon_change};

/// The change that this part of a story is.
pub(super) fn change_of(scene: &Scene<'_>, part: Part) -> Change {
    use Change as C;
    let update_refund = |before, after| {
        C::update("order_refund_info", refund::asked(scene, before), refund::asked(scene, after))
    };
    match part {
        Part::CouponGet => visitor::coupon_got(scene),
        Part::CouponUsing => coupon_change(scene, CouponState::Got, CouponState::Using),
        Part::CouponUsed => coupon_change(scene, CouponState::Using, CouponState::Used),
        Part::CouponBack => coupon_change(scene, CouponState::Using, CouponState::Got),
        Part::CartAdd(index) => visitor::cart_added(scene, index),
        Part::CartCount(index) => visitor::cart_counted(scene, index),
        Part::CartOrdered(index) => visitor::cart_ordered(scene, index),
        Part::RegretAdd => C::insert("cart_info", visitor::regretted(scene)),
        Part::RegretDrop => C::delete("cart_info", visitor::regretted(scene)),
        Part::FavorAdd => C::insert("favor_info", visitor::favor(scene, None)),
        Part::FavorDrop => {
            let dropped = visitor::favor(scene, Some(scene.at_ms(part)));
            C::update("favor_info", visitor::favor(scene, None), dropped)
        }
        Part::Comment(_) => C::insert("comment_info", visitor::comment(scene, part)),

        Part::OrderPlaced => C::insert("order_info", trade::order(scene, Stage::Placed)),
        Part::OrderPaid => order_change(scene, Stage::Placed, Stage::Paid),
        Part::OrderCancelled => order_change(scene, Stage::Placed, Stage::Cancelled),
        Part::OrderReceived => order_change(scene, Stage::Paid, Stage::Received),
        Part::OrderRefunding => order_change(scene, Stage::Paid, Stage::Refunding),
        Part::OrderRefunded => order_change(scene, Stage::Refunding, Stage::Refunded),
        Part::Detail(index) => C::insert("order_detail", trade::detail(scene, index)),
        Part::DetailActivity(index) => {
            C::insert("order_detail_activity", trade::detail_activity(scene, index))
        }
        Part::DetailCoupon => C::insert("order_detail_coupon", trade::detail_coupon(scene)),
        Part::PaymentOpened => C::insert("payment_info", trade::payment(scene, "1601", None)),
        Part::PaymentDone => payment_change(scene, "1602", Some(scene.at_ms(part))),
        Part::PaymentClosed => payment_change(scene, "1603", None),

        Part::RefundAsked => C::insert("order_refund_info", refund::asked(scene, "0701")),
        Part::RefundPassed => update_refund("0701", "0702"),
        Part::RefundFinished => update_refund("0702", "0705"),
        Part::RefundOpened => C::insert("refund_payment", refund::payment(scene, "0701", None)),
        Part::RefundPaid => {
            let paid = refund::payment(scene, "0705", Some(scene.at_ms(part)));
            C::update("refund_payment", refund::payment(scene, "0701", None), paid)
        }
    }
}
