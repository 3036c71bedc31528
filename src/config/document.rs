//! A TOML text as a flat list of settings, each with its line.
//!
//! Keys that contain dots may be written quoted or not (`"log_split.shape"`, `log_split.shape`):
//! both are the same setting here. What lies outside the known sections is a fault at once; whether
//! a key is known in its section is for [`raw`](super::raw) to say.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeArray, DeTable, DeValue};

use super::fault::{ConfigFault, Place};
use super::nearest;

/// A value as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// Something no setting takes; the name of its kind.
    Other(&'static str),
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Path of its section, such as `source.ods_log`.
    pub(super) section: String,
    /// Its key, dots and all.
    pub(super) key: String,
    /// Its value.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) place: Place,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Settings of sections.
    pub(super) entries: Vec<Entry>,
    /// Settings of each `[[job]]`, and where it begins.
    pub(super) jobs: Vec<(Place, Vec<Entry>)>,
    /// Paths of the sections that are there, empty ones too.
    pub(super) sections: BTreeSet<String>,
    /// What could not be read or placed.
    pub(super) faults: Vec<ConfigFault>,
}

/// Reads `text`, which messages call `file`; `known` are the paths of all sections there may be.
pub(super) fn read(file: &str, text: &str, known: &[&'static str]) -> Document {
    let mut reader = Reader { file: file.into(), text, known, document: Document::default() };
    match DeTable::parse(text) {
        Ok(table) => reader.outside("", table.get_ref()),
        Err(error) => {
            let place = reader.place(error.span().unwrap_or_default());
            let message = format!("not TOML: {}", error.message());
            reader.document.faults.push(ConfigFault { place, message });
        }
    }
    reader.document
}

struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    known: &'a [&'static str],
    document: Document,
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let newlines = self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        Place::Line(self.file.clone(), newlines + 1)
    }

    fn fault(&mut self, span: Range<usize>, message: String) {
        let place = self.place(span);
        self.document.faults.push(ConfigFault { place, message });
    }

    /// A table that is no section itself but may hold some.
    fn outside(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = joined(path, key.get_ref());
            let inside = format!("{path}.");
            match value.get_ref() {
                DeValue::Array(items) if path == "job" => self.jobs(items, value.span()),
                DeValue::Table(inner) if path != "job" => {
                    if self.known.contains(&&*path) {
                        let mut entries = Vec::new();
                        self.entries(&path, "", inner, &mut entries);
                        self.document.entries.append(&mut entries);
                        self.document.sections.insert(path);
                    } else if self.known.iter().any(|section| section.starts_with(&inside)) {
                        self.outside(&path, inner);
                    } else {
                        self.unknown_section(&path, key.span());
                    }
                }
                _ => self.stray(&path, key.span()),
            }
        }
    }

    /// A section's settings; tables in it are written-out dots.
    fn entries(
        &mut self,
        section: &str,
        path: &str,
        table: &DeTable<'_>,
        entries: &mut Vec<Entry>,
    ) {
        for (name, value) in table {
            let key = joined(path, name.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.entries(section, &key, inner, entries);
                continue;
            }
            let place = self.place(name.span());
            let value = value_of(value.get_ref());
            entries.push(Entry { section: section.to_owned(), key, value, place });
        }
    }

    fn jobs(&mut self, items: &DeArray<'_>, span: Range<usize>) {
        for item in items {
            let DeValue::Table(table) = item.get_ref() else {
                return self.fault(span, "a job is a table of its own: write [[job]]".to_owned());
            };
            let mut entries = Vec::new();
            self.entries("job", "", table, &mut entries);
            self.document.jobs.push((self.place(item.span()), entries));
        }
    }

    fn unknown_section(&mut self, path: &str, span: Range<usize>) {
        let hint = nearest::nearest(path, self.known.iter().copied());
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean [{near}]?"));
        let message = format!("unknown section [{path}]{hint}");
        self.fault(span, message);
    }

    /// A value where only sections may be.
    fn stray(&mut self, path: &str, span: Range<usize>) {
        let message = if path == "job" {
            "a job is a table of its own: write [[job]]".to_owned()
        } else if self.known.contains(&path) {
            format!("\"{path}\" is a section: write [{path}] on a line of its own")
        } else {
            format!("key \"{path}\" stands in no section")
        };
        self.fault(span, message);
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("number beyond 64 bits"), Value::Integer),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Value::Other(value.type_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        super::read("f", text, &["switch", "source.ods_log"])
    }

    #[test]
    fn dots_in_keys_may_be_quoted_or_not() {
        let document = read(
            "[switch]\n\"a.b\" = 1\nc.d = \"x\"\n\n[source.ods_log]\nproperties.p.q = true\n\
             [[job]]\nname = \"n\"\n",
        );
        assert_eq!(document.faults, []);
        assert!(document.sections.iter().eq(["source.ods_log", "switch"]));
        let entry = |section: &str, key: &str, value, line| Entry {
            section: section.into(),
            key: key.into(),
            value,
            place: Place::Line("f".into(), line),
        };
        let mut entries = document.entries;
        entries.sort_by(|a, b| a.place.cmp(&b.place));
        let expected = [
            entry("switch", "a.b", Value::Integer(1), 2),
            entry("switch", "c.d", Value::Text("x".into()), 3),
            entry("source.ods_log", "properties.p.q", Value::Bool(true), 6),
        ];
        assert_eq!(entries, expected);
        assert_eq!(document.jobs.len(), 1);
        assert_eq!(document.jobs[0].1, [entry("job", "name", Value::Text("n".into()), 8)]);
    }

    #[test]
    fn what_is_in_no_known_section_is_refused() {
        let cases = [
            ("a = 1", "f:1: key \"a\" stands in no section"),
            ("\n[swich]\n", "f:2: unknown section [swich]; did you mean [switch]?"),
            ("[colours]\n", "f:1: unknown section [colours]"),
            (
                "[source.ods_lgo]\n",
                "f:1: unknown section [source.ods_lgo]; did you mean [source.ods_log]?",
            ),
            ("switch = 1", "f:1: \"switch\" is a section: write [switch] on a line of its own"),
            ("[job]\n", "f:1: a job is a table of its own: write [[job]]"),
            ("job = [1]", "f:1: a job is a table of its own: write [[job]]"),
            (
                "[source]\nods_log = 1\n",
                "f:2: \"source.ods_log\" is a section: write [source.ods_log] on a line of its own",
            ),
        ];
        for (text, expected) in cases {
            let faults: Vec<String> = read(text).faults.iter().map(ToString::to_string).collect();
            assert_eq!(faults, [expected], "{text}");
        }
    }

    #[test]
    fn broken_toml_has_a_line() {
        let faults = read("[switch]\na = \n").faults;
        assert_eq!(faults.len(), 1);
        assert!(faults[0].to_string().starts_with("f:2: not TOML: "), "{}", faults[0]);
        let faults = read("[switch]\na = 1\n\na = 2\n").faults;
        assert!(faults[0].to_string().starts_with("f:4: not TOML: "), "{}", faults[0]);
    }
}
