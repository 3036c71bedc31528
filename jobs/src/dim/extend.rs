//! `sink_extend`: the properties of a dimension table, read from the text in which Phoenix has
//! them.
//!
//! ```text
//! extend   = [ property { [","] property } ] [ [","] "SPLIT" "ON" "(" text { "," text } ")" ]
//! property = [ family "." ] name "=" ( identifier | number | text | quoted identifier )
//! ```
//!
//! Identifiers, texts and their escapes are Phoenix's (phoenix.md 7.2); blanks part properties as
//! well as commas do, because hand-written config rows have both. Unknown properties are kept: they
//! are HBase's. The text as it came is never used again: [`Extend`] prints itself in one canonical
//! form, so nothing of a config row reaches a statement unparsed.

mod cursor;

use std::fmt;

use super::name::fold;
use cursor::Cursor;

/// Most buckets: the salt is one byte of the row key (phoenix.md 7.5).
const SALT_BUCKETS_MAX: u16 = 256;
const SALT_BUCKETS: &str = "SALT_BUCKETS";

/// Properties and split points of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extend {
    properties: Vec<Property>,
    split_on: Vec<String>,
}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Name in upper case, perhaps with a column family and a dot before it.
    pub name: String,
    /// What it is set to.
    pub value: PropertyValue,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// A number or an identifier, as it is written.
    Word(String),
    /// What stood in quotes, its escapes decoded.
    Text(String),
}

impl PropertyValue {
    /// The value without quotes.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Word(text) | Self::Text(text) => text,
        }
    }
}

/// Why a text is no list of table properties.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub struct ExtendFault {
    /// Place in characters, counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl Extend {
    /// Reads the text of `sink_extend`; blank text has no properties.
    ///
    /// # Errors
    ///
    /// Where the text is not what the module says, names a property twice, or has salt buckets
    /// other than 0 to 256.
    pub fn parse(text: &str) -> Result<Self, ExtendFault> {
        let mut cursor = Cursor::new(text);
        let mut extend = Self::default();
        cursor.skip_space();
        while !cursor.at_end() {
            let start = cursor.clone();
            let word = cursor.word("a property is NAME = value")?;
            if word.eq_ignore_ascii_case("SPLIT") && cursor.keyword("ON") {
                extend.split_on = split_points(&mut cursor)?;
                cursor.skip_space();
                return if cursor.at_end() {
                    Ok(extend)
                } else {
                    Err(cursor.fault("nothing may follow SPLIT ON (...)"))
                };
            }
            let property = property(word, &mut cursor)?;
            extend.check(&property).map_err(|problem| start.fault(problem))?;
            extend.properties.push(property);
            cursor.separator()?;
        }
        Ok(extend)
    }

    fn check(&self, property: &Property) -> Result<(), &'static str> {
        if self.properties.iter().any(|known| known.name == property.name) {
            return Err("this property is there twice");
        }
        if property.name == SALT_BUCKETS && buckets(property).is_none() {
            return Err("SALT_BUCKETS is a whole number from 0 to 256");
        }
        Ok(())
    }

    /// Salt buckets of the table; 0 is a table without salt.
    pub fn salt_buckets(&self) -> u16 {
        let salt = self.properties.iter().find(|property| property.name == SALT_BUCKETS);
        salt.and_then(buckets).unwrap_or(0)
    }

    /// The properties in their order.
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// Row keys at which the table is split.
    pub fn split_on(&self) -> &[String] {
        &self.split_on
    }
}

fn buckets(property: &Property) -> Option<u16> {
    let PropertyValue::Word(number) = &property.value else { return None };
    number.parse().ok().filter(|buckets| *buckets <= SALT_BUCKETS_MAX)
}

/// The rest of a property whose first word was read.
fn property(first: &str, cursor: &mut Cursor<'_>) -> Result<Property, ExtendFault> {
    let mut name = fold(first);
    if cursor.take('.') {
        name = format!("{name}.{}", fold(cursor.word("a name follows the family and the dot")?));
    }
    cursor.skip_space();
    if !cursor.take('=') {
        return Err(cursor.fault("a property is NAME = value"));
    }
    cursor.skip_space();
    Ok(Property { name, value: cursor.value()? })
}

fn split_points(cursor: &mut Cursor<'_>) -> Result<Vec<String>, ExtendFault> {
    cursor.skip_space();
    if !cursor.take('(') {
        return Err(cursor.fault("SPLIT ON is followed by texts in brackets"));
    }
    let mut points = Vec::new();
    loop {
        cursor.skip_space();
        points.push(cursor.text("a split point is a text in single quotes")?);
        cursor.skip_space();
        if cursor.take(')') {
            return Ok(points);
        }
        if !cursor.take(',') {
            return Err(cursor.fault("split points are parted by commas, up to a closing bracket"));
        }
    }
}

impl fmt::Display for Extend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, property) in self.properties.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{}={}", property.name, property.value)?;
        }
        if self.split_on.is_empty() {
            return Ok(());
        }
        let separator = if self.properties.is_empty() { "" } else { " " };
        write!(formatter, "{separator}SPLIT ON (")?;
        for (index, point) in self.split_on.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{}", quoted(point))?;
        }
        write!(formatter, ")")
    }
}

impl fmt::Display for PropertyValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => formatter.write_str(word),
            Self::Text(text) => formatter.write_str(&quoted(text)),
        }
    }
}

/// The text as a literal of Phoenix.
fn quoted(text: &str) -> String {
    let mut literal = String::from("'");
    for character in text.chars() {
        match character {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\u{8}' => literal.push_str("\\b"),
            '\u{c}' => literal.push_str("\\f"),
            same => literal.push(same),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests;
