//! What the simulated jobs must give, from the whole input by naive code, and what they gave.

use std::collections::{BTreeMap, BTreeSet};

use engine::batch::key;
use engine::random::Random;
use engine::testing::records::Record;
use engine::testing::target::TargetRow;

use crate::jobs::{BOUND_MS, WINDOWS};

/// Two partitions; times mostly grow, some are late, some very late, some broken.
pub(crate) fn input(seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random::new(seed);
    (0..2u64)
        .map(|partition| {
            let mut time = 1000;
            (0..150)
                .map(|number| {
                    time += random.below(12);
                    let back = match random.below(20) {
                        0 => random.below(120),
                        1 => random.below(600),
                        _ => random.below(10),
                    };
                    let key = format!("{partition}-{}", random.below(9)).into_bytes();
                    let value = format!("{} r{partition}-{number}", time.saturating_sub(back));
                    let broken = random.one_in(40);
                    (key, if broken { b"?".to_vec() } else { value.into_bytes() })
                })
                .collect()
        })
        .collect()
}

/// What the jobs must give, computed naively from the whole input.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) numbered: BTreeMap<Vec<u8>, Vec<String>>,
    pub(crate) dead: usize,
    pub(crate) first: BTreeSet<String>,
    pub(crate) windows: BTreeMap<(i64, Vec<u8>), u64>,
    pub(crate) late: BTreeSet<String>,
}

pub(crate) fn oracle(partitions: &[Vec<Record>]) -> Expected {
    let mut expected = Expected::default();
    for records in partitions {
        let mut peak = None::<i64>;
        let mut events = Vec::new();
        for (key, value) in records {
            let text = String::from_utf8(value.clone()).expect("text");
            let Ok(time) = text.split(' ').next().unwrap_or("").parse::<i64>() else {
                expected.dead += 1;
                continue;
            };
            let watermark = peak.map_or(i64::MIN, |peak| peak - BOUND_MS - 1);
            let rows = expected.numbered.entry(key.clone()).or_default();
            let numbered = format!("{text} #{}", rows.len());
            rows.push(numbered.clone());
            let behind = (time <= watermark).then_some(watermark);
            peak = Some(peak.map_or(time, |peak| peak.max(time)));
            events.push((
                behind.unwrap_or(time),
                behind.is_some(),
                events.len(),
                time,
                key,
                numbered,
                behind,
            ));
        }
        let mut count = |time: i64, key: &Vec<u8>, text: &String, behind: Option<i64>, by: u64| {
            let start = WINDOWS.start_of(time);
            if behind.is_some_and(|behind| WINDOWS.last_of(start) + 100 <= behind) {
                expected.late.insert(format!("{by} {text}"));
            } else {
                *expected.windows.entry((start, key.clone())).or_default() += by;
            }
        };
        for (_, _, _, time, key, text, behind) in &events {
            count(*time, key, text, *behind, 1);
        }
        events.sort_by_key(|event| (event.0, event.1, event.2));
        let mut seen = BTreeSet::new();
        for (_, _, _, time, key, text, behind) in &events {
            if seen.insert((*key).clone()) {
                expected.first.insert(text.clone());
                count(*time, key, text, *behind, 1000);
            }
        }
    }
    expected
}

pub(crate) fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_default()).expect("text")
}

/// Brings what was delivered into the oracle's form; panics on anything doubled.
pub(crate) fn observed(rows: &[TargetRow], expected: &Expected) -> Expected {
    let mut seen = Expected { dead: expected.dead, ..Expected::default() };
    for (target, key, value) in rows {
        let key_bytes = key.clone().expect("all rows have keys");
        match target {
            0 => seen.numbered.entry(key_bytes).or_default().push(text(value)),
            1 => assert!(seen.first.insert(text(value)), "doubled: {}", text(value)),
            2 => {
                let parts = key::parts(&key_bytes).expect("a key of ours");
                let [key::Part::Int(start), key::Part::Bytes(group)] = &parts[..] else {
                    panic!("not a window key: {parts:?}")
                };
                let sum = text(value).parse().expect("a number");
                seen.windows.insert((*start, group.clone()), sum);
            }
            3 => {
                // A late first record is refused twice: as a record and as a first one.
                let once = format!("1 {}", text(value));
                if !seen.late.insert(once) {
                    assert!(seen.late.insert(format!("1000 {}", text(value))), "thrice");
                }
            }
            other => panic!("no target {other}"),
        }
    }
    seen
}
