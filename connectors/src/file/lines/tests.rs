//! The source against files of a few lines.

use std::io::Write;

use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::error::Retry;
use engine::source::reread::RereadPosition;
use tempfile::NamedTempFile;

use super::*;

const BUDGET: PollBudget = PollBudget { rows: 100, bytes: 1 << 20 };

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a directory for temporary files");
    file.write_all(bytes).expect("room for a few bytes");
    file
}

fn factory(
    file: &NamedTempFile,
    limit: Option<&Arc<AtomicU64>>,
    snapshot: bool,
) -> LinesSourceFactory {
    LinesSourceFactory { path: file.path().to_owned(), limit: limit.cloned(), snapshot }
}

fn source(file: &NamedTempFile, limit: Option<&Arc<AtomicU64>>) -> Box<dyn Source> {
    factory(file, limit, false).create().expect("opens nothing")
}

fn opened(file: &NamedTempFile, start: &Start) -> Box<dyn Source> {
    let mut source = source(file, None);
    let partitions = source.discover(Moment::default()).unwrap().expect("known");
    assert_eq!(partitions.len(), 1);
    source.open(&partitions[0], start).unwrap();
    source
}

/// The lines of the next poll with the position behind them, or what else it answered.
fn poll(source: &mut dyn Source, budget: PollBudget) -> Result<(Vec<Vec<u8>>, Position), String> {
    match polled(source, budget) {
        Polled::Rows(batch) => {
            assert!(batch.rows.rows().all(|row| row.bytes(RAW_KEY).is_none()));
            let lines = batch.rows.rows().map(|row| row.bytes(RAW_VALUE).unwrap().to_vec());
            Ok((lines.collect(), batch.next))
        }
        Polled::End(partition) => Err(format!("end {}", partition.name)),
        Polled::Whole(partition, _) => Err(format!("whole {}", partition.name)),
        Polled::Idle => Err("idle".to_owned()),
        Polled::Fault(fault) => Err(fault.to_string()),
    }
}

fn name(file: &NamedTempFile) -> String {
    format!("end {}/0", file.path().file_name().unwrap().to_str().unwrap())
}

#[test]
fn lines_are_bytes_without_their_newline() {
    for (bytes, expected) in [
        (&b""[..], &[][..]),
        (b"a", &[&b"a"[..]]),
        (b"a\n", &[b"a"]),
        (b"\n", &[b""]),
        (b"a\r\n\n\xff\0b\n c", &[b"a\r", b"", b"\xff\0b", b" c"]),
    ] {
        let file = file(bytes);
        let mut source = opened(&file, &Start::Earliest);
        if !expected.is_empty() {
            let (lines, next) = poll(source.as_mut(), BUDGET).unwrap();
            assert_eq!(lines, expected);
            let place = Place { line: lines.len() as u64, byte: bytes.len() as u64 };
            assert_eq!(Place::decode(&next), Some(place));
        }
        assert_eq!(poll(source.as_mut(), BUDGET), Err(name(&file)));
        assert_eq!(poll(source.as_mut(), BUDGET), Err("idle".to_owned()));
    }
}

#[test]
fn a_position_resumes_at_its_line() {
    let bytes = b"one\n\ntwo\nthree";
    let file = file(bytes);
    let mut source = opened(&file, &Start::Earliest);
    let one = PollBudget { rows: 1, bytes: 1 << 20 };
    let small = PollBudget { rows: 100, bytes: 4 };
    let mut positions = vec![Place::default().encode()];
    while let Ok((lines, next)) = poll(source.as_mut(), one) {
        assert_eq!(lines.len(), 1);
        positions.push(next);
    }
    assert_eq!(positions.len(), 5);
    for (index, position) in positions.iter().enumerate() {
        let mut source = opened(&file, &Start::At(position.clone()));
        let rest = poll(source.as_mut(), BUDGET).map_or(0, |(lines, _)| lines.len());
        assert_eq!(rest, 4 - index);
    }
    let mut source = opened(&file, &Start::Earliest);
    assert_eq!(poll(source.as_mut(), small).unwrap().0.len(), 3);
}

