//! A source that reads a recorded file, one record per line.
//!
//! A record is the bytes of a line without its `\n`, whatever they are; a `\r` before it stays, and
//! an empty line is an empty record. A last line without `\n` counts. The file is bounded: it is read
//! once, to the end it has when the end is reached, and must not be changed in between.
//!
//! One partition, `<file name>/0`. Its position is 16 bytes, big-endian: the number of the next line,
//! counted from 0, and the byte where that line begins, so that resuming costs a seek.
//!
//! A replay paces the file by a shared limit: lines from that number on are not read yet.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::batch::build::{RawBuilder, raw_schema};
use engine::batch::schema::Schema;
use engine::clock::Moment;
use engine::error::Fault;
use engine::limit::ROW_BYTES_MAX;
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

/// What is kept of a line too long to be a record: enough to be recognised as one that is.
const LINE_BYTES_KEPT: usize = ROW_BYTES_MAX + 1;

/// Makes sources of one file.
#[derive(Clone, Debug)]
pub struct LinesSourceFactory {
    /// The file.
    pub path: PathBuf,
    /// Lines numbered from this on (from 0) are not read yet; `None`: no such limit.
    pub limit: Option<Arc<AtomicU64>>,
}

impl SourceFactory for LinesSourceFactory {
    fn describe(&self) -> String {
        format!("file {:?}", self.path)
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(LinesSource { setup: self.clone(), open: None, schema: raw_schema() }))
    }
}

struct LinesSource {
    setup: LinesSourceFactory,
    open: Option<Lines>,
    schema: Arc<Schema>,
}

/// The file, open.
struct Lines {
    reader: BufReader<File>,
    place: Place,
    ended: bool,
}

/// The next line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    line: u64,
    byte: u64,
}

impl Place {
    fn encode(self) -> Position {
        Position([self.line.to_be_bytes(), self.byte.to_be_bytes()].concat())
    }

    fn decode(position: &Position) -> Option<Self> {
        let (line, rest) = position.0.split_first_chunk()?;
        let byte = rest.try_into().ok()?;
        Some(Self { line: u64::from_be_bytes(*line), byte: u64::from_be_bytes(byte) })
    }
}

impl Lines {
    fn open(path: &Path, place: Place) -> Result<Self, Fault> {
        let mut file = File::open(path).map_err(|error| {
            let message = format!("cannot open file {path:?}: {error}");
            Fault::never(message).with_hint("expected a recorded file with one record per line")
        })?;
        let fits = check(&mut file, place).map_err(|error| unreadable(path, &error))?;
        if !fits {
            let Place { line, byte } = place;
            let message =
                format!("position of file {path:?} is lost: no line {line} begins at byte {byte}");
            return Err(Fault::never(message).with_hint("the file was changed; start afresh"));
        }
        Ok(Self { reader: BufReader::new(file), place, ended: false })
    }

    /// Reads lines into `builder` within the budget and below `limit`; says whether the file ended.
    fn fill(
        &mut self,
        budget: PollBudget,
        limit: u64,
        builder: &mut RawBuilder,
    ) -> io::Result<bool> {
        let mut line = Vec::new();
        while builder.len() < budget.rows && builder.bytes() < budget.bytes {
            if fill_buf(&mut self.reader)?.is_empty() {
                return Ok(true);
            }
            if self.place.line >= limit {
                return Ok(false);
            }
            line.clear();
            let bytes = read_line(&mut self.reader, &mut line)?;
            builder.push(self.place.line, None, Some(&line));
            self.place = Place { line: self.place.line + 1, byte: self.place.byte + bytes };
        }
        Ok(false)
    }
}

/// Moves the file to `place`; false if no line begins there.
fn check(file: &mut File, place: Place) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut before = [b'\n'];
    if let Some(last) = place.byte.checked_sub(1).filter(|_last| place.byte < length) {
        file.seek(SeekFrom::Start(last))?;
        file.read_exact(&mut before)?;
    }
    file.seek(SeekFrom::Start(place.byte))?;
    Ok(place.byte <= length && before == [b'\n'] && (place.line == 0) == (place.byte == 0))
}

