//! The source against logs on a simulated disk.

use std::collections::BTreeMap;
use std::sync::Mutex;

use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::source::reread::RereadPosition;

use super::super::read::tests::Topic;
use super::*;

const BUDGET: PollBudget = PollBudget { rows: 1024, bytes: 1 << 20 };

/// A topic, its marks, and a source that reads it.
struct Fixture {
    topic: Topic,
    marks: Arc<Mutex<BTreeMap<u32, Mark>>>,
    until: Arc<AtomicBool>,
    partitions: u32,
    snapshot: bool,
    on_lost_position: OnLostPosition,
}

impl Fixture {
    fn new(partitions: u32) -> Fixture {
        Fixture {
            topic: Topic::new(partitions),
            marks: Arc::default(),
            until: Arc::default(),
            partitions,
            snapshot: false,
            on_lost_position: OnLostPosition::Stop,
        }
    }

    fn append(&mut self, partition: u32, times: &[i64]) {
        let mark = self.topic.append(partition as usize, times);
        self.marks.lock().unwrap().insert(partition, mark);
    }

    fn source(&self) -> TopicSource {
        let setup = TopicSourceFactory {
            topic: "t".to_owned(),
            partitions: self.partitions,
            disk: Arc::new(self.topic.disk.clone()),
            marks: TopicMarks::default(),
            until: Some(self.until.clone()),
            snapshot: self.snapshot,
            on_lost_position: self.on_lost_position,
        };
        let marks = self.marks.clone();
        let visible = move |partition| marks.lock().unwrap().get(&partition).copied();
        let reader = setup.marks.reader("t");
        TopicSource::new(setup, Box::new(visible), reader)
    }

    /// A source with all partitions open.
    fn opened(&self, start: &Start) -> TopicSource {
        let mut source = self.source();
        let partitions = source.discover(Moment::default()).unwrap().expect("known");
        for partition in partitions {
            source.open(&partition, start).unwrap();
        }
        source
    }
}

/// Live records, or what is read again if there are none.
fn polled(source: &mut TopicSource, budget: PollBudget) -> Polled {
    match source.poll(budget, Moment::default()) {
        Polled::Idle => source.poll_again(budget, Moment::default()),
        polled => polled,
    }
}

/// Polls until nothing comes: `partition@next: values`, `end partition`, or the fault.
fn drain(source: &mut TopicSource, budget: PollBudget) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match polled(source, budget) {
            Polled::Rows(batch) => seen.push(line(&batch)),
            Polled::End(partition) => seen.push(format!("end {}", partition.name)),
            Polled::Whole(partition, at) => {
                let at = at.as_number().expect("an offset");
                seen.push(format!("whole {}@{at}", partition.name));
            }
            Polled::Idle => return seen,
            Polled::Fault(fault) => {
                seen.push(fault.to_string());
                return seen;
            }
        }
    }
}

fn line(batch: &SourceBatch) -> String {
    if Reread::of(&batch.partition).is_some() {
        return line_again(batch);
    }
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let values = batch.rows.rows().map(|row| {
        let order = row.order();
        assert_eq!(order.partition, batch.partition.ordinal);
        assert_eq!(text(row.bytes(RAW_KEY)), Some(format!("k{}", order.position)));
        text(row.bytes(RAW_VALUE)).unwrap_or("-".to_owned())
    });
    let values: Vec<String> = values.collect();
    let next = batch.next.as_number().expect("an offset");
    let line = format!("{}@{next}: {}", batch.partition.name, values.join(" "));
    if batch.boundary { line } else { format!("({line})") }
}

/// `again <offset>.. <rows>`: keys without their `k`, and where each came from.
fn line_again(batch: &SourceBatch) -> String {
    assert!(batch.boundary);
    let at = RereadPosition::decode(&batch.next).expect("a position of a re-reading");
    let at: Vec<_> = at.parts.iter().map(|part| part.next.as_number().unwrap()).collect();
    let rows: Vec<String> = batch
        .rows
        .rows()
        .map(|row| {
            assert_eq!(row.order().partition, batch.partition.ordinal);
            let key = std::str::from_utf8(row.bytes(RAW_KEY).unwrap()).unwrap();
            let (ordinal, offset) = Reread::origin(row.order());
            format!("{}#{ordinal}/{offset}", key.trim_start_matches('k'))
        })
        .collect();
    format!("again {at:?}: {}", rows.join(" "))
}

