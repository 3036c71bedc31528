//! Records in memory as a source of the engine: what a bench has made, on its way into a topic.

use std::sync::Arc;

use jobs::generate::numbered::Numbered;

/// Records one behind the other. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct NumberedList {
    content: Arc<Written>,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// Where the key of each record begins, and its value.
    starts: Vec<(usize, usize)>,
}

/// Records under construction.
#[derive(Default)]
pub(crate) struct ListBuilder(Written);

impl ListBuilder {
    /// Adds a record.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        let written = &mut self.0;
        written.starts.push((written.bytes.len(), written.bytes.len() + key.len()));
        written.bytes.extend_from_slice(key);
        written.bytes.extend_from_slice(value);
    }

    /// All of them.
    pub(crate) fn finish(self) -> NumberedList {
        NumberedList { content: Arc::new(self.0) }
    }
}

impl NumberedList {
    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.content.starts.len()
    }

    /// Key and value of a record.
    fn record(&self, number: u64) -> Option<(&[u8], &[u8])> {
        let number = usize::try_from(number).ok()?;
        let written = &*self.content;
        let (key, value) = *written.starts.get(number)?;
        let end = written.starts.get(number + 1).map_or(written.bytes.len(), |next| next.0);
        Some((written.bytes.get(key..value)?, written.bytes.get(value..end)?))
    }
}

impl Numbered for NumberedList {
    type Cursor = (Self, u64);
    const PARTITION: &'static str = "list/0";

    fn describe(&self) -> String {
        "records of a bench".to_owned()
    }

    fn records(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn arrival_ms(&self, _number: u64) -> i64 {
        0
    }

    fn open(&self, number: u64) -> Self::Cursor {
        (self.clone(), number)
    }

    fn number(cursor: &Self::Cursor) -> u64 {
        cursor.1
    }

    fn next(cursor: &mut Self::Cursor, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Option<bool> {
        let (list, number) = cursor;
        let (of_key, of_value) = list.record(*number)?;
        key.extend_from_slice(of_key);
        value.extend_from_slice(of_value);
        *number += 1;
        Some(!key.is_empty())
    }
}
