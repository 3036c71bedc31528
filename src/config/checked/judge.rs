//! Turns settings as typed into values, and keeps a list of those that cannot be.
//!
//! Every judgement answers a usable value, the default where there is a fault, so that one run
//! finds all faults of a file. The caller MUST look at the list before it uses any of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::config::document::Value;
use crate::config::duration::{duration_text, parse_duration, parse_size, size_text};
use crate::config::fault::{ConfigFault, Place};
use crate::config::nearest::hint;
use crate::config::raw::Given;
use crate::config::secret;

/// Collects faults.
pub(super) struct Judge<'a> {
    environment: &'a BTreeMap<String, String>,
    pub(super) faults: Vec<ConfigFault>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(environment: &'a BTreeMap<String, String>, faults: Vec<ConfigFault>) -> Self {
        Self { environment, faults }
    }

    /// Notes what is wrong with a setting: `<name> = <value><message>`.
    pub(super) fn fault(&mut self, given: &Given, message: impl Display) {
        let message = format!("{}{message}", shown(given));
        self.faults.push(ConfigFault { place: given.place.clone(), message });
    }

    /// Notes what is wrong at a place.
    pub(super) fn fault_at(&mut self, place: &Place, message: String) {
        self.faults.push(ConfigFault { place: place.clone(), message });
    }

    /// Text with its variables replaced.
    pub(super) fn text(&mut self, given: Option<&Given>) -> Option<String> {
        let given = given?;
        let Value::Text(text) = &given.value else {
            self.fault(given, ": expects text in quotes");
            return None;
        };
        let literal = matches!(given.place, Place::Line(..)) && !text.contains("${");
        if literal && secret::must_be_variable(&given.name) {
            let message = ": a secret does not stand in a file; write \"${NAME}\" and set NAME in \
                           the environment";
            self.fault(given, message);
            return None;
        }
        match secret::expand(text, self.environment) {
            Ok(text) => Some(text),
            Err(message) => {
                self.fault(given, format!(": {message}"));
                None
            }
        }
    }

    /// Text, or a whole number as text.
    pub(super) fn text_or_number(&mut self, given: Option<&Given>) -> Option<String> {
        match given.map(|given| &given.value) {
            Some(Value::Integer(number)) => Some(number.to_string()),
            Some(Value::Text(_) | Value::Bool(_) | Value::Other(_)) | None => self.text(given),
        }
    }

    /// Milliseconds of a duration.
    pub(super) fn duration(
        &mut self,
        given: Option<&Given>,
        default: i64,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let expects = "a duration: a whole number and one of ms, s, m, h, d, such as \"10s\"";
        self.measured(given, default, range, parse_duration, duration_text, expects)
    }

    /// Bytes of a size.
    pub(super) fn size(
        &mut self,
        given: Option<&Given>,
        default: i64,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let expects = "a size: a whole number and one of B, KiB, MiB, GiB, such as \"64MiB\"";
        self.measured(given, default, range, parse_size, size_text, expects)
    }

    fn measured(
        &mut self,
        given: Option<&Given>,
        default: i64,
        range: RangeInclusive<i64>,
        parse: fn(&str) -> Option<i64>,
        text: fn(i64) -> String,
        expects: &str,
    ) -> i64 {
        let Some(given) = given else { return default };
        let typed = match &given.value {
            Value::Text(typed) => parse(typed),
            Value::Integer(_) | Value::Bool(_) | Value::Other(_) => None,
        };
        match typed {
            None => self.fault(given, format!(": expects {expects}")),
            Some(value) if range.contains(&value) => return value,
            Some(_) => {
                let (least, most) = (text(*range.start()), text(*range.end()));
                self.fault(given, format!(" is out of range: {least} to {most}"));
            }
        }
        default
    }

    /// A whole number.
    pub(super) fn integer(
        &mut self,
        given: Option<&Given>,
        default: i64,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let Some(given) = given else { return default };
        let number = match &given.value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) if !matches!(given.place, Place::Line(..)) => text.parse().ok(),
            Value::Text(_) | Value::Bool(_) | Value::Other(_) => None,
        };
        match number {
            None => self.fault(given, ": expects a whole number"),
            Some(number) if range.contains(&number) => return number,
            Some(_) => {
                let message = format!(" is out of range: {} to {}", range.start(), range.end());
                self.fault(given, message);
            }
        }
        default
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, given: Option<&Given>, default: bool) -> bool {
        let Some(given) = given else { return default };
        if let Value::Bool(flag) = given.value {
            return flag;
        }
        self.fault(given, ": expects true or false");
        default
    }

    /// One of the words; the first is the default. Words of `later` are known and refused as such.
    pub(super) fn choice<T: Copy>(
        &mut self,
        given: Option<&Given>,
        words: &[(&str, T)],
        later: &[&str],
    ) -> T {
        let (_, default) = words.first().expect("a choice has words");
        let Some(given) = given else { return *default };
        let word = match &given.value {
            Value::Text(word) => word.as_str(),
            Value::Integer(_) | Value::Bool(_) | Value::Other(_) => "",
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == word) {
            return *value;
        }
        let allowed: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let message = if later.contains(&word) {
            format!(" is not available yet; what is: {}", allowed.join(", "))
        } else {
            let near = hint(word, allowed.iter().copied());
            format!(" is none of its values: {}{near}", allowed.join(", "))
        };
        self.fault(given, message);
        *default
    }
}

/// A setting as typed, for messages: `name = value`, without the value of a secret.
fn shown(given: &Given) -> String {
    let name = &given.name;
    match &given.value {
        _ if secret::is_secret(name) => name.clone(),
        Value::Text(text) => format!("{name} = \"{text}\""),
        Value::Integer(number) => format!("{name} = {number}"),
        Value::Bool(flag) => format!("{name} = {flag}"),
        Value::Other(kind) => format!("{name} (a TOML {kind})"),
    }
}
