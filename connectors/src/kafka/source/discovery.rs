//! From what the cluster lists to the partitions of a source, and how long a topic may be missing.

use engine::clock::Moment;
use engine::error::Fault;
use engine::source::Partition;

use super::inquiry::Listed;
use super::slot::{self, Slots};
use crate::kafka::config::{KafkaConfig, OnLostPosition};

/// How long a topic may be missing: brokers learn of a new topic one after the other.
const MISSING_TOPIC_MS: u64 = 2_000;
/// How often a missing topic is looked for.
const LOOK_EVERY_MS: u64 = 50;

/// One discovery after the other.
#[derive(Default)]
pub(super) struct Discovery {
    /// A question is under way.
    asked: bool,
    answer: Option<Result<Vec<Listed>, Fault>>,
    /// Tick at which a missing topic becomes a fault.
    missing_until: Option<u64>,
    /// Tick before which nothing is asked.
    wait_until: u64,
}

impl Discovery {
    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        now.reached(self.wait_until)
    }

    /// Asks by `ask`, which says whether an answer will come, unless one is coming already.
    pub(super) fn ask(&mut self, ask: impl FnOnce() -> bool) {
        self.asked = self.asked || ask();
    }

    /// Keeps the answer.
    pub(super) fn answered(&mut self, answer: Result<Vec<Listed>, Fault>) {
        self.asked = false;
        self.answer = Some(answer);
    }

    /// The answer, once.
    pub(super) fn take(&mut self) -> Option<Result<Vec<Listed>, Fault>> {
        self.answer.take()
    }

    /// Turns the listed topics into partitions; `None` while one is missing that may yet come.
    pub(super) fn partitions(
        &mut self,
        config: &KafkaConfig,
        slots: &Slots,
        listed: &[Listed],
        now: Moment,
    ) -> Result<Option<Vec<Partition>>, Fault> {
        let mut all = Vec::new();
        for (topic, (name, listed)) in config.topics.iter().zip(listed).enumerate() {
            let (count, opened) = (listed.partitions, slots.count(topic));
            // With a policy, what is left of a topic we had (perhaps nothing yet) goes on.
            let stops = opened == 0 || config.on_lost_position == OnLostPosition::Stop;
            if count < opened.max(1) && stops {
                return self.missing(now, || missing(name, opened, count));
            }
            all.extend((0..count).map(|number| slot::partition(name, topic, number)));
        }
        self.missing_until = None;
        Ok(Some(all))
    }

    /// No partitions yet, or the fault once this has lasted too long.
    fn missing(
        &mut self,
        now: Moment,
        fault: impl FnOnce() -> Fault,
    ) -> Result<Option<Vec<Partition>>, Fault> {
        let limit = now.tick_after_ms(MISSING_TOPIC_MS);
        let until = *self.missing_until.get_or_insert(limit);
        self.wait_until = now.tick_after_ms(LOOK_EVERY_MS);
        if now.reached(until) { Err(fault()) } else { Ok(None) }
    }
}

fn missing(topic: &str, opened: usize, count: usize) -> Fault {
    if opened == 0 {
        return Fault::never(format!("cannot read kafka topic \"{topic}\": it does not exist"))
            .with_hint("make the topic first, or correct its name");
    }
    let text = "partitions left where it had";
    Fault::never(format!("cannot read kafka topic \"{topic}\": it has {count} {text} {opened}"))
        .with_hint("it was deleted or made anew, so positions are lost; see on_lost_position")
}
