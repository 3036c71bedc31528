//! Dimension rows of an epoch, one change per key; and live rows before what is read again.
//!
//! Changes of one key that meet in an epoch become one ([`super::compose`]). While a table is being
//! filled from old records, the changes that its live rows have made since are kept: an old record
//! is written as if it had come before them, so the newer wins, column by column, and a deleted row
//! stays deleted. They are forgotten when the table is filled. Where several sources feed a table,
//! each fills it by itself, beside the live rows of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::piece::Delta;
use engine::hash::key_group;
use engine::operator::stateful::{Close, Output, SHARED_GROUP, Stateful};

use super::compose::compose_bytes;
use super::notice::{Notice, push_text, take_text};

/// Column: name of the sink table. Slice.
pub(super) const SINK: usize = 0;
/// Column: comparable bytes of the key. Slice.
pub(super) const KEY: usize = 1;
/// Column: the change, see [`connectors::format::dimension`]. Slice.
pub(super) const CHANGE: usize = 2;
/// Column: number of the fill that this old record belongs to; null for a live row. Int.
pub(super) const FILL: usize = 3;

/// Port: changes of dimension tables.
pub(super) const PORT_TABLES: usize = 0;
/// Port: changes of the dictionary, which is no table.
pub(super) const PORT_DICTIONARY: usize = 1;

/// Schema of changes on their way.
pub(super) fn change_schema() -> Arc<Schema> {
    Schema::new(
        "dimension_change",
        &[
            ("sink", Kind::Slice),
            ("key", Kind::Slice),
            ("change", Kind::Slice),
            ("fill", Kind::Int),
        ],
    )
}

/// A sink table that is being filled from one source.
#[derive(Debug, Default)]
struct Fill {
    number: u32,
    /// By key: what live rows have done to it since.
    live: BTreeMap<Box<[u8]>, Vec<u8>>,
}

impl Fill {
    /// A live row comes by.
    fn remember(&mut self, key: &[u8], change: &[u8]) {
        let since = self.live.get(key).map(|before| compose_bytes(before, change));
        self.live.insert(key.into(), since.unwrap_or_else(|| change.to_vec()));
    }

    /// What an old record comes to, written as if it had come before the live rows.
    fn before_live(&self, key: &[u8], change: Vec<u8>) -> Vec<u8> {
        match self.live.get(key) {
            Some(since) => compose_bytes(&change, since),
            None => change,
        }
    }
}

/// The fills of one sink table, by source.
type Fills = BTreeMap<String, Fill>;

/// The operator.
pub(super) struct Rows {
    schema: Arc<Schema>,
    dictionary: &'static str,
    /// By sink; none without a source.
    fills: BTreeMap<String, Fills>,
    /// The last value of each entry that this epoch changes.
    changed: BTreeMap<(u16, Vec<u8>), Option<Vec<u8>>>,
}

