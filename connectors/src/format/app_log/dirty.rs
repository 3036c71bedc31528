//! The reasons why an app log is a dead letter.
//!
//! Their names are normative (warehouse 2.1 and 12.2): tests and dashboards read them. Their order is
//! the order in which they are tested; the first that holds is the one reported.

/// Why a record is dirty, in the order of testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dirty {
    /// Empty, not UTF-8, not JSON, not an object, text after the object, or nested too deeply.
    NotObject,
    /// `common` is absent or not an object.
    NoCommon,
    /// `common.mid` is absent, null, empty, or neither text nor number.
    NoMid,
    /// `ts` is absent, not an integer, or negative.
    BadTs,
    /// Neither `start` nor `page` is an object, and there is no `err`.
    NoMain,
}

impl Dirty {
    /// All reasons in the order of testing.
    pub const ALL: [Self; 5] =
        [Self::NotObject, Self::NoCommon, Self::NoMid, Self::BadTs, Self::NoMain];

    /// The value of the `reason` label and field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotObject => "not_object",
            Self::NoCommon => "no_common",
            Self::NoMid => "no_mid",
            Self::BadTs => "bad_ts",
            Self::NoMain => "no_main",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_normative_names_in_the_order_of_testing() {
        let names: Vec<&str> = Dirty::ALL.iter().map(|dirty| dirty.as_str()).collect();
        assert_eq!(names, ["not_object", "no_common", "no_mid", "bad_ts", "no_main"]);
        assert!(Dirty::ALL.is_sorted());
    }
}
