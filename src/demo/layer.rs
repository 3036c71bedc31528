//! The names of the layers: which topics and tables a demo fills, in the order in which they are
//! shown.

use jobs::Job;
use jobs::dim::dimensions;
use jobs::dwd::{log_split, unique_visitor, user_jump};
use jobs::dws::window::WindowTable;
use jobs::dws::{page_view, traffic};
use jobs::ods::ods_db;
use jobs::outside::{dead_topic, future_topic, late_topic};

/// The topic of app logs.
pub(super) const LOG: &str = log_split::ODS_LOG;
/// The topic of the shop's changes.
pub(super) const SHOP: &str = ods_db::NAME;
/// The topic of the config table's changes.
pub(super) const CONFIG: &str = dimensions::TABLE_PROCESS;

/// The topics the generators write.
pub(super) const ODS: [&str; 3] = [LOG, SHOP, CONFIG];

/// Topics of DWD.
pub(super) fn dwd() -> impl Iterator<Item = &'static str> {
    log_split::TOPICS.into_iter().chain([unique_visitor::TOPIC, user_jump::TOPIC])
}

/// Tables of DWS.
pub(super) const DWS: [&WindowTable; 2] = [&page_view::TABLE, &traffic::TABLE];

/// Topics of side outputs.
pub(super) fn sides() -> impl Iterator<Item = String> {
    let late = Job::LOGS.into_iter().filter(|job| *job != Job::LogSplit);
    [dead_topic(log_split::NAME), future_topic(log_split::NAME), dead_topic(ods_db::NAME)]
        .into_iter()
        .chain(late.map(|job| late_topic(job.name())))
        .chain(DIMENSION_SIDES.map(str::to_owned))
}

const DIMENSION_SIDES: [&str; 3] =
    [dimensions::CONFIG_FAULT, dimensions::NULL_PK, dimensions::UNROUTED];
