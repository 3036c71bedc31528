//! A cursor over the text of `sink_extend`: its words, numbers and texts, one at a time.
//!
//! Each step takes what it names or says what should have stood there; none of them skips blanks
//! first but those that say so.

use super::super::name::{continues_identifier, starts_identifier};
use super::{ExtendFault, PropertyValue};

/// See the module.
#[derive(Clone)]
pub(super) struct Cursor<'t> {
    rest: &'t str,
    /// Characters passed.
    passed: usize,
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { rest: text, passed: 0 }
    }

    /// A fault at this place.
    pub(super) const fn fault(&self, problem: &'static str) -> ExtendFault {
        ExtendFault { at: self.passed + 1, problem }
    }

    pub(super) const fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next()?;
        self.rest = characters.as_str();
        self.passed += 1;
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest.trim_start_matches(wanted);
        let (taken, rest) = self.rest.split_at(self.rest.len() - rest.len());
        self.rest = rest;
        self.passed += taken.chars().count();
        taken
    }

    /// Steps over `character` if it is next.
    pub(super) fn take(&mut self, character: char) -> bool {
        let there = self.peek() == Some(character);
        if there {
            self.next();
        }
        there
    }

    /// An identifier.
    pub(super) fn word(&mut self, problem: &'static str) -> Result<&'t str, ExtendFault> {
        if !self.peek().is_some_and(starts_identifier) {
            return Err(self.fault(problem));
        }
        Ok(self.take_while(continues_identifier))
    }

    /// Steps over this word and blanks before it, if it is next.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let mut ahead = self.clone();
        ahead.skip_space();
        let there = ahead.word("").is_ok_and(|word| word.eq_ignore_ascii_case(keyword));
        if there {
            *self = ahead;
        }
        there
    }

    /// What stands between two properties: blanks, or a comma that something follows.
    pub(super) fn separator(&mut self) -> Result<(), ExtendFault> {
        self.skip_space();
        if self.take(',') {
            self.skip_space();
            if self.at_end() {
                return Err(self.fault("a property follows the comma"));
            }
        }
        Ok(())
    }

    /// The value of a property.
    pub(super) fn value(&mut self) -> Result<PropertyValue, ExtendFault> {
        const PROBLEM: &str = "a value is a word, a number, or a text in single quotes";
        match self.peek() {
            Some('\'') => Ok(PropertyValue::Text(self.text(PROBLEM)?)),
            Some('"') => Ok(PropertyValue::Text(self.quoted_identifier()?)),
            Some('0'..='9') => Ok(PropertyValue::Word(self.number()?)),
            _ => Ok(PropertyValue::Word(self.word(PROBLEM)?.to_owned())),
        }
    }

    /// Digits, perhaps with a fraction. There is no sign (phoenix.md 7.2).
    fn number(&mut self) -> Result<String, ExtendFault> {
        let digit = |character: char| character.is_ascii_digit();
        let mut number = self.take_while(digit).to_owned();
        if self.take('.') {
            let fraction = self.take_while(digit);
            if fraction.is_empty() {
                return Err(self.fault("digits follow the decimal point"));
            }
            number = format!("{number}.{fraction}");
        }
        if self.peek().is_some_and(|next| continues_identifier(next) || next == '.') {
            return Err(self.fault("a number is digits only"));
        }
        Ok(number)
    }

    /// A text in single quotes.
    pub(super) fn text(&mut self, problem: &'static str) -> Result<String, ExtendFault> {
        if !self.take('\'') {
            return Err(self.fault(problem));
        }
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\'') if self.take('\'') => text.push('\''),
                Some('\'') => return Ok(text),
                Some('\\') => self.escape(&mut text)?,
                Some(same) => text.push(same),
                None => return Err(self.fault("a single quote closes the text")),
            }
        }
    }

    /// What follows a backslash; `\_` and `\%` are kept whole, for patterns.
    fn escape(&mut self, text: &mut String) -> Result<(), ExtendFault> {
        let decoded = match self.peek() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(same @ ('"' | '\'' | '\\')) => same,
            Some(kept @ ('_' | '%')) => {
                text.push('\\');
                kept
            }
            _ => return Err(self.fault("a backslash is followed by one of n r t b f \" ' \\ _ %")),
        };
        text.push(decoded);
        self.next();
        Ok(())
    }

    fn quoted_identifier(&mut self) -> Result<String, ExtendFault> {
        self.next();
        let inner = self.take_while(|character| character != '"');
        if inner.is_empty() || !self.take('"') {
            return Err(self.fault("a double quote closes the name, which is not empty"));
        }
        Ok(inner.to_owned())
    }
}
