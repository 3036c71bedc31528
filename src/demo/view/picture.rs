//! One picture of the warehouse, drawn from what was seen of it. Pure: the same values are the same
//! picture; what does not fit is cut off, never a panic.

mod dimension;

use jobs::dws::window::WindowTable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};
use serde_json::Value;

use crate::demo::display::{Picture, progress, usage};
use crate::demo::layer;
use crate::demo::table::{Shown, TableShown};
use crate::demo::text::{grouped, rate};
use crate::status::FullSink;

/// An epoch that takes longer than this is explained.
const EPOCH_LONG_MS: u64 = 3_000;
/// Width of the bar of the fastest topic.
const BAR_WIDTH: f64 = 20.0;
const DIM: Style = Style::new().fg(Color::DarkGray);
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Screens of fewer lines are drawn closer.
const LINES_ROOMY: u16 = 34;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>, tables: &Shown) {
    let whole = frame.area();
    let roomy = whole.height >= LINES_ROOMY;
    let dwd = if roomy { dwd_lines_of(picture) } else { dwd_lines_close(picture) };
    let ods = ods_lines(picture, if roomy { &layer::ODS } else { &layer::ODS[..2] });
    let side = if roomy { side_lines(picture) } else { vec![side_line(picture)] };
    let foot = foot_lines(picture, roomy);
    let lines = |lines: &[Line<'_>]| u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let dim = dimension::height(whole.width, tables).min(if roomy { u16::MAX } else { 4 });
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lines(&ods) + 1),
        Constraint::Length(dim),
        Constraint::Length(lines(&dwd) + 1),
        Constraint::Min(0),
        Constraint::Length(lines(&side) + 1),
        Constraint::Length(lines(&foot)),
    ]);
    let [title, ods_area, dim_area, dwd_area, dws_area, side_area, foot_area] = areas.areas(whole);
    frame.render_widget(title_line(picture), title);
    section(frame, ods_area, "ODS", "what the generators write", ods);
    dimension::draw(frame, dim_area, picture, tables);
    section(frame, dwd_area, "DWD", "split, repaired, first and single visits", dwd);
    draw_tables(frame, dws_area, picture, &tables.dws);
    section(frame, side_area, "Side outputs", "nothing is dropped in silence", side);
    frame.render_widget(Paragraph::new(foot), foot_area);
}

fn number(number: u64) -> String {
    grouped(&number.to_string())
}

fn title_line(picture: &Picture<'_>) -> Line<'static> {
    let seconds = picture.elapsed.as_secs();
    let up = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Line::from(vec![
        " watershed demo ".bold().reversed(),
        format!("  {} · up {up} · {}", picture.stream, usage(picture)).into(),
    ])
}

/// A layer: a rule with its name, and lines below.
fn section(frame: &mut Frame<'_>, area: Rect, name: &str, about: &str, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(lines).block(rule(name, about)), area);
}

fn rule<'a>(name: &'a str, about: &'a str) -> Block<'a> {
    let title = Line::from(vec![
        Span::styled(
            format!(" {name} "),
            Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
        ),
        Span::styled(format!("{about} "), DIM),
    ]);
    Block::new().borders(Borders::TOP).border_style(DIM).title(title)
}

fn ods_lines(picture: &Picture<'_>, topics: &[&'static str]) -> Vec<Line<'static>> {
    let line = |topic: &&'static str| {
        let rows = picture.sample.rows(topic);
        let mut line = topic_line(topic, rows, picture.rates.of(topic));
        if *topic == layer::LOG {
            line.push_span(Span::styled(format!("  {}", read_of_log(picture, rows)), DIM));
        }
        line
    };
    topics.iter().map(line).collect()
}

/// How much of the logs has been read.
fn read_of_log(picture: &Picture<'_>, rows: u64) -> String {
    let read = picture.sample.read();
    match picture.stream.records() {
        Some(records) if records > 0 => {
            format!("{:>5.1} % of {} read", read as f64 * 100.0 / records as f64, number(records))
        }
        Some(_) | None => format!("{} to be read", number(rows.saturating_sub(read))),
    }
}

