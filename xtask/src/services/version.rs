//! Which Kafka: the one that everything is tested with, and others that clusters of users still run.
//!
//! A version is a text of numbers. What is not published, or does not start, says so by the log of Maven
//! or of the broker.

use std::fmt;
use std::str::FromStr;

/// The environment variable that names the version of all brokers that do not ask for one themselves.
pub const VERSION_VARIABLE: &str = "WATERSHED_KAFKA";

/// What everything is tested with. Pinned: 4.4.0 is half published.
const NEWEST: &str = "4.3.1";
/// The last before 4.0, that is before transactions of the second kind (KIP-890).
const OLDER: &str = "3.9.2";

/// A version of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The last line before 4.0, which a few of the usual tests use.
    pub fn older() -> Version {
        Version(OLDER.to_owned())
    }

    /// The version in [`VERSION_VARIABLE`], if one is asked for there, else the newest.
    ///
    /// # Panics
    /// The variable holds no version.
    pub fn of_tests() -> Version {
        match std::env::var(VERSION_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                text.parse().unwrap_or_else(|error| panic!("{VERSION_VARIABLE}: {error}"))
            }
            _ => Version::newest(),
        }
    }

    /// What everything is tested with.
    pub fn newest() -> Version {
        Version(NEWEST.to_owned())
    }

    /// Those before 4.0 log through log4j 1.
    pub(super) fn is_before_4(&self) -> bool {
        let major = self.0.split('.').next().and_then(|number| number.parse::<u32>().ok());
        major.is_some_and(|major| major < 4)
    }
}

impl Default for Version {
    fn default() -> Version {
        Version::of_tests()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let numbers = text.split('.').collect::<Vec<_>>();
        let number = |part: &&str| part.parse::<u16>().is_ok();
        if numbers.len() == 3 && numbers.iter().all(number) {
            return Ok(Version(text.to_owned()));
        }
        Err(format!("{text:?} is no version of Kafka: expects three numbers, such as {OLDER}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_three_numbers() {
        for (text, is_before_4) in [("4.3.1", false), ("3.9.2", true), ("10.0.0", false)] {
            let version: Version = text.parse().unwrap();
            assert_eq!((version.to_string().as_str(), version.is_before_4()), (text, is_before_4));
        }
        for text in ["", "3.9", "3.9.2.1", "../4.3.1", "3.9.x", "v3.9.2"] {
            let error = text.parse::<Version>().unwrap_err();
            assert!(error.contains("three numbers"), "{error}");
        }
        assert!(Version::older().is_before_4() && !Version::newest().is_before_4());
    }
}
