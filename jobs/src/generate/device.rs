//! The devices: what `common` says about one of them is the same in every visit.
//!
//! Everything follows from the seed and the number of the device, so nothing about devices has to
//! be stored. A device is either old, known to the warehouse before the first record, or it appears
//! on a certain day; the schedule must not send visits of a device before its day.

use super::random::Random;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// Days since 1970-01-01 in the warehouse zone, UTC+8 all year.
pub(super) fn day_of(time_ms: i64) -> i64 {
    (time_ms + 8 * 3_600_000).div_euclid(DAY_MS)
}

/// A brand with what its owners use.
struct Brand {
    weight: u32,
    name: &'static str,
    models: &'static [&'static str],
    systems: &'static [&'static str],
    channels: &'static [&'static str],
}

const ANDROID: &[&str] = &["Android 11.0", "Android 11.0", "Android 10.0", "Android 9.0"];

const BRANDS: &[Brand] = &[
    Brand {
        weight: 30,
        name: "Xiaomi",
        models: &["Xiaomi 9", "Xiaomi 10 Pro ", "Xiaomi Mix2 "],
        systems: ANDROID,
        channels: &["xiaomi", "xiaomi", "wandoujia", "oppo", "web"],
    },
    Brand {
        weight: 25,
        name: "Huawei",
        models: &["Huawei P30", "Huawei Mate 30"],
        systems: ANDROID,
        channels: &["huawei", "huawei", "wandoujia", "360", "xiaomi"],
    },
    Brand {
        weight: 20,
        name: "iPhone",
        models: &["iPhone X", "iPhone Xs", "iPhone Xs Max", "iPhone 8"],
        systems: &["iOS 13.3.1", "iOS 13.2.9", "iOS 13.2.3", "iOS 12.4.1"],
        channels: &["Appstore"],
    },
    Brand {
        weight: 10,
        name: "Redmi",
        models: &["Redmi k30"],
        systems: ANDROID,
        channels: &["xiaomi", "oppo", "web"],
    },
    Brand {
        weight: 6,
        name: "vivo",
        models: &["vivo iqoo3", "vivo x90"],
        systems: ANDROID,
        channels: &["vivo", "vivo", "360"],
    },
    Brand {
        weight: 4,
        name: "Honor",
        models: &["Honor 20s"],
        systems: ANDROID,
        channels: &["huawei", "web"],
    },
    Brand {
        weight: 4,
        name: "Sumsung",
        models: &["Sumsung Galaxy S20"],
        systems: ANDROID,
        channels: &["wandoujia", "360"],
    },
    Brand {
        weight: 3,
        name: "Oneplus",
        models: &["Oneplus 7"],
        systems: ANDROID,
        channels: &["oppo", "web"],
    },
    Brand {
        weight: 2,
        name: "realme",
        models: &["realme x2"],
        systems: ANDROID,
        channels: &["oppo", "wandoujia"],
    },
];

/// Area codes of provinces with a rough weight by population.
const AREAS: &[(u32, &str)] = &[
    (12, "440000"),
    (10, "370000"),
    (9, "410000"),
    (8, "320000"),
    (8, "510000"),
    (7, "130000"),
    (6, "330000"),
    (6, "420000"),
    (6, "430000"),
    (5, "110000"),
    (5, "310000"),
    (4, "340000"),
    (4, "350000"),
    (4, "210000"),
    (4, "610000"),
    (3, "500000"),
    (3, "230000"),
    (2, "220000"),
    (2, "120000"),
    (2, "530000"),
    (1, "650000"),
    (1, "150000"),
    (1, "460000"),
    (1, "540000"),
    (1, "630000"),
    (1, "640000"),
    (1, "710000"),
    (1, "810000"),
];

const VERSIONS: &[(u32, &str)] =
    &[(75, "v2.1.134"), (13, "v2.1.132"), (8, "v2.1.111"), (4, "v2.0.1")];

/// What `common` says about a device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// Number behind `mid_`, from 1.
    pub(super) number: u32,
    pub(super) area: &'static str,
    pub(super) brand: &'static str,
    pub(super) channel: &'static str,
    pub(super) model: &'static str,
    pub(super) system: &'static str,
    pub(super) version: &'static str,
    /// The user who logs in on it.
    pub(super) uid: u32,
    /// First day of the device, as [`day_of`]; `None` = before the first record.
    pub(super) first_day: Option<i64>,
}

/// The device with this number.
///
/// `first` and `days` are the first day of the records and how many follow; `users` is the number
/// of user ids.
pub(super) fn device(seed: u64, number: u32, first: i64, days: u32, users: u32) -> Device {
    let mut random = Random::of(&[seed, 1, u64::from(number)]);
    let brand = random.pick_weighted(BRANDS, |brand| brand.weight);
    Device {
        number,
        area: random.pick_weighted(AREAS, |&(weight, _)| weight).1,
        brand: brand.name,
        channel: random.pick(brand.channels),
        model: random.pick(brand.models),
        system: random.pick(brand.systems),
        version: random.pick_weighted(VERSIONS, |&(weight, _)| weight).1,
        uid: 1 + random.below(users),
        first_day: first_day(&mut random, first, days),
    }
}

/// Two devices of three are old, one of six begins on the first day, the rest on a later one.
fn first_day(random: &mut Random, first: i64, days: u32) -> Option<i64> {
    match random.below(6) {
        0..4 => None,
        4 => Some(first),
        _ => Some(first + i64::from(random.below(days))),
    }
}