impl Rows {
    /// `dictionary` is the sink name of what is no table.
    pub(super) fn new(dictionary: &'static str) -> Self {
        Self {
            schema: change_schema(),
            dictionary,
            fills: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Applies the notices of an epoch; returns the ends, which come after its rows.
    fn notices(&mut self, close: &mut Close<'_>) -> Vec<(String, u32)> {
        let mut filled = Vec::new();
        for (_, row) in close.rows.iter().filter(|(input, _)| *input == 1) {
            match Notice::read(row) {
                Notice::Put(route) => {
                    let Some(number) = route.fill else { continue };
                    let known = self.fills.get(&route.sink).and_then(|of| of.get(&route.source));
                    if known.is_some_and(|fill| fill.number == number) {
                        continue;
                    }
                    // What came before is read again, and with columns that it lacked.
                    self.forget(&route.sink, &route.source);
                    let bytes = number.to_be_bytes().to_vec();
                    self.changed.insert(fill_key(&route.sink, &route.source), Some(bytes));
                    let fill = Fill { number, live: BTreeMap::new() };
                    self.fills.entry(route.sink).or_default().insert(route.source, fill);
                }
                Notice::Remove { source, sink } => self.forget(&sink, &source),
                Notice::Filled { source, number } => filled.push((source, number)),
                Notice::Waits { .. } | Notice::GivenUp { .. } => {}
            }
        }
        filled
    }

    fn forget(&mut self, sink: &str, source: &str) {
        let Some(fills) = self.fills.get_mut(sink) else { return };
        let Some(fill) = fills.remove(source) else { return };
        if fills.is_empty() {
            self.fills.remove(sink);
        }
        for (key, _) in fill.live {
            self.changed.insert(live_key(sink, source, &key), None);
        }
        self.changed.insert(fill_key(sink, source), None);
    }

    /// Forgets what is filled by a request of this number.
    fn filled(&mut self, source: &str, number: u32) {
        let done = |fills: &Fills| fills.get(source).is_some_and(|fill| fill.number <= number);
        let sinks: Vec<String> = self
            .fills
            .iter()
            .filter(|(_, fills)| done(fills))
            .map(|(sink, _)| sink.clone())
            .collect();
        sinks.iter().for_each(|sink| self.forget(sink, source));
    }

    /// The one change of a key; `rows` are its rows of the epoch, by order value.
    fn key(&mut self, rows: &[Row<'_>]) -> Option<Vec<u8>> {
        let (sink, key) = (text(rows[0], SINK), bytes(rows[0], KEY));
        let mut fills = self.fills.get_mut(sink);
        let mut result: Option<Vec<u8>> = None;
        let mut touched = false;
        for row in rows {
            let change = bytes(*row, CHANGE);
            let mut effect = change.to_vec();
            for fill in fills.iter_mut().flat_map(|fills| fills.values_mut()) {
                match row.int(FILL) {
                    None => {
                        fill.remember(key, change);
                        touched = true;
                    }
                    Some(number) if number == i64::from(fill.number) => {
                        effect = fill.before_live(key, effect);
                    }
                    Some(_other) => {}
                }
            }
            result = Some(match result {
                Some(before) => compose_bytes(&before, &effect),
                None => effect,
            });
        }
        for (source, fill) in fills.iter().filter(|_| touched).flat_map(|fills| fills.iter()) {
            self.changed.insert(live_key(sink, source, key), fill.live.get(key).cloned());
        }
        result
    }

    fn emit(&self, row: Row<'_>, change: &[u8], output: &mut Output) {
        let port = self.port(row);
        let rows = output.row(port, &self.schema);
        rows.begin();
        for (column, bytes) in [(SINK, bytes(row, SINK)), (KEY, bytes(row, KEY)), (CHANGE, change)]
        {
            let slice = rows.append(bytes);
            rows.slice(column, slice);
        }
        rows.int(FILL, None);
        rows.end(Stamp::of(row));
    }

    fn port(&self, row: Row<'_>) -> usize {
        let dictionary = bytes(row, SINK) == self.dictionary.as_bytes();
        if dictionary { PORT_DICTIONARY } else { PORT_TABLES }
    }
}

impl Stateful for Rows {
    fn close(&mut self, close: &mut Close<'_>) {
        let filled = self.notices(close);
        let mut rows: Vec<Row<'_>> =
            close.rows.iter().filter(|(input, _)| *input == 0).map(|(_, row)| row).collect();
        // Stable: rows of a key stay in order. Sorted keys are what a store takes best.
        rows.sort_by(|a, b| {
            (bytes(*a, SINK), bytes(*a, KEY)).cmp(&(bytes(*b, SINK), bytes(*b, KEY)))
        });
        let same = |a: &Row<'_>, b: &Row<'_>| {
            bytes(*a, KEY) == bytes(*b, KEY) && bytes(*a, SINK) == bytes(*b, SINK)
        };
        for of_key in rows.chunk_by(same) {
            let last = of_key[of_key.len() - 1];
            if of_key.len() == 1 && self.fills.is_empty() {
                close.output.copy(self.port(last), last);
            } else if let Some(change) = self.key(of_key) {
                self.emit(last, &change, close.output);
            }
        }
        for (source, number) in filled {
            self.filled(&source, number);
        }
        let first = close.worker == 0;
        for ((group, key), value) in std::mem::take(&mut self.changed) {
            if group != SHARED_GROUP || first {
                close.deltas.push(Delta { group, key, value });
            }
        }
    }

    fn load(&mut self, group: u16, key: &[u8], value: &[u8]) {
        let written = "state of this operator was written by it";
        let mut rest = key;
        let sink = take_text(&mut rest).expect(written);
        let source = take_text(&mut rest).expect(written);
        let fill = self.fills.entry(sink).or_default().entry(source).or_default();
        if group == SHARED_GROUP {
            fill.number = u32::from_be_bytes(value.try_into().expect(written));
        } else {
            fill.live.insert(rest.into(), value.to_vec());
        }
    }

    fn entries(&self) -> usize {
        self.fills.values().flat_map(Fills::values).map(|fill| 1 + fill.live.len()).sum()
    }
}

fn bytes<'a>(row: Row<'a>, column: usize) -> &'a [u8] {
    row.bytes(column).unwrap_or_default()
}

fn text(row: Row<'_>, column: usize) -> &str {
    std::str::from_utf8(bytes(row, column)).expect("names of sinks are text")
}

/// State entry of a fill, known to all workers.
fn fill_key(sink: &str, source: &str) -> (u16, Vec<u8>) {
    let mut key = Vec::new();
    push_text(&mut key, sink);
    push_text(&mut key, source);
    (SHARED_GROUP, key)
}

/// State entry of a live change. Its group is that of the row's route, so that its owner loads it.
fn live_key(sink: &str, source: &str, key: &[u8]) -> (u16, Vec<u8>) {
    let mut route = Vec::new();
    engine::batch::key::push_bytes(&mut route, Some(sink.as_bytes()));
    engine::batch::key::push_bytes(&mut route, Some(key));
    let mut state_key = Vec::new();
    push_text(&mut state_key, sink);
    push_text(&mut state_key, source);
    state_key.extend_from_slice(key);
    (key_group(&route), state_key)
}

#[cfg(test)]
mod tests;
