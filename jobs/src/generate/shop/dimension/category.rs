//! The categories of goods: three levels.

use super::Subject;
use crate::generate::shop::row::Row;

/// The first level with what is below.
const TREE: &[(&str, &[&str])] = &[
    ("图书、音像、电子书刊", &["电子书刊", "音像", "英文原版", "文艺", "少儿", "人文社科", "教育"]),
    ("手机", &["手机通讯", "运营商", "手机配件", "手机服务"]),
    ("家用电器", &["大家电", "厨卫大电", "生活电器", "厨房小电", "个护健康", "五金家装"]),
    ("数码", &["数码配件", "摄影摄像", "智能设备", "影音娱乐", "电子教育", "虚拟商品"]),
    ("家居家装", &["家纺", "灯具", "生活日用", "家装软饰", "清洁用品", "宠物生活", "家装建材"]),
    (
        "电脑办公",
        &[
            "电脑整机",
            "电脑配件",
            "外设产品",
            "游戏设备",
            "网络产品",
            "办公设备",
            "文具耗材",
            "服务产品",
        ],
    ),
    ("厨具", &["烹饪锅具", "刀剪菜板", "厨房配件", "水具酒具", "餐具", "茶具咖啡具"]),
    (
        "个护化妆",
        &[
            "面部护肤",
            "洗发护发",
            "身体护理",
            "口腔护理",
            "女性护理",
            "香水彩妆",
            "清洁纸品",
            "美妆工具",
        ],
    ),
    ("服饰内衣", &["女装", "男装", "内衣", "洗衣服务", "服饰配件", "童装童鞋"]),
    ("钟表", &["钟表手表", "国表", "欧美表", "智能手表"]),
    ("鞋靴", &["流行男鞋", "时尚女鞋", "运动鞋", "户外鞋", "鞋配件"]),
    (
        "母婴",
        &[
            "奶粉",
            "营养辅食",
            "尿裤湿巾",
            "喂养用品",
            "洗护用品",
            "童车童床",
            "安全座椅",
            "寝居服饰",
        ],
    ),
    ("礼品箱包", &["潮流女包", "精品男包", "功能箱包", "礼品", "奢侈品", "婚庆", "鲜花"]),
    (
        "食品饮料、保健食品",
        &[
            "进口食品",
            "休闲食品",
            "地方特产",
            "中外名酒",
            "粮油调味",
            "饮料冲调",
            "生鲜食品",
            "营养健康",
        ],
    ),
    ("珠宝", &["黄金", "K金饰品", "银饰", "钻石", "翡翠玉石", "珍珠", "木手串"]),
    (
        "汽车用品",
        &[
            "维修保养",
            "车载电器",
            "美容清洗",
            "汽车装饰",
            "安全自驾",
            "汽车服务",
            "赛事改装",
            "汽车影音",
        ],
    ),
    (
        "运动健康",
        &[
            "户外装备",
            "健身训练",
            "体育用品",
            "骑行运动",
            "垂钓用品",
            "游泳用品",
            "瑜伽舞蹈",
            "纤体保健",
        ],
    ),
];

/// What stands before a name of the second level to make one of the third.
const BEGINNINGS: &[&str] =
    &["精选", "热销", "新品", "进口", "国产", "家用", "便携", "儿童", "男士", "女士"];

/// Rows of the second and of the third level.
const SECONDS: u64 = 113;
const THIRDS: u64 = 1_099;

/// The second level: names with the ids above.
fn seconds() -> impl Iterator<Item = (i64, &'static str)> {
    let with_id = (1..).zip(TREE);
    with_id.flat_map(|(above, (_, names))| names.iter().map(move |name| (above, *name)))
}

/// The id of the first category below the one of the second level with this name.
pub(super) fn below(name: &str) -> i64 {
    let second = (0..).zip(seconds()).find(|(_, (_, second))| *second == name);
    let (index, _) = second.expect("goods lie in categories that exist");
    super::super::row::id((index * THIRDS).div_ceil(SECONDS) + 1)
}

/// A name that changes: longer at odd versions.
fn named(name: &str, version: u64) -> String {
    format!("{name}{}", if version.is_multiple_of(2) { "" } else { "类" })
}

/// A row of base_category1; its name changes to and fro.
pub(super) fn first(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let (name, _) = subject.entry(TREE);
    let name = match version % 2 {
        0 => (*name).to_owned(),
        // No longer than the column, which holds ten characters.
        _ if name.contains('、') => name.replace('、', "/"),
        _ => named(name, version),
    };
    Some(vec![("id", subject.id().into()), ("name", name.into())])
}

/// A row of base_category2 likewise.
pub(super) fn second(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let index = usize::try_from(subject.row).expect("few rows");
    let (above, name) = seconds().nth(index).expect("as many as there are rows");
    let name = named(name, version);
    Some(vec![("id", subject.id().into()), ("name", name.into()), ("category1_id", above.into())])
}

/// A row of base_category3 likewise.
pub(super) fn third(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let above = subject.row * SECONDS / THIRDS;
    let begin = (above * THIRDS).div_ceil(SECONDS);
    let (_, name) = seconds().nth(usize::try_from(above).expect("few")).expect("below the last");
    let beginning = BEGINNINGS[usize::try_from(subject.row - begin).expect("at most ten")];
    Some(row(subject.id(), named(&format!("{beginning}{name}"), version), above))
}

/// A category that is tried: it comes, is renamed, gets another id, and goes.
pub(super) fn trial(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let id = 2_000 + subject.id();
    let name = |version| named(&format!("试运营{}", subject.id()), version);
    match version % 4 {
        0 => None,
        1 => Some(row(id, name(0), subject.row)),
        2 => Some(row(id, name(1), subject.row)),
        _ => Some(row(id + 1_000, name(1), subject.row)),
    }
}

fn row(id: i64, name: String, above: u64) -> Row {
    let above = super::super::row::id(above + 1);
    vec![("id", id.into()), ("name", name.into()), ("category2_id", above.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_the_sizes_of_the_teaching_data() {
        assert_eq!(TREE.len(), 17);
        assert_eq!(u64::try_from(seconds().count()).unwrap(), SECONDS);
        let longest = (0..SECONDS).map(|above| {
            ((above + 1) * THIRDS).div_ceil(SECONDS) - (above * THIRDS).div_ceil(SECONDS)
        });
        let longest = usize::try_from(longest.max().unwrap()).unwrap();
        assert_eq!(longest, BEGINNINGS.len());
        assert!(TREE.iter().all(|(name, _)| name.chars().count() <= 10), "base_category1.name");
    }
}
