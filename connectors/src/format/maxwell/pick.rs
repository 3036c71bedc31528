//! Some columns of a row as a JSON object of their own: what a fact is on its way to a topic.
//!
//! Values are written as they stand in the record (`80.00` stays `80.00`, a text keeps its escapes),
//! in the order in which the columns were asked for. A column that the record does not have is not in
//! the object; of equal names the last one counts.

use std::io::Write as _;

use engine::hash::Map;

use super::data::DataReader;
use crate::format::json_scan::Span;

/// The member that [`Picker::write`] adds.
const TS: &str = "ts";

/// Picks columns by exact name, into memory that is used again.
#[derive(Debug)]
pub struct Picker {
    by_name: Map<Box<str>, usize>,
    /// By column: its name as JSON, with the colon.
    names: Vec<Box<str>>,
    /// By column: where its value stands.
    values: Vec<Option<Span>>,
    /// Text of the first column.
    first: String,
    has_first: bool,
}

impl Picker {
    /// A picker of these columns.
    #[must_use]
    pub fn new(columns: &[String]) -> Self {
        let by_name = columns.iter().enumerate().map(|(at, name)| (name.as_str().into(), at));
        Self {
            by_name: by_name.collect(),
            names: columns.iter().map(|name| member(name)).collect(),
            values: vec![None; columns.len()],
            first: String::new(),
            has_first: false,
        }
    }

    /// Finds the columns in the JSON object of a row.
    pub fn read(&mut self, object: &[u8]) {
        self.values.fill(None);
        self.has_first = false;
        let mut reader = DataReader::new(object);
        while let Some((member, value)) = reader.next_spanned() {
            let Some(&column) = self.by_name.get(&*member.name) else { continue };
            self.values[column] = Some(value);
            if column == 0 {
                self.has_first = member.value.is_some();
                self.first.clear();
                self.first.push_str(member.value.as_deref().unwrap_or_default());
            }
        }
    }

    /// The text of the first column of the row read last: what rows of one thing have in common.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.has_first.then_some(self.first.as_str())
    }

    /// Appends what was found in `object`, which MUST be the one read last, and `ts` behind it.
    pub fn write(&self, object: &[u8], ts: Option<i64>, out: &mut Vec<u8>) {
        out.push(b'{');
        let begin = out.len();
        for (name, value) in self.names.iter().zip(&self.values) {
            let Some(value) = value else { continue };
            separate(begin, out);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.of(object));
        }
        if let Some(ts) = ts {
            separate(begin, out);
            write!(out, "\"{TS}\":{ts}").expect("memory takes any bytes");
        }
        out.push(b'}');
    }
}

fn separate(begin: usize, out: &mut Vec<u8>) {
    if out.len() > begin {
        out.push(b',');
    }
}

fn member(name: &str) -> Box<str> {
    format!("{}:", serde_json::Value::from(name)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(columns: &[&str], object: &str, ts: Option<i64>) -> (Option<String>, String) {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut picker = Picker::new(&columns);
        // What was read before leaves nothing behind.
        picker.read(br#"{"id":"before","b":"before"}"#);
        picker.read(object.as_bytes());
        let mut out = Vec::new();
        picker.write(object.as_bytes(), ts, &mut out);
        (picker.first().map(str::to_owned), String::from_utf8(out).unwrap())
    }

    #[test]
    fn columns_come_in_the_order_asked_for_and_as_they_are_written() {
        let object = r#" {"b": 80.00, "sku_name":"x", "id" : 7,"name":"a\"\u53e3","n":null} "#;
        for (columns, ts, key, expected) in [
            (&["id", "b"][..], Some(9), Some("7"), r#"{"id":7,"b":80.00,"ts":9}"#),
            (&["name", "id"], None, Some("a\"口"), r#"{"name":"a\"\u53e3","id":7}"#),
            (&["n", "id"], Some(-1), None, r#"{"n":null,"id":7,"ts":-1}"#),
            (&["absent"], Some(9), None, r#"{"ts":9}"#),
            (&["absent"], None, None, "{}"),
        ] {
            let found = picked(columns, object, ts);
            assert_eq!(found, (key.map(str::to_owned), expected.to_owned()), "{columns:?}");
        }
    }

    #[test]
    fn names_are_exact_and_the_last_of_equal_ones_counts() {
        let object = r#"{"ID":1,"id":2,"\u0069d":"3","x\"y":[1, {"id":4}]}"#;
        let (key, json) = picked(&["id", "x\"y"], object, None);
        assert_eq!(
            (key.as_deref(), json.as_str()),
            (Some("3"), r#"{"id":"3","x\"y":[1, {"id":4}]}"#)
        );
    }

    #[test]
    fn what_is_no_object_has_no_columns() {
        for object in ["", "null", "[1]", "{\"id\":"] {
            assert_eq!(picked(&["id"], object, None), (None, "{}".to_owned()), "{object}");
        }
    }
}
