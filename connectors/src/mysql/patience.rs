//! What to do after reading broke off: try again and how soon, or stop.
//!
//! A server that is gone is waited for as long as it takes. Bytes that cannot be understood may be the
//! fault of a connection twice; the third time at one place they are what the log holds.

use std::time::Duration;

use engine::error::Fault;

use super::trouble::Trouble;

/// First and longest pause between two attempts (capture.md 8.8).
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How often in a row bytes may be misunderstood at one place.
const BROKEN_MAX: u32 = 3;
/// A stream that ends this soon was not ended by a fault of the line.
const SHORT: Duration = Duration::from_secs(1);
/// So many short streams in a row mean that somebody else reads under our id: the server ends the
/// older of two.
const SHORT_MAX: u32 = 3;

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) trouble: Trouble,
    /// Our position moved in it.
    pub(super) moved: bool,
    /// How long the log was streamed; `None` if it never was.
    pub(super) streamed: Option<Duration>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Tell this and try again after a pause.
    Again(Fault, Duration),
    /// Tell this and stop.
    Stop(Fault),
    /// The position is lost, for this reason.
    Lost(String),
    /// Nobody listens.
    End,
}

/// Remembers how the last attempts went.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failed: u32,
    broken: u32,
    short: u32,
}

impl Patience {
    /// Decides after an attempt. `source` names the source in messages.
    pub(super) fn after(&mut self, attempt: Attempt, source: &str, server_id: u32) -> Next {
        let Attempt { trouble, moved, streamed } = attempt;
        let lived = streamed.is_some_and(|streamed| streamed >= SHORT);
        if moved || lived {
            *self = Self { broken: if moved { 0 } else { self.broken }, ..Self::default() };
        }
        self.failed += 1;
        self.short += u32::from(streamed.is_some() && !lived);
        let broken = matches!(trouble, Trouble::Broken(_));
        self.broken = if broken { self.broken + 1 } else { 0 };
        match trouble {
            Trouble::Closed => Next::End,
            Trouble::Lost(reason) => Next::Lost(reason),
            Trouble::Never(fault) => Next::Stop(named(fault, source)),
            Trouble::Broken(what) if self.broken >= BROKEN_MAX => {
                let what = what.replacen("could not", "cannot", 1);
                let fault = Fault::never(format!("{what}, {BROKEN_MAX} times in a row"));
                Next::Stop(named(fault, source))
            }
            Trouble::Broken(what) | Trouble::Later(what) => {
                let mut fault = Fault::later(what);
                if self.short >= SHORT_MAX {
                    fault = fault.with_hint(format!(
                        "each stream ends at once: another program reads the log as server_id \
                         {server_id}; give each its own"
                    ));
                }
                Next::Again(named(fault, source), self.pause())
            }
        }
    }

    fn pause(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failed.saturating_sub(1));
        PAUSE.0.saturating_mul(doubled).min(PAUSE.1)
    }
}

fn named(fault: Fault, source: &str) -> Fault {
    Fault { message: format!("{source}: {}", fault.message), ..fault }
}

#[cfg(test)]
mod tests {
    use engine::error::Retry;

    use super::*;

    fn attempt(trouble: Trouble, streamed_ms: Option<u64>, moved: bool) -> Attempt {
        Attempt { trouble, moved, streamed: streamed_ms.map(Duration::from_millis) }
    }

    fn later() -> Trouble {
        Trouble::Later("could not talk".into())
    }

    fn after(patience: &mut Patience, attempt: Attempt) -> Next {
        patience.after(attempt, "mysql table \"d.t\"", 77)
    }

    #[test]
    fn pauses_grow_until_something_worked() {
        let mut patience = Patience::default();
        let mut pauses = Vec::new();
        for (streamed, moved) in [(None, false); 8].into_iter().chain([
            (Some(0), true),
            (None, false),
            (Some(9000), false),
        ]) {
            let Next::Again(fault, pause) = after(&mut patience, attempt(later(), streamed, moved))
            else {
                panic!("it may pass");
            };
            assert_eq!((fault.retry, fault.hint), (Retry::Later, None));
            assert_eq!(fault.message, "mysql table \"d.t\": could not talk");
            pauses.push(pause.as_millis());
        }
        let growing = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
        assert_eq!(pauses, [&growing[..], &[500, 1000, 500]].concat());
    }

    #[test]
    fn what_cannot_be_read_three_times_is_what_the_log_holds() {
        let broken = || Trouble::Broken("could not read an event: x".into());
        let mut patience = Patience::default();
        let mut stopped = Vec::new();
        for (trouble, moved) in [
            (broken(), false),
            (broken(), false),
            (later(), false),
            (broken(), false),
            (broken(), true),
            (broken(), false),
            (broken(), false),
        ] {
            let next = after(&mut patience, attempt(trouble, Some(5000), moved));
            stopped.push(matches!(next, Next::Stop(_)));
            if let Next::Stop(fault) = next {
                assert_eq!(fault.retry, Retry::Never);
                assert!(fault.message.contains("cannot read an event: x, 3 times"), "{fault}");
            }
        }
        assert_eq!(stopped, [false, false, false, false, false, false, true]);
    }

    #[test]
    fn a_taken_id_is_suspected_after_three_short_streams() {
        let mut patience = Patience::default();
        let hints: Vec<bool> = [Some(10), Some(20), None, Some(5), Some(5000), Some(1)]
            .into_iter()
            .map(|streamed| match after(&mut patience, attempt(later(), streamed, false)) {
                Next::Again(fault, _) => fault.hint.is_some_and(|hint| hint.contains("77")),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(hints, [false, false, false, true, false, false]);
    }

    #[test]
    fn the_rest_is_passed_on() {
        let mut patience = Patience::default();
        let mut after = |trouble| patience.after(attempt(trouble, None, false), "s", 1);
        assert_eq!(after(Trouble::Closed), Next::End);
        assert_eq!(after(Trouble::Lost("purged".into())), Next::Lost("purged".into()));
        let Next::Stop(fault) = after(Trouble::Never(Fault::never("no").with_hint("h"))) else {
            panic!("it stays");
        };
        assert_eq!(fault.to_string(), "s: no (h)");
    }
}
