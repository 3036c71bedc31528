//! The envelope of a config record, in the form of Flink CDC's converter (capture 7).
//!
//! ```text
//! {"before":null,"after":{...},"source":{"version":"1.9.7.Final",...},"op":"r","ts_ms":N,"transaction":null}
//! ```
//!
//! The source block of a snapshot record is empty but for names; that of a change says where in an
//! imaginary binlog it stands, rising with the record.

use super::{Change, Layout, Row};
use crate::generate::shop::row::{write_integer, write_row};

/// The database of the config table.
const DATABASE: &str = "gmall_config";

/// Appends the record of a row that the snapshot finds.
pub(super) fn write_read(layout: Layout, row: &Row, read_ms: i64, out: &mut Vec<u8>) {
    images(layout, None, Some(row), out);
    source(layout, None, out);
    end("r", read_ms, out);
}

/// Appends the record of a change; `number` is that of the record.
pub(super) fn write_change(layout: Layout, change: &Change, number: u64, out: &mut Vec<u8>) {
    images(layout, change.before.as_ref(), change.after.as_ref(), out);
    source(layout, Some((change.at_ms, number)), out);
    let op = match (&change.before, &change.after) {
        (None, _) => "c",
        (Some(_), Some(_)) => "u",
        (Some(_), None) => "d",
    };
    end(op, change.at_ms, out);
}

fn images(layout: Layout, before: Option<&Row>, after: Option<&Row>, out: &mut Vec<u8>) {
    for (name, row) in [("{\"before\":", before), (",\"after\":", after)] {
        out.extend_from_slice(name.as_bytes());
        match row {
            Some(row) => write_row(&layout.named(row), out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// `place`: instant and number of a change; none for the snapshot.
fn source(layout: Layout, place: Option<(i64, u64)>, out: &mut Vec<u8>) {
    let (second, server, file, position) = match place {
        None => (0, 0, "", 0),
        Some((at_ms, number)) => {
            let position = 4 + 512 * i64::try_from(number).unwrap_or(0);
            (at_ms.div_euclid(1_000) * 1_000, 1, "mysql-bin.000003", position)
        }
    };
    let text = |out: &mut Vec<u8>, text: &str| out.extend_from_slice(text.as_bytes());
    text(out, ",\"source\":{\"version\":\"1.9.7.Final\",\"connector\":\"mysql\",");
    text(out, "\"name\":\"mysql_binlog_source\",\"ts_ms\":");
    write_integer(second, out);
    for part in [",\"snapshot\":\"false\",\"db\":\"", DATABASE, "\",\"sequence\":null,\"table\":\""]
    {
        text(out, part);
    }
    text(out, layout.table());
    text(out, "\",\"server_id\":");
    write_integer(server, out);
    text(out, ",\"gtid\":null,\"file\":\"");
    text(out, file);
    text(out, "\",\"pos\":");
    write_integer(position, out);
    text(out, ",\"row\":0,\"thread\":null,\"query\":null}");
}

fn end(op: &str, read_ms: i64, out: &mut Vec<u8>) {
    for part in [",\"op\":\"", op, "\",\"ts_ms\":"] {
        out.extend_from_slice(part.as_bytes());
    }
    write_integer(read_ms, out);
    out.extend_from_slice(b",\"transaction\":null}");
}
