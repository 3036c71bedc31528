//! When epochs end, and how.
//!
//! Of its own accord an epoch ends when its interval has passed, or when it has let in its rows; in one
//! group alone when its rows fill the in-flight budget, or a source there can read on only then. The
//! first one of a process ends as soon as it has rows and all state is there, so that nobody waits an
//! interval for the first results behind a crash. Whoever
//! asks for an end gets one of all groups at once, and waits for its turn: until no group has as many
//! epochs under way as it may, nor too much undelivered. Meanwhile nothing else takes the room it
//! waits for, unless it waits for a sink, which may take long.
//!
//! A stop, a cancelled group and the end of all sources go beyond the limit by one epoch at most:
//! nothing comes after them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Controller;
use super::groups::RunningGroup;
use crate::checkpoint::writer::{Closing, WriterItem};
use crate::clock::Moment;
use crate::control::command::Order;
use crate::epoch::cut::Cut;
use crate::outbox::quota::Backlog;

/// A filling in-flight budget closes the epoch, but not more often than this.
pub(super) const EARLY_CLOSE_MS: u64 = 20;
/// Pause between two closes that only ask for tables.
const TABLES_AGAIN_MS: u64 = 500;

impl Controller {
    /// Ends what is due or asked for, as far as there is room.
    pub(super) fn end_epochs(&mut self, now: Moment) {
        if self.stopping {
            // The end that whoever waits has asked for is that of everything.
            let last = self.open - 1;
            self.setup.closes.drain().into_iter().for_each(|(_, reply)| reply.answer(last));
            return;
        }
        self.answer_closes(now);
        if self.is_waited_for_room() {
            return;
        }
        if self.is_due(now) {
            let (names, stamp) = (self.closable(), self.next_stamp(now));
            // With every group withheld the epoch stays open; a completion wakes us.
            if !names.is_empty() || self.groups.is_empty() {
                self.restart_interval(now);
                self.close(&names, stamp, false, now);
            }
        }
        let names = self.closing_alone(now);
        if !names.is_empty() {
            if names.len() == self.groups.len() {
                self.restart_interval(now);
            }
            let stamp = self.next_stamp(now);
            self.close(&names, stamp, false, now);
        }
    }

    /// Ends an epoch for each request whose turn it is.
    fn answer_closes(&mut self, now: Moment) {
        while self.has_room()
            && let Some((request, reply)) = self.setup.closes.pop()
        {
            reply.answer(self.close_all(request.next_stamp_ms, now));
        }
    }

    /// Whether somebody waits for an epoch to complete, and will not have to wait for a sink.
    fn is_waited_for_room(&self) -> bool {
        !self.setup.closes.is_empty() && !self.groups.iter().any(RunningGroup::is_braked)
    }

    /// Whether every group may close.
    fn has_room(&self) -> bool {
        self.closable().len() == self.groups.len()
    }

    /// Ends the open epoch of all groups, whether they have room or not; returns its number.
    pub(super) fn close_all(&mut self, next_stamp_ms: Option<i64>, now: Moment) -> u64 {
        let names = self.groups.iter().map(|group| group.name.clone()).collect();
        let stamp = next_stamp_ms.unwrap_or_else(|| self.next_stamp(now));
        self.restart_interval(now);
        self.close(&names, stamp, true, now)
    }

    /// A stamp for the epoch that begins: never below the last one.
    pub(super) fn next_stamp(&self, now: Moment) -> i64 {
        match self.setup.epoch.fixed_stamp_ms {
            Some(fixed) => fixed.max(self.stamp_ms),
            None if now.wall_ms < self.stamp_ms => self.stamp_ms + 1,
            None => now.wall_ms,
        }
    }

    /// Whether the open epoch should close now, of its own accord.
    fn is_due(&self, now: Moment) -> bool {
        let full = self.setup.epoch.rows_max.is_some_and(|rows| self.rows_of_epoch() >= rows);
        now.reached(self.close_at) || full || self.is_first_due(now)
    }

    /// Whether the first epoch of this process has begun to give something: its sources have let in rows
    /// for a moment, and no operator waits for its state.
    fn is_first_due(&self, now: Moment) -> bool {
        self.closed_at == 0
            && self.setup.epoch.interval_ms.is_some()
            && self.rows_of_epoch() > 0
            && now.tick_us >= self.started_at + EARLY_CLOSE_MS * 1000
            && self.groups.iter().all(|group| group.is_running() && !self.is_loading(group))
    }

    /// Groups whose epoch should end before the others'.
    fn closing_alone(&self, now: Moment) -> BTreeSet<Arc<str>> {
        if now.tick_us < self.closed_at + EARLY_CLOSE_MS * 1000 {
            return BTreeSet::new();
        }
        let budget = &self.setup.budget;
        let wants = |group: &&RunningGroup| group.fills(budget) || group.wants_cut(now);
        let wants = self.groups.iter().filter(wants);
        let mut names: BTreeSet<_> = wants.map(|group| group.name.clone()).collect();
        if !names.is_empty() {
            let closable = self.closable();
            names.retain(|name| closable.contains(name));
        }
        names
    }

