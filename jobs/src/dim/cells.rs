//! The columns of one route, picked out of a change record into memory that is used again.
//!
//! A table's records list their columns in the same order, so the place of a member is remembered:
//! most names are compared once and hashed never.

use connectors::format::dimension::{ChangeTable, DimensionOp, key_fault, push_change};
use connectors::format::maxwell::data::DataReader;
use engine::batch::key::push_bytes;
use engine::hash::Map;

use super::notice::Route;

/// What a record says of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Nothing: the column keeps what it has.
    Absent,
    /// NULL.
    Null,
    /// A range of the text.
    Text(usize, usize),
}

/// Picks columns by exact name.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Indexes of the key columns, in key order.
    keys: Vec<usize>,
    by_name: Map<Box<str>, usize>,
    /// By place in the record: the member last seen there, and its column.
    places: Vec<(Box<str>, Option<usize>)>,
    cells: Vec<Cell>,
    text: Vec<u8>,
}

impl Columns {
    /// The columns of `route`.
    pub(super) fn of(route: &Route) -> Self {
        let names = route.columns.clone();
        let index = |key: &String| names.iter().position(|name| name == key);
        let keys = route.keys.iter().map(|key| index(key).expect("keys are among the columns"));
        Self {
            keys: keys.collect(),
            by_name: names
                .iter()
                .enumerate()
                .map(|(at, name)| (name.as_str().into(), at))
                .collect(),
            places: Vec::new(),
            cells: vec![Cell::Absent; names.len()],
            text: Vec::new(),
            names,
        }
    }

    /// Reads the JSON object of a row: exact names only, the last of equal ones counts.
    pub(super) fn read(&mut self, object: &[u8]) {
        self.cells.fill(Cell::Absent);
        self.text.clear();
        for (place, member) in DataReader::new(object).enumerate() {
            let Some(column) = self.column(place, &member.name) else { continue };
            let start = self.text.len();
            self.cells[column] = match member.value.as_deref() {
                None => Cell::Null,
                Some(text) => {
                    self.text.extend_from_slice(text.as_bytes());
                    Cell::Text(start, self.text.len())
                }
            };
        }
    }

    fn column(&mut self, place: usize, name: &str) -> Option<usize> {
        match self.places.get_mut(place) {
            Some((known, column)) if &**known == name => *column,
            remembered => {
                let column = self.by_name.get(name).copied();
                let entry = (name.into(), column);
                match remembered {
                    Some(other) => *other = entry,
                    None => self.places.push(entry),
                }
                column
            }
        }
    }

    /// What a record's `old` says of the key: the columns of this row with the key it had before, if
    /// that was another.
    pub(super) fn read_former_key(&self, old: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
        let mut texts: Vec<Option<Vec<u8>>> =
            self.keys.iter().map(|key| self.text_of(*key).map(<[u8]>::to_vec)).collect();
        let mut changed = false;
        for member in DataReader::new(old) {
            let column = self.by_name.get(&*member.name);
            let Some(at) = column.and_then(|column| self.keys.iter().position(|key| key == column))
            else {
                continue;
            };
            let former = member.value.map(|text| text.as_bytes().to_vec());
            changed |= former != texts[at];
            texts[at] = former;
        }
        changed.then_some(texts)
    }

    fn text_of(&self, column: usize) -> Option<&[u8]> {
        match self.cells[column] {
            Cell::Text(start, end) if end > start => self.text.get(start..end),
            Cell::Absent | Cell::Null | Cell::Text(..) => None,
        }
    }

    /// Why no store takes a row with this key.
    pub(super) fn key_fault(&self) -> Option<&'static str> {
        key_fault(self.keys.iter().map(|key| self.text_of(*key)))
    }

    /// Bytes that all cells of the row have.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends the comparable bytes of the key.
    pub(super) fn write_key(&self, out: &mut Vec<u8>) {
        self.keys.iter().for_each(|key| push_bytes(out, self.text_of(*key)));
    }

    /// Appends a change that sets every column the record names.
    pub(super) fn write_row(&self, table: ChangeTable<'_>, op: DimensionOp, out: &mut Vec<u8>) {
        let named = |at: &usize| self.cells[*at] != Cell::Absent;
        let cells = (0..self.names.len()).filter(named);
        push_change(out, table, op, cells.map(|at| (self.names[at].as_str(), self.text_of(at))));
    }

    /// Appends the deletion of the row with this key.
    pub(super) fn write_deletion(&self, table: ChangeTable<'_>, out: &mut Vec<u8>) {
        let cells = self.keys.iter().map(|at| (self.names[*at].as_str(), self.text_of(*at)));
        push_change(out, table, DimensionOp::Delete, cells);
    }

    /// Appends the comparable bytes and the deletion of the row with a former key; false if no store
    /// can have had it.
    pub(super) fn write_former(
        &self,
        table: ChangeTable<'_>,
        texts: &[Option<Vec<u8>>],
        key: &mut Vec<u8>,
        change: &mut Vec<u8>,
    ) -> bool {
        let texts = || texts.iter().map(Option::as_deref);
        if key_fault(texts()).is_some() {
            return false;
        }
        texts().for_each(|text| push_bytes(key, text));
        let names = self.keys.iter().map(|at| self.names[*at].as_str());
        push_change(change, table, DimensionOp::Delete, names.zip(texts()));
        true
    }
}
