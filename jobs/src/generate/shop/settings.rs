//! What the shop's records depend on.
//!
//! Whoever continues a stream MUST give the settings it began with: with others, a number means
//! another record.

use crate::generate;

/// What the records depend on. Times mean the same as in the [log generator's
/// settings](crate::generate::Settings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Another seed, other records. Default 1.
    pub seed: u64,
    /// How many records there are, those of the bootstrap included; `None` (the default) = no end.
    pub records: Option<u64>,
    /// With `records`: those behind the bootstrap fill so many times 24 hours. Default 1.
    pub days: u32,
    /// With `records`: instant of the last record, in milliseconds since the epoch.
    pub last_day_end_ms: i64,
    /// Without `records`: instant of the bootstrap and of the first record behind it.
    pub start_ms: i64,
    /// Without `records`: how many records make one second of event time. Default 200.
    pub records_per_second: u32,
    /// Whether the stream begins with the bootstrap of the dimension tables. Default true.
    pub bootstrap: bool,
    /// Users that the bootstrap finds; later ones register. Default 500.
    pub users: u32,
    /// Only users up to this id buy something. Default 20 000.
    pub uids: u32,
    /// Number of goods, `sku_id` 1 to `skus`. Default 35.
    pub skus: u32,
    /// How many of ten thousand records behind the bootstrap change a dimension table. Default 100.
    /// Exact up to 3500 if there are no faults; what is more than has room is left out.
    pub dimension_share: u32,
    /// How many of ten thousand records behind the bootstrap are a [`Fault`](super::Fault). Exact up to 1500;
    /// they leave less room for changes of dimensions. Default 20.
    pub fault_share: u32,
    /// What visitors do.
    pub shares: Shares,
}

/// How many of ten thousand visitors do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Take a coupon. 7500.
    pub coupon: u32,
    /// Mark a favourite. 7000.
    pub favor: u32,
    /// Order what lies in the cart. 8000.
    pub order: u32,
    /// Of those who order: pay. 8500.
    pub pay: u32,
    /// Of those who pay: want their money back. 2000.
    pub refund: u32,
    /// Of those who keep what they bought: say what it is like. 4000.
    pub comment: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let log = generate::Settings::default();
        Self { records_per_second: 200, ..Self::beside(&log) }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            coupon: 7_500,
            favor: 7_000,
            order: 8_000,
            pay: 8_500,
            refund: 2_000,
            comment: 4_000,
        }
    }
}

impl Settings {
    /// Settings that fit to those of a log generator: same seed, times, users and goods, and as many
    /// records.
    pub fn beside(log: &generate::Settings) -> Self {
        Self {
            seed: log.seed,
            records: log.records,
            days: log.days,
            last_day_end_ms: log.last_day_end_ms,
            start_ms: log.start_ms,
            records_per_second: log.records_per_second,
            bootstrap: true,
            users: 500,
            uids: log.uids,
            skus: log.skus,
            dimension_share: 100,
            fault_share: 20,
            shares: Shares::default(),
        }
    }
}
