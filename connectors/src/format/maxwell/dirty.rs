//! The reasons why a change record is a dead letter.
//!
//! Their names are normative (warehouse 2.2 and 12.2), and so is their order: the first that holds
//! is the one reported.

/// Why a change record is dirty, in the order of testing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dirty {
    /// Empty, not UTF-8, not JSON, not an object, text after the object, or nested too deeply.
    BadJson,
    /// `database`, `table` or `type` is absent or not text.
    BadEnvelope,
    /// `ts` is absent or not an integer.
    BadTs,
}

impl Dirty {
    /// All reasons in the order of testing.
    pub const ALL: [Self; 3] = [Self::BadJson, Self::BadEnvelope, Self::BadTs];

    /// The value of the `reason` label and field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadEnvelope => "bad_envelope",
            Self::BadTs => "bad_ts",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_normative_names_in_the_order_of_testing() {
        let names: Vec<&str> = Dirty::ALL.iter().map(|dirty| dirty.as_str()).collect();
        assert_eq!(names, ["bad_json", "bad_envelope", "bad_ts"]);
        assert!(Dirty::ALL.is_sorted());
    }
}
