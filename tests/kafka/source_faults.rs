//! Lost positions, lost topics, lost brokers.

use std::collections::BTreeMap;
use std::time::Instant;

use connectors::kafka::config::OnLostPosition;
use engine::error::{Fault, Retry};
use engine::source::{Position, Start};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use xtask::services::kafka::{Broker, Options};
use xtask::services::offline;

use crate::broker::{self, LIMIT, block_on, topic};
use crate::drive::{READERS, Reading, config, offset_of, reading, readings, shared};

fn admin(broker: &Broker) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let admin = broker::config(&broker.bootstrap()).create().expect("an admin client");
    (admin, AdminOptions::new().operation_timeout(Some(LIMIT)))
}

/// Deletes a topic.
pub(crate) fn delete(broker: &Broker, topic: &str) {
    let (admin, options) = admin(broker);
    let gone = block_on(admin.delete_topics(&[topic], &options)).expect("an answer");
    assert!(gone.iter().all(Result::is_ok), "{gone:?}");
}

/// Takes the records before `offset` away, as retention does.
pub(crate) fn retain_from(broker: &Broker, topic: &str, offset: i64) {
    let (admin, options) = admin(broker);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a valid offset");
    block_on(admin.delete_records(&before, &options)).expect("an answer");
}

fn numbers(count: usize) -> impl Iterator<Item = (Option<Vec<u8>>, Vec<u8>)> {
    (0..count).map(|number| (None, number.to_string().into_bytes()))
}

#[test]
fn a_position_that_retention_passed_is_named() {
    let Some(broker) = shared() else { return };
    for (reader, settings) in READERS {
        let name = format!("retained-{reader}");
        topic(broker, &name, 1);
        broker::produce(&broker.bootstrap(), &name, numbers(100));
        retain_from(broker, &name, 60);
        let mut config = config(&broker.bootstrap(), settings);
        config.topics = vec![name.clone()];
        let saved = Start::At(Position::of_number(17));
        let fault = Reading::from(config.clone(), &saved).until_refused();
        let text = fault.to_string();
        assert_eq!(fault.retry, Retry::Never);
        for part in [&*format!("\"{name}/0\""), "offset 17", "60 to 100", "on_lost_position"] {
            assert!(text.contains(part), "{text}");
        }
        // A position inside goes on, whatever the policy.
        let mut inside = Reading::from(config.clone(), &Start::At(Position::of_number(99)));
        inside.until(1).unwrap();
        assert_eq!(inside.values(), ["99"]);

        config.on_lost_position = OnLostPosition::Earliest;
        let mut read = Reading::from(config.clone(), &saved);
        read.until(40).unwrap();
        assert_eq!(read.values()[0], "60");
        assert_eq!(read.faults.len(), 1, "the choice is told once: {:?}", read.faults);
        assert!(read.faults[0].to_string().contains("going on at earliest"), "{:?}", read.faults);

        config.on_lost_position = OnLostPosition::Latest;
        let mut read = Reading::from(config, &saved);
        while read.faults.is_empty() {
            read.poll().unwrap();
        }
        read.nothing_more();
        broker::produce(&broker.bootstrap(), &name, [(None, b"new".to_vec())]);
        read.until(1).unwrap();
        assert_eq!(read.values(), ["new"]);
    }
}

/// The loss of one partition must not disturb the others, which the refusal does not name.
#[test]
fn other_partitions_go_on() {
    let Some(broker) = shared() else { return };
    for (reader, settings) in READERS {
        let name = format!("one-of-three-{reader}");
        topic(broker, &name, 3);
        let mut config = config(&broker.bootstrap(), settings);
        config.topics = vec![name.clone()];
        config.on_lost_position = OnLostPosition::Earliest;
        let keyed = (0..3000).map(|n: usize| (Some(n.to_string().into_bytes()), b"v".to_vec()));
        broker::produce(&broker.bootstrap(), &name, keyed);
        let mut whole = Reading::from(config.clone(), &Start::Earliest);
        whole.until(3000).unwrap();
        let half = whole.got[&format!("{name}/0")][500].0;
        retain_from(broker, &name, i64::try_from(half).unwrap());
        let zero = Position::of_number(0);
        let saved = (0..3).map(|number| (format!("{name}/{number}"), zero.clone())).collect();
        let mut read = Reading::resume(config, &saved);
        read.until(2500).unwrap();
        read.nothing_more();
        whole.got.get_mut(&format!("{name}/0")).unwrap().drain(..500);
        assert_eq!(read.got, whole.got);
    }
}

