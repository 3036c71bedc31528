//! Keys and timers against a model, whatever was loaded, asked for, set and taken out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::old_timers::stored;
use super::*;
use crate::hash::key_group;

#[derive(Debug, Clone, PartialEq)]
struct Number(u8);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [number] = bytes else { return None };
        Some(Self(*number))
    }
}

/// State, timers, and timers in the old form of each key.
type Model = BTreeMap<u8, (Option<u8>, BTreeSet<i64>, BTreeSet<i64>)>;

/// As a loader brings them: by group, and there by stored key, of which timers are the last.
fn loaded(model: &Model) -> Keys<Number> {
    let mut entries: Vec<_> = model.keys().map(|key| (key_group(&[*key]), *key)).collect();
    entries.sort_unstable();
    let mut keys = Keys::new();
    for (group, key) in &entries {
        let (state, timers, old) = &model[key];
        match state {
            Some(state) if timers.is_empty() && !old.is_empty() => {
                keys.load_old_state(*group, &[*key], &[*state]);
            }
            _ => {
                let mut kept = Kept::new();
                kept.state = state.map(Number);
                timers.iter().for_each(|at| assert!(kept.set_timer(*at)));
                kept.encoded().iter().for_each(|value| keys.load(*group, &[*key], value));
            }
        }
    }
    let mut old: Vec<_> = entries
        .iter()
        .flat_map(|(group, key)| model[key].2.iter().map(|at| (*group, stored(*at, &[*key]))))
        .collect();
    old.sort_unstable();
    old.iter().for_each(|(group, stored)| keys.load_old_timer(*group, stored));
    keys
}

/// The first timer of a model, taken out.
fn pop(model: &mut Model) -> Option<(i64, u8, bool)> {
    let own = model.iter().flat_map(|(key, kept)| kept.1.iter().map(|at| (*at, *key, false)));
    let old = model.iter().flat_map(|(key, kept)| kept.2.iter().map(|at| (*at, *key, true)));
    let first = own.chain(old).min()?;
    let kept = model.get_mut(&first.1)?;
    if first.2 {
        kept.2.remove(&first.0)
    } else {
        kept.1.remove(&first.0)
    };
    Some(first)
}

fn due(keys: &mut Keys<Number>) -> Option<(i64, u8, bool)> {
    let at = keys.first_at();
    let due = keys.pop_first();
    assert_eq!(at, due.as_ref().map(|due| due.at));
    due.map(|due| (due.at, due.key[0], due.old))
}

fn kept() -> impl Strategy<Value = (Option<u8>, BTreeSet<i64>, BTreeSet<i64>)> {
    let timers = || prop::collection::btree_set(-3_i64..4, 0..3);
    (any::<Option<u8>>(), timers(), timers()).prop_map(|(state, own, old)| {
        let old = &old - &own;
        (state, own, old)
    })
}

proptest! {
    #[test]
    fn loaded_or_set_each_timer_comes_out_once(
        mut model in prop::collection::btree_map(0_u8..40, kept(), 0..40),
        steps in prop::collection::vec((0_u8..3, 0_u8..50, -3_i64..4), 0..60),
    ) {
        let mut keys = loaded(&model);
        for (step, key, at) in steps {
            match step {
                0 => prop_assert_eq!(due(&mut keys), pop(&mut model)),
                1 => {
                    let found = keys.get_mut(&[key]).and_then(|kept| kept.state.clone());
                    let state = model.get(&key).and_then(|kept| kept.0);
                    prop_assert_eq!(found, state.map(Number));
                }
                _ => {
                    if keys.get_mut(&[key]).is_none() {
                        keys.insert(&[key]);
                    }
                    let kept = model.entry(key).or_default();
                    let new = !kept.2.contains(&at) && kept.1.insert(at);
                    prop_assert_eq!(keys.set_timer(&[key], at), new);
                }
            }
        }
        while let Some(first) = pop(&mut model) {
            prop_assert_eq!(due(&mut keys), Some(first));
        }
        prop_assert_eq!(due(&mut keys), None);
        for (key, (state, ..)) in &model {
            let found = keys.get_mut(&[*key]).and_then(|kept| kept.state.clone());
            prop_assert_eq!(found, state.map(Number));
        }
    }
}
