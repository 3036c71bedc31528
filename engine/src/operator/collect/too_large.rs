//! Rows that their target would not take, and the dead letters that go instead.
//!
//! ```text
//!   value    the row's value as it was encoded, its first 64 KiB, or less if the topic of dead
//!            letters takes less
//!   headers  reason = too_large . target = the topic . bytes = what the row has . bytes_max = what
//!            the topic takes
//! ```
//!
//! A row that goes to the dead letters anyway has nowhere else to go: its value is cut until it fits.

use crate::graph::plan::{CollectSpec, SinkTarget};
use crate::limit::DEAD_LETTER_BYTES_MAX;
use crate::outbox::rows::{Op, OutRow};
use crate::sink::row_limits::RowLimits;

/// Reason code of these dead letters.
pub(super) const TOO_LARGE: &str = "too_large";

/// Measures rows of a sink that has dead letters and whose target has limits.
pub(super) struct Gauge {
    limits: RowLimits,
    /// Number of the topic of dead letters.
    dead: u16,
    names: Vec<String>,
}

impl Gauge {
    /// `None` where a row of any size goes to the target.
    pub(super) fn of(spec: &CollectSpec) -> Option<Self> {
        let SinkTarget::Outside(factory) = &spec.target else { return None };
        let (limits, dead) = (factory.row_limits()?, spec.dead?);
        Some(Self { limits, dead, names: spec.names.clone() })
    }

    /// What the target of this row takes, if that is less.
    #[inline]
    pub(super) fn limit(&self, row: &OutRow<'_>) -> Option<u64> {
        let bytes_max = match row.topic {
            None => self.limits.bytes_max(row.target),
            Some(topic) => self.limits.bytes_max_named(topic),
        };
        (row.bytes() > bytes_max).then_some(bytes_max)
    }

    /// Whether the target of this number takes a row of so many bytes.
    #[inline]
    pub(super) fn takes(&self, target: u16, bytes: usize) -> bool {
        bytes as u64 <= self.limits.bytes_max(target)
    }

    /// Hands out what is written instead of a row above its `limit`; whether that is a dead letter
    /// more.
    pub(super) fn instead(
        &self,
        row: &OutRow<'_>,
        limit: u64,
        write: impl FnOnce(&OutRow<'_>),
    ) -> bool {
        if row.topic.is_none() && row.target == self.dead {
            write(&cut(row, usize::MAX, limit));
            return false;
        }
        let number = usize::from(row.target);
        let name = row.topic.or_else(|| self.names.get(number).map(String::as_str));
        let name = name.unwrap_or_default();
        let (bytes, bytes_max) = (row.bytes().to_string(), limit.to_string());
        let headers: [(&str, &[u8]); 4] = [
            ("reason", TOO_LARGE.as_bytes()),
            ("target", name.as_bytes()),
            ("bytes", bytes.as_bytes()),
            ("bytes_max", bytes_max.as_bytes()),
        ];
        let letter = OutRow {
            target: self.dead,
            topic: None,
            op: Op::Insert,
            key: None,
            headers: &headers,
            ..*row
        };
        write(&cut(&letter, DEAD_LETTER_BYTES_MAX, self.limits.bytes_max(self.dead)));
        true
    }
}

/// The row with as much of its value as makes it at most `bytes_max` large, and no more than `kept`.
fn cut<'a>(row: &OutRow<'a>, kept: usize, bytes_max: u64) -> OutRow<'a> {
    let value = row.value.unwrap_or_default();
    let rest = row.bytes() - value.len() as u64;
    let room = usize::try_from(bytes_max.saturating_sub(rest)).unwrap_or(usize::MAX);
    let (value, _cut_off) = value.split_at(value.len().min(kept).min(room));
    OutRow { value: row.value.map(|_| value), ..*row }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Written = (u16, Option<Vec<u8>>, usize, Vec<(String, String)>);

    fn gauge(topic: u64, dead: u64) -> Gauge {
        let limits = RowLimits::unknown(2);
        limits.learn(0, topic);
        limits.learn(1, dead);
        Gauge { limits, dead: 1, names: ["rows", "rows_dead"].map(str::to_owned).to_vec() }
    }

    fn row<'a>(target: u16, value: &'a [u8], headers: &'a [(&'a str, &'a [u8])]) -> OutRow<'a> {
        OutRow {
            target,
            topic: None,
            op: Op::Insert,
            time_ms: 9,
            key: Some(b"key"),
            value: Some(value),
            headers,
        }
    }

    /// What is written instead: target, key, length of the value, headers; and whether it counts.
    fn instead(gauge: &Gauge, row: &OutRow<'_>) -> Option<(Written, bool)> {
        let limit = gauge.limit(row)?;
        let mut written = None;
        let more = gauge.instead(row, limit, |row| {
            assert!(row.bytes() <= gauge.limits.bytes_max(row.target), "{row:?}");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers =
                row.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
            let (key, value) = (row.key.map(<[u8]>::to_vec), row.value.unwrap());
            written = Some((row.target, key, value.len(), headers));
        });
        Some((written.unwrap(), more))
    }

    #[test]
    fn a_row_at_the_limit_passes_and_one_above_is_a_dead_letter() {
        let gauge = gauge(100, u64::MAX);
        assert_eq!(instead(&gauge, &row(0, &[7; 97], &[])), None);
        let ((target, key, length, headers), more) =
            instead(&gauge, &row(0, &[7; 98], &[])).unwrap();
        assert_eq!((target, key, length, more), (1, None, 98, true));
        let expected =
            [("reason", "too_large"), ("target", "rows"), ("bytes", "101"), ("bytes_max", "100")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // So is a row that names its topic, which is the one that is told.
        gauge.limits.learn_named("new", 50);
        let named = |value| OutRow { topic: Some("new"), ..row(1, value, &[]) };
        assert_eq!(instead(&gauge, &named(&[7; 47])), None);
        let ((target, _, _, headers), more) = instead(&gauge, &named(&[7; 48])).unwrap();
        assert_eq!((target, headers[1].1.as_str(), more), (1, "new", true));
        // Headers count, and with them their lengths.
        assert!(instead(&gauge, &row(0, &[7; 80], &[("name", b"val")])).is_none());
        assert!(instead(&gauge, &row(0, &[7; 81], &[("name", b"val")])).is_some());
    }

    #[test]
    fn a_dead_letter_is_cut_to_what_its_own_topic_takes() {
        let large = vec![7; 1 << 20];
        let ((_, _, length, _), _) = instead(&gauge(100, u64::MAX), &row(0, &large, &[])).unwrap();
        assert_eq!(length, DEAD_LETTER_BYTES_MAX);
        let ((_, _, length, _), _) = instead(&gauge(100, 300), &row(0, &large, &[])).unwrap();
        assert!((150..300).contains(&length), "{length}");
        // One that was a dead letter from the beginning keeps its reason and is not counted again.
        let headers: [(&str, &[u8]); 1] = [("reason", b"not_object")];
        let ((target, key, length, headers), more) =
            instead(&gauge(100, 300), &row(1, &large, &headers)).unwrap();
        assert_eq!((target, key.unwrap(), more), (1, b"key".to_vec(), false));
        assert_eq!((length, headers.len()), (300 - 3 - 6 - 10 - 10, 1));
    }
}
