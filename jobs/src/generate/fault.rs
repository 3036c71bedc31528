//! What goes wrong with a record on its way: broken text, odd members, delay, double delivery.
//!
//! Every record draws its fate from the seed and its number alone. The delays are measured against
//! the time of arrival, which rises with the number: a delay of at most [`ON_TIME_MS`] can never
//! make a record late, however the records are spread over partitions.

use super::line::Flaw;
use super::random::Random;
use super::{Settings, Shares};

/// Greatest delay of a record that is not meant to be late; below the 3 s of the jobs.
pub(super) const ON_TIME_MS: u32 = 2_900;

/// Greatest everyday delay.
const EVERYDAY_MS: u64 = 900;

/// How far back a record that is delivered twice lies at most.
const DUPLICATE_DISTANCE: u32 = 20;

/// What happens to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, perhaps with a flaw that leaves it a record.
    Whole(Flaw),
    /// An earlier record, so many before, comes instead.
    Duplicate(u64),
    /// The line is no record any more.
    Broken(Break),
}

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    Cut,
    Empty,
    Blank,
    PlainText,
    NotUtf8,
    NotObject,
    Flawed(Flaw),
}

const BREAKS: &[(u32, Break)] = &[
    (4, Break::Cut),
    (1, Break::Empty),
    (1, Break::Blank),
    (2, Break::PlainText),
    (2, Break::NotUtf8),
    (1, Break::NotObject),
    (1, Break::Flawed(Flaw::NoCommon)),
    (1, Break::Flawed(Flaw::NoMid)),
    (1, Break::Flawed(Flaw::NoTs)),
];

const ODDITIES: &[Flaw] =
    &[Flaw::NoIsNew, Flaw::WordForIsNew, Flaw::StartAndPage, Flaw::NoMain, Flaw::DisplaysNotArray];

/// Draws what happens to record `number`.
pub(super) fn fate(settings: &Settings, number: u64, random: &mut Random) -> Fate {
    let Shares { broken, odd, duplicate, .. } = settings.shares;
    let roll = random.below(10_000);
    if roll < broken {
        Fate::Broken(random.pick_weighted(BREAKS, |&(weight, _)| weight).1)
    } else if roll < broken + odd {
        Fate::Whole(random.pick(ODDITIES))
    } else if roll < broken + odd + duplicate && number > 0 {
        Fate::Duplicate(u64::from(random.between(1, DUPLICATE_DISTANCE)).min(number))
    } else {
        Fate::Whole(Flaw::None)
    }
}

/// Draws how long before its arrival the record was made; `step_ms` is the usual time between two
/// records of a device.
pub(super) fn delay_ms(settings: &Settings, step_ms: u64, random: &mut Random) -> i64 {
    let Shares { late, very_late, out_of_order, .. } = settings.shares;
    let roll = random.below(10_000);
    i64::from(if roll < very_late {
        random.between(19_000, 600_000)
    } else if roll < very_late + late {
        random.between(4_000, 17_000)
    } else if roll < very_late + late + out_of_order {
        random.between(900, ON_TIME_MS)
    } else {
        let most = u32::try_from(EVERYDAY_MS.min(step_ms / 2)).expect("below a second");
        random.between(0, most)
    })
}

/// Turns the record that begins at `begin` into a broken line; whether its mid, at `mid_end`, is
/// still whole.
pub(super) fn spoil(
    out: &mut Vec<u8>,
    begin: usize,
    mid_end: usize,
    kind: Break,
    random: &mut Random,
) -> bool {
    let length = u32::try_from(out.len() - begin).expect("a line is short");
    let middle = begin + usize::try_from(random.between(1, length - 2)).expect("fits");
    let replacement: &[u8] = match kind {
        Break::Cut => {
            out.truncate(middle);
            return middle > mid_end;
        }
        Break::NotUtf8 => {
            // Behind the mid, where the keyed producer of a real agent would still find it.
            let place = mid_end.max(begin) + 2;
            out[place] = 0xff;
            return true;
        }
        Break::Flawed(_) => return mid_end > begin,
        Break::Empty => b"",
        Break::Blank => b"   \t",
        Break::PlainText => b"2022-04-30 11:00:00.123 WARN [main] o.a.h.RetryHandler - will retry",
        Break::NotObject => b"[\"common\",{\"mid\":\"mid_1\"},1651287600000]",
    };
    out.truncate(begin);
    out.extend_from_slice(replacement);
    false
}
