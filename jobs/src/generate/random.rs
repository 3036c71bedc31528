//! Seeded random numbers: the same seed gives the same numbers on every machine.
//!
//! The mixing function is splitmix64 (Steele, Lea, Flood 2014: golden-ratio step, two xor-shift
//! multiplications). It is fast and good enough for made-up data and useless for secrets. There is
//! no global generator here: whoever wants repeatable numbers hands in the words they depend on.

/// The step of splitmix64: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads one word over all 64 bits; a bijection.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A stream of random numbers that depends on the given words only.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// Starts the stream of `words`; the order of the words matters.
    pub(super) fn of(words: &[u64]) -> Random {
        let state = words
            .iter()
            .fold(STEP, |state, word| mix(state.wrapping_add(STEP) ^ mix(word.wrapping_add(STEP))));
        Random { state }
    }

    /// The next 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let product = (self.bits() >> 32) * u64::from(bound);
        u32::try_from(product >> 32).expect("the high half of a product of two u32 fits in u32")
    }

    /// A number in `lower..=upper`; `lower` if the range is empty.
    pub(super) fn between(&mut self, lower: u32, upper: u32) -> u32 {
        lower + self.below(upper.saturating_sub(lower) + 1)
    }

    /// True with a chance of `share` in ten thousand.
    pub(super) fn chance(&mut self, share: u32) -> bool {
        self.below(10_000) < share
    }

    /// One entry of a table that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        let length = u32::try_from(table.len()).expect("tables of the generator are short");
        table[usize::try_from(self.below(length)).expect("a u32 fits in usize")]
    }

    /// One entry of a table that is not empty, each with a chance of its weight.
    pub(super) fn pick_weighted<'a, T>(
        &mut self,
        table: &'a [T],
        weight: impl Fn(&T) -> u32,
    ) -> &'a T {
        let mut left = self.below(table.iter().map(&weight).sum());
        for entry in table {
            match left.checked_sub(weight(entry)) {
                Some(rest) => left = rest,
                None => return entry,
            }
        }
        unreachable!("a number below the sum of the weights lies in one of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_every_word_and_its_place() {
        let first = |words: &[u64]| Random::of(words).bits();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1, 2]), first(&[1, 3]));
        assert_ne!(first(&[0]), first(&[0, 0]));
    }

    #[test]
    fn numbers_stay_in_their_bounds_and_reach_them() {
        let mut random = Random::of(&[7]);
        let seen: std::collections::BTreeSet<u32> =
            (0..1000).map(|_| random.between(3, 9)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| !random.chance(0) && random.chance(10_000)));
    }

    #[test]
    fn weights_are_kept() {
        let mut random = Random::of(&[8]);
        let heavy =
            (0..10_000).filter(|_| *random.pick_weighted(&[1_u32, 0, 3], |&w| w) == 3).count();
        assert!((7_200..7_800).contains(&heavy), "{heavy} of 10000, expected about 7500");
    }
}