#[test]
fn one_batch_per_block_and_no_further_than_the_mark() {
    let mut fixture = Fixture::new(2);
    let mut source = fixture.opened(&Start::Earliest);
    assert!(drain(&mut source, BUDGET).is_empty());
    fixture.append(0, &[1, 2]);
    fixture.append(0, &[3]);
    fixture.append(1, &[1]);
    // Appended and not yet visible.
    fixture.topic.append(1, &[9]);
    let mut seen = drain(&mut source, BUDGET);
    seen.sort();
    assert_eq!(seen, ["t/0@2: v0 v1", "t/0@3: -", "t/1@1: v0"]);
    fixture.append(1, &[10]);
    assert_eq!(drain(&mut source, BUDGET), ["t/1@2: v1", "t/1@3: -"]);
}

#[test]
fn partitions_take_turns() {
    let mut fixture = Fixture::new(2);
    for _ in 0..2 {
        fixture.append(0, &[1]);
        fixture.append(1, &[1]);
    }
    let seen = drain(&mut fixture.opened(&Start::Earliest), BUDGET);
    assert_eq!(seen, ["t/1@1: v0", "t/0@1: v0", "t/1@2: v1", "t/0@2: v1"]);
}

#[test]
fn a_block_is_cut_by_the_budget_and_every_position_resumes() {
    let mut fixture = Fixture::new(1);
    fixture.append(0, &[1, 2, 3, 4, 5]);
    fixture.append(0, &[6]);
    let small = PollBudget { rows: 2, bytes: 1 << 20 };
    let bytes = PollBudget { rows: 1024, bytes: 4 };
    let all = ["t/0@2: v0 v1", "t/0@4: - v3", "t/0@5: v4", "t/0@6: -"];
    assert_eq!(drain(&mut fixture.opened(&Start::Earliest), small), all);
    assert_eq!(drain(&mut fixture.opened(&Start::Earliest), bytes).len(), 5);
    for (position, first) in [(0, "t/0@5: v0 v1 - v3 v4"), (3, "t/0@5: v3 v4"), (5, "t/0@6: -")] {
        let mut source = fixture.opened(&Start::At(Position::of_number(position)));
        assert_eq!(drain(&mut source, BUDGET)[0], first);
    }
    let mut source = fixture.opened(&Start::At(Position::of_number(6)));
    assert!(drain(&mut source, BUDGET).is_empty());
}

#[test]
fn latest_and_timestamp_find_their_place() {
    let mut fixture = Fixture::new(1);
    fixture.append(0, &[10, 20, 30]);
    fixture.append(0, &[25, 40]);
    let mut latest = fixture.opened(&Start::Latest);
    // A poll is idle for each block without a record late enough.
    let since = |ms| {
        let mut source = fixture.opened(&Start::Timestamp(ms));
        (0..2).flat_map(|_| drain(&mut source, BUDGET)).collect::<Vec<_>>()
    };
    // From the first one on all are given, whatever their time.
    assert_eq!(since(20), ["t/0@3: v1 -", "t/0@5: v3 v4"]);
    assert_eq!(since(31), ["t/0@5: v4"]);
    assert!(since(41).is_empty());
    // Where the end was is told, so that it is saved before there are records.
    assert_eq!(drain(&mut latest, BUDGET), ["whole t/0@5"]);
    fixture.append(0, &[1]);
    assert_eq!(drain(&mut latest, BUDGET), ["t/0@6: -"]);
    let mut resumed = fixture.opened(&Start::At(Position::of_number(5)));
    assert_eq!(drain(&mut resumed, BUDGET), ["t/0@6: -"]);
}

