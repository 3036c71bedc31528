//! The property tests: what is read and written equals what the naive model says.

use proptest::prelude::*;
use serde_json::Value;

use super::model::{Outputs, Verdict, expected};
use super::random::{options, record};
use super::*;

/// What the product says of a record, its layout having travelled.
fn found(value: &[u8], repair: bool, options: SplitOptions) -> Result<Verdict, Dirty> {
    let mut parser = AppLogParser::default();
    // Once before, so that names are guessed.
    let first = parser.parse(value).map(|log| log.ts());
    let log = parser.parse(value)?;
    assert_eq!(first, Ok(log.ts()));
    let mut layout = Vec::new();
    log.write_layout(&mut layout);
    let repair = repair && log.is_new() == IsNew::One;
    let mut endings = used_endings();
    let split = Split::new(value, Layout::read(&layout), repair, options, &mut endings);
    let owned = |text: Option<&str>| text.map(as_the_model_spells_it);
    let texts = [
        log.vc(),
        log.ch(),
        log.ar(),
        log.uid(),
        log.page_id(),
        log.last_page_id(),
        log.item(),
        log.item_type(),
    ];
    Ok(Verdict {
        mid: as_the_model_spells_it(log.mid()),
        ts: log.ts(),
        is_new: log.is_new(),
        texts: texts.map(owned),
        during_time: log.during_time(),
        start_and_page: log.start_and_page(),
        bad_members: log.bad_members(),
        outputs: outputs(value, &log, &layout, &split),
    })
}

/// A buffer that another record was split with before.
fn used_endings() -> Endings {
    let before = br#"{"common":{"mid":"before"},"page":{"b":4},"displays":[{}],"ts":404}"#;
    let (mut parser, mut layout) = (AppLogParser::default(), Vec::new());
    parser.parse(before).expect("a clean record").write_layout(&mut layout);
    let mut endings = Endings::default();
    let options = SplitOptions::default();
    let split = Split::new(before, Layout::read(&layout), false, options, &mut endings);
    assert!(!split.is_main_plain(), "it has a display");
    endings
}

/// The model knows numbers by their value only, not by their text.
fn as_the_model_spells_it(text: &str) -> String {
    serde_json::from_str::<serde_json::Number>(text)
        .map_or_else(|_text| text.to_owned(), |number| number.to_string())
}

fn outputs(value: &[u8], log: &AppLog<'_>, layout: &[u8], split: &Split<'_>) -> Outputs {
    let layout = Layout::read(layout);
    assert_eq!(layout.displays().collect::<Vec<_>>(), log.displays());
    assert_eq!(layout.actions().collect::<Vec<_>>(), log.actions());
    assert_eq!((layout.main(), layout.has_err()), (log.main(), log.has_err()));
    let error = layout.has_err().then(|| written(|out| split.write_error(out)));
    let main = (layout.main() != Main::None).then(|| written(|out| split.write_main(out)));
    for whole in [&error, &main].into_iter().flatten() {
        assert!(whole.len() <= split.bytes_max());
    }
    // Plain means the same bytes, and the same bytes are found to be plain.
    if let Some(main) = &main {
        assert_eq!(split.is_main_plain(), main == value);
    }
    if let Some(error) = &error {
        assert_eq!(split.is_error_plain(), error == value);
    }
    let element_output = |element: Element, write: &dyn Fn(&mut Vec<u8>)| {
        let out = written(write);
        assert!(out.len() <= split.element_bytes_max(element));
        let sources = [Some(element.span), Some(log.common_span()), log.page_span()];
        let before: usize = sources.into_iter().flatten().map(|span| doubles(span.of(value))).sum();
        assert!(doubles(&out) <= before, "the split doubles a name in {out:?}");
        read(&out)
    };
    Outputs {
        error: error.as_deref().map(read),
        main: main.as_deref().map(read),
        displays: layout
            .displays()
            .map(|e| element_output(e, &|out| split.write_display(e, out)))
            .collect(),
        actions: layout
            .actions()
            .map(|e| element_output(e, &|out| split.write_action(e, out)))
            .collect(),
    }
}

fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(bytes)))
}

/// How many names of an object are there again.
fn doubles(object: &[u8]) -> usize {
    let Names(mut names) = serde_json::from_slice(object).expect("an object");
    let count = names.len();
    names.sort();
    names.dedup();
    count - names.len()
}

struct Names(Vec<String>);

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> serde::de::Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
            names.push(name);
        }
        Ok(Names(names))
    }
}

/// Whether the model's reader is stricter than the grammar: lone surrogates, numbers beyond `f64`.
fn beyond_the_model(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
        && serde_json::from_slice::<Value>(value).is_err()
}

/// The bytes are judged as by the model; where that cannot read them, the outputs are JSON at least.
fn check(bytes: &[u8], options: SplitOptions) -> Result<(), TestCaseError> {
    if !beyond_the_model(bytes) {
        prop_assert_eq!(found(bytes, true, options), expected(bytes, true, options));
        return Ok(());
    }
    let mut parser = AppLogParser::default();
    let Ok(log) = parser.parse(bytes) else { return Ok(()) };
    let mut layout = Vec::new();
    log.write_layout(&mut layout);
    let layout = Layout::read(&layout);
    let mut endings = used_endings();
    let split = Split::new(bytes, layout, log.is_new() == IsNew::One, options, &mut endings);
    let error = layout.has_err().then(|| written(|out| split.write_error(out)));
    let main = (layout.main() != Main::None).then(|| written(|out| split.write_main(out)));
    let displays = layout.displays().map(|e| written(|out| split.write_display(e, out)));
    let actions = layout.actions().map(|e| written(|out| split.write_action(e, out)));
    for out in error.into_iter().chain(main).chain(displays).chain(actions) {
        prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok(), "{:?}", out);
    }
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn records_are_read_and_split_as_the_naive_model_says(
        record in record(), repair: bool, options in options(),
    ) {
        let bytes = record.as_bytes();
        prop_assert_eq!(found(bytes, repair, options), expected(bytes, repair, options));
    }

    #[test]
    fn spoilt_records_are_read_and_split_as_the_naive_model_says(
        record in record(),
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..3),
        options in options(),
    ) {
        let mut bytes = record.into_bytes();
        for (index, byte, how) in spoil {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"\"\\{}[],:0"[usize::from(byte) % 9],
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        check(&bytes, options)?;
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes, SplitOptions::default())?;
    }
}

/// The generator is worth nothing if its records are all dirty or all alike.
#[test]
fn the_random_records_reach_every_verdict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for _round in 0..1000 {
        let record = record().new_tree(&mut runner).expect("a record").current();
        let options = SplitOptions::default();
        let names: Vec<&str> = match expected(record.as_bytes(), false, options) {
            Err(dirty) => vec![dirty.as_str()],
            Ok(verdict) => [
                ("bad_member", verdict.bad_members > 0),
                ("start_and_page", verdict.start_and_page),
                ("error only", verdict.outputs.main.is_none()),
                ("error", verdict.outputs.error.is_some()),
                ("displays", verdict.outputs.displays.len() > 1),
                ("actions", verdict.outputs.actions.len() > 1),
                ("bad is_new", verdict.is_new == IsNew::Other),
            ]
            .into_iter()
            .filter_map(|(name, holds)| holds.then_some(name))
            .collect(),
        };
        names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    }
    // A generated record is always an object.
    let wanted = ["no_common", "no_mid", "bad_ts", "no_main", "bad_member", "start_and_page"]
        .into_iter()
        .chain(["error only", "error", "displays", "actions", "bad is_new"]);
    for name in wanted {
        assert!(counts.get(name).is_some_and(|count| *count >= 10), "{name}: {counts:?}");
    }
}
