//! Topics that rows name: found, made, made again; in the same transaction as those they number.

use engine::error::Retry;
use engine::outbox::rows::OutRow;
use engine::runtime::ddl::DDL_SHARD;
use engine::sink::{SinkIdentity, SinkReply, SinkRequest, TableDefinition};

use crate::broker::{read_committed, topic, values};
use crate::drive::{Delivering, PRODUCERS, identity, row, shared, unit, writing};
use crate::source_faults::delete;

fn named<'a>(topic: &'a str, key: &'a str, value: &'a str) -> OutRow<'a> {
    OutRow { topic: Some(topic), ..row(Some(key), Some(value)) }
}

fn sorted(bootstrap: &str, topic: &str) -> Vec<String> {
    let mut values = values(&read_committed(bootstrap, topic));
    values.sort();
    values
}

#[test]
fn topics_that_rows_name_are_found_or_made_and_written_together() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    for (writer, settings) in PRODUCERS {
        let name = format!("named-{writer}");
        let [there, new, late] = ["there", "new", "late"].map(|end| format!("{name}-{end}"));
        topic(broker, &there, 2);
        let mut config = writing(&bootstrap, &name, settings);
        config.partitions = 3;
        let (mut sink, _) = Delivering::start(config.clone(), &[&name], &identity(&name));
        let rows = [
            row(Some("k"), Some("1 numbered")),
            named(&there, "k", "1 there"),
            named(&new, "k", "1 new"),
            named(&name, "k", "1 numbered, by name"),
        ];
        assert_eq!(sink.deliver(&unit(1, 1, &rows)), Ok(SinkReply::Delivered));
        let rows = [named(&late, "k", "2 late"), named(&new, "k", "2 new")];
        assert_eq!(sink.deliver(&unit(2, 2, &rows)), Ok(SinkReply::Delivered));
        // Whoever comes next knows nothing of them.
        let (mut next, last) = Delivering::start(config, &[&name], &identity(&name));
        assert_eq!(last, Some(2));
        let rows = [named(&new, "k", "3 new"), row(Some("k"), Some("3 numbered"))];
        assert_eq!(next.deliver(&unit(3, 3, &rows)), Ok(SinkReply::Delivered));
        assert_eq!((sink.faults, next.faults), (Vec::new(), Vec::new()), "{writer}");

        assert_eq!(sorted(&bootstrap, &name), ["1 numbered", "1 numbered, by name", "3 numbered"]);
        assert_eq!(sorted(&bootstrap, &there), ["1 there"]);
        assert_eq!(sorted(&bootstrap, &new), ["1 new", "2 new", "3 new"]);
        assert_eq!(sorted(&bootstrap, &late), ["2 late"]);
        let placed = |topic: &str, partitions| {
            let at = connectors::kafka::murmur2::partition_of(b"k", partitions);
            let found = read_committed(&bootstrap, topic);
            assert!(found.iter().all(|found| i64::from(found.partition) == i64::from(at)));
        };
        placed(&new, 3);
        placed(&there, 2);
    }
}

/// librdkafka's producer finds it out, too, but waits for the topic as long as a transaction may take.
#[test]
fn a_topic_that_somebody_deleted_holds_up_nobody() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    let config = writing(&bootstrap, "deleted", &[]);
    let (mut sink, _) = Delivering::start(config, &["deleted"], &identity("deleted"));
    let mut deliver = |epoch: u64, names: bool| {
        let [numbered, by_name] = [format!("{epoch} numbered"), format!("{epoch} named")];
        let both = [row(Some("k"), Some(&numbered)), named("deleted-gone", "k", &by_name)];
        let rows = if names { &both[..] } else { &both[..1] };
        assert_eq!(sink.deliver(&unit(epoch, epoch, rows)), Ok(SinkReply::Delivered));
    };
    deliver(1, true);
    delete(broker, "deleted-gone");
    deliver(2, false);
    deliver(3, true);
    deliver(4, true);
    let numbered = (1..=4).map(|epoch| format!("{epoch} numbered")).collect::<Vec<_>>();
    assert_eq!(sorted(&bootstrap, "deleted"), numbered, "{:?}", sink.faults);
    assert_eq!(sorted(&bootstrap, "deleted-gone"), ["3 named", "4 named"], "{:?}", sink.faults);
}

#[test]
fn a_topic_is_made_when_it_is_asked_for_or_refused() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    let mut config = writing(&bootstrap, "asked", &[]);
    config.partitions = 2;
    let mut sink = Delivering::new(config, &["asked"]);
    let asking = SinkIdentity { shard: DDL_SHARD, ..identity("asked") };
    sink.prepare(&asking).expect("prepared");
    let mut ask = |name: &str| {
        let table = TableDefinition { name: name.to_owned(), ..TableDefinition::default() };
        sink.sink.begin(SinkRequest::EnsureTable(table));
        sink.answer()
    };
    assert_eq!(ask("asked-one"), Ok(SinkReply::TableReady));
    let fault = ask("no topic").expect_err("a name that Kafka does not take");
    assert_eq!(fault.retry, Retry::Never, "{fault}");
    assert!(fault.to_string().contains("\"no topic\""), "{fault}");
    // Again, and another one.
    assert_eq!(ask("asked-one"), Ok(SinkReply::TableReady));
    assert_eq!(ask("asked-two"), Ok(SinkReply::TableReady));
    assert!(read_committed(&bootstrap, "asked-two").is_empty());
}
