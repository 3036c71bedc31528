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
use super::recorded::Recorded;

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
    /// Records of a source, by its index, up to this number (exclusive) arrive at `at`.
    Records { source: usize, until: u64, at: i64 },
    /// All before is delivered.
    Barrier { at: i64 },
}

/// The order of arrival over all sources.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    moments: Vec<Moment>,
}

impl Timeline {
    /// Reads `timeline.jsonl` in `input` if it is there.
    pub(crate) fn read(input: &Path, recorded: &[Recorded]) -> Result<Option<Self>> {
        let path = input.join("timeline.jsonl");
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let sources: Vec<_> = recorded.iter().map(|source| (source.name, source.lines)).collect();
        let timeline = Self::parse(&text, &sources)
            .with_context(|| format!("cannot follow {}", path.display()))?;
        Ok(Some(timeline))
    }

    fn parse(text: &str, sources: &[(&str, u64)]) -> Result<Self> {
        let (mut moments, mut last) = (Vec::new(), i64::MIN);
        let mut fed = vec![0; sources.len()];
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let entry: Entry =
                serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            if entry.at < last {
                bail!("line {number}: \"at\" {} is before {last}; time does not go back", entry.at);
            }
            last = entry.at;
            let known = |name: &str| sources.iter().position(|(source, _)| *source == name);
            match (entry.source.as_deref(), entry.line) {
                _ if entry.barrier => moments.push(Moment::Barrier { at: entry.at }),
                (Some(name), Some(wanted)) if let Some(source) = known(name) => {
                    let next = fed[source] + 1;
                    if wanted != next {
                        bail!("line {number}: line {wanted} of {name}, but {next} is next");
                    }
                    fed[source] = wanted;
                    moments.push(Moment::Records { source, until: wanted, at: entry.at });
                }
                _ => bail!(
                    "line {number}: a source that is there with a line, or \"barrier\":true, is expected"
                ),
            }
        }
        let mut timeline = Self { moments };
        let rests = sources.iter().zip(&fed).enumerate();
        for (source, ((_, lines), fed)) in rests.filter(|(_, ((_, lines), fed))| lines > fed) {
            timeline.add_rest(source, *lines, *fed == 0, last.max(0));
        }
        Ok(timeline)
    }

    /// Records without a moment: a source that has none at all feeds after the first barrier, the
    /// rest of another one after everything else.
    fn add_rest(&mut self, source: usize, until: u64, whole: bool, last: i64) {
        let barrier =
            self.moments.iter().position(|moment| matches!(moment, Moment::Barrier { .. }));
        match barrier.filter(|_| whole) {
            Some(barrier) => {
                let at = self.moments[barrier].at();
                self.moments.insert(barrier + 1, Moment::Records { source, until, at });
            }
            None => {
                self.moments.push(Moment::Barrier { at: last });
                self.moments.push(Moment::Records { source, until, at: last });
            }
        }
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
    /// Records of each source that may be read.
    limits: Vec<Arc<AtomicU64>>,
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
    /// Limits that let nothing in yet, one per source.
    pub(crate) fn limits(recorded: &[Recorded]) -> Vec<Arc<AtomicU64>> {
        recorded.iter().map(|_source| Arc::default()).collect()
    }

    /// Begins where a killed run has completed `read_before` records of each source.
    pub(crate) fn new(
        timeline: &'a Timeline,
        limits: Vec<Arc<AtomicU64>>,
        epoch: EpochLength,
        read_before: &[u64],
    ) -> Self {
        for (limit, read) in limits.iter().zip(read_before) {
            limit.store(*read, Ordering::SeqCst);
        }
        let total = read_before.iter().sum();
        let past = |moment: &Moment| match *moment {
            Moment::Records { source, until, .. } => until <= read_before[source],
            Moment::Barrier { .. } => total > 0,
        };
        let mut moments = timeline.moments.iter();
        let mut next = moments.next().copied();
        let mut opened_at = timeline.first_stamp_ms();
        while let Some(moment) = next.filter(past) {
            opened_at = moment.at();
            next = moments.next().copied();
        }
        let state = State::Feeding;
        Self { moments, next, limits, epoch, opened_at, opened_row: total, state }
    }

    /// Records of all sources that may be read.
    fn fed(&self) -> u64 {
        // Without limits in the end.
        let limits = self.limits.iter().map(|limit| limit.load(Ordering::SeqCst));
        limits.fold(0, u64::saturating_add)
    }

    /// One step; `emitted` records are in the dataflow.
    pub(crate) fn step(&mut self, emitted: u64, handle: &Handle) -> Result<()> {
        loop {
            let fed = self.fed();
            match &mut self.state {
                State::Feeding => {
                    if !self.feed() {
                        return Ok(());
                    }
                }
                State::Closing { barrier, next_stamp, asked } => {
                    if emitted < fed {
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
            self.limits.iter().for_each(|limit| limit.store(u64::MAX, Ordering::SeqCst));
            return false;
        };
        let close = |barrier| State::Closing { barrier, next_stamp: moment.at(), asked: None };
        match moment {
            Moment::Barrier { .. } => {
                self.next = self.moments.next().copied();
                self.state = close(true);
            }
            Moment::Records { source, until, at } => {
                let before = self.fed();
                let new = until.saturating_sub(self.limits[source].load(Ordering::SeqCst));
                let due = match self.epoch {
                    EpochLength::Millis(ms) => {
                        at.saturating_sub(self.opened_at) >= ms.cast_signed()
                    }
                    EpochLength::Rows(rows) => before + new - self.opened_row > rows,
                };
                if due && self.opened_row < before {
                    self.state = close(false);
                } else {
                    if due {
                        // Nothing was fed since the epoch opened: it simply opens later.
                        self.opened_at = at;
                    }
                    self.limits[source].fetch_max(until, Ordering::SeqCst);
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
                "line 1: a source that is there with a line, or \"barrier\":true, is expected",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Timeline::parse(text, &[("ods_log", 9)]).expect_err(text).to_string(),
                expected
            );
        }
    }

    #[test]
    fn what_has_no_moment_comes_last() {
        let text = "{\"at\":7,\"source\":\"ods_log\",\"line\":1}\n{\"at\":8,\"barrier\":true}";
        let timeline = Timeline::parse(text, &[("ods_log", 3), ("ods_db", 5)]).expect("good");
        let rest = [
            Moment::Barrier { at: 8 },
            Moment::Records { source: 1, until: 5, at: 8 },
            Moment::Barrier { at: 8 },
            Moment::Records { source: 0, until: 3, at: 8 },
        ];
        assert_eq!(timeline.moments[1..], rest);
        assert_eq!(timeline.first_stamp_ms(), 7);
    }
}
