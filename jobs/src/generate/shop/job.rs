//! shop: the changes of a seed → `ods_db`, and those of the config table → `table_process`.
//!
//! A job like any other, so what it writes is in the topics once, in order of the key, and a second
//! start goes on with the next record. The records of `ods_db` are keyed by table: changes of one table
//! keep their order, and a transaction is spread over partitions.
//!
//! Where the config goes through a topic nobody can tell any more where its snapshot ends; a routing
//! job in the same process should rather read [`ConfigSourceFactory`] itself.

use std::sync::Arc;

use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::codec::{AsRead, Verbatim};
use engine::error::JobError;
use engine::graph::plan::{Feed, SinkTarget, SourceSpec};
use engine::graph::{JobBuilder, JobPlan};
use engine::source::{SourceFactory, Start};

use super::ShopSourceFactory;
use crate::dim::dimensions::TABLE_PROCESS;
use crate::generate::config::ConfigSourceFactory;
use crate::ods::ods_db::NAME as ODS_DB;

/// Name of the job.
pub const NAME: &str = "shop";

/// The plan; `target` is the sink of the topic [`ODS_DB`] and, if there is a config, of
/// [`TABLE_PROCESS`].
///
/// # Errors
///
/// Never, as long as its uids are good ones.
pub fn plan(
    source: ShopSourceFactory,
    config: Option<ConfigSourceFactory>,
    target: SinkTarget,
) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let encoder = Arc::new(Verbatim { key: RAW_KEY, value: RAW_VALUE });
    let changes = job.source("changes", as_read(Arc::new(source)));
    let mut topics = vec![ODS_DB];
    let mut feeds = vec![(&changes.rows, Feed::result(0, encoder.clone()))];
    let config = config.map(|config| job.source("config", as_read(Arc::new(config))));
    if let Some(config) = &config {
        topics.push(TABLE_PROCESS);
        feeds.push((&config.rows, Feed::result(1, encoder)));
    }
    job.sink("topics", target, &topics, feeds);
    job.build()
}

fn as_read(factory: Arc<dyn SourceFactory>) -> SourceSpec {
    SourceSpec {
        factory,
        start: Start::Earliest,
        decoder: Arc::new(|| Box::new(AsRead::default())),
        // Its rows have no time: what a record says of time is read by the warehouse.
        bound_ms: 0,
        idle_timeout_ms: 0,
        future_hold_ms: i64::MAX,
        future_skew_ms: i64::MAX,
        reread: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::graph::plan::TopicSpec;
    use engine::testing::simulate::{Simulation, seeds};

    use super::super::{Generator, Settings};
    use super::*;
    use crate::generate::config::{self, ConfigPace, Layout};
    use crate::generate::source::Pace;

    /// By the length; any function of the key does.
    fn partition(key: &[u8], count: u32) -> u32 {
        u32::try_from(key.len()).expect("short") % count
    }

    fn shop() -> Generator {
        Generator::new(Settings { records: Some(3_500), ..Settings::default() })
    }

    fn config_table() -> config::Generator {
        config::Generator::new(config::Settings::demo(Layout::TableProcess, &shop(), 100))
    }

    type Written = BTreeMap<u32, Vec<(Vec<u8>, Vec<u8>)>>;

    fn expected() -> [Written; 2] {
        let mut written = [Written::new(), Written::new()];
        let (mut line, mut cursor) = (Vec::new(), shop().open(0));
        while let Some(record) = cursor.next(&mut line) {
            let key = record.table.unwrap_or_default().as_bytes().to_vec();
            let value = std::mem::take(&mut line);
            let place = partition(if record.table.is_some() { &key } else { &value }, 4);
            written[0].entry(place).or_default().push((key, value));
        }
        for number in 0..config_table().records() {
            config_table().write(number, &mut line);
            let value = std::mem::take(&mut line);
            written[1].entry(partition(&value, 4)).or_default().push((Vec::new(), value));
        }
        written
    }

    #[test]
    fn every_record_is_in_its_topic_once_and_in_order_under_crashes() {
        let expected = expected();
        for seed in seeds(1, 10) {
            let mut simulation = Simulation::new(seed, 0);
            simulation.run(5, &|_marks, _disk| {
                let topic = |name: &str| TopicSpec { name: name.to_owned(), partitions: 4 };
                let topics = vec![topic(ODS_DB), topic(TABLE_PROCESS)];
                let target = SinkTarget::Topics(topics, partition);
                let source = ShopSourceFactory { generator: shop(), pace: Pace::Unpaced };
                let config =
                    ConfigSourceFactory { generator: config_table(), pace: ConfigPace::Unpaced };
                vec![Arc::new(plan(source, Some(config), target).expect("a good plan"))]
            });
            for (topic, expected) in [ODS_DB, TABLE_PROCESS].into_iter().zip(&expected) {
                let mut written = Written::new();
                for (partition, key, value) in simulation.topic(topic) {
                    written.entry(partition).or_default().push((key, value));
                }
                assert!(written == *expected, "{topic} with seed {seed}");
            }
        }
    }
}
