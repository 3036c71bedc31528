//! Records that wait for their table, at the gate by itself.

use connectors::format::dimension::ChangeView;
use connectors::format::maxwell::decoder::MaxwellDecoder;
use engine::batch::Batch;
use engine::batch::NO_TIME;
use engine::batch::build::{BatchBuilder, RawBuilder, raw_schema};
use engine::codec::{Decoded, Decoder as _};
use engine::counter::Counters;
use engine::operator::gate::{Gate, GateMode};
use engine::testing::by_hand::{ByHand, Closed};

use super::super::rows::CHANGE;
use super::line::DimensionLane;
use super::*;
use crate::settings::Deletes;

fn gate() -> Box<Gate<Routing<DimensionLane>>> {
    let route = |source: &str| Route {
        source: source.to_owned(),
        sink: source.to_owned(),
        columns: vec!["id".to_owned()],
        keys: vec!["id".to_owned()],
        fill: None,
        edition: 0,
    };
    let lane = DimensionLane::new("d", Deletes::Delete, "dictionary");
    let routing = Routing::new(lane, ConfigLate::Hold, 2, [route("dictionary")]);
    Box::new(Gate::new(GateMode::Strict, routing))
}

/// Insertions of the row 1 with these names, from this position on.
fn records(first: u64, names: &[&str]) -> Batch {
    let mut raw = RawBuilder::new(&raw_schema(), 0);
    for (position, name) in (first..).zip(names) {
        let data = format!("{{\"id\":1,\"name\":\"{name}\"}}");
        let record = format!(
            "{{\"database\":\"d\",\"table\":\"t\",\"type\":\"insert\",\"ts\":1,\"data\":{data}}}"
        );
        raw.push(position, None, Some(record.as_bytes()));
    }
    let input = raw.finish().expect("there are records");
    let mut decoder = MaxwellDecoder::new();
    let rows = BatchBuilder::over(decoder.schema(), &input);
    let mut counters = Counters::new("test".into());
    let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
    decoder.decode(&input, &mut out);
    out.rows.finish(None).expect("all are good")
}

fn notice(notice: &Notice) -> (usize, Batch) {
    let mut rows = BatchBuilder::new(&Notice::schema());
    let order = Order { peak: 0, partition: 0, position: 0 };
    notice.write(&mut rows, Stamp { time: NO_TIME, order, behind: None });
    (0, rows.finish(None).expect("one row"))
}

fn waits() -> (usize, Batch) {
    notice(&Notice::Waits { source: "t".to_owned(), sink: "S".to_owned() })
}

fn put(fill: Option<u32>) -> (usize, Batch) {
    notice(&Notice::Put(Route {
        source: "t".to_owned(),
        sink: "S".to_owned(),
        columns: vec!["id".to_owned(), "name".to_owned()],
        keys: vec!["id".to_owned()],
        fill,
        edition: 0,
    }))
}

/// Names that were routed, and how many records went to `unrouted`.
fn out(closed: &Closed) -> (Vec<String>, usize) {
    let (mut names, mut unrouted) = (Vec::new(), 0);
    for (port, row) in closed.rows.iter().flat_map(|(p, batch)| batch.rows().map(|r| (*p, r))) {
        if port == PORT_UNROUTED {
            unrouted += 1;
            continue;
        }
        let change = ChangeView::read(row.bytes(CHANGE).expect("a change")).expect("a change");
        let name = change.cells().find(|(column, _)| *column == "name").expect("named").1;
        names.push(String::from_utf8(name.expect("not null").to_vec()).expect("text"));
    }
    (names, unrouted)
}

fn both(names: &[&str], unrouted: usize) -> (Vec<String>, usize) {
    (names.iter().map(|name| (*name).to_owned()).collect(), unrouted)
}

#[test]
fn records_wait_in_order_and_over_a_restart() {
    let mut gate_by_hand = ByHand::new(gate());
    let closed = gate_by_hand.close(vec![waits(), (INPUT_LIVE, records(1, &["a"]))]);
    assert_eq!(out(&closed), both(&[], 0));
    gate_by_hand.restart(gate());
    assert_eq!(out(&gate_by_hand.close(vec![(INPUT_LIVE, records(2, &["b"]))])), both(&[], 0));
    gate_by_hand.restart(gate());
    let closed = gate_by_hand.close(vec![put(None), (INPUT_LIVE, records(3, &["c"]))]);
    assert_eq!(out(&closed), both(&["a", "b", "c"], 0));
    let routed = gate_by_hand.entries();
    gate_by_hand.restart(gate());
    assert_eq!(out(&gate_by_hand.close(vec![(INPUT_LIVE, records(4, &["d"]))])), both(&["d"], 0));
    assert_eq!(gate_by_hand.entries(), routed, "what has been routed is forgotten");
}

/// What comes of three records where two may wait, when the table is there.
fn overflow(before: Option<(usize, Batch)>, then: (usize, Batch)) -> Vec<(Vec<String>, usize)> {
    let mut gate_by_hand = ByHand::new(gate());
    gate_by_hand.close(before.into_iter().collect());
    let names = ["a", "b", "c"];
    let first = gate_by_hand.close(vec![waits(), (INPUT_LIVE, records(1, &names))]);
    gate_by_hand.restart(gate());
    let second = gate_by_hand.close(vec![then, (INPUT_LIVE, records(4, &["d"]))]);
    vec![out(&first), out(&second)]
}

#[test]
fn records_beyond_the_limit_are_told_and_never_hidden_by_older_ones() {
    // Nobody else brings them: the first ones are all there is.
    assert_eq!(overflow(None, put(None)), [both(&[], 1), both(&["a", "b", "d"], 0)]);
    // The back-fill brings all three, so a and b must not come as if they were newer.
    assert_eq!(overflow(None, put(Some(1))), [both(&[], 1), both(&["d"], 0)]);
    // The route there was has taken all three.
    let taken = both(&["a", "b", "c"], 0);
    assert_eq!(overflow(Some(put(None)), put(None)), [taken, both(&["d"], 0)]);
}

#[test]
fn records_that_waited_in_vain_are_told() {
    let given_up = || notice(&Notice::GivenUp { source: "t".to_owned(), sink: "S".to_owned() });
    assert_eq!(overflow(None, given_up()), [both(&[], 1), both(&[], 2)]);
    let taken = both(&["a", "b", "c"], 0);
    assert_eq!(overflow(Some(put(None)), given_up()), [taken, both(&["d"], 0)]);
}
