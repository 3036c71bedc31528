//! Tumbling windows: start inclusive, end exclusive, aligned to 1970-01-01T00:00 UTC.

use super::watermark::minus;

/// Tumbling windows of one size with an allowed lateness, both in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tumbling {
    /// Length of a window.
    pub size_ms: i64,
    /// How long after the watermark a row is still accepted.
    pub lateness_ms: i64,
}

impl Tumbling {
    /// Start of the window that holds `time`.
    pub fn start_of(&self, time: i64) -> i64 {
        time - time.rem_euclid(self.size_ms)
    }

    /// Last millisecond of the window that starts at `start`.
    pub fn last_of(&self, start: i64) -> i64 {
        start + self.size_ms - 1
    }

    /// Whether the window fires at watermark `w`.
    pub fn is_closed(&self, start: i64, w: i64) -> bool {
        w >= self.last_of(start)
    }

    /// Whether a row of this window is late at watermark `w`, and its state can be purged: the two
    /// are one rule, so no accepted row ever finds its window gone.
    pub fn is_late(&self, start: i64, w: i64) -> bool {
        w >= self.last_of(start).saturating_add(self.lateness_ms)
    }
}

/// The watermark that decides about lateness of a row: that of its own partition just before it,
/// less the declared delays upstream, but at least what the operator itself has closed.
pub fn lateness_mark(behind: Option<i64>, delay_ms: i64, before: i64) -> i64 {
    behind.map_or(before, |behind| minus(behind, delay_ms).max(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_exact_edges() {
        let windows = Tumbling { size_ms: 10_000, lateness_ms: 8_000 };
        assert_eq!(windows.start_of(9_999), 0);
        assert_eq!(windows.start_of(10_000), 10_000);
        assert_eq!(windows.start_of(-1), -10_000);
        assert!(!windows.is_closed(0, 9_998) && windows.is_closed(0, 9_999));
        assert!(!windows.is_late(0, 17_998) && windows.is_late(0, 17_999));
    }

    #[test]
    fn own_partition_decides_unless_it_was_idle() {
        assert_eq!(lateness_mark(None, 10, 5), 5);
        assert_eq!(lateness_mark(Some(100), 10, 5), 90);
        assert_eq!(lateness_mark(Some(10), 10, 5), 5);
    }
}
