//! The three ways a demo shows itself: a live view, a progress bar, plain lines.
//!
//! | asked | standard output | shown |
//! |---|---|---|
//! | `--exit-when-done` | any | a bar on standard error, if that is a terminal |
//! | else | terminal | the live view |
//! | else | no terminal | a line every two seconds |

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use engine::time::zone::Zone;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::sample::{Rates, Sample};
use super::stream::Stream;
use super::table::{Shown, TableWatch};
use super::text::{bytes, grouped, rate};
use super::view::View;
use super::{Request, layer};
use crate::warehouse::Warehouse;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What is to be shown.
pub(super) struct Picture<'a> {
    pub(super) stream: &'a Stream,
    pub(super) sample: &'a Sample,
    pub(super) rates: &'a Rates,
    /// Since the start.
    pub(super) elapsed: Duration,
    /// Event time that the warehouse has reached, about.
    pub(super) event_ms: i64,
    /// Length of a window.
    pub(super) window_ms: i64,
    pub(super) zone: &'a Zone,
    /// A stop is under way.
    pub(super) stopping: bool,
}

/// One of the three.
pub(super) enum Display {
    View(Box<View>),
    Bar(ProgressBar),
    Lines { tables: TableWatch, next: Instant },
}

impl Display {
    pub(super) fn choose(
        request: &Request,
        stream: &Stream,
        warehouse: &Warehouse,
    ) -> io::Result<Self> {
        if let Some(records) = stream.records().filter(|_bounded| request.exit_when_done) {
            return Ok(Self::Bar(progress_bar(records)));
        }
        let tables = TableWatch::begin(warehouse)?;
        if io::stdout().is_terminal() {
            return Ok(Self::View(Box::new(View::begin(tables)?)));
        }
        Ok(Self::Lines { tables, next: Instant::now() + LINE_EVERY })
    }

    /// Whether the user has asked to stop since the last call, by a key.
    pub(super) fn wants_stop(&mut self) -> bool {
        match self {
            Self::View(view) => view.wants_stop(),
            Self::Bar(_) | Self::Lines { .. } => false,
        }
    }

    /// Shows it; fails if there is nothing to show it on any more.
    pub(super) fn show(&mut self, picture: &Picture<'_>) -> io::Result<()> {
        match self {
            Self::View(view) => view.show(picture),
            Self::Bar(bar) => {
                let read = picture.sample.read();
                if bar.position() == 0 {
                    // What an earlier start has read says nothing about the speed of this one.
                    bar.set_position(read);
                    bar.reset_eta();
                }
                bar.set_position(read);
                Ok(())
            }
            Self::Lines { tables, next } if Instant::now() >= *next => {
                *next += LINE_EVERY;
                writeln!(io::stdout(), "{}", line(picture, &tables.shown()))
            }
            Self::Lines { .. } => Ok(()),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn progress_bar(records: u64) -> ProgressBar {
    let bar = ProgressBar::new(records);
    let style = "{wide_bar} {pos}/{len} records  {per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template without faults"));
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// The state in one line.
fn line(picture: &Picture<'_>, tables: &Shown) -> String {
    let Picture { sample, rates, .. } = picture;
    let table_rows: u64 = tables.dws.iter().map(|table| table.rows).sum();
    let dimension_rows: u64 = tables.dimensions.iter().map(|table| table.rows).sum();
    let number = |number: u64| grouped(&number.to_string());
    let dwd = layer::dwd().map(|topic| sample.rows(topic)).sum();
    let dwd_rate = layer::dwd().map(|topic| rates.of(topic)).sum();
    let side = |name| number(sample.total(name));
    format!(
        "{:>6.1} s  ods_log {} ({})  ods_db {} ({})  dim {} in {} tables  dwd {} ({})  dws {}  dirty {}  late {}  future {}  {} · {}",
        picture.elapsed.as_secs_f64(),
        number(sample.rows(layer::LOG)),
        rate(rates.of(layer::LOG)),
        number(sample.rows(layer::SHOP)),
        rate(rates.of(layer::SHOP)),
        number(dimension_rows),
        tables.dimensions.len(),
        number(dwd),
        rate(dwd_rate),
        number(table_rows),
        side("dirty"),
        side("late"),
        side("future"),
        progress(picture),
        usage(picture),
    )
}

/// Epochs and what is under way: `epoch 84 open, 83 complete · …`.
pub(super) fn progress(picture: &Picture<'_>) -> String {
    let status = &picture.sample.status;
    let groups = || status.groups.iter();
    let complete = groups().map(|group| group.complete).min().unwrap_or(0);
    let age_ms = groups().map(|group| group.checkpoint_age_ms).max().unwrap_or(0);
    format!(
        "epoch {} open, {complete} complete · checkpoint {:.1} s old · in flight {}",
        status.open_epoch,
        Duration::from_millis(age_ms).as_secs_f64(),
        bytes(status.inflight_bytes),
    )
}

/// Memory and processor time: `61.2 MiB · cpu 12 %`.
pub(super) fn usage(picture: &Picture<'_>) -> String {
    let cpu = picture.rates.cpus() * 100.0;
    format!("{} · cpu {cpu:.0} %", bytes(picture.sample.usage.rss_bytes))
}
