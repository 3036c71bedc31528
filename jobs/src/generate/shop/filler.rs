//! Facts that stand alone: carts and favourites of visitors who do not come back, and the tables that
//! no job reads, whose records must cost a warehouse as little as possible.

use super::Shop;
use super::row::{Change, Row, Value, id};
use super::visitor::{CartLine, cart_row, favor_row};
use crate::generate::random::Random;

/// Tables that no job reads (warehouse 3.1), with a weight and whom the row belongs to.
const UNREAD: &[(u32, &str, &str)] = &[
    (1, "base_attr_info", "category_id"),
    (1, "base_attr_value", "attr_id"),
    (1, "base_sale_attr", "spu_id"),
    (1, "base_frontend_param", "code"),
    (2, "cms_banner", "sort"),
    (4, "seckill_goods", "sku_id"),
    (3, "sku_attr_value", "sku_id"),
    (3, "sku_image", "sku_id"),
    (3, "sku_sale_attr_value", "sku_id"),
    (3, "spu_image", "spu_id"),
    (2, "spu_poster", "spu_id"),
    (2, "spu_sale_attr", "spu_id"),
    (2, "spu_sale_attr_value", "spu_id"),
    (12, "user_address", "user_id"),
    (1, "ware_info", "areacode"),
    (12, "ware_sku", "sku_id"),
    (12, "ware_order_task", "order_id"),
    (15, "ware_order_task_detail", "task_id"),
    (20, "order_status_log", "order_id"),
];

const TEXTS: &[&str] = &["默认", "红色", "已出库", "网络制式\t5G", "C:\\images\\1.png", "\"特价\""];

/// The fact that record `number`, in this block, is.
pub(super) fn change(shop: &Shop, block: u64, number: u64) -> Change {
    let mut random = Random::of(&[shop.settings.seed, 17, number]);
    let user = 1 + random.bits() % shop.users_before(block);
    let sku = random.between(1, shop.settings.skus.max(1));
    let created = shop.arrival_ms(number);
    match random.below(100) {
        0..55 => {
            let source = random.pick(&["2401", "2402", "2403", "2404"]);
            let (id, count) = (id(number + 1), random.between(1, 5).into());
            let line =
                CartLine { id, user, sku, count, source, created, operated: None, ordered: None };
            Change::insert("cart_info", cart_row(&line))
        }
        55..70 => Change::insert("favor_info", favor_row(id(number + 1), user, sku, created, None)),
        _ => unread(number, created, &mut random),
    }
}

fn unread(number: u64, created: i64, random: &mut Random) -> Change {
    let &(_, table, owner) = random.pick_weighted(UNREAD, |&(weight, ..)| weight);
    let row: Row = vec![
        ("id", id(number + 1).into()),
        (owner, random.between(1, 5_000).into()),
        ("name", random.pick(TEXTS).into()),
        ("remark", Value::Null),
        ("create_time", Value::Time(created)),
    ];
    Change::insert(table, row)
}
