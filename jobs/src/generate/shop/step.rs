//! The steps of a story: what a visitor of the shop does, when, and in how many records at most.
//!
//! ```text
//! browse ─> rethink ─> order ─┬─> pay ─┬─> receive ─> comment
//!   └─> unfavor               │        └─> refund ─> refund pass ─> refund done
//!                             └─> cancel
//! ```
//!
//! Each step has a slot of its own in every block (see [`layout`](super::layout)), so a step must
//! never have more records than its room, and must come later than the step it follows.

/// A step of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Goods into the cart, a coupon, a favourite.
    Browse,
    /// Other quantities; something leaves the cart.
    Rethink,
    /// The order with all that belongs to it.
    Order,
    /// The payment comes.
    Pay,
    /// No payment came in time.
    Cancel,
    /// The goods came: the order is finished.
    Receive,
    /// The buyer wants the money back.
    Refund,
    /// The shop agrees.
    RefundPass,
    /// The money is back.
    RefundDone,
    /// The buyer says what the goods are like.
    Comment,
    /// A favourite is none any more.
    Unfavor,
}

/// Number of steps.
pub(super) const STEPS: usize = Step::ALL.len();

impl Step {
    /// All steps, each behind the one that it follows.
    pub(super) const ALL: [Self; 11] = [
        Self::Browse,
        Self::Rethink,
        Self::Order,
        Self::Pay,
        Self::Cancel,
        Self::Receive,
        Self::Refund,
        Self::RefundPass,
        Self::RefundDone,
        Self::Comment,
        Self::Unfavor,
    ];

    /// Index in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Browse => 0,
            Self::Rethink => 1,
            Self::Order => 2,
            Self::Pay => 3,
            Self::Cancel => 4,
            Self::Receive => 5,
            Self::Refund => 6,
            Self::RefundPass => 7,
            Self::RefundDone => 8,
            Self::Comment => 9,
            Self::Unfavor => 10,
        }
    }

    /// Most records it has.
    pub(super) const fn room(self) -> u64 {
        match self {
            Self::Browse => 6,
            Self::Rethink => 4,
            Self::Order => 13,
            Self::Pay | Self::Cancel | Self::Refund | Self::RefundDone | Self::Comment => 3,
            Self::Receive | Self::RefundPass | Self::Unfavor => 1,
        }
    }

    /// The step it follows and about how many milliseconds later.
    pub(super) const fn follows(self) -> Option<(Self, u64)> {
        match self {
            Self::Browse => None,
            Self::Rethink => Some((Self::Browse, 15_000)),
            Self::Order => Some((Self::Rethink, 15_000)),
            Self::Pay => Some((Self::Order, 30_000)),
            Self::Cancel => Some((Self::Order, 900_000)),
            Self::Receive => Some((Self::Pay, 180_000)),
            Self::Refund => Some((Self::Pay, 240_000)),
            Self::RefundPass => Some((Self::Refund, 60_000)),
            Self::RefundDone => Some((Self::RefundPass, 240_000)),
            Self::Comment => Some((Self::Receive, 120_000)),
            Self::Unfavor => Some((Self::Browse, 90_000)),
        }
    }

    /// Whether all its records are one transaction; else each is one.
    pub(super) const fn is_one_transaction(self) -> bool {
        match self {
            Self::Browse | Self::Rethink | Self::Comment | Self::Unfavor => false,
            Self::Order
            | Self::Pay
            | Self::Cancel
            | Self::Receive
            | Self::Refund
            | Self::RefundPass
            | Self::RefundDone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_at_their_index_behind_what_they_follow() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step.index(), index);
            assert!(step.follows().is_none_or(|(before, _)| before.index() < index), "{step:?}");
        }
    }
}
