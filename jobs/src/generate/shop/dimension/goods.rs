//! Trademarks, products (spu), articles (sku) and what they cost the shop.

use super::Subject;
use super::category;
use super::code::ENTERED_MS;
use crate::generate::shop::row::{Row, Value, id};

const TRADEMARKS: &[&str] = &[
    "三星",
    "苹果",
    "华为",
    "TCL",
    "小米",
    "长粒香",
    "金沙河",
    "索芙特",
    "CAREMiLLE",
    "欧莱雅",
    "香奈儿",
];

/// Name, trademark, category of the second level.
const PRODUCTS: &[(&str, i64, &str)] = &[
    ("小米12", 5, "手机通讯"),
    ("Redmi Note 11", 5, "手机通讯"),
    ("Apple iPhone 13", 2, "手机通讯"),
    ("HUAWEI P50", 3, "手机通讯"),
    ("TCL 巨幕私人影院电视", 4, "大家电"),
    ("小米电视", 5, "大家电"),
    ("十月稻田 长粒香大米", 6, "粮油调味"),
    ("金沙河面条", 7, "粮油调味"),
    ("索芙特香氛洗护", 8, "身体护理"),
    ("CAREMiLLE 哑光口红", 9, "香水彩妆"),
    ("欧莱雅复颜面霜", 10, "面部护肤"),
    ("香奈儿五号香水", 11, "香水彩妆"),
];

/// An article in the order of ids: index of its product, what is special, price, hundredths of a
/// kilogram.
const ARTICLES: &[(usize, &str, i64, i64)] = &[
    (0, "8GB+128GB 黑色 6.28\"屏", 3_299, 18),
    (0, "8GB+256GB 蓝色 6.28\"屏", 3_699, 18),
    (0, "12GB+256GB 紫色 6.28\"屏", 3_999, 18),
    (1, "4GB+128GB 浅梦星河", 1_099, 20),
    (1, "6GB+128GB 微光晴蓝", 1_299, 20),
    (1, "8GB+256GB 静谧黑", 1_499, 20),
    (2, "128GB 星光色", 5_999, 17),
    (2, "128GB 午夜色", 5_999, 17),
    (2, "256GB 蓝色", 6_799, 17),
    (2, "512GB 红色", 8_599, 17),
    (3, "8GB+128GB 曜金黑", 4_488, 19),
    (3, "8GB+256GB 可可茶金", 4_988, 19),
    (3, "8GB+256GB 雪域白", 4_988, 19),
    (4, "75英寸 4K", 6_999, 3_640),
    (4, "65英寸 4K", 4_699, 2_350),
    (4, "55英寸 4K", 2_999, 1_520),
    (5, "70英寸 MEMC", 3_999, 2_600),
    (5, "50英寸 MEMC", 1_899, 1_080),
    (5, "43英寸 MEMC", 1_499, 780),
    (6, "5kg", 39, 500),
    (6, "10kg", 75, 1_000),
    (6, "500g 小袋", 9, 50),
    (7, "龙须面 1kg", 9, 100),
    (7, "鸡蛋面 2kg", 19, 200),
    (8, "沐浴露 720ml", 29, 78),
    (8, "洗发露 400ml", 35, 45),
    (9, "01 醉蔷薇", 69, 3),
    (9, "02 正红", 69, 3),
    (9, "03 枫叶红", 69, 3),
    (10, "滋润型 50ml", 299, 15),
    (10, "清爽型 50ml", 289, 15),
    (10, "日霜+晚霜套装", 559, 30),
    (11, "30ml", 560, 9),
    (11, "50ml", 905, 14),
    (11, "100ml", 1_350, 26),
];

const ENDINGS: &[&str] = &["", " 官方标配", " 限时特惠"];

/// The article of an id, and again from the first behind the last.
fn article_of(sku: u32) -> &'static (usize, &'static str, i64, i64) {
    let index = usize::try_from(sku.saturating_sub(1)).expect("a u32 fits in usize");
    &ARTICLES[index % ARTICLES.len()]
}

/// What an article is sold for, in hundredths, whatever its dimension row says meanwhile.
pub(in crate::generate::shop) fn price_cents(sku: u32) -> i64 {
    article_of(sku).2 * 100
}

/// The name by which an article is ordered.
pub(in crate::generate::shop) fn name(sku: u32) -> String {
    let (product, special, ..) = article_of(sku);
    format!("{} {special}", PRODUCTS[*product].0)
}