fn dwd_lines_of(picture: &Picture<'_>) -> Vec<Line<'static>> {
    let greatest = layer::dwd().map(|topic| picture.rates.of(topic)).fold(1.0, f64::max);
    let line = |topic| {
        let per_second = picture.rates.of(topic);
        let mut line = topic_line(topic, picture.sample.rows(topic), per_second);
        line.push_span(Span::styled(bar(per_second / greatest), Style::new().fg(Color::Green)));
        line
    };
    layer::dwd().map(line).collect()
}

/// Two topics a line, by the part of their names that differs.
fn dwd_lines_close(picture: &Picture<'_>) -> Vec<Line<'static>> {
    let topics: Vec<&str> = layer::dwd().collect();
    let cell = |topic: &&str| {
        let name = topic.strip_prefix("dwd_traffic_").unwrap_or(topic);
        let name = name.strip_suffix("_log").or(name.strip_suffix("_detail")).unwrap_or(name);
        let per_second = rate(picture.rates.of(topic));
        Span::from(format!(
            "  {name:<15}{:>12}{per_second:>11}",
            number(picture.sample.rows(topic))
        ))
    };
    topics.chunks(2).map(|topics| topics.iter().map(cell).collect()).collect()
}

fn topic_line(topic: &str, rows: u64, per_second: f64) -> Line<'static> {
    Line::from(format!("  {topic:<34}{:>13}{:>11}  ", number(rows), rate(per_second)))
}

/// A bar of up to [`BAR_WIDTH`]; `share` is from 0 to 1.
fn bar(share: f64) -> String {
    let mut bar = String::new();
    let mut filled = 0.5;
    while filled < share * BAR_WIDTH {
        bar.push('▇');
        filled += 1.0;
    }
    bar
}

fn draw_tables(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>, tables: &[TableShown]) {
    let about = windows(picture, tables);
    let block = rule("DWS", &about);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // The second table has a row per version, channel, area and newness; the first but one.
    let first = Constraint::Length((inner.height / 3).max(3));
    let areas = Layout::vertical([first, Constraint::Fill(1)]).split(inner);
    for ((spec, shown), area) in layer::DWS.iter().zip(tables).zip(areas.iter()) {
        draw_table(frame, *area, spec, shown);
    }
}

/// How far windows have fired, and how many are open.
fn windows(picture: &Picture<'_>, tables: &[TableShown]) -> String {
    let seconds = picture.window_ms / 1_000;
    let ends = tables.iter().filter_map(|table| table.newest.first()?.get("edt")?.as_str());
    let Some(end) = ends.max() else { return format!("windows of {seconds} s, none fired yet") };
    let mut now = String::new();
    let open = match picture.zone.write_time(picture.event_ms, &mut now) {
        Ok(()) => open_windows(second_of_day(end), second_of_day(&now), seconds.max(1)),
        Err(_) => None,
    };
    let open = open.map_or(String::new(), |open| format!(", {open} open"));
    format!("windows of {seconds} s: fired to {}{open}", clock(end))
}

/// Windows that have begun by `now` and end after `end`; all in seconds of the day.
fn open_windows(end: Option<i64>, now: Option<i64>, size: i64) -> Option<i64> {
    Some((now? - end?).rem_euclid(DAY) / size + 1)
}

/// `2022-04-30 11:00:10` → `11:00:10`.
fn clock(time: &str) -> &str {
    time.split(' ').nth(1).unwrap_or(time)
}

fn second_of_day(time: &str) -> Option<i64> {
    let mut parts = clock(time).split(':').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3_600 + next()? * 60 + next()?)
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, spec: &WindowTable, shown: &TableShown) {
    let [name, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let rows = format!("{:>13} rows", number(shown.rows));
    let title = Line::from(vec![format!("  {:<46}", spec.name).into(), rows.into()]);
    frame.render_widget(title, name);
    let columns: Vec<&str> =
        ["stt"].iter().chain(spec.groups).chain(spec.metrics).copied().collect();
    let cells = |row: &serde_json::Map<String, Value>| -> Vec<String> {
        columns.iter().map(|column| cell(row.get(*column))).collect()
    };
    let rows: Vec<Vec<String>> =
        shown.newest.iter().take(usize::from(body.height)).map(cells).collect();
    let widths = columns.iter().enumerate().map(|(index, column)| {
        let widest = rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
        let width = u16::try_from(widest.max(column.len())).unwrap_or(u16::MAX);
        Constraint::Length(width)
    });
    let widths: Vec<_> = [Constraint::Length(3)].into_iter().chain(widths).collect();
    let header = Row::new(["".to_owned()].into_iter().chain(columns.iter().map(|c| (*c).into())));
    let row = |cells: Vec<String>| Row::new([String::new()].into_iter().chain(cells));
    let table = Table::new(rows.into_iter().map(row), widths).header(header.style(DIM));
    frame.render_widget(table, body);
}

/// A value as shown: times without their year.
fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) if second_of_day(text).is_some() => {
            text.split_once('-').map_or(text.as_str(), |(_year, rest)| rest).to_owned()
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn side_lines(picture: &Picture<'_>) -> Vec<Line<'static>> {
    let sample = picture.sample;
    let listed = |name: &str, by: &str| {
        let parts: Vec<String> = sample
            .by_label(name, by)
            .into_iter()
            .map(|(label, count)| format!("{label} {}", number(count)))
            .collect();
        Span::styled(
            if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) },
            DIM,
        )
    };
    let counted = |name: &str| format!("  {name} {}", number(sample.total(name)));
    vec![
        Line::from(vec![counted("dirty").into(), listed("dirty", "reason")]),
        Line::from(vec![counted("future").into(), counted("late").into(), listed("late", "job")]),
        Line::from(vec![
            counted("null_pk").into(),
            counted("dropped").into(),
            listed("dropped", "reason"),
        ]),
    ]
}