#[test]
fn the_limit_holds_lines_back() {
    let file = file(b"0\n1\n2\n");
    let limit = Arc::new(AtomicU64::new(0));
    let mut source = source(&file, Some(&limit));
    let partition = Partition { name: "p".into(), ordinal: 0 };
    source.open(&partition, &Start::Earliest).unwrap();
    for (until, lines) in [(0, vec![]), (2, vec![b"0".to_vec(), b"1".to_vec()])] {
        limit.store(until, Ordering::Release);
        if !lines.is_empty() {
            assert_eq!(poll(source.as_mut(), BUDGET).unwrap().0, lines);
        }
        assert_eq!(poll(source.as_mut(), BUDGET), Err("idle".to_owned()));
    }
    limit.store(3, Ordering::Release);
    assert_eq!(poll(source.as_mut(), BUDGET).unwrap().0, [b"2"]);
    assert_eq!(poll(source.as_mut(), BUDGET), Err(name(&file)));
}

#[test]
fn what_does_not_fit_is_named() {
    let file = file(b"one\ntwo\n");
    let partition = Partition { name: "p".into(), ordinal: 0 };
    let at = |line, byte| Start::At(Place { line, byte }.encode());
    for (start, expected) in [
        (at(1, 9), "is lost: no line 1 begins at byte 9"),
        (at(1, 3), "is lost: no line 1 begins at byte 3"),
        (at(0, 4), "is lost: no line 0 begins at byte 4"),
        (Start::At(Position::of_number(1)), "has not 16 bytes"),
        (Start::Latest, "cannot start file"),
    ] {
        let fault = source(&file, None).open(&partition, &start).unwrap_err();
        assert!(fault.message.contains(expected), "{fault}");
        assert_eq!(fault.retry, Retry::Never);
    }
    let path = file.path().with_extension("absent");
    let factory = LinesSourceFactory { path: path.clone(), limit: None, snapshot: false };
    let fault = factory.create().unwrap().open(&partition, &Start::Earliest).unwrap_err();
    assert!(fault.message.contains(path.to_str().unwrap()), "{fault}");
    assert!(fault.to_string().contains("one record per line"), "{fault}");
}

#[test]
fn a_line_too_long_is_cut_and_the_next_one_whole() {
    let mut bytes = vec![b'x'; LINE_BYTES_KEPT + 10];
    bytes.extend_from_slice(b"\nnext\n");
    let file = file(&bytes);
    let mut source = opened(&file, &Start::Earliest);
    let (lines, _) = poll(source.as_mut(), BUDGET).unwrap();
    assert_eq!(lines[0].len(), LINE_BYTES_KEPT);
    let (lines, next) = poll(source.as_mut(), BUDGET).unwrap();
    assert_eq!(lines, [b"next"]);
    assert_eq!(Place::decode(&next).map(|place| place.byte), Some(bytes.len() as u64));
}

fn request(number: u32) -> Reread {
    Reread { name: "t".into(), number }
}

/// Live records, or what is read again if there are none.
fn polled(source: &mut dyn Source, budget: PollBudget) -> Polled {
    match source.poll(budget, Moment::default()) {
        Polled::Idle => source.poll_again(budget, Moment::default()),
        polled => polled,
    }
}

/// What comes until nothing does: `live 0 1`, `again 0`, or what else was answered.
fn drain(source: &mut dyn Source, budget: PollBudget) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        seen.push(match polled(source, budget) {
            Polled::Rows(batch) => line(&batch),
            Polled::End(partition) if partition == request(1).partition() => "end again".into(),
            Polled::End(_) => "end".into(),
            Polled::Whole(_, position) => {
                format!("whole {}", Place::decode(&position).expect("a place").line)
            }
            Polled::Idle => return seen,
            Polled::Fault(fault) => panic!("{fault}"),
        });
    }
}

fn line(batch: &SourceBatch) -> String {
    let again = batch.partition == request(1).partition();
    let mut text = if again { "again" } else { "live" }.to_owned();
    for row in batch.rows.rows() {
        let value = row.bytes(RAW_VALUE).expect("a line");
        // The lines of these tests are their own numbers.
        assert_eq!(row.order().position.to_string().as_bytes(), value);
        assert_eq!(row.order().partition, batch.partition.ordinal);
        text.push_str(&format!(" {}", row.order().position));
    }
    if batch.boundary { text } else { format!("({text})") }
}

#[test]
fn what_was_read_is_read_again_and_no_more() {
    let file = file(b"0\n1\n2\n3\n4\n5\n");
    let mut source = opened(&file, &Start::Earliest);
    let (one, two) =
        (PollBudget { rows: 1, bytes: 1 << 20 }, PollBudget { rows: 2, bytes: 1 << 20 });
    poll(source.as_mut(), two).unwrap();
    poll(source.as_mut(), one).unwrap();
    source.reread(&request(1), None).unwrap();
    let mut seen = drain(source.as_mut(), one);
    let all = ["live 3", "live 4", "live 5", "end", "again 0", "again 1", "again 2", "end again"];
    assert_eq!(seen, all);
    // At the end of the file it can still be read again.
    source.reread(&request(1), None).unwrap();
    seen = drain(source.as_mut(), two);
    assert_eq!(seen, ["again 0 1", "again 2 3", "again 4 5", "end again"]);
}