#[test]
fn a_topic_made_anew_with_fewer_records_is_found_out() {
    let Some(broker) = shared() else { return };
    topic(broker, "anew", 1);
    broker::produce(&broker.bootstrap(), "anew", numbers(10));
    let mut read = Reading::from(reading(&broker.bootstrap(), &["anew"]), &Start::Earliest);
    read.until(10).unwrap();
    let saved = read.next.clone();
    drop(read);
    delete(broker, "anew");
    topic(broker, "anew", 1);
    broker::produce(&broker.bootstrap(), "anew", numbers(3));
    let fault = Reading::resume(reading(&broker.bootstrap(), &["anew"]), &saved).until_refused();
    assert!(fault.to_string().contains("offset 10"), "{fault}");
    assert!(fault.to_string().contains("\"anew/0\" was made anew"), "{fault}");
    // Without an id, as older versions saved positions, the offsets tell.
    let plain = offset_of(&saved["anew/0"]);
    let plain = BTreeMap::from([("anew/0".to_owned(), Position::of_number(plain))]);
    let fault = Reading::resume(reading(&broker.bootstrap(), &["anew"]), &plain).until_refused();
    assert!(fault.to_string().contains("offset 10"), "{fault}");
    assert!(fault.to_string().contains("0 to 3"), "{fault}");
}

/// Offsets alone would not tell: the position is one of the new topic, too.
#[test]
fn a_topic_made_anew_with_more_records_is_found_out() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "regrown", 2);
    broker::produce(&bootstrap, "regrown", numbers(10));
    let config = reading(&bootstrap, &["regrown"]);
    let mut read = Reading::from(config.clone(), &Start::Earliest);
    read.until(10).unwrap();
    let saved = read.next.clone();
    drop(read);
    // As it is, positions resume.
    Reading::resume(config.clone(), &saved).nothing_more();
    delete(broker, "regrown");
    topic(broker, "regrown", 2);
    broker::produce(&bootstrap, "regrown", numbers(100));
    let fault = Reading::resume(config.clone(), &saved).until_refused();
    assert_eq!(fault.retry, Retry::Never);
    for part in ["cannot read on at offset", "was made anew", "on_lost_position = earliest"] {
        assert!(fault.to_string().contains(part), "{fault}");
    }
    // Where the policy says so, all of the new topic is read, and what was lost is told.
    let going_on = |policy| {
        let mut config = config.clone();
        config.on_lost_position = policy;
        config
    };
    let earliest = going_on(OnLostPosition::Earliest);
    let mut read = Reading::resume(earliest.clone(), &saved);
    read.until(100).unwrap();
    read.nothing_more();
    let told = read.faults.iter().map(ToString::to_string);
    // For each partition that had a position: records without key may all have gone to one.
    let told = told.filter(|fault| fault.contains("made anew, going on at earliest"));
    assert_eq!(told.count(), saved.len());
    // From then on its positions are those of the new topic.
    let mut again = Reading::resume(earliest, &read.next);
    again.nothing_more();
    assert_eq!(again.faults, []);
    let mut read = Reading::resume(going_on(OnLostPosition::Latest), &saved);
    read.nothing_more();
    broker::produce(&bootstrap, "regrown", numbers(3));
    read.until(3).unwrap();
}

