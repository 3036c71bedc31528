//! A small set of dates as state: days on which something has been seen.

use engine::operator::keyed::Codec;
use engine::time::zone::Date;

/// Dates in ascending order; a device is rarely seen on more than two that are still kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Dates(Vec<Date>);

impl Dates {
    /// Whether `date` is in the set.
    pub fn contains(&self, date: Date) -> bool {
        self.0.binary_search(&date).is_ok()
    }

    /// The set with `date`.
    #[must_use]
    pub fn with(mut self, date: Date) -> Self {
        if let Err(place) = self.0.binary_search(&date) {
            // Mostly the only one: no room for more.
            self.0.reserve_exact(1);
            self.0.insert(place, date);
        }
        self
    }

    /// The set without `date`; `None` if nothing is left.
    #[must_use]
    pub fn without(&self, date: Date) -> Option<Self> {
        let dates: Vec<Date> = self.0.iter().copied().filter(|kept| *kept != date).collect();
        (!dates.is_empty()).then_some(Self(dates))
    }
}

impl Codec for Dates {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|date| out.extend_from_slice(&date.0.to_be_bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (dates, rest) = bytes.as_chunks::<4>();
        let dates = dates.iter().map(|date| Date(i32::from_be_bytes(*date))).collect();
        rest.is_empty().then_some(Self(dates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_sorted_set() {
        let dates = Dates::default().with(Date(5)).with(Date(-1)).with(Date(5));
        assert_eq!(dates, Dates(vec![Date(-1), Date(5)]));
        assert!(dates.contains(Date(5)) && !dates.contains(Date(4)));
        let mut bytes = Vec::new();
        dates.encode(&mut bytes);
        assert_eq!(Dates::decode(&bytes), Some(dates.clone()));
        assert_eq!(Dates::decode(&bytes[1..]), None);
        assert_eq!(dates.without(Date(5)).and_then(|left| left.without(Date(-1))), None);
    }
}
