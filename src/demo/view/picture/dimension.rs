//! The DIM layer of the picture: which tables there are, and what the config table does to them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::{DIM, number, section};
use crate::demo::display::Picture;
use crate::demo::table::{DimensionShown, Shown};
use crate::demo::text::rate;
use crate::status::BackfillReport;

/// Width of a table in the grid: its name without `dim_`, its rows, blanks.
const CELL_WIDTH: u16 = 26;
const NEW: Style = Style::new().fg(Color::Green).add_modifier(Modifier::BOLD);

/// Lines that the layer needs to show all its tables, its rule included.
pub(super) fn height(width: u16, tables: &Shown) -> u16 {
    let tables = u16::try_from(tables.dimensions.len()).unwrap_or(u16::MAX);
    // At least one row: it says that there is none.
    tables.div_ceil(per_line(width)).clamp(1, 8) + 2
}

fn per_line(width: u16) -> u16 {
    (width / CELL_WIDTH).max(1)
}

/// Draws the layer; tables that have no room are only counted.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>, tables: &Shown) {
    let rows = usize::from(area.height.saturating_sub(2));
    let mut lines = grid(&tables.dimensions, usize::from(per_line(area.width)), rows);
    lines.push(config_line(picture, &tables.backfills));
    section(frame, area, "DIM", &about(picture, tables), lines);
}

fn about(picture: &Picture<'_>, tables: &Shown) -> String {
    let rows = tables.dimensions.iter().map(|table| table.rows).sum();
    format!(
        "{} tables, {} rows, {} written",
        tables.dimensions.len(),
        number(rows),
        rate(picture.rates.counted("dim_upserts"))
    )
}

/// Tables in lines of `per_line`, those that are new in green; of too many those that are new come
/// first.
fn grid(tables: &[DimensionShown], per_line: usize, lines: usize) -> Vec<Line<'static>> {
    if tables.is_empty() {
        return vec![Line::from(Span::styled("  no row of the config table yet", DIM))];
    }
    let mut tables: Vec<&DimensionShown> = tables.iter().collect();
    if tables.len() > per_line * lines {
        tables.sort_by_key(|table| !table.new);
        tables.truncate(per_line * lines);
    }
    let cell = |table: &&DimensionShown| {
        let name = table.name.strip_prefix("dim_").unwrap_or(&table.name);
        let mark = if table.new { '+' } else { ' ' };
        let text = format!(" {mark}{name:<18.18}{:>5} ", number(table.rows));
        Span::styled(text, if table.new { NEW } else { Style::new() })
    };
    tables.chunks(per_line).map(|tables| tables.iter().map(cell).collect()).collect()
}

fn config_line(picture: &Picture<'_>, backfills: &[BackfillReport]) -> Line<'static> {
    let sample = picture.sample;
    let mut ops = sample.by_label("config_applied", "op");
    ops.sort_unstable();
    let ops: Vec<String> = ops.into_iter().map(|(op, count)| format!("{op} {count}")).collect();
    let ops = if ops.is_empty() { "none".to_owned() } else { ops.join(", ") };
    let mut line = Line::from(format!("  config applied: {ops}"));
    if sample.total("config_rejected") > 0 {
        line.push_span(format!(", rejected {}", number(sample.total("config_rejected"))));
    }
    let read_again = number(sample.total("backfill_rows"));
    let per_second = rate(picture.rates.counted("backfill_rows"));
    line.push_span(format!(" · back-fill: {read_again} rows ({per_second})"));
    let tables: Vec<&str> = backfills.iter().map(|fill| fill.table.as_str()).collect();
    if !tables.is_empty() {
        line.push_span(Span::styled(format!(" of {}", tables.join(", ")), NEW));
    }
    line
}
