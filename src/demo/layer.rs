//! The names of the layers: which topics and tables a demo fills, in the order in which they are
//! shown.

use jobs::Job;
use jobs::dwd::{log_split, unique_visitor, user_jump};
use jobs::dws::window::WindowTable;
use jobs::dws::{page_view, traffic};
use jobs::outside::{dead_topic, future_topic, late_topic};

/// The topic the generator writes.
pub(super) const ODS: &str = log_split::ODS_LOG;

/// Topics of DWD.
pub(super) fn dwd() -> impl Iterator<Item = &'static str> {
    log_split::TOPICS.into_iter().chain([unique_visitor::TOPIC, user_jump::TOPIC])
}

/// Tables of DWS.
pub(super) const DWS: [&WindowTable; 2] = [&page_view::TABLE, &traffic::TABLE];

/// Topics of side outputs.
pub(super) fn sides() -> impl Iterator<Item = String> {
    let late = Job::LOGS.into_iter().filter(|job| *job != Job::LogSplit);
    [dead_topic(log_split::NAME), future_topic(log_split::NAME)]
        .into_iter()
        .chain(late.map(|job| late_topic(job.name())))
}