    fn rows_of_epoch(&self) -> u64 {
        self.setup.emitted.load(Ordering::Relaxed) - self.emitted_before
    }

    /// Closes of their own accord are counted from here.
    pub(super) fn restart_interval(&mut self, now: Moment) {
        self.emitted_before = self.setup.emitted.load(Ordering::Relaxed);
        self.close_at = now.tick_after_ms(self.setup.epoch.interval_ms.unwrap_or(u64::MAX / 2000));
    }

    /// Groups that may close: a withheld one keeps its epoch open and cuts later.
    fn closable(&self) -> BTreeSet<Arc<str>> {
        let inflight_max = self.setup.epoch.inflight_max;
        let may = |group: &&RunningGroup| group.in_flight() < inflight_max && !group.is_braked();
        self.groups.iter().filter(may).map(|group| group.name.clone()).collect()
    }

    /// Stops the groups for one of whose sinks too much waits, holds the sources of those for whose sinks
    /// more is planned than can stay in memory, and lets the others go on.
    pub(super) fn brake(&mut self, now: Moment) {
        let gauges = self.setup.gauges.lock().expect("nothing panics under this lock");
        let full = gauges.backlogs.iter().filter(|one| self.setup.quota.is_exceeded_by(one));
        let full: Vec<&Backlog> = full.collect();
        let queued_most = self.setup.budget.queued_most();
        let behind = gauges.backlogs.iter().filter(|one| one.queued_bytes > queued_most);
        let behind: Vec<&Backlog> = behind.collect();
        for group in &mut self.groups {
            let ours = |one: &&&Backlog| group.jobs().any(|job| job.plan.name == one.job);
            let full_sink = full.iter().find(ours).map(|one| (*one).clone());
            let mut behind = behind.iter().filter(ours).peekable();
            let is_behind = behind.peek().is_some();
            let stands_still = behind.any(|one| !self.sinks.delivers(&one.job, &one.sink, now));
            group.brake(full_sink, is_behind, stands_still);
        }
    }

    /// Ends the open epoch in these groups and opens the next; returns the one that ended.
    pub(super) fn close(
        &mut self,
        names: &BTreeSet<Arc<str>>,
        next_stamp_ms: i64,
        flush: bool,
        now: Moment,
    ) -> u64 {
        let epoch = self.open;
        let stamp_ms = self.stamp_ms;
        let mut jobs = Vec::new();
        for group in self.groups.iter_mut().filter(|group| names.contains(&group.name)) {
            jobs.extend(group.jobs().map(|job| job.plan.name.clone()));
            group.close(epoch, now);
            let closing = Closing { group: group.name.clone(), epoch, stamp_ms, flush };
            self.setup.writer.push(WriterItem::Closing(closing));
        }
        self.open += 1;
        self.stamp_ms = next_stamp_ms;
        self.closed_at = now.tick_us;
        let cut = Cut { epoch, next: self.open, next_stamp_ms, jobs: jobs.into() };
        self.order(|_worker| Order::Close(cut.clone()));
        epoch
    }

    /// Sources at their end are closed once more, so that their last watermark takes effect. What
    /// that close asks to be read again is still input, and so is what waits for a table: only a close
    /// that asks nothing is the last.
    pub(super) fn finish_ended(&mut self, now: Moment) {
        if !self.setup.epoch.stop_at_end || self.stopping || !self.has_ended() {
            self.last_cut = None;
            return;
        }
        match self.last_cut {
            None if now.reached(self.tables_again_at) && self.has_room() => {
                self.last_cut = Some(self.close_all(None, now));
            }
            Some(cut) if self.groups.iter().all(|group| group.complete >= cut) => {
                if self.tables_late.load(Ordering::Acquire) == 0 {
                    return self.stop_after(cut, now);
                }
                self.last_cut = None;
                self.tables_again_at = now.tick_after_ms(TABLES_AGAIN_MS);
            }
            None | Some(_) => {}
        }
    }

    /// Stops when `cut` is complete: if that was the last epoch, there is nothing to end once more.
    fn stop_after(&mut self, cut: u64, now: Moment) {
        match self.open == cut + 1 {
            true => self.stop_sources(),
            false => self.stop(now),
        }
    }

    fn has_ended(&self) -> bool {
        // The requests first: one that is finished has left its end in the queue.
        let rereads = self.setup.rereads.load(Ordering::Acquire);
        let ended = !self.groups.is_empty() && self.groups.iter().all(RunningGroup::has_ended);
        rereads == 0 && ended
    }
}