#[test]
fn the_limit_does_not_hold_back_what_is_read_again() {
    let file = file(b"0\n1\n2\n");
    let limit = Arc::new(AtomicU64::new(2));
    let mut source = source(&file, Some(&limit));
    source.open(&Partition { name: "p".into(), ordinal: 0 }, &Start::Earliest).unwrap();
    assert_eq!(drain(source.as_mut(), BUDGET), ["live 0 1"]);
    limit.store(0, Ordering::Release);
    source.reread(&request(1), None).unwrap();
    assert_eq!(drain(source.as_mut(), BUDGET), ["again 0 1", "end again"]);
}

#[test]
fn reading_again_goes_on_at_every_saved_position() {
    let file = file(b"0\n1\n2\n3");
    let end = Place { line: 4, byte: 7 }.encode();
    let begin = Place::default().encode();
    let part = RereadPart { ordinal: 0, next: begin, upto: Place { line: 3, byte: 6 }.encode() };
    let mut saved = RereadPosition { number: 1, parts: vec![part] }.encode();
    for rest in [3, 2, 1, 0] {
        let mut source = opened(&file, &Start::At(end.clone()));
        source.reread(&request(1), Some(&saved)).unwrap();
        let seen = drain(source.as_mut(), BUDGET);
        let lines: usize = seen
            .iter()
            .filter(|seen| seen.starts_with("again"))
            .map(|seen| seen.split(' ').count() - 1)
            .sum();
        assert_eq!(lines, rest, "{seen:?}");
        assert!(seen.contains(&"end again".to_owned()), "{seen:?}");
        source.reread(&request(1), Some(&saved)).unwrap();
        match polled(source.as_mut(), PollBudget { rows: 1, ..BUDGET }) {
            Polled::Rows(batch) => saved = batch.next,
            other => assert!(matches!(other, Polled::End(_)), "{other:?}"),
        }
    }
    let mut source = opened(&file, &Start::At(end));
    assert!(source.reread(&request(2), Some(&Position(vec![1]))).is_err());
}

#[test]
fn an_empty_file_gives_only_the_end() {
    let file = file(b"");
    let mut source = opened(&file, &Start::Earliest);
    source.reread(&request(1), None).unwrap();
    assert_eq!(drain(source.as_mut(), BUDGET), ["end", "end again"]);
}

#[test]
fn a_later_request_takes_the_place_of_the_earlier() {
    let file = file(b"0\n1\n");
    let mut source = opened(&file, &Start::Earliest);
    assert_eq!(drain(source.as_mut(), BUDGET), ["live 0 1", "end"]);
    source.reread(&request(2), None).unwrap();
    let one = PollBudget { rows: 1, ..BUDGET };
    let Polled::Rows(first) = source.poll_again(one, Moment::default()) else { panic!("a line") };
    assert_eq!(first.rows.len(), 1);
    source.reread(&request(1), None).unwrap();
    assert_eq!(drain(source.as_mut(), BUDGET), ["again 0 1", "end again"]);
}

#[test]
fn a_snapshot_is_whole_at_the_end_of_the_file_only() {
    for (bytes, expected) in [
        (&b""[..], &["whole 0", "end"][..]),
        (b"0\n1\n2\n", &["(live 0 1)", "(live 2)", "whole 3", "end"]),
    ] {
        let file = file(bytes);
        let two = PollBudget { rows: 2, ..BUDGET };
        let partition = Partition { name: "p".into(), ordinal: 0 };
        let mut source = factory(&file, None, true).create().unwrap();
        assert!(source.describe().snapshot);
        source.open(&partition, &Start::Earliest).unwrap();
        assert_eq!(drain(source.as_mut(), two), expected);
        // One that was whole before goes on as ever.
        let mut source = factory(&file, None, true).create().unwrap();
        source.open(&partition, &Start::At(Place::default().encode())).unwrap();
        let seen = drain(source.as_mut(), two);
        assert!(!seen.iter().any(|seen| seen.contains("whole") || seen.contains('(')), "{seen:?}");
    }
}
