//! The last Kafka before 4.0, which has transactions of the first kind only (KIP-890): a slice of what is
//! proved on the newest. All of it there: `WATERSHED_KAFKA=3.9.2 cargo test --test kafka`.

use engine::source::Start;
use xtask::services::kafka::{Broker, Options};
use xtask::services::offline;
use xtask::services::version::Version;

use crate::drive::{PRODUCERS, Reading, reading};
use crate::sink_faults::{fence, kill_in_mid_delivery};

#[test]
fn an_older_broker_that_is_killed_in_mid_delivery_loses_and_doubles_nothing() {
    for (_, settings) in PRODUCERS {
        kill_in_mid_delivery(&Options::of(Version::older()), 2, settings);
    }
}

#[test]
fn an_older_broker_fences_and_is_read() {
    if offline() {
        return;
    }
    let broker = Broker::start(&Options::of(Version::older())).expect("an older broker");
    for (writer, settings) in PRODUCERS {
        let name = format!("older-{writer}");
        fence(&broker, &name, settings);
        let config = reading(&broker.bootstrap(), &[&name]);
        let mut read = Reading::from(config.clone(), &Start::Earliest);
        read.until(6).expect("no fault");
        read.nothing_more();
        let mut resumed = Reading::resume(config, &read.next);
        resumed.nothing_more();
        assert_eq!((read.faults, resumed.faults), (Vec::new(), Vec::new()), "{writer}");
    }
}