/// The id of an article's product.
pub(in crate::generate::shop) fn spu(sku: u32) -> i64 {
    (1..).zip(PRODUCTS).nth(article_of(sku).0).map_or(1, |(spu, _)| spu)
}

/// Where an article's picture lies.
pub(in crate::generate::shop) fn image(sku: u32) -> String {
    format!("/static/sku/{sku}.jpg")
}

/// A row of base_trademark, which gets another name.
pub(super) fn trademark(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let ending = ["", "旗舰", "官方"][usize::try_from(version % 3).expect("below 3")];
    Some(vec![
        ("id", subject.id().into()),
        ("tm_name", format!("{}{ending}", subject.entry(TRADEMARKS)).into()),
        ("logo_url", format!("/static/tm/{}.png", subject.id()).into()),
    ])
}

/// A row of spu_info, which gets another description.
pub(super) fn product(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let (name, trademark, category) = *subject.entry(PRODUCTS);
    let description = if version == 0 {
        name.to_owned()
    } else {
        format!("{name}（第{}版介绍）", version + 1)
    };
    Some(vec![
        ("id", subject.id().into()),
        ("spu_name", name.into()),
        ("description", description.into()),
        ("category3_id", category::below(category).into()),
        ("tm_id", trademark.into()),
    ])
}

/// What changes in an article.
struct Offer {
    price: i64,
    ending: &'static str,
    is_sale: i64,
}

/// A row of sku_info: another price, then another name, and again.
pub(super) fn article(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let step = i64::try_from(version.div_ceil(2) % 4).expect("below 4");
    let ending = ENDINGS[usize::try_from(version / 2 % 3).expect("below 3")];
    let price = subject.entry(ARTICLES).2 + step;
    Some(sku_info(subject, subject.id(), &Offer { price, ending, is_sale: 1 }))
}

/// An article that is tried: it comes, is taken from sale, and goes.
pub(super) fn trial(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let sku = i64::from(subject.shop.settings.skus.max(1)) + subject.id();
    let offer = |is_sale| Offer { price: subject.entry(ARTICLES).2, ending: " 试售", is_sale };
    match version % 3 {
        0 => None,
        1 => Some(sku_info(subject, sku, &offer(1))),
        _ => Some(sku_info(subject, sku, &offer(0))),
    }
}

fn sku_info(subject: &Subject<'_>, sku: i64, offer: &Offer) -> Row {
    let (index, special, _, weight) = *subject.entry(ARTICLES);
    let (product, trademark, category) = PRODUCTS[index];
    let spu = i64::try_from(index + 1).expect("few products");
    vec![
        ("id", sku.into()),
        ("spu_id", spu.into()),
        ("price", offer.price.into()),
        ("sku_name", format!("{product} {special}{}", offer.ending).into()),
        ("sku_desc", format!("{product}：{special}").into()),
        ("weight", Value::Cents(weight)),
        ("tm_id", trademark.into()),
        ("category3_id", category::below(category).into()),
        ("sku_default_img", format!("/static/sku/{sku}.jpg").into()),
        ("is_sale", offer.is_sale.into()),
        ("create_time", Value::Time(ENTERED_MS)),
    ]
}

/// A row of financial_sku_cost, whose id is a text; the cost goes up and down.
pub(super) fn cost(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let (_, special, price, _) = *subject.entry(ARTICLES);
    let cents = price * 60 + i64::try_from(version % 5).expect("below 5") * 25;
    Some(vec![
        ("id", subject.id().to_string().into()),
        ("sku_id", id(subject.row + 1).into()),
        ("sku_name", special.into()),
        ("busi_date", "2021-12-14".into()),
        ("is_lastest", "1".into()),
        ("sku_cost", Value::Cents(cents)),
        ("create_time", Value::Time(ENTERED_MS)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_goods_as_in_the_teaching_data() {
        assert_eq!((TRADEMARKS.len(), PRODUCTS.len(), ARTICLES.len()), (11, 12, 35));
        let trademark = |(_, trademark, _): &(&str, i64, &str)| (1..=11).contains(trademark);
        assert!(PRODUCTS.iter().all(trademark));
        assert!(ARTICLES.iter().all(|(product, ..)| *product < PRODUCTS.len()));
        assert!((0..PRODUCTS.len()).all(|p| ARTICLES.iter().any(|(product, ..)| *product == p)));
    }
}