fn fill_buf(reader: &mut BufReader<File>) -> io::Result<&[u8]> {
    // Asked twice because of the borrow; the second call finds the buffer filled.
    while let Err(error) = reader.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

/// Reads a line, of which [`LINE_BYTES_KEPT`] bytes are kept, and answers its bytes in the file.
fn read_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let buffer = fill_buf(reader)?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let content = buffer.get(..end.unwrap_or(buffer.len())).expect("found inside the buffer");
        let kept = content.len().min(LINE_BYTES_KEPT - line.len());
        line.extend(content.iter().take(kept));
        let taken = content.len() + usize::from(end.is_some());
        let last = end.is_some() || buffer.is_empty();
        reader.consume(taken);
        passed += taken as u64;
        if last {
            return Ok(passed);
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::never(format!("cannot read file {path:?}: {error}"))
}

impl LinesSource {
    fn partition(&self) -> Partition {
        let name = self.setup.path.file_name().unwrap_or(self.setup.path.as_os_str());
        Partition { name: format!("{}/0", name.to_string_lossy()).into(), ordinal: 0 }
    }
}

impl Source for LinesSource {
    fn describe(&self) -> Description {
        Description {
            name: self.setup.describe(),
            replay: Replay::Exact,
            bounded: true,
            snapshot: false,
        }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        Ok(Some(vec![self.partition()]))
    }

    fn open(&mut self, _partition: &Partition, start: &Start) -> Result<(), Fault> {
        let path = &self.setup.path;
        let place = match start {
            Start::Earliest => Some(Place::default()),
            Start::At(position) => Place::decode(position),
            Start::Latest | Start::Timestamp(_) => {
                let message = format!("cannot start file {path:?} at {start:?}");
                return Err(Fault::never(message).with_hint("a file is read from its beginning"));
            }
        };
        let Some(place) = place else {
            return Err(Fault::never(format!("position of file {path:?} has not 16 bytes")));
        };
        self.open = Some(Lines::open(path, place)?);
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        let partition = self.partition();
        let Some(lines) = self.open.as_mut().filter(|lines| !lines.ended) else {
            return Polled::Idle;
        };
        let limit = self.setup.limit.as_ref().map_or(u64::MAX, |at| at.load(Ordering::Acquire));
        let mut builder = RawBuilder::new(&self.schema, partition.ordinal);
        let ended = match lines.fill(budget, limit, &mut builder) {
            Ok(ended) => ended,
            Err(error) => return Polled::Fault(unreadable(&self.setup.path, &error)),
        };
        match builder.finish() {
            Some(rows) => {
                let next = lines.place.encode();
                Polled::Rows(SourceBatch { partition, rows, next, boundary: true })
            }
            None if ended => {
                lines.ended = true;
                Polled::End(partition)
            }
            None => Polled::Idle,
        }
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use engine::batch::build::{RAW_KEY, RAW_VALUE};
    use engine::error::Retry;
    use tempfile::NamedTempFile;

    use super::*;

    const BUDGET: PollBudget = PollBudget { rows: 100, bytes: 1 << 20 };

    fn file(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a directory for temporary files");
        file.write_all(bytes).expect("room for a few bytes");
        file
    }

    fn source(file: &NamedTempFile, limit: Option<&Arc<AtomicU64>>) -> Box<dyn Source> {
        let factory = LinesSourceFactory { path: file.path().to_owned(), limit: limit.cloned() };
        factory.create().expect("opens nothing")
    }

    fn opened(file: &NamedTempFile, start: &Start) -> Box<dyn Source> {
        let mut source = source(file, None);
        let partitions = source.discover(Moment::default()).unwrap().expect("known");
        assert_eq!(partitions.len(), 1);
        source.open(&partitions[0], start).unwrap();
        source
    }

    /// The lines of the next poll with the position behind them, or what else it answered.
    fn poll(
        source: &mut dyn Source,
        budget: PollBudget,
    ) -> Result<(Vec<Vec<u8>>, Position), String> {
        match source.poll(budget, Moment::default()) {
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
        let factory = LinesSourceFactory { path: path.clone(), limit: None };
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
}
