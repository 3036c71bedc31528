//! What the configuration step remembers: entries of its state, byte by byte.
//!
//! ```text
//! key:   'r' route | 'p' pending | 'f' fill, each: source, sink    'e' edition: sink
//!        'n' number    'o' opened
//! value: r: given    p: given, record (varint length), order    f, n: number u32    e: u64
//!        o: nothing
//! given: op u8, before (0 none, 1 + columns), after columns
//! columns: count varint, each: name, 0 (NULL) | 1 + text; texts with varint lengths
//! ```

use connectors::format::debezium::DebeziumOp;
use engine::batch::order::Order;
use engine::batch::stored::{push_varint, take_varint};

use super::config::{Columns, RouteKey};
use super::notice::{push_text, take_text};

/// An entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// The config row of a route in force.
    Route(&'a RouteKey),
    /// The config row of a route whose table is being made.
    Pending(&'a RouteKey),
    /// The request to read again that fills a route.
    Fill(&'a RouteKey),
    /// The edition of a sink table that was made anew.
    Edition(&'a str),
    /// Number of the last request.
    Number,
    /// An epoch has ended.
    Opened,
}

/// An entry read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loaded {
    Route(Given),
    Pending(RouteKey, Pending),
    Fill(RouteKey, u32),
    Edition(String, u64),
    Number(u32),
    Opened,
}

/// A config row as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// What was done to it.
    pub(super) op: DebeziumOp,
    /// The row before, if it was told.
    pub(super) before: Option<Columns>,
    /// The row; without columns if it was deleted.
    pub(super) after: Columns,
}

/// A config row whose table is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) given: Given,
    /// The record and its place, for the side output.
    pub(super) record: Vec<u8>,
    pub(super) order: Order,
}

impl Entry<'_> {
    /// Its key.
    pub(super) fn key(&self) -> Vec<u8> {
        let (kind, of) = match self {
            Self::Route(key) => (b'r', Some(key)),
            Self::Pending(key) => (b'p', Some(key)),
            Self::Fill(key) => (b'f', Some(key)),
            Self::Edition(sink) => {
                let mut bytes = vec![b'e'];
                push_text(&mut bytes, sink);
                return bytes;
            }
            Self::Number => (b'n', None),
            Self::Opened => (b'o', None),
        };
        let mut bytes = vec![kind];
        if let Some(key) = of {
            push_text(&mut bytes, &key.source_table);
            push_text(&mut bytes, &key.sink_table);
        }
        bytes
    }
}

impl Loaded {
    /// Reads an entry; `None` if it was not written here.
    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (kind, mut rest) = key.split_first()?;
        let number = || Some(u32::from_be_bytes(value.try_into().ok()?));
        match kind {
            b'n' => return Some(Self::Number(number()?)),
            b'o' => return Some(Self::Opened),
            b'e' => {
                let edition = u64::from_be_bytes(value.try_into().ok()?);
                return Some(Self::Edition(take_text(&mut rest)?, edition));
            }
            _ => {}
        }
        let source_table = take_text(&mut rest)?;
        let of = RouteKey { source_table, sink_table: take_text(&mut rest)? };
        match kind {
            b'r' => Some(Self::Route(Given::decode(&mut &*value)?)),
            b'p' => Some(Self::Pending(of, Pending::decode(value)?)),
            b'f' => Some(Self::Fill(of, number()?)),
            _ => None,
        }
    }
}

impl Given {
    /// The bytes of its entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(self.op.code()).expect("four ops")];
        match &self.before {
            None => out.push(0),
            Some(before) => {
                out.push(1);
                push_columns(&mut out, before);
            }
        }
        push_columns(&mut out, &self.after);
        out
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let op = DebeziumOp::of_code(i64::from(*rest.split_off_first()?))?;
        let before = match rest.split_off_first()? {
            0 => None,
            _ => Some(take_columns(rest)?),
        };
        Some(Self { op, before, after: take_columns(rest)? })
    }
}

impl Pending {
    /// The bytes of its entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.given.encode();
        push_varint(&mut out, self.record.len() as u64);
        out.extend_from_slice(&self.record);
        self.order.encode(&mut out);
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let given = Given::decode(rest)?;
        let length = usize::try_from(take_varint(rest)?).ok()?;
        let record = rest.split_off(..length)?.to_vec();
        Some(Self { given, record, order: Order::decode(rest)? })
    }
}

fn push_columns(out: &mut Vec<u8>, columns: &Columns) {
    push_varint(out, columns.len() as u64);
    for (name, text) in columns {
        push_text(out, name);
        match text {
            None => out.push(0),
            Some(text) => {
                out.push(1);
                push_text(out, text);
            }
        }
    }
}

fn take_columns(rest: &mut &[u8]) -> Option<Columns> {
    let count = take_varint(rest)?;
    let mut column = || {
        let name = take_text(rest)?;
        let text = match rest.split_off_first()? {
            0 => None,
            _ => Some(take_text(rest)?),
        };
        Some((name, text))
    };
    (0..count).map(|_| column()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back() {
        let key = RouteKey { source_table: "t".to_owned(), sink_table: "DIM_T".to_owned() };
        let columns = Columns::from([
            ("source_table".to_owned(), Some("t".to_owned())),
            ("sink_pk".to_owned(), None),
            ("sink_extend".to_owned(), Some(String::new())),
        ]);
        let given = Given {
            op: DebeziumOp::Update,
            before: Some(Columns::from([("a".to_owned(), None)])),
            after: columns.clone(),
        };
        let first = Pending {
            given: Given { op: DebeziumOp::Read, before: None, after: columns },
            record: b"{}".to_vec(),
            order: Order { peak: -1, partition: 2, position: 3 },
        };
        let number = 7_u32.to_be_bytes().to_vec();
        let cases = [
            (Entry::Route(&key), given.encode(), Loaded::Route(given.clone())),
            (Entry::Pending(&key), first.encode(), Loaded::Pending(key.clone(), first)),
            (Entry::Fill(&key), number.clone(), Loaded::Fill(key.clone(), 7)),
            (
                Entry::Edition("DIM_T"),
                9_u64.to_be_bytes().to_vec(),
                Loaded::Edition("DIM_T".to_owned(), 9),
            ),
            (Entry::Number, number, Loaded::Number(7)),
            (Entry::Opened, Vec::new(), Loaded::Opened),
        ];
        for (entry, value, loaded) in cases {
            assert_eq!(Loaded::read(&entry.key(), &value), Some(loaded));
        }
        assert_eq!(Loaded::read(b"x", b""), None);
        assert_eq!(Loaded::read(&Entry::Route(&key).key(), b"\0"), None);
    }
}
