//! A source that reads a recorded file, one record per line.
//!
//! A record is the bytes of a line without its `\n`, whatever they are; a `\r` before it stays, and
//! an empty line is an empty record. A last line without `\n` counts. The file is bounded: it is read
//! once, to the end it has when the end is reached, and must not be changed in between.
//!
//! One partition, `<file name>/0`. Its position is 16 bytes, big-endian: the number of the next line,
//! counted from 0, and the byte where that line begins, so that resuming costs a seek.
//!
//! A replay paces the file by a shared limit: lines from that number on are not read yet. Lines that
//! are read again have been read, so the limit says nothing about them.
//!
//! A file may be a snapshot: then all of it lies in one epoch, so it has to fit into memory.

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
use engine::source::reread::{Reread, RereadPart};
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use crate::reread::Rereads;

/// What is kept of a line too long to be a record: enough to be recognised as one that is.
const LINE_BYTES_KEPT: usize = ROW_BYTES_MAX + 1;

/// Makes sources of one file.
#[derive(Clone, Debug)]
pub struct LinesSourceFactory {
    /// The file.
    pub path: PathBuf,
    /// Lines numbered from this on (from 0) are not read yet; `None`: no such limit.
    pub limit: Option<Arc<AtomicU64>>,
    /// Whether the file is a snapshot, of which no part may be seen without the rest.
    pub snapshot: bool,
}

impl SourceFactory for LinesSourceFactory {
    fn describe(&self) -> String {
        format!("file {:?}", self.path)
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(LinesSource {
            setup: self.clone(),
            open: None,
            rereads: Rereads::new(),
            schema: raw_schema(),
        }))
    }
}

struct LinesSource {
    setup: LinesSourceFactory,
    open: Option<Lines>,
    rereads: Rereads<Lines>,
    schema: Arc<Schema>,
}

/// The file, open.
struct Lines {
    reader: BufReader<File>,
    place: Place,
    /// In the middle of a snapshot.
    snapshot: bool,
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
        Ok(Self { reader: BufReader::new(file), place, snapshot: false, ended: false })
    }

    /// Opens where a saved position says.
    fn open_at(path: &Path, position: &Position) -> Result<Self, Fault> {
        Self::open(path, Place::decode(position).ok_or_else(|| no_place(path))?)
    }

    /// Reads lines into `builder` within the budget and below `limit`; says whether the file ended.
    /// The position of a row is the number of its line.
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

fn no_place(path: &Path) -> Fault {
    Fault::never(format!("position of file {path:?} has not 16 bytes"))
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::never(format!("cannot read file {path:?}: {error}"))
}

impl LinesSource {
    fn partition(&self) -> Partition {
        let name = self.setup.path.file_name().unwrap_or(self.setup.path.as_os_str());
        Partition { name: format!("{}/0", name.to_string_lossy()).into(), ordinal: 0 }
    }

    /// Lines of the re-reading under way; `None` at its end.
    fn read_again(&mut self, budget: PollBudget) -> Result<Option<SourceBatch>, Fault> {
        let path = &self.setup.path;
        let Some(rereading) = self.rereads.first() else { return Ok(None) };
        let Some(part) = rereading.part() else { return Ok(None) };
        let upto = Place::decode(&part.upto).ok_or_else(|| no_place(path))?;
        let lines = match rereading.reader.take() {
            Some(lines) => lines,
            None => Lines::open_at(path, &part.next)?,
        };
        // It is the only part, so a row's number in the extra partition is that of its line.
        let mut builder = RawBuilder::new(&self.schema, rereading.partition().ordinal);
        let lines = rereading.reader.insert(lines);
        lines.fill(budget, upto.line, &mut builder).map_err(|error| unreadable(path, &error))?;
        let next = lines.place.encode();
        Ok(builder.finish().map(|rows| rereading.batch(rows, next)))
    }
}

impl Source for LinesSource {
    fn describe(&self) -> Description {
        Description {
            name: self.setup.describe(),
            replay: Replay::Exact,
            bounded: true,
            snapshot: self.setup.snapshot,
        }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        Ok(Some(vec![self.partition()]))
    }

    fn open(&mut self, _partition: &Partition, start: &Start) -> Result<(), Fault> {
        let path = &self.setup.path;
        self.open = Some(match start {
            Start::Earliest => {
                let lines = Lines::open(path, Place::default())?;
                Lines { snapshot: self.setup.snapshot, ..lines }
            }
            Start::At(position) => Lines::open_at(path, position)?,
            Start::Latest | Start::Timestamp(_) => {
                let message = format!("cannot start file {path:?} at {start:?}");
                return Err(Fault::never(message).with_hint("a file is read from its beginning"));
            }
        });
        Ok(())
    }

    fn reread(&mut self, request: &Reread, saved: Option<&Position>) -> Result<(), Fault> {
        let (ordinal, next) = (self.partition().ordinal, Place::default().encode());
        let whole = |lines: &Lines| RereadPart { ordinal, next, upto: lines.place.encode() };
        let open = self.open.as_ref();
        self.rereads.begin(request, saved, || open.map(whole).into_iter().collect())
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
        let next = lines.place.encode();
        match builder.finish() {
            Some(rows) => {
                Polled::Rows(SourceBatch { partition, rows, next, boundary: !lines.snapshot })
            }
            None if ended && std::mem::take(&mut lines.snapshot) => Polled::Whole(partition, next),
            None if ended => {
                lines.ended = true;
                Polled::End(partition)
            }
            None => Polled::Idle,
        }
    }

    fn poll_again(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        match self.read_again(budget) {
            Ok(Some(batch)) => Polled::Rows(batch),
            Ok(None) => self.rereads.end(),
            Err(fault) => Polled::Fault(fault),
        }
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {
        (self.open, self.rereads) = (None, Rereads::new());
    }
}

#[cfg(test)]
mod tests;
