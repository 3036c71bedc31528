//! Dimension rows of an epoch, one change per key; and live rows before what is read again.
//!
//! Changes of one key that meet in an epoch become one ([`super::compose`]). While a table is being
//! filled from old records, the changes that its live rows have made since are kept: an old record
//! is written as if it had come before them, so the newer wins, column by column, and a deleted row
//! stays deleted. They are forgotten when the table is filled.

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
/// Column: number of the request whose answer this is; null for a live row. Int.
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

/// A sink table that is being filled.
#[derive(Debug, Default)]
struct Fill {
    source: String,
    number: u32,
    /// By key: what live rows have done to it since.
    live: BTreeMap<Box<[u8]>, Vec<u8>>,
}

impl Fill {
    /// The entry of state, less the live changes: number, source.
    fn entry(&self) -> Vec<u8> {
        [&self.number.to_be_bytes(), self.source.as_bytes()].concat()
    }
}

/// The operator.
pub(super) struct Rows {
    schema: Arc<Schema>,
    dictionary: &'static str,
    fills: BTreeMap<String, Fill>,
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
                    if self.fills.get(&route.sink).is_some_and(|fill| fill.number == number) {
                        continue;
                    }
                    // What came before is read again, and with columns that it lacked.
                    self.forget(&route.sink);
                    let fill = Fill { source: route.source, number, live: BTreeMap::new() };
                    self.changed.insert(fill_key(&route.sink), Some(fill.entry()));
                    self.fills.insert(route.sink, fill);
                }
                Notice::Remove { source, sink } => {
                    if self.fills.get(&sink).is_some_and(|fill| fill.source == source) {
                        self.forget(&sink);
                    }
                }
                Notice::Filled { source, number } => filled.push((source, number)),
                Notice::Waits { .. } | Notice::GivenUp { .. } => {}
            }
        }
        filled
    }

    fn forget(&mut self, sink: &str) {
        let Some(fill) = self.fills.remove(sink) else { return };
        for (key, _) in fill.live {
            self.changed.insert(live_key(sink, &key), None);
        }
        self.changed.insert(fill_key(sink), None);
    }

    /// The one change of a key; `rows` are its rows of the epoch, by order value.
    fn key(&mut self, rows: &[Row<'_>]) -> Option<Vec<u8>> {
        let (sink, key) = (text(rows[0], SINK), bytes(rows[0], KEY));
        let mut fill = self.fills.get_mut(sink);
        let mut result: Option<Vec<u8>> = None;
        let mut touched = false;
        for row in rows {
            let change = bytes(*row, CHANGE);
            let live = fill.as_deref_mut().map(|fill| &mut fill.live);
            let effect = match (live, row.int(FILL)) {
                (None, _) => change.to_vec(),
                (Some(live), None) => {
                    let since = live.get(key).map(|before| compose_bytes(before, change));
                    live.insert(key.into(), since.unwrap_or_else(|| change.to_vec()));
                    touched = true;
                    change.to_vec()
                }
                (Some(live), Some(_)) => match live.get(key) {
                    Some(since) => compose_bytes(change, since),
                    None => change.to_vec(),
                },
            };
            result = Some(match result {
                Some(before) => compose_bytes(&before, &effect),
                None => effect,
            });
        }
        if touched && let Some(fill) = fill {
            self.changed.insert(live_key(sink, key), fill.live.get(key).cloned());
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
            let done = |fill: &Fill| fill.source == source && fill.number <= number;
            let sinks: Vec<String> = self
                .fills
                .iter()
                .filter(|(_, fill)| done(fill))
                .map(|(sink, _)| sink.clone())
                .collect();
            sinks.iter().for_each(|sink| self.forget(sink));
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
        let fill = self.fills.entry(sink).or_default();
        if group == SHARED_GROUP {
            let (number, source) = value.split_first_chunk().expect(written);
            fill.number = u32::from_be_bytes(*number);
            fill.source = String::from_utf8(source.to_vec()).expect(written);
        } else {
            fill.live.insert(rest.into(), value.to_vec());
        }
    }

    fn entries(&self) -> usize {
        self.fills.values().map(|fill| 1 + fill.live.len()).sum()
    }
}

fn bytes<'a>(row: Row<'a>, column: usize) -> &'a [u8] {
    row.bytes(column).unwrap_or_default()
}

fn text(row: Row<'_>, column: usize) -> &str {
    std::str::from_utf8(bytes(row, column)).expect("names of sinks are text")
}

/// State entry of a fill, known to all workers.
fn fill_key(sink: &str) -> (u16, Vec<u8>) {
    let mut key = Vec::new();
    push_text(&mut key, sink);
    (SHARED_GROUP, key)
}

/// State entry of a live change. Its group is that of the row's route, so that its owner loads it.
fn live_key(sink: &str, key: &[u8]) -> (u16, Vec<u8>) {
    let mut route = Vec::new();
    engine::batch::key::push_bytes(&mut route, Some(sink.as_bytes()));
    engine::batch::key::push_bytes(&mut route, Some(key));
    let mut state_key = Vec::new();
    push_text(&mut state_key, sink);
    state_key.extend_from_slice(key);
    (key_group(&route), state_key)
}
