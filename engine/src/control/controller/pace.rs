//! Whether the sources of a group go at the pace of its sinks.
//!
//! They do while a sink delivers and is behind: then its blocks are still in memory when it wants them.
//! Once a sink stands still, what waits for it lies on the disk, and waiting would gain nothing: the
//! sources go on, also beside the sink when it catches up, until hardly anything waits any more.

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    catches_up: bool,
}

impl Pace {
    /// Whether the sources take nothing in, now that more is planned for a sink than memory keeps
    /// (`is_behind`), and such a sink has delivered nothing for long (`stands_still`).
    pub(super) fn holds(&mut self, is_behind: bool, stands_still: bool) -> bool {
        self.catches_up = is_behind && (self.catches_up || stands_still);
        is_behind && !self.catches_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_wait_until_a_sink_stands_still_and_again_once_it_has_caught_up() {
        let mut pace = Pace::default();
        let (on, behind, still) = ((false, false), (true, false), (true, true));
        let told = [on, behind, behind, on, behind, still, behind, behind, on, behind];
        let held = told.map(|(is_behind, stands_still)| pace.holds(is_behind, stands_still));
        let expected = [false, true, true, false, true, false, false, false, false, true];
        assert_eq!(held, expected);
    }
}