fn side_line(picture: &Picture<'_>) -> Line<'static> {
    let counted = |name: &str| format!("  {name} {}", number(picture.sample.total(name)));
    ["dirty", "future", "late", "null_pk", "dropped"]
        .into_iter()
        .map(counted)
        .collect::<String>()
        .into()
}

fn foot_lines(picture: &Picture<'_>, with_rule: bool) -> Vec<Line<'static>> {
    let status = &picture.sample.status;
    let last = match (trouble(picture), status.faults.last()) {
        (Some(text), _) => Line::from(text).yellow(),
        (None, Some(fault)) => Line::from(format!(" last fault: {fault}")).red(),
        (None, None) if picture.stopping => {
            Line::from(" stopping: what is under way completes").yellow()
        }
        (None, None) => {
            let text = " q or Ctrl-C stops; started again, it goes on where it ended";
            Line::from(Span::styled(text, DIM))
        }
    };
    let rule = "─".repeat(usize::from(u8::MAX));
    let rule = with_rule.then(|| Line::from(Span::styled(rule, DIM)));
    rule.into_iter().chain([Line::from(format!(" {}", progress(picture))), last]).collect()
}

/// Why nothing is read, or what an epoch that takes long waits for.
fn trouble(picture: &Picture<'_>) -> Option<String> {
    let status = &picture.sample.status;
    let mut full = status.groups.iter().filter_map(|group| group.full_sink.clone());
    if let Some(full) = full.next() {
        return Some(format!(" {}", FullSink::from(full).text()));
    }
    let slow = status.groups.iter().max_by_key(|group| group.epoch_age_ms)?;
    if slow.epoch_age_ms < EPOCH_LONG_MS {
        return None;
    }
    let held: Vec<String> = status
        .holds
        .iter()
        .filter(|hold| hold.epoch <= slow.closed && slow.jobs.contains(&hold.job))
        .take(4)
        .map(|hold| {
            format!("{}.{} (worker {}, {})", hold.job, hold.uid, hold.worker, hold.reason.as_str())
        })
        .collect();
    let held = if held.is_empty() { "the checkpoint".to_owned() } else { held.join(", ") };
    let seconds = slow.epoch_age_ms as f64 / 1_000.0;
    Some(format!(" an epoch of {} is {seconds:.1} s old: waiting for {held}", slow.name))
}

#[cfg(test)]
mod tests;