#[test]
fn a_bounded_topic_ends_once_when_told_and_read() {
    let mut fixture = Fixture::new(2);
    fixture.append(0, &[1]);
    let mut source = fixture.opened(&Start::Earliest);
    assert!(source.describe().bounded);
    assert_eq!(drain(&mut source, BUDGET), ["t/0@1: v0"]);
    fixture.append(0, &[2]);
    fixture.until.store(true, Ordering::Release);
    assert_eq!(drain(&mut source, BUDGET), ["end t/1", "t/0@2: v1", "end t/0"]);
}

#[test]
fn what_retention_passed_stops_the_job() {
    let mut fixture = Fixture::new(1);
    for _ in 0..3 {
        fixture.append(0, &[1]);
    }
    fixture.topic.remove_before(0, 2);
    let first = drain(&mut fixture.opened(&Start::Earliest), BUDGET)[0].clone();
    assert_eq!(first, "t/0@2: v1");
    let seen = drain(&mut fixture.opened(&Start::At(Position::of_number(0))), BUDGET);
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with(r#"position 0 of topic partition "t/0" is lost: it begins at 1"#));
    let partition = Partition { name: "t/0".into(), ordinal: 0 };
    for (position, expected) in [
        (Position::of_number(4), r#"position 4 of topic partition "t/0" is lost: it ends at 3"#),
        (Position(vec![1]), r#"position of "t/0" is no offset: 1 bytes"#),
    ] {
        let fault = fixture.source().open(&partition, &Start::At(position)).unwrap_err();
        assert!(fault.message.starts_with(expected), "{fault}");
        assert_eq!(fault.retry, engine::error::Retry::Never);
    }
}

#[test]
fn what_retention_passed_is_told_where_the_job_shall_go_on() {
    let at = |offset| Start::At(Position::of_number(offset));
    let [earliest, latest] = [OnLostPosition::Earliest, OnLostPosition::Latest];
    let told = "position 0 of topic partition \"t/0\" is lost: it begins at 1; going on ";
    let ends = "position 9 of topic partition \"t/0\" is lost: it ends at 3; going on ";
    let (oldest, newest) = ("at the oldest record", "after the newest record");
    let cases: [(_, _, [&str; 2], &[&str]); 4] = [
        (earliest, 0, [told, oldest], &["t/0@2: v1", "t/0@3: -", "t/0@4: v3"]),
        (latest, 0, [told, newest], &["t/0@4: v3"]),
        (earliest, 9, [ends, oldest], &["t/0@2: v1", "t/0@3: -", "t/0@4: v3"]),
        (latest, 9, [ends, newest], &["t/0@4: v3"]),
    ];
    for (choice, offset, fault, rows) in cases {
        let mut fixture = Fixture::new(1);
        fixture.on_lost_position = choice;
        for value in 0..3 {
            fixture.append(0, &[value]);
        }
        fixture.topic.remove_before(0, 2);
        let mut source = fixture.opened(&at(offset));
        // A fault ends a turn.
        let mut seen = drain(&mut source, BUDGET);
        seen.extend(drain(&mut source, BUDGET));
        fixture.append(0, &[3]);
        seen.extend(drain(&mut source, BUDGET));
        let told: Vec<_> = seen.iter().filter(|line| line.contains("is lost")).collect();
        assert_eq!(told, [&fault.concat()], "{choice:?} {offset}");
        seen.retain(|line| !line.contains("is lost"));
        assert_eq!(seen, rows, "{choice:?} {offset}");
    }
}

#[test]
fn damage_stops_the_job() {
    let mut fixture = Fixture::new(1);
    fixture.append(0, &[1, 2]);
    fixture.topic.disk.flip_bit("topic/t/0/00000000000000000000.log", 70);
    let seen = drain(&mut fixture.opened(&Start::Earliest), BUDGET);
    assert!(seen[0].contains("checksum"), "{seen:?}");
}

fn request(name: &str, number: u32) -> Reread {
    Reread { name: name.into(), number }
}

const END: &str = "end backfill/t";

#[test]
fn all_partitions_are_read_again_up_to_where_they_stand() {
    let mut fixture = Fixture::new(3);
    fixture.append(0, &[1, 2, 3]);
    fixture.append(0, &[4]);
    fixture.append(2, &[5, 6]);
    let mut source = fixture.opened(&Start::Earliest);
    drain(&mut source, BUDGET);
    source.reread(&request("t", 1), None).unwrap();
    // What comes later is live only.
    fixture.append(1, &[7]);
    let expected = [
        "t/1@1: v0",
        "again [3, 0, 0]: 0#0/0 1#0/1 2#0/2",
        "again [4, 0, 0]: 3#0/3",
        "again [4, 0, 2]: 0#2/0 1#2/1",
        END,
    ];
    assert_eq!(drain(&mut source, BUDGET), expected);
    // Each part is cut by the budget, and numbers go on.
    source.reread(&request("t", 2), None).unwrap();
    let seen = drain(&mut source, PollBudget { rows: 2, ..BUDGET });
    let expected = [
        "again [2, 0, 0]: 0#0/0 1#0/1",
        "again [3, 0, 0]: 2#0/2",
        "again [4, 0, 0]: 3#0/3",
        "again [4, 1, 0]: 0#1/0",
        "again [4, 1, 2]: 0#2/0 1#2/1",
        END,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn records_that_wait_to_be_given_are_not_read_again() {
    let mut fixture = Fixture::new(1);
    fixture.append(0, &[1, 2, 3]);
    let mut source = fixture.opened(&Start::Earliest);
    let one = PollBudget { rows: 1, ..BUDGET };
    assert!(matches!(source.poll(one, Moment::default()), Polled::Rows(_)));
    source.reread(&request("t", 1), None).unwrap();
    let seen = drain(&mut source, one);
    assert_eq!(seen, ["t/0@2: v1", "t/0@3: -", "again [1]: 0#0/0", END]);
}

#[test]
fn reading_again_goes_on_at_every_saved_position() {
    let mut fixture = Fixture::new(2);
    for partition in [0, 1, 0] {
        fixture.append(partition, &[1, 2, 3]);
    }
    let one = PollBudget { rows: 1, ..BUDGET };
    let mut source = fixture.opened(&Start::Earliest);
    drain(&mut source, BUDGET);
    source.reread(&request("t", 1), None).unwrap();
    let (mut lines, mut positions) = (Vec::new(), Vec::new());
    while let Polled::Rows(batch) = source.poll_again(one, Moment::default()) {
        lines.push(line(&batch));
        positions.push(batch.next);
    }
    assert_eq!(lines.len(), 9);
    lines.push(END.to_owned());
    for (index, saved) in positions.iter().enumerate() {
        let mut source = fixture.opened(&Start::Latest);
        drain(&mut source, one);
        source.reread(&request("t", 1), Some(saved)).unwrap();
        assert_eq!(drain(&mut source, one), lines[index + 1..]);
    }
    for odd in [Position(vec![1]), Position::of_number(1)] {
        let refused = fixture.opened(&Start::Latest).reread(&request("t", 1), Some(&odd));
        assert!(refused.is_err());
    }
}

#[test]
fn a_topic_read_to_its_end_is_still_read_again() {
    let mut fixture = Fixture::new(2);
    fixture.append(1, &[1]);
    fixture.until.store(true, Ordering::Release);
    let mut source = fixture.opened(&Start::Earliest);
    source.reread(&request("t", 1), None).unwrap();
    // Nothing lay before: only the end comes.
    let mut seen = drain(&mut source, BUDGET);
    seen.sort();
    assert_eq!(seen, [END, "end t/0", "end t/1", "t/1@1: v0"]);
    source.reread(&request("t", 2), None).unwrap();
    assert_eq!(drain(&mut source, BUDGET), ["again [0, 1]: 0#1/0", END]);
}

#[test]
fn requests_are_read_one_after_the_other_and_replaced_by_name() {
    let mut fixture = Fixture::new(1);
    fixture.append(0, &[1, 2]);
    let mut source = fixture.opened(&Start::Earliest);
    drain(&mut source, BUDGET);
    let one = PollBudget { rows: 1, ..BUDGET };
    for (name, number) in [("t", 1), ("other", 1)] {
        source.reread(&request(name, number), None).unwrap();
    }
    assert!(matches!(source.poll_again(one, Moment::default()), Polled::Rows(_)));
    source.reread(&request("t", 2), None).unwrap();
    let again = "again [2]: 0#0/0 1#0/1";
    assert_eq!(drain(&mut source, BUDGET), [again, "end backfill/other", again, END]);
}

#[test]
fn reading_again_begins_with_what_retention_left() {
    let mut fixture = Fixture::new(1);
    for _ in 0..5 {
        fixture.append(0, &[1, 1]);
    }
    let mut source = fixture.opened(&Start::Earliest);
    drain(&mut source, BUDGET);
    source.reread(&request("t", 1), None).unwrap();
    let Polled::Rows(first) = source.poll_again(BUDGET, Moment::default()) else {
        panic!("records")
    };
    assert_eq!(line(&first), "again [2]: 0#0/0 1#0/1");
    // Taken while it is being read, and while nobody reads it.
    fixture.topic.remove_before(0, 6);
    let rest = drain(&mut source, BUDGET);
    assert!(!rest[0].contains("2#0/2"), "{rest:?}");
    assert!(rest[0].starts_with("again ["), "{rest:?}");
    assert_eq!(rest[rest.len() - 2..], ["again [10]: 8#0/8 9#0/9", END]);
    let mut source = fixture.opened(&Start::Latest);
    drain(&mut source, BUDGET);
    source.reread(&request("t", 1), Some(&first.next)).unwrap();
    assert_eq!(drain(&mut source, BUDGET), rest);
    // All of it may be gone.
    let part = |next, upto| RereadPart {
        ordinal: 0,
        next: Position::of_number(next),
        upto: Position::of_number(upto),
    };
    let gone = RereadPosition { number: 1, parts: vec![part(0, 2)] }.encode();
    source.reread(&request("t", 1), Some(&gone)).unwrap();
    assert_eq!(drain(&mut source, BUDGET), [END]);
}

#[test]
fn a_snapshot_is_whole_where_the_topic_ended_when_it_was_opened() {
    let mut fixture = Fixture::new(2);
    fixture.snapshot = true;
    fixture.append(0, &[10, 20, 30]);
    let mut source = fixture.opened(&Start::Earliest);
    assert!(source.describe().snapshot);
    fixture.append(0, &[40]);
    let mut seen = drain(&mut source, PollBudget { rows: 2, ..BUDGET });
    seen.retain(|seen| !seen.contains("t/1"));
    let expected = ["(t/0@2: v0 v1)", "(t/0@3: -)", "whole t/0@3", "t/0@4: v3"];
    assert_eq!(seen, expected);
    let only = |start: &Start, partition: &str| {
        let mut source = fixture.opened(start);
        let mut seen: Vec<_> = (0..4).flat_map(|_| drain(&mut source, BUDGET)).collect();
        seen.retain(|seen| seen.contains(partition));
        seen
    };
    // An empty one is whole at once, and so is what begins at the end.
    assert_eq!(only(&Start::Earliest, "t/1"), ["whole t/1@0"]);
    assert_eq!(only(&Start::Latest, "t/0"), ["whole t/0@4"]);
    assert_eq!(only(&Start::Timestamp(30), "t/0"), ["(t/0@3: -)", "(t/0@4: v3)", "whole t/0@4"]);
    assert_eq!(only(&Start::Timestamp(50), "t/0"), ["whole t/0@4"]);
    // One that was whole before goes on as ever.
    let mut resumed = fixture.source();
    let partition = Partition { name: "t/0".into(), ordinal: 0 };
    resumed.open(&partition, &Start::At(Position::of_number(3))).unwrap();
    assert_eq!(drain(&mut resumed, BUDGET), ["t/0@4: v3"]);
}
