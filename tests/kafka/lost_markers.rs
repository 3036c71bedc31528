//! A broker that answered a commit and lost its markers, and the unit after it.
//!
//! What a kill of the broker does once in ten times happens here every time, at the very place: see
//! `Producer::make_sure`, and decision 0015. Without the second commit the markers of the next unit,
//! which is aborted, would take back the rows that were reported delivered.

use engine::error::Retry;
use engine::outbox::rows::OutRow;
use xtask::services::offline;

use crate::broker::{read_committed, topic, values};
use crate::drive::{Delivering, Waiting, identity, numbered, numbered_values, row, unit, writing};
use crate::proxy::{Cut, Proxy};

const ROWS: usize = 60;

fn sorted(bootstrap: &str, topic: &str) -> Vec<String> {
    let mut values = values(&read_committed(bootstrap, topic));
    values.sort();
    values
}

/// A unit that is written in part and then aborted: its last row is larger than the client allows.
fn aborted(sink: &mut Delivering, epoch: u64) {
    let large = "x".repeat(6_000);
    let texts: Vec<(String, String)> =
        (0..ROWS).map(|number| (number.to_string(), format!("never {epoch}.{number}"))).collect();
    let small = texts.iter().map(|(key, value)| row(Some(key), Some(value)));
    let rows: Vec<OutRow<'_>> = small.chain([row(None, Some(&large))]).collect();
    let fault = sink.deliver(&unit(epoch, epoch, &rows)).expect_err("too large");
    assert_eq!(fault.retry, Retry::Never);
    assert!(fault.to_string().contains("6000 bytes"), "{fault}");
}

#[test]
fn markers_that_a_broker_lost_are_made_up_for() {
    if offline() {
        return;
    }
    let (proxy, broker) = Proxy::before_a_broker();
    topic(&broker, "unmarked", 3);
    // Batches so small that rows are sent before the last one is looked at.
    let settings = [("batch.size", "500"), ("message.max.bytes", "5000")];
    let config = writing(&proxy.address(), "unmarked", &settings);
    let (mut sink, _) = Delivering::start(config, &["unmarked"], &identity("unmarked"));
    let (mut epoch, mut delivered) = (0, Vec::new());
    for cut in [Cut::AfterAnswer, Cut::BeforeAnswer, Cut::AfterAnswer] {
        epoch += 1;
        proxy.lose_markers_and_cut(cut);
        sink.deliver(&numbered(epoch, ROWS)).expect("delivered");
        delivered.push((epoch, ROWS));
        let waiting = Waiting::new();
        while !proxy.is_done() {
            waiting.turn("the markers to be lost");
        }
        // Over the new connection the commit is asked for again before it counts.
        while cut == Cut::BeforeAnswer
            && sorted(&broker.bootstrap(), "unmarked") != numbered_values(delivered.clone())
        {
            waiting.turn("markers that make up for the lost ones");
        }
        aborted(&mut sink, epoch + 1);
        let seen = sorted(&broker.bootstrap(), "unmarked");
        assert_eq!(seen, numbered_values(delivered.clone()), "{cut:?}");
        // What comes next is marked as ever.
        epoch += 1;
        sink.deliver(&numbered(epoch, 5)).expect("delivered");
        delivered.push((epoch, 5));
        let seen = sorted(&broker.bootstrap(), "unmarked");
        assert_eq!(seen, numbered_values(delivered.clone()), "{cut:?}");
    }
    assert_eq!(sink.faults, []);
    assert_eq!(sink.last().expect("readers of progress are free"), Some(epoch));
}
