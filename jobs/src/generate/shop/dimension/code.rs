//! The dictionary of codes (warehouse 3.2), which never changes.

use super::Subject;
use crate::generate::shop::row::{Row, Value};

/// When the shop's fixed data was entered: 2021-12-14 00:00:00.
pub(in crate::generate::shop) const ENTERED_MS: i64 = 1_639_411_200_000;

/// Rows of base_dic.
pub(super) const COUNT: u64 = 59;

/// Code and name; a code of two digits is a group, what is in it begins with it.
const CODES: &[(&str, &str)] = &[
    ("07", "退单状态"),
    ("0701", "商家审核中"),
    ("0702", "商家审核通过"),
    ("0703", "商家审核未通过"),
    ("0704", "买家发货"),
    ("0705", "退单完成"),
    ("0706", "退单失败"),
    ("10", "单据状态"),
    ("1001", "未支付"),
    ("1002", "已支付"),
    ("1003", "已取消"),
    ("1004", "已完成"),
    ("1005", "退款中"),
    ("1006", "退款完成"),
    ("11", "支付类型"),
    ("1101", "支付宝"),
    ("1102", "微信"),
    ("1103", "银联"),
    ("12", "评价"),
    ("1201", "好评"),
    ("1202", "中评"),
    ("1203", "差评"),
    ("1204", "自动"),
    ("13", "退货原因"),
    ("1301", "质量问题"),
    ("1302", "商品描述与实际描述不一致"),
    ("1303", "缺货"),
    ("1304", "号码不合适"),
    ("1305", "拍错"),
    ("1306", "不想买了"),
    ("1307", "其他"),
    ("14", "购物券状态"),
    ("1401", "未使用"),
    ("1402", "使用中"),
    ("1403", "已使用"),
    ("15", "退款类型"),
    ("1501", "仅退款"),
    ("1502", "退货退款"),
    ("16", "支付状态"),
    ("1601", "未支付"),
    ("1602", "已支付"),
    ("1603", "已关闭"),
    ("24", "流量来源"),
    ("2401", "用户查询"),
    ("2402", "商品推广"),
    ("2403", "智能推荐"),
    ("2404", "促销活动"),
    ("31", "活动类型"),
    ("3101", "满减"),
    ("3102", "满量打折"),
    ("3103", "折扣"),
    ("32", "优惠券类型"),
    ("3201", "满减"),
    ("3202", "满量打折"),
    ("3203", "代金券"),
    ("33", "优惠券范围"),
    ("3301", "三级分类"),
    ("3302", "品牌"),
    ("3303", "SPU"),
];

/// A row of base_dic.
pub(super) fn state(subject: &Subject<'_>, _version: u64) -> Option<Row> {
    let (code, name) = *subject.entry(CODES);
    let group = code.get(..2).filter(|group| *group != code);
    Some(vec![
        ("dic_code", code.into()),
        ("dic_name", name.into()),
        ("parent_code", group.into()),
        ("create_time", Value::Time(ENTERED_MS)),
        ("operate_time", Value::Null),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_counted() {
        assert_eq!(u64::try_from(CODES.len()).unwrap(), COUNT);
    }
}
