//! What the configuration step tells everyone: the rows of its broadcast.
//!
//! A notice is also an entry of state, so its bytes lie on disk: kind u8, then the fields in order,
//! texts and lists with varint lengths.

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::batch::stored::{push_varint, take_varint};

/// Where rows of a source table go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Source table, as the change records spell it.
    pub(crate) source: String,
    /// Sink table.
    pub(crate) sink: String,
    /// Columns taken, key columns included.
    pub(crate) columns: Vec<String>,
    /// Key columns, in key order.
    pub(crate) keys: Vec<String>,
    /// The request to read again that serves this route, until it is finished.
    pub(crate) fill: Option<u32>,
    /// Edition of the sink table.
    pub(crate) edition: u64,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Rows of its source go to its sink from now on; takes the place of an earlier route of both.
    Put(Route),
    /// This source no longer feeds this sink.
    Remove { source: String, sink: String },
    /// The sink table is being made: rows of the source wait for it.
    Waits { source: String, sink: String },
    /// The sink table cannot be made: what waits for it is unrouted.
    GivenUp { source: String, sink: String },
    /// What was to be read again of the source has been, up to this number.
    Filled { source: String, number: u32 },
}

const BYTES: usize = 0;

impl Notice {
    /// Schema of the broadcast.
    pub(crate) fn schema() -> Arc<Schema> {
        Schema::new("notice", &[("bytes", Kind::Slice)])
    }

    /// Writes it as a row.
    pub(crate) fn write(&self, rows: &mut BatchBuilder, stamp: Stamp) {
        rows.begin();
        let bytes = rows.append_with(|out| self.encode(out));
        rows.slice(BYTES, bytes);
        rows.end(stamp);
    }

    /// Reads a row of the broadcast.
    pub(crate) fn read(row: Row<'_>) -> Self {
        let bytes = row.bytes(BYTES).unwrap_or_default();
        Self::decode(bytes).expect("notices are written by the configuration step")
    }

    /// Appends the bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put(route) => {
                out.push(0);
                push_text(out, &route.source);
                push_text(out, &route.sink);
                push_list(out, &route.columns);
                push_list(out, &route.keys);
                push_varint(out, route.fill.map_or(0, |number| u64::from(number) + 1));
                push_varint(out, route.edition);
            }
            Self::Remove { source, sink } => push_pair(out, 1, source, sink),
            Self::Waits { source, sink } => push_pair(out, 2, source, sink),
            Self::GivenUp { source, sink } => push_pair(out, 3, source, sink),
            Self::Filled { source, number } => {
                out.push(4);
                push_text(out, source);
                push_varint(out, u64::from(*number));
            }
        }
    }

    /// Reads what [`Notice::encode`] wrote; `None` if it was not.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let kind = *rest.split_off_first()?;
        let source = take_text(rest)?;
        if kind == 4 {
            return Some(Self::Filled { source, number: take_number(rest)? });
        }
        let sink = take_text(rest)?;
        Some(match kind {
            0 => {
                let (columns, keys) = (take_list(rest)?, take_list(rest)?);
                let fill = take_number(rest)?.checked_sub(1);
                let edition = take_varint(rest)?;
                Self::Put(Route { source, sink, columns, keys, fill, edition })
            }
            1 => Self::Remove { source, sink },
            2 => Self::Waits { source, sink },
            3 => Self::GivenUp { source, sink },
            _ => return None,
        })
    }
}

fn push_pair(out: &mut Vec<u8>, kind: u8, source: &str, sink: &str) {
    out.push(kind);
    push_text(out, source);
    push_text(out, sink);
}

pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn push_list(out: &mut Vec<u8>, texts: &[String]) {
    push_varint(out, texts.len() as u64);
    texts.iter().for_each(|text| push_text(out, text));
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_varint(rest)?).ok()
}

pub(crate) fn take_text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let bytes = rest.split_off(..length)?;
    String::from_utf8(bytes.to_vec()).ok()
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<String>> {
    let length = take_varint(rest)?;
    (0..length).map(|_| take_text(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_their_bytes() {
        let (source, sink) = ("sku_info".to_owned(), "dim_sku_info".to_owned());
        let route = Route {
            source: source.clone(),
            sink: sink.clone(),
            columns: vec!["id".to_owned(), "sku_name".to_owned()],
            keys: vec!["id".to_owned()],
            fill: Some(0),
            edition: 0,
        };
        let notices = [
            Notice::Put(route.clone()),
            Notice::Put(Route { fill: None, edition: 300, ..route }),
            Notice::Remove { source: source.clone(), sink: sink.clone() },
            Notice::Waits { source: source.clone(), sink: sink.clone() },
            Notice::GivenUp { source: source.clone(), sink },
            Notice::Filled { source, number: 300 },
        ];
        for notice in notices {
            let mut bytes = Vec::new();
            notice.encode(&mut bytes);
            assert_eq!(Notice::decode(&bytes), Some(notice));
            assert_eq!(Notice::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