/// A running source finds it out by asking which topics there are, as it does from time to time.
#[test]
fn a_topic_made_anew_with_more_records_under_a_running_source_is_found_out() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "regrowing", 1);
    broker::produce(&bootstrap, "regrowing", numbers(10));
    let mut config = reading(&bootstrap, &["regrowing"]);
    config.on_lost_position = OnLostPosition::Earliest;
    let mut read = Reading::from(config, &Start::Earliest);
    read.until(10).unwrap();
    // Nobody polls while it happens, so no refused fetch gives it away.
    delete(broker, "regrowing");
    topic(broker, "regrowing", 1);
    broker::produce(&bootstrap, "regrowing", numbers(100));
    read.partitions().expect("partitions");
    read.until(110).unwrap();
    let values = read.values();
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(values[values.len() - 100..], expected);
    let told = |fault: &Fault| fault.to_string().contains("going on at earliest");
    assert!(read.faults.iter().any(told), "{:?}", read.faults);
}

#[test]
fn a_topic_that_vanishes_stops_the_job() {
    let Some(broker) = shared() else { return };
    topic(broker, "vanishing", 2);
    let mut read = Reading::from(reading(&broker.bootstrap(), &["vanishing"]), &Start::Earliest);
    broker::produce(&broker.bootstrap(), "vanishing", numbers(1));
    read.until(1).unwrap();
    delete(broker, "vanishing");
    let fault = loop {
        match read.partitions() {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.retry, Retry::Never);
    assert!(fault.to_string().contains("\"vanishing\""), "{fault}");
}

/// With a policy a running source goes on in the topic's successor.
#[test]
fn a_topic_made_anew_under_a_running_source_goes_on_by_policy() {
    let Some(broker) = shared() else { return };
    topic(broker, "successor", 1);
    broker::produce(&broker.bootstrap(), "successor", numbers(10));
    let mut config = reading(&broker.bootstrap(), &["successor"]);
    config.on_lost_position = OnLostPosition::Earliest;
    let mut read = Reading::from(config, &Start::Earliest);
    read.until(10).unwrap();
    delete(broker, "successor");
    topic(broker, "successor", 1);
    broker::produce(&broker.bootstrap(), "successor", numbers(3));
    read.until(13).unwrap();
    assert_eq!(read.values()[10..], ["0", "1", "2"]);
    assert!(read.faults.iter().any(|fault| fault.to_string().contains("offset 10")));
}

#[test]
fn an_unknown_topic_is_named_soon() {
    let Some(broker) = shared() else { return };
    let started = Instant::now();
    let fault = Reading::new(reading(&broker.bootstrap(), &["mispelt"])).partitions().unwrap_err();
    assert_eq!(fault.retry, Retry::Never);
    assert!(fault.to_string().contains("\"mispelt\": it does not exist"), "{fault}");
    assert!(started.elapsed().as_secs() < 15, "{:?}", started.elapsed());
}

#[test]
fn a_cluster_that_is_not_there_may_come() {
    let port = xtask::services::ports::Port::take().expect("a free port");
    let address = format!("127.0.0.1:{}", port.number());
    let fault = Reading::new(reading(&address, &["any"])).partitions().unwrap_err();
    assert_eq!(fault.retry, Retry::Later, "{fault}");
    assert!(fault.to_string().contains("Connection refused"), "{fault}");
}

#[test]
fn reading_goes_on_after_a_broker_was_killed() {
    if offline() {
        return;
    }
    let mut own = Broker::start(&Options::default()).expect("a broker of our own");
    topic(&own, "survivor", 2);
    broker::produce(&own.bootstrap(), "survivor", numbers(1000));
    let begin = |config| Reading::from(config, &Start::Earliest);
    let mut both = readings(&own.bootstrap(), &["survivor"]).map(begin);
    for read in &mut both {
        read.until(1000).unwrap();
    }
    own.kill().unwrap();
    for read in &mut both {
        while read.faults.is_empty() {
            read.poll().unwrap();
        }
        assert!(read.faults[0].to_string().contains("could not reach any"), "{:?}", read.faults);
    }
    own.restart().unwrap();
    broker::produce(&own.bootstrap(), "survivor", numbers(1000));
    for read in &mut both {
        read.until(2000).unwrap();
        read.nothing_more();
    }
}
