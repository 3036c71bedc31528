//! The specification of a table as bytes; its header's layout is in [`super`].

use engine::batch::stored::{push_varint, take_varint};

use super::super::value::Qualifier;
use super::{DimensionColumn, DimensionTable, Place};

const VERSION: u8 = 1;
/// Version of a table that was made anew.
const VERSION_ANEW: u8 = 2;

/// The space of a table's rows.
pub(super) fn space(id: u32) -> std::sync::Arc<str> {
    format!("table/{id}").into()
}

impl DimensionTable {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.edition == 0 { VERSION } else { VERSION_ANEW }];
        if self.edition != 0 {
            push_varint(&mut out, self.edition);
        }
        push_part(&mut out, &self.name);
        push_part(&mut out, self.schema.as_deref().unwrap_or_default());
        push_varint(&mut out, u64::from(self.salt_buckets));
        push_varint(&mut out, u64::from(self.next_qualifier));
        push_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            push_part(&mut out, &column.name);
            let qualifier = match column.place {
                Place::Key(_) => 0,
                Place::Cell(qualifier) => qualifier,
            };
            push_varint(&mut out, u64::from(qualifier));
        }
        push_varint(&mut out, self.keys.len() as u64);
        self.keys.iter().for_each(|index| push_varint(&mut out, *index as u64));
        push_varint(&mut out, self.options.len() as u64);
        for (name, value) in &self.options {
            push_part(&mut out, name);
            push_part(&mut out, value);
        }
        push_varint(&mut out, self.split_on.len() as u64);
        self.split_on.iter().for_each(|point| push_part(&mut out, point));
        out
    }

    /// `None` if [`DimensionTable::encode`] did not write these bytes.
    pub(super) fn decode(id: u32, version: u32, bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        let edition = match *kind {
            VERSION => 0,
            VERSION_ANEW => take_varint(rest)?,
            _ => return None,
        };
        let name = take_part(rest)?;
        let schema = Some(take_part(rest)?).filter(|schema| !schema.is_empty());
        let salt_buckets = u16::try_from(take_varint(rest)?).ok()?;
        let next_qualifier = Qualifier::try_from(take_varint(rest)?).ok()?;
        let mut columns = take_list(rest, take_column)?;
        let keys = take_list(rest, |rest| usize::try_from(take_varint(rest)?).ok())?;
        for (position, index) in keys.iter().enumerate() {
            columns.get_mut(*index)?.place = Place::Key(position);
        }
        let options = take_list(rest, |rest| Some((take_part(rest)?, take_part(rest)?)))?;
        let split_on = take_list(rest, take_part)?;
        let table = Self {
            id,
            version,
            name,
            schema,
            salt_buckets,
            columns,
            keys,
            options,
            split_on,
            edition,
            space: space(id),
            next_qualifier,
        };
        (rest.is_empty() && table.is_sound()).then_some(table)
    }

    /// Whether what reading and writing rows relies on holds.
    fn is_sound(&self) -> bool {
        let mut least = 1;
        let ascending = self.columns.iter().all(|column| match column.place {
            Place::Key(_) => true,
            Place::Cell(qualifier) => {
                let ascends = qualifier >= least && qualifier < self.next_qualifier;
                least = qualifier.saturating_add(1);
                ascends
            }
        });
        let is_key = |column: &&DimensionColumn| matches!(column.place, Place::Key(_));
        let keys = self.columns.iter().filter(is_key).count();
        ascending && keys > 0 && keys == self.keys.len() && self.salt_buckets <= 256
    }
}

fn push_part(out: &mut Vec<u8>, part: &str) {
    push_varint(out, part.len() as u64);
    out.extend_from_slice(part.as_bytes());
}

fn take_part(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    String::from_utf8(rest.split_off(..length)?.to_vec()).ok()
}

fn take_column(rest: &mut &[u8]) -> Option<DimensionColumn> {
    let name = take_part(rest)?;
    let place = Place::Cell(Qualifier::try_from(take_varint(rest)?).ok()?);
    Some(DimensionColumn { name, place })
}

fn take_list<T>(rest: &mut &[u8], mut take: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = take_varint(rest)?;
    (0..count).map(|_| take(rest)).collect()
}
