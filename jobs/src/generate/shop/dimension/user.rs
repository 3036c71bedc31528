//! The users: those who are known at first, and those who register.
//!
//! What a user is called follows from the seed and the id, so whoever writes an order knows it too.

use super::Subject;
use super::code::ENTERED_MS;
use crate::generate::device::day_of;
use crate::generate::random::Random;
use crate::generate::shop::Shop;
use crate::generate::shop::row::{Row, Value, id};

const FAMILY: &[&str] = &[
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林",
    "何", "郭", "马", "罗", "欧阳", "司马",
];

const GIVEN: &[&str] = &[
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "涛", "明", "超",
    "秀英", "霞", "平", "刚", "桂英", "志强", "建国", "雨桐", "子轩", "梓涵",
];

const MAIL: &[&str] = &["gmail.com", "163.com", "qq.com", "126.com", "sohu.com"];

const LETTERS: &[&str] = &["a", "b", "c", "d", "f", "j", "k", "m", "o", "t", "v", "x", "y", "z"];

/// What is fixed about a user; drawn in one go so that no part moves another.
struct Person {
    family: &'static str,
    given: &'static str,
    login: String,
    mail: &'static str,
    phone: u32,
    female: bool,
    birth_day: i64,
}

fn person(shop: &Shop, user: u64) -> Person {
    let mut random = Random::of(&[shop.settings.seed, 20, user]);
    let family = random.pick(FAMILY);
    let given = random.pick(GIVEN);
    let letters = random.between(4, 8);
    Person {
        family,
        given,
        login: (0..letters).map(|_| random.pick(LETTERS)).collect(),
        mail: random.pick(MAIL),
        phone: random.below(900_000_000),
        female: random.chance(5_000),
        // From 1960 to 2006.
        birth_day: i64::from(random.below(17_000)) - 3_653,
    }
}

/// The name for letters.
pub(in crate::generate::shop) fn name(shop: &Shop, user: u64) -> String {
    let Person { family, given, .. } = person(shop, user);
    format!("{family}{given}")
}

/// The name that others see, as at first.
pub(in crate::generate::shop) fn nick_name(shop: &Shop, user: u64) -> String {
    format!("阿{}", person(shop, user).given)
}

/// The telephone number.
pub(in crate::generate::shop) fn phone(shop: &Shop, user: u64) -> String {
    format!("13{:09}", person(shop, user).phone)
}

/// Where parcels go.
pub(in crate::generate::shop) fn address(shop: &Shop, user: u64) -> String {
    let mut random = Random::of(&[shop.settings.seed, 21, user]);
    let mut number = |most| random.between(1, most);
    format!("第{}大街第{}号楼{}单元{}门", number(20), number(40), number(9), number(1_000))
}

/// A user who is known at first: another name, then another level, and again.
pub(super) fn member(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let operated = (version > 0).then(|| subject.at_ms(version));
    Some(user_info(subject.shop, subject.row + 1, version, ENTERED_MS, operated))
}

/// A user who registers.
pub(super) fn registered(subject: &Subject<'_>, version: u64) -> Option<Row> {
    let user = u64::from(subject.shop.settings.users.max(1)) + subject.row + 1;
    (version > 0).then(|| user_info(subject.shop, user, 0, subject.at_ms(version), None))
}

fn user_info(shop: &Shop, user: u64, version: u64, created: i64, operated: Option<i64>) -> Row {
    let person = person(shop, user);
    let named = version.div_ceil(2);
    let nick_name = match named {
        0 => format!("阿{}", person.given),
        _ => format!("阿{}{named}", person.given),
    };
    let level = ["1", "2", "3"][usize::try_from(version / 2 % 3).expect("below 3")];
    vec![
        ("id", id(user).into()),
        ("login_name", person.login.clone().into()),
        ("nick_name", nick_name.into()),
        ("passwd", Value::Null),
        ("name", format!("{}{}", person.family, person.given).into()),
        ("phone_num", format!("13{:09}", person.phone).into()),
        ("email", format!("{}@{}", person.login, person.mail).into()),
        ("head_img", Value::Null),
        ("user_level", level.into()),
        ("birthday", Value::Date(person.birth_day.min(day_of(created)))),
        ("gender", if person.female { "F" } else { "M" }.into()),
        ("create_time", Value::Time(created)),
        ("operate_time", operated.map(Value::Time).into()),
        ("status", Value::Null),
    ]
}
