//! Blocks of records, which the sink sends as they lie.

use std::sync::Arc;

use connectors::kafka::murmur2::partition_of;
use connectors::kafka::sink::KafkaSinkFactory;
use engine::checkpoint::layout::OUTBOX_DIR;
use engine::error::Retry;
use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::blocks::Blocks;
use engine::outbox::log::{BlockLog, LogOptions};
use engine::outbox::rows::{OutRow, RowWriter};
use engine::sink::{SinkFactory as _, SinkReply, SinkRequest};
use engine::testing::disk::SimDisk;

use crate::broker::{Record, read_committed, set_topic, topic, topic_with, values};
use crate::drive::{Delivering, identity, row, shared, unit_of, unit_of_records, writing};

/// What is in a partition, in order.
fn of_partition(found: &[Record], partition: i32) -> Vec<&Record> {
    found.iter().filter(|found| found.partition == partition).collect()
}

#[test]
fn records_arrive_in_their_partition_as_they_lie_in_their_block() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "as-they-lie", 3);
    let config = writing(&bootstrap, "as-they-lie", &[]);
    let (mut sink, _) = Delivering::start(config, &["as-they-lie"], &identity("as-they-lie"));
    let long = "v".repeat(300_000);
    let headers: &[(&str, &[u8])] = &[("h", b"1"), ("h", b"")];
    let in_two = [
        OutRow { headers, ..row(Some("k"), Some("v")) },
        row(None, Some("\u{7528}\u{6237}")),
        row(Some(""), None),
        row(Some("k"), Some(&long)),
        row(Some("k"), Some("last")),
    ];
    let placed = [row(Some("21"), Some("placed"))];
    // One partition twice, and rows among them that the sink places itself: in partition 0.
    let (records, rows) = (|p| RowWriter::of_partition(Vec::new(), 0, p), RowWriter::new());
    let unit = unit_of(
        1,
        1,
        &[
            (records(2), &in_two),
            (rows, &placed),
            (records(0), &in_two[..1]),
            (records(2), &in_two),
        ],
    );
    assert_eq!(unit.1.len(), 8, "what is larger than a block has one of its own");
    assert_eq!(sink.deliver(&unit), Ok(SinkReply::Delivered));
    assert_eq!(sink.faults, []);
    let found = read_committed(&bootstrap, "as-they-lie");
    let in_zero = of_partition(&found, 0);
    let text = |found: &Record| String::from_utf8(found.value.clone().unwrap()).unwrap();
    assert_eq!(in_zero.iter().map(|found| text(found)).collect::<Vec<_>>(), ["placed", "v"]);
    let found = of_partition(&found, 2);
    let expected = in_two.iter().chain(&in_two);
    assert_eq!(found.len(), expected.clone().count());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.key.as_deref(), expected.key);
        assert_eq!(found.value.as_deref(), expected.value);
        let headers = expected.headers.iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| ((*name).to_owned(), Some(value.to_vec()))).collect();
        assert_eq!(found.headers, headers);
    }
}

/// Of a topic that was made anew with fewer partitions, and of one that takes less than it did.
#[test]
fn a_block_that_does_not_fit_any_more_goes_row_by_row() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "fewer", 2);
    let config = writing(&bootstrap, "fewer", &[]);
    let (mut sink, _) = Delivering::start(config, &["fewer"], &identity("fewer"));
    let texts: Vec<String> = (0..400).map(|number| format!("{number:020}")).collect();
    let rows: Vec<_> = texts.iter().map(|text| row(Some("k"), Some(text))).collect();
    assert_eq!(sink.deliver(&unit_of_records(1, 1, &[(7, &rows)])), Ok(SinkReply::Delivered));
    assert_eq!(sink.faults, []);
    let found = read_committed(&bootstrap, "fewer");
    assert_eq!(values(&found), texts);
    let partition = i32::try_from(partition_of(b"k", 2)).unwrap();
    assert!(found.iter().all(|found| found.partition == partition));

    topic(broker, "smaller", 2);
    let config = writing(&bootstrap, "smaller", &[]);
    let (mut sink, _) = Delivering::start(config, &["smaller"], &identity("smaller"));
    assert_eq!(sink.deliver(&unit_of_records(1, 1, &[(0, &rows)])), Ok(SinkReply::Delivered));
    assert_eq!(sink.faults, []);
    set_topic(broker, "smaller", ("max.message.bytes", "3000"));
    assert_eq!(sink.deliver(&unit_of_records(2, 2, &[(0, &rows)])), Ok(SinkReply::Delivered));
    let faults: Vec<String> = sink.faults.iter().map(ToString::to_string).collect();
    let mended = |fault: &String| fault.contains("it takes batches of 3000 bytes now");
    assert!(!faults.is_empty() && faults.iter().all(mended), "{faults:?}");
    assert_eq!(read_committed(&bootstrap, "smaller").len(), 800);
}

