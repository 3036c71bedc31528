//! Global transaction ids: one, and all that a place in the log stands for.
//!
//! MySQL names a transaction `uuid:n` or `uuid:tag:n`, and a place is a *set* of them. MariaDB names
//! it `domain-server-n`, and a place is the last one of each domain. Texts are the servers' own, so
//! they can be handed back to them.
//!
//! Misuse: a set says nothing about order. Two places of one server are compared by the server.

use std::collections::BTreeMap;
use std::fmt;

/// The id of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gtid {
    /// `origin` is `uuid` or `uuid:tag`, lower case.
    Mysql {
        origin: String,
        number: u64,
    },
    MariaDb {
        domain: u32,
        server: u32,
        number: u64,
    },
}

impl Gtid {
    /// From the parts of MySQL's GTID events (`mysql_common`'s `GtidEvent`).
    pub(super) fn of_mysql(uuid: [u8; 16], tag: Option<&str>, number: u64) -> Self {
        let mut origin = String::with_capacity(36);
        for (index, byte) in uuid.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                origin.push('-');
            }
            origin.push_str(&format!("{byte:02x}"));
        }
        if let Some(tag) = tag {
            origin.push(':');
            origin.push_str(tag);
        }
        Self::Mysql { origin, number }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql { origin, number } => write!(f, "{origin}:{number}"),
            Self::MariaDb { domain, server, number } => write!(f, "{domain}-{server}-{number}"),
        }
    }
}

/// All transactions up to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gtids {
    /// The server writes none.
    None,
    Mysql(GtidSet),
    MariaDb(LastOfDomain),
}

impl Gtids {
    /// Adds a transaction of a server of the same flavour.
    pub(super) fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (Self::Mysql(set), Gtid::Mysql { origin, number }) => set.add(origin, *number),
            (Self::MariaDb(last), Gtid::MariaDb { domain, server, number }) => {
                last.0.insert(*domain, (*server, *number));
            }
            // A MySQL server with GTIDs switched off still writes them for what it replicates.
            (Self::None | Self::Mysql(_) | Self::MariaDb(_), _) => {}
        }
    }
}

impl fmt::Display for Gtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Mysql(set) => set.fmt(f),
            Self::MariaDb(last) => last.fmt(f),
        }
    }
}

/// A MySQL GTID set: disjoint ranges, ascending, by origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GtidSet(BTreeMap<String, Vec<Range>>);

/// Numbers from `first` to `last`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
}

impl GtidSet {
    /// Reads the server's text, such as `uuid:1-5:7:tag:1, uuid2:3`; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (uuid, rest) = part.split_once(':')?;
            if uuid.len() != 36 {
                return None;
            }
            let uuid = uuid.to_ascii_lowercase();
            let mut origin = uuid.clone();
            for word in rest.split(':').map(str::trim) {
                if word.starts_with(|first: char| first.is_ascii_digit()) {
                    let (first, last) = word.split_once('-').unwrap_or((word, word));
                    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                    set.add_range(&origin, Range { first, last });
                } else {
                    origin = format!("{uuid}:{word}");
                }
            }
        }
        Some(set)
    }

    /// One text for each origin, such as `uuid:tag:1-5:7`: what the client's `Sid` can parse.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(origin, ranges)| {
            let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            format!("{origin}:{}", ranges.join(":"))
        })
    }

    fn add(&mut self, origin: &str, number: u64) {
        self.add_range(origin, Range { first: number, last: number });
    }

    fn add_range(&mut self, origin: &str, new: Range) {
        let ranges = self.0.entry(origin.to_owned()).or_default();
        // Ranges that touch the new one are replaced by their union.
        let begin = ranges.partition_point(|old| old.last.saturating_add(1) < new.first);
        let end = ranges.partition_point(|old| old.first <= new.last.saturating_add(1));
        let touched = ranges.get(begin..end).unwrap_or_default();
        let first = touched.first().map_or(new.first, |old| old.first.min(new.first));
        let last = touched.last().map_or(new.last, |old| old.last.max(new.last));
        ranges.splice(begin..end.max(begin), [Range { first, last }]);
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.texts().collect();
        f.write_str(&texts.join(","))
    }
}

/// A MariaDB GTID position: server and number of the last transaction, by domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LastOfDomain(BTreeMap<u32, (u32, u64)>);

impl LastOfDomain {
    /// Reads the server's text, such as `0-10-15,1-10-3`; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut words = part.split('-');
            let domain = words.next()?.parse().ok()?;
            let last = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            all.insert(domain, last);
        }
        Some(Self(all))
    }
}

impl fmt::Display for LastOfDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter();
        let all = all.map(|(domain, (server, number))| format!("{domain}-{server}-{number}"));
        f.write_str(&all.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn texts_are_the_servers_own() {
        let upper = A.to_uppercase();
        for (text, expected) in [
            (String::new(), String::new()),
            (format!("{upper}:1-5"), format!("{A}:1-5")),
            (format!("{B}:3,\n{A}:7:1-5:6"), format!("{A}:1-7,{B}:3")),
            (format!("{A}:1-5:night:1:3-4"), format!("{A}:1-5,{A}:night:1:3-4")),
        ] {
            let set = GtidSet::parse(&text).unwrap();
            assert_eq!(set.to_string(), expected);
            assert_eq!(GtidSet::parse(&expected), Some(set));
        }
        for text in ["x:1", A, &format!("{A}:1-x"), &format!("{A}:1-2-3")] {
            assert_eq!(GtidSet::parse(text), None, "{text}");
        }
        let last = LastOfDomain::parse("1-10-3, 0-10-15").unwrap();
        assert_eq!(last.to_string(), "0-10-15,1-10-3");
        assert_eq!(LastOfDomain::parse("").unwrap().to_string(), "");
        assert_eq!(LastOfDomain::parse("0-10"), None);
    }

    #[test]
    fn a_transaction_joins_what_was_before_it() {
        let mut gtids = Gtids::Mysql(GtidSet::parse(&format!("{A}:1-5:9")).unwrap());
        for number in [6, 8, 12, 7] {
            gtids.add(&Gtid::Mysql { origin: A.to_owned(), number });
        }
        assert_eq!(gtids.to_string(), format!("{A}:1-9:12"));
        let mut gtids = Gtids::MariaDb(LastOfDomain::parse("0-10-15").unwrap());
        gtids.add(&Gtid::MariaDb { domain: 0, server: 11, number: 16 });
        gtids.add(&Gtid::MariaDb { domain: 2, server: 10, number: 1 });
        assert_eq!(gtids.to_string(), "0-11-16,2-10-1");
    }

    #[test]
    fn ids_are_named_as_the_servers_name_them() {
        let uuid = [
            0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42,
            0x95, 0x62,
        ];
        assert_eq!(Gtid::of_mysql(uuid, None, 23).to_string(), format!("{A}:23"));
        assert_eq!(Gtid::of_mysql(uuid, Some("t"), 1).to_string(), format!("{A}:t:1"));
        assert_eq!(Gtid::MariaDb { domain: 0, server: 10, number: 31 }.to_string(), "0-10-31");
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_added(numbers in prop::collection::vec(1_u64..40, 0..60)) {
            let mut set = GtidSet::default();
            for number in &numbers {
                set.add(A, *number);
            }
            let ranges = set.0.get(A).cloned().unwrap_or_default();
            let held: Vec<u64> = ranges.iter().flat_map(|range| range.first..=range.last).collect();
            let mut expected = numbers;
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(held, expected);
            // Ranges never touch: a set has one text.
            prop_assert!(ranges.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
        }
    }
}
