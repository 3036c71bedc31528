//! The order of arrival of recorded records: `timeline.jsonl`, and the pacer that follows it.
//!
//! A line is `{"at":ms,"source":"ods_log","line":1}` or `{"at":ms,"barrier":true}`. The stamp of an
//! epoch is the `at` at which it opens. At a barrier all before it is processed, its epoch closed,
//! complete and delivered, before what follows is fed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use engine::control::handle::{CloseRequest, Handle, Reply};

use super::EpochLength;

/// One line.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: i64,
    source: Option<String>,
    line: Option<u64>,
    #[serde(default)]
    barrier: bool,
}

/// What happens next, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Records up to this number (exclusive) arrive at `at`.
    Records { until: u64, at: i64 },
    /// All before is delivered.
    Barrier { at: i64 },
}

/// The order of arrival of `ods_log`.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    moments: Vec<Moment>,
}

impl Timeline {
    /// Reads `timeline.jsonl` in `input` if it is there.
    pub(crate) fn read(input: &Path, lines: u64) -> Result<Option<Self>> {
        let path = input.join("timeline.jsonl");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let timeline = Self::parse(&text, lines)
            .with_context(|| format!("cannot follow {}", path.display()))?;
        Ok(Some(timeline))
    }

    fn parse(text: &str, lines: u64) -> Result<Self> {
        let (mut moments, mut fed, mut last) = (Vec::new(), 0, i64::MIN);
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let entry: Entry =
                serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            if entry.at < last {
                bail!("line {number}: \"at\" {} is before {last}; time does not go back", entry.at);
            }
            last = entry.at;
            match (entry.source.as_deref(), entry.line) {
                _ if entry.barrier => moments.push(Moment::Barrier { at: entry.at }),
                (Some("ods_log"), Some(wanted)) => {
                    if wanted != fed + 1 {
                        bail!("line {number}: line {wanted} of ods_log, but {} is next", fed + 1);
                    }
                    fed = wanted;
                    moments.push(Moment::Records { until: fed, at: entry.at });
                }
                // Sources of later versions.
                (Some("ods_db" | "table_process"), Some(_)) => {}
                _ => bail!("line {number}: a source with a line, or \"barrier\":true, is expected"),
            }
        }
        if fed < lines {
            // Records without a moment arrive after everything else.
            moments.push(Moment::Barrier { at: last.max(0) });
            moments.push(Moment::Records { until: lines, at: last.max(0) });
        }
        Ok(Self { moments })
    }

    /// The stamp of the first epoch.
    pub(crate) fn first_stamp_ms(&self) -> i64 {
        self.moments.first().map_or(0, |moment| moment.at())
    }
}

impl Moment {
    fn at(&self) -> i64 {
        match *self {
            Self::Records { at, .. } | Self::Barrier { at } => at,
        }
    }
}

/// Feeds the source as the timeline says; stepped by the waiting main thread.
pub(crate) struct Pacer<'a> {
    moments: std::slice::Iter<'a, Moment>,
    next: Option<Moment>,
    limit: Arc<AtomicU64>,
    epoch: EpochLength,
    opened_at: i64,
    opened_row: u64,
    state: State,
}

enum State {
    /// Feed the next moment.
    Feeding,
    /// The epoch is being closed; what was fed must be in before.
    Closing { barrier: bool, next_stamp: i64, asked: Option<Reply<u64>> },
    /// Everything up to this epoch must be delivered.
    Delivering(u64),
    /// Nothing left.
    Done,
}

impl<'a> Pacer<'a> {
    pub(crate) fn new(
        timeline: &'a Timeline,
        limit: Arc<AtomicU64>,
        epoch: EpochLength,
        read_before: u64,
    ) -> Self {
        limit.store(read_before, Ordering::SeqCst);
        let mut moments = timeline.moments.iter();
        // A killed run has completed these.
        let past = |moment: &Moment| matches!(moment, Moment::Records { until, .. } if *until <= read_before);
        let mut next = moments.next().copied();
        let mut opened_at = timeline.first_stamp_ms();
        while let Some(moment) = next {
            let skipped =
                past(&moment) || (read_before > 0 && matches!(moment, Moment::Barrier { .. }));
            if !skipped {
                break;
            }
            opened_at = moment.at();
            next = moments.next().copied();
        }
        Self {
            moments,
            next,
            limit,
            epoch,
            opened_at,
            opened_row: read_before,
            state: State::Feeding,
        }
    }

    /// One step; `emitted` records are in the dataflow.
    pub(crate) fn step(&mut self, emitted: u64, handle: &Handle) -> Result<()> {
        loop {
            match &mut self.state {
                State::Feeding => {
                    if !self.feed() {
                        return Ok(());
                    }
                }
                State::Closing { barrier, next_stamp, asked } => {
                    if emitted < self.limit.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    let Some(reply) = asked else {
                        let next_stamp_ms = Some(*next_stamp);
                        *asked = Some(handle.close(CloseRequest { next_stamp_ms })?);
                        return Ok(());
                    };
                    let Some(epoch) = reply.take() else { return Ok(()) };
                    self.opened_at = *next_stamp;
                    self.opened_row = emitted;
                    self.state = if *barrier { State::Delivering(epoch) } else { State::Feeding };
                }
                State::Delivering(epoch) => {
                    let status = handle.status();
                    if status.groups.iter().any(|group| group.settled < *epoch) {
                        return Ok(());
                    }
                    self.state = State::Feeding;
                }
                State::Done => return Ok(()),
            }
        }
    }

    /// Feeds one moment, or orders a close before it; false when there is nothing left.
    fn feed(&mut self) -> bool {
        let Some(moment) = self.next else {
            self.state = State::Done;
            // Nothing more is held back: the source may see its end.
            self.limit.store(u64::MAX, Ordering::SeqCst);
            return false;
        };
        let close = |barrier| State::Closing { barrier, next_stamp: moment.at(), asked: None };
        match moment {
            Moment::Barrier { .. } => {
                self.next = self.moments.next().copied();
                self.state = close(true);
            }
            Moment::Records { until, at } => {
                let due = match self.epoch {
                    EpochLength::Millis(ms) => {
                        at.saturating_sub(self.opened_at) >= ms.cast_signed()
                    }
                    EpochLength::Rows(rows) => until - 1 - self.opened_row >= rows,
                };
                if due && self.opened_row < until - 1 {
                    self.state = close(false);
                } else {
                    if due {
                        // Nothing was fed since the epoch opened: it simply opens later.
                        self.opened_at = at;
                    }
                    self.limit.store(until, Ordering::SeqCst);
                    self.next = self.moments.next().copied();
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_by_line() {
        let cases = [
            (
                "{\"at\":5,\"source\":\"ods_log\",\"line\":2}",
                "line 1: line 2 of ods_log, but 1 is next",
            ),
            (
                "{\"at\":5,\"barrier\":true}\n{\"at\":4,\"barrier\":true}",
                "line 2: \"at\" 4 is before 5; time does not go back",
            ),
            (
                "{\"at\":5,\"source\":\"x\",\"line\":1}",
                "line 1: a source with a line, or \"barrier\":true, is expected",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Timeline::parse(text, 9).expect_err(text).to_string(), expected);
        }
    }

    #[test]
    fn what_has_no_moment_comes_last() {
        let timeline =
            Timeline::parse("{\"at\":7,\"source\":\"ods_log\",\"line\":1}", 3).expect("good");
        let last = [Moment::Barrier { at: 7 }, Moment::Records { until: 3, at: 7 }];
        assert_eq!(timeline.moments[1..], last);
        assert_eq!(timeline.first_stamp_ms(), 7);
    }
}
