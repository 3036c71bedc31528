//! Provinces and regions.

use super::Subject;
use crate::generate::random::Random;
use crate::generate::shop::row::Row;

const REGIONS: &[&str] = &["华北", "华东", "东北", "华中", "华南", "西南", "西北"];

/// A province, in the order of ids.
struct Province {
    name: &'static str,
    region: &'static str,
    area: &'static str,
    /// Numeric and alphabetic code of the country and the province.
    iso: [&'static str; 2],
    /// How many people live there, about, in millions.
    people: u32,
}

const fn province_of(
    name: &'static str,
    region: &'static str,
    area: &'static str,
    iso: [&'static str; 2],
    people: u32,
) -> Province {
    Province { name, region, area, iso, people }
}

const PROVINCES: &[Province] = &[
    province_of("北京", "1", "110000", ["CN-11", "CN-BJ"], 22),
    province_of("天津", "1", "120000", ["CN-12", "CN-TJ"], 14),
    province_of("山西", "1", "140000", ["CN-14", "CN-SX"], 35),
    province_of("内蒙古", "1", "150000", ["CN-15", "CN-NM"], 24),
    province_of("河北", "1", "130000", ["CN-13", "CN-HE"], 75),
    province_of("上海", "2", "310000", ["CN-31", "CN-SH"], 25),
    province_of("江苏", "2", "320000", ["CN-32", "CN-JS"], 85),
    province_of("浙江", "2", "330000", ["CN-33", "CN-ZJ"], 65),
    province_of("安徽", "2", "340000", ["CN-34", "CN-AH"], 61),
    province_of("福建", "2", "350000", ["CN-35", "CN-FJ"], 42),
    province_of("江西", "2", "360000", ["CN-36", "CN-JX"], 45),
    province_of("山东", "2", "370000", ["CN-37", "CN-SD"], 102),
    province_of("台湾", "2", "710000", ["CN-71", "CN-TW"], 23),
    province_of("黑龙江", "3", "230000", ["CN-23", "CN-HL"], 32),
    province_of("吉林", "3", "220000", ["CN-22", "CN-JL"], 24),
    province_of("辽宁", "3", "210000", ["CN-21", "CN-LN"], 43),
    province_of("陕西", "7", "610000", ["CN-61", "CN-SN"], 40),
    province_of("甘肃", "7", "620000", ["CN-62", "CN-GS"], 25),
    province_of("青海", "7", "630000", ["CN-63", "CN-QH"], 6),
    province_of("宁夏", "7", "640000", ["CN-64", "CN-NX"], 7),
    province_of("新疆", "7", "650000", ["CN-65", "CN-XJ"], 26),
    province_of("河南", "4", "410000", ["CN-41", "CN-HA"], 99),
    province_of("湖北", "4", "420000", ["CN-42", "CN-HB"], 58),
    province_of("湖南", "4", "430000", ["CN-43", "CN-HN"], 66),
    province_of("广东", "5", "440000", ["CN-44", "CN-GD"], 126),
    province_of("广西", "5", "450000", ["CN-45", "CN-GX"], 50),
    province_of("海南", "5", "460000", ["CN-46", "CN-HI"], 10),
    province_of("香港", "5", "810000", ["CN-91", "CN-HK"], 7),
    province_of("澳门", "5", "820000", ["CN-92", "CN-MO"], 1),
    province_of("四川", "6", "510000", ["CN-51", "CN-SC"], 84),
    province_of("贵州", "6", "520000", ["CN-52", "CN-GZ"], 39),
    province_of("云南", "6", "530000", ["CN-53", "CN-YN"], 47),
    province_of("重庆", "6", "500000", ["CN-50", "CN-CQ"], 32),
    province_of("西藏", "6", "540000", ["CN-54", "CN-XZ"], 4),
];

/// The id of a province, each as often as people live there.
pub(in crate::generate::shop) fn draw(random: &mut Random) -> i64 {
    let numbered: Vec<(i64, &Province)> = (1..).zip(PROVINCES).collect();
    random.pick_weighted(&numbered, |(_, province)| province.people).0
}

/// A row of base_province; its numeric code becomes the alphabetic one and back.
pub(super) fn province(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let province = subject.entry(PROVINCES);
    let code = if version.is_multiple_of(2) { province.iso[0] } else { province.iso[1] };
    Some(vec![
        ("id", subject.id().into()),
        ("name", province.name.into()),
        ("region_id", province.region.into()),
        ("area_code", province.area.into()),
        ("iso_code", code.into()),
        ("iso_3166_2", province.iso[1].into()),
    ])
}

/// A row of base_region, whose id is a text; its name gets longer and shorter.
pub(super) fn region(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let ending = if version.is_multiple_of(2) { "" } else { "地区" };
    Some(vec![
        ("id", subject.id().to_string().into()),
        ("region_name", format!("{}{ending}", subject.entry(REGIONS)).into()),
    ])
}