/// A unit of records as it lies in the outbox of a disk, and where its last block ends.
fn stored(disk: &SimDisk, epoch: u64, rows: &[OutRow<'_>]) -> (SinkRequest, u64) {
    let log = BlockLog::open(Arc::new(disk.clone()), OUTBOX_DIR, 7, LogOptions::default(), None);
    let mut log = log.expect("an empty outbox");
    let (unit, blocks) = unit_of_records(epoch, epoch, &[(0, rows), (1, rows)]);
    let append = |block: &Arc<Block>| {
        let header = BlockHeader { base: log.next_base(), ..block.header };
        log.append(header, &block.bytes).expect("a disk without faults")
    };
    let references: Vec<_> = blocks.iter().map(append).collect();
    let last = references.last().expect("a unit has blocks");
    let end = last.offset + u64::from(last.length);
    (SinkRequest::Deliver(unit, Blocks::stored(Arc::new(disk.clone()), &references)), end)
}

/// The broker finds what nobody else has looked at; the second time the sink looks.
#[test]
fn a_damaged_block_is_refused_by_the_broker_and_then_found_where_it_lies() {
    const FILE: &str = "state/outbox/00000000000000000000.log";
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "damaged-block", 2);
    let config = writing(&bootstrap, "damaged-block", &[]);
    let (mut sink, _) = Delivering::start(config, &["damaged-block"], &identity("damaged-block"));
    let rows = [row(Some("k"), Some("first")), row(None, Some("last"))];
    // A letter of the last value, the number of its record; of the block what it says of its largest one,
    // and its partition.
    for (epoch, behind) in [(1, 2), (2, 8), (3, 28), (4, 32)] {
        let disk = SimDisk::new();
        let (request, end) = stored(&disk, epoch, &rows);
        disk.flip_bit(FILE, end - behind);
        sink.sink.begin(request.clone());
        let fault = sink.answer().unwrap_err();
        assert_eq!(fault.retry, Retry::Later);
        assert!(fault.to_string().contains("says that a batch is damaged"), "{fault}");
        sink.sink.begin(request.clone());
        let fatal = sink.broken();
        assert!(fatal.message.contains(FILE), "{fatal}");
        // It was memory, say, and not the disk.
        disk.flip_bit(FILE, end - behind);
        sink.sink.begin(request);
        assert_eq!(sink.answer(), Ok(SinkReply::Delivered));
    }
    // Of which topic the records are, and that they are records: nothing of that is sent.
    for behind in [34, 35] {
        let disk = SimDisk::new();
        let (request, end) = stored(&disk, 5, &rows);
        disk.flip_bit(FILE, end - behind);
        sink.sink.begin(request);
        let fatal = sink.broken();
        assert!(fatal.message.contains(FILE), "{fatal}");
    }
    let found = read_committed(&bootstrap, "damaged-block");
    assert_eq!(
        values(&found),
        ["first", "last"].repeat(8),
        "each unit once, nothing of its damage"
    );
}

#[test]
fn whoever_encodes_rows_is_told_of_partitions_that_take_whole_blocks() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "told", 5);
    topic_with(broker, "told-small", 3, &[("max.message.bytes", "200000")]);
    let topics = ["told", "told-small"].map(str::to_owned).to_vec();
    for (settings, expected) in [
        (&[][..], Some([5, 0])),
        (&[("batch.size", "1000")], Some([0, 0])),
        (&[("ssl.ca.location", "/ca.pem")], None),
    ] {
        let config = writing(&bootstrap, "told", settings);
        let factory = KafkaSinkFactory::new(config, topics.clone()).unwrap();
        let partitions = factory.partitions();
        assert_eq!(partitions.is_some(), expected.is_some(), "librdkafka takes rows");
        let (Some(partitions), Some(expected)) = (partitions, expected) else { continue };
        let known = || partitions.known(0);
        assert_eq!(known(), [0, 0]);
        Delivering::of(factory.create().unwrap()).prepare(&identity("told")).unwrap();
        assert_eq!(known(), expected);
    }
}
