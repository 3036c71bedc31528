//! Tables of cases: what each change does to which routes; and random changes against what must
//! hold.

use std::collections::BTreeSet;

use connectors::format::debezium::{DebeziumParser, Outcome};
use connectors::format::maxwell::data::column_map;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::subject::Dimensions;
use super::*;

/// A row of 2022 from `source>sink columns [key [extend]]`, key and extend after a slash each.
fn row(text: &str) -> Columns {
    let mut parts = text.split('/').map(str::trim);
    let head = parts.next().expect("there is a first part");
    let (tables, columns) = head.split_once(' ').unwrap_or((head, ""));
    let (source, sink) = tables.split_once('>').expect("source>sink");
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Columns::from([
        ("source_table".to_owned(), given(Some(source))),
        ("sink_table".to_owned(), given(Some(sink))),
        ("sink_columns".to_owned(), given(Some(columns))),
        ("sink_pk".to_owned(), given(parts.next())),
        ("sink_extend".to_owned(), given(parts.next())),
    ])
}

/// The same in the layout before 2022, with its kind of sink.
fn older(text: &str, sink_type: &str) -> Columns {
    let mut columns = row(text);
    columns.insert("operate_type".to_owned(), Some("insert".to_owned()));
    columns.insert("sink_type".to_owned(), Some(sink_type.to_owned()));
    columns
}

/// `+row` is inserted (or read), `-row` deleted, `row => row` updated.
fn change(text: &str) -> ConfigChange {
    if let Some(deleted) = text.strip_prefix('-') {
        return ConfigChange::delete::<Dimensions>(&row(deleted));
    }
    if let Some(inserted) = text.strip_prefix('+') {
        return ConfigChange::put::<Dimensions>(None, &row(inserted));
    }
    let (before, after) = text.split_once(" => ").expect("an update");
    ConfigChange::put::<Dimensions>(Some(&row(before)), &row(after)).updated(true)
}

fn shown(effect: &Effect) -> String {
    match effect {
        Effect::Ensure(table) => format!("ensure {}", table_shown(table)),
        Effect::Recreate(table) => format!("recreate {}", table_shown(table)),
        Effect::Put(row) => {
            format!("put {}>{}({})", row.source_table, row.sink_table, row.columns.join(","))
        }
        Effect::Remove(key) => format!("remove {}>{}", key.source_table, key.sink_table),
        Effect::Backfill(key) => format!("backfill {}>{}", key.source_table, key.sink_table),
        Effect::Reject(rejected) => format!("reject {}", rejected.reason.as_str()),
    }
}

fn table_shown(table: &TableDefinition) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    format!("{}({})", table.name, columns.join(","))
}

fn rules(shared_sink: bool) -> RouteRules {
    RouteRules { schema: None, shared_sink, recreate: false, appends: false }
}

/// Decides and applies one change.
fn step(routes: &mut Routes, change: &ConfigChange) -> Vec<Effect> {
    let effects = routes.decide(change);
    effects.iter().for_each(|effect| routes.apply(effect));
    effects
}

/// What the last of these changes does.
fn last(shared_sink: bool, changes: &[&str]) -> String {
    last_of(rules(shared_sink), changes)
}

fn last_of(rules: RouteRules, changes: &[&str]) -> String {
    let mut routes = Routes::new(rules);
    let mut effects = Vec::new();
    for text in changes {
        effects = step(&mut routes, &change(text));
    }
    effects.iter().map(shown).collect::<Vec<_>>().join("; ")
}

#[test]
fn each_change_of_one_row_has_its_effects() {
    for (changes, expected) in [
        // r, c
        (&["+a>t id,x"][..], "ensure T(ID,X); put a>T(id,x); backfill a>T"),
        (&["+a>t x"], "ensure T(ID,X); put a>T(id,x); backfill a>T"),
        (&["+a>t id,x", "+a>t id,x"], ""),
        (&["+a>t id,x", "+a>T id,x"], ""),
        // Read again after a change that was not seen: as an update.
        (&["+a>t id,x", "+a>t id,y"], "ensure T(ID,Y); put a>T(id,y); backfill a>T"),
        // u widens
        (
            &["+a>t id,x", "a>t id,x => a>t id,x,y"],
            "ensure T(ID,X,Y); put a>T(id,x,y); backfill a>T",
        ),
        // u narrows, and widens again
        (&["+a>t id,x,y", "a>t id,x,y => a>t id,y"], "put a>T(id,y)"),
        (
            &["+a>t id,x,y", "a>t id,x,y => a>t id,y", "a>t id,y => a>t id,x,y"],
            "ensure T(ID,X,Y); put a>T(id,x,y); backfill a>T",
        ),
        // u narrows and widens at once
        (&["+a>t id,x", "a>t id,x => a>t id,y"], "ensure T(ID,Y); put a>T(id,y); backfill a>T"),
        // u changes the order, or nothing
        (&["+a>t id,x,y", "a>t id,x,y => a>t y,x,id"], "put a>T(y,x,id)"),
        (&["+a>t id,x", "a>t id,x => a>t id,x"], ""),
        (&["+a>t id,x", "a>t id,x => a>t id,x/id/"], ""),
        // u changes a property
        (&["+a>t id", "a>t id => a>t id//TTL=5"], "ensure T(ID); put a>T(id)"),
        // u moves to another table
        (
            &["+a>t id,x", "a>t id,x => a>u id,x"],
            "ensure U(ID,X); put a>U(id,x); remove a>T; backfill a>U",
        ),
        (
            &["+a>t id,x", "a>t id,x => a>u k/k/SALT_BUCKETS=4"],
            "ensure U(K); put a>U(k); remove a>T; backfill a>U",
        ),
        // u changes the source, which comes as u or as d and c
        (
            &["+a>t id,x", "a>t id,x => b>t id,x"],
            "remove a>T; ensure T(ID,X); put b>T(id,x); backfill b>T",
        ),
        (&["+a>t id,x", "-a>t id,x", "+b>t id,x"], "ensure T(ID,X); put b>T(id,x); backfill b>T"),
        (
            &["+a>t id,x", "a>t id,x => b>u id,x"],
            "remove a>T; ensure U(ID,X); put b>U(id,x); backfill b>U",
        ),
        // u of a row that is not in force
        (&["a>t id => a>t id,x"], "ensure T(ID,X); put a>T(id,x); backfill a>T"),
        (&["a>t id => b>t id,x"], "ensure T(ID,X); put b>T(id,x); backfill b>T"),
        // d, and added again
        (&["+a>t id,x", "-a>t id,x"], "remove a>T"),
        (&["-a>t id,x"], ""),
        (&["+a>t id,x", "-a>t id,x", "-a>t id,x"], ""),
        (&["+a>t id,x", "-a>t id,x", "+a>t id,x"], "ensure T(ID,X); put a>T(id,x); backfill a>T"),
        (&["-> x"], "reject no_source_table"),
    ] {
        assert_eq!(last(false, changes), expected, "{changes:?}");
    }
}

#[test]
fn what_is_decided_once_for_a_table_is_not_changed() {
    for (changes, expected) in [
        (&["+a>t id,x", "a>t id,x => a>t id,x/x"][..], "reject key_changed"),
        (&["+a>t id,x/id,x", "a>t id,x/id,x => a>t id,x/x,id"], "reject key_changed"),
        (&["+a>t id,x", "a>t id,x => a>t id,x/x/SALT_BUCKETS=4"], "reject key_changed"),
        (&["+a>t id,x", "a>t id,x => a>t id,x,y/x"], "reject key_changed"),
        (&["+a>t id", "a>t id => a>t id//SALT_BUCKETS=4"], "reject salt_changed"),
        (&["+a>t id//SALT_BUCKETS=4", "a>t id//SALT_BUCKETS=4 => a>t id,x"], "reject salt_changed"),
        // 0 is no salt.
        (&["+a>t id", "a>t id => a>t id//SALT_BUCKETS=0"], "ensure T(ID); put a>T(id)"),
        // A key spelt otherwise is the same key at the target.
        (&["+a>t id,x", "a>t id,x => a>t ID,x/ID"], "ensure T(ID,X); put a>T(ID,x); backfill a>T"),
        // What was refused left the route as it was.
        (&["+a>t id,x", "a>t id,x => a>t id,x/x", "a>t id,x/x => a>t id,x"], ""),
        (&["+a>t id,x", "a>t id,x => a>t id,x/x", "-a>t id,x/x"], "remove a>T"),
    ] {
        assert_eq!(last(false, changes), expected, "{changes:?}");
    }
}

#[test]
fn a_row_that_is_refused_by_itself_leaves_the_one_before_in_force() {
    for (changes, expected) in [
        (&["+a>t"][..], "reject no_columns"),
        (&["+a>t id,,x"], "reject empty_column"),
        (&["+a>t id//SALT BUCKETS"], "reject bad_extend"),
        (&["+a>t id", "a>t id => a>t id,b-c"], "reject bad_name"),
        (&["+a>t id", "a>t id => a>t id,b-c", "+a>t id"], ""),
        (&["+a>t id", "a>t id => a>u id,id", "+a>t id"], ""),
        // Moved to another source, refused there: as d and c.
        (&["+a>t id", "a>t id => b>t id,id"], "remove a>T; reject duplicate_column"),
        // Put right later.
        (&["+a>t id,", "a>t id, => a>t id"], "ensure T(ID); put a>T(id); backfill a>T"),
        (&["+a>t id,", "-a>t id,"], ""),
    ] {
        assert_eq!(last(false, changes), expected, "{changes:?}");
    }
}

#[test]
fn a_row_that_is_no_dimension_any_more_ends_its_route() {
    let mut routes = Routes::new(rules(false));
    let (dimension, fact) = (older("a>t id", "hbase"), older("a>t id", "kafka"));
    let shown_step = |routes: &mut Routes, change: &ConfigChange| {
        step(routes, change).iter().map(shown).collect::<Vec<_>>().join("; ")
    };
    let put = shown_step(&mut routes, &ConfigChange::put::<Dimensions>(None, &dimension));
    assert_eq!(put, "ensure T(ID); put a>T(id); backfill a>T");
    let insert_fact = ConfigChange::put::<Dimensions>(None, &fact);
    assert_eq!(shown_step(&mut routes, &insert_fact), "reject not_a_dimension");
    let delete_fact = ConfigChange::delete::<Dimensions>(&fact);
    assert_eq!(shown_step(&mut routes, &delete_fact), "reject not_a_dimension");
    assert_eq!(routes.all().count(), 1);
    let left = ConfigChange::put::<Dimensions>(Some(&dimension), &fact);
    assert_eq!(shown_step(&mut routes, &left), "remove a>T; reject not_a_dimension");
    let back = ConfigChange::put::<Dimensions>(Some(&fact), &dimension);
    assert_eq!(shown_step(&mut routes, &back), "ensure T(ID); put a>T(id); backfill a>T");
}

#[test]
fn one_source_may_feed_several_tables_and_one_table_has_one_source() {
    for (changes, expected) in [
        (&["+a>t id,x", "+a>u id,y"][..], "ensure U(ID,Y); put a>U(id,y); backfill a>U"),
        (&["+a>t id,x", "+a>u id,y", "-a>t id,x"], "remove a>T"),
        (&["+a>t id,x", "+b>t id,x"], "reject sink_taken"),
        (&["+a>t id,x", "+b>T id,x"], "reject sink_taken"),
        (&["+a>t id,x", "+b>u id", "b>u id => b>t id"], "reject sink_taken"),
        // The earlier route stays, and the refused row is forgotten.
        (&["+a>t id,x", "+b>t id,x", "-b>t id,x"], ""),
        (&["+a>t id,x", "+b>t id,x", "-a>t id,x"], "remove a>T"),
        (&["+a>t id,x", "-a>t id,x", "+b>t id,x"], "ensure T(ID,X); put b>T(id,x); backfill b>T"),
        // Moving away frees the table.
        (&["+a>t id", "a>t id => a>u id", "+b>t id"], "ensure T(ID); put b>T(id); backfill b>T"),
        // Moving onto a table that the source feeds already.
        (&["+a>t id", "+a>u id", "a>t id => a>u id"], "remove a>T"),
        (
            &["+a>t id", "+a>u id", "a>t id => a>u id,x"],
            "ensure U(ID,X); put a>U(id,x); remove a>T; backfill a>U",
        ),
    ] {
        assert_eq!(last(false, changes), expected, "{changes:?}");
    }
}

#[test]
fn a_shared_table_needs_one_key_and_one_salt() {
    for (changes, expected) in [
        (&["+a>t id,x", "+b>t id,y"][..], "ensure T(ID,Y); put b>T(id,y); backfill b>T"),
        (&["+a>t id,x", "+b>t id,y/y"], "reject shared_key_differs"),
        (&["+a>t id,x", "+b>t ID,y/ID"], "ensure T(ID,Y); put b>T(ID,y); backfill b>T"),
        (&["+a>t id//SALT_BUCKETS=4", "+b>t id"], "reject shared_salt_differs"),
        (&["+a>t id,x", "+b>t id,y", "b>t id,y => b>t id,y/y"], "reject key_changed"),
        (&["+a>t id,x", "+b>t id,y", "-a>t id,x"], "remove a>T"),
    ] {
        assert_eq!(last(true, changes), expected, "{changes:?}");
    }
}

#[test]
fn where_tables_are_made_anew_every_update_does_so() {
    let rules = RouteRules { schema: None, shared_sink: false, recreate: true, appends: false };
    for (changes, expected) in [
        (&["+a>t id,x"][..], "ensure T(ID,X); put a>T(id,x); backfill a>T"),
        (&["+a>t id", "a>t id => a>t id"], "recreate T(ID); put a>T(id); backfill a>T"),
        (&["+a>t id,x", "a>t id,x => a>t id"], "recreate T(ID); put a>T(id); backfill a>T"),
        (&["+a>t id,x", "a>t id,x => a>t id,x/x"], "recreate T(ID,X); put a>T(id,x); backfill a>T"),
        // Inserted again it is what it always was.
        (&["+a>t id,x", "+a>t id,x/x"], "reject key_changed"),
        (&["+a>t id", "a>t id => a>u id"], "recreate U(ID); put a>U(id); remove a>T; backfill a>U"),
        (&["+a>t id", "a>t id => b>t id"], "remove a>T; recreate T(ID); put b>T(id); backfill b>T"),
        // One that was not in force.
        (&["+a>t ", "a>t  => a>t id"], "recreate T(ID); put a>T(id); backfill a>T"),
        (&["+a>t id", "+b>t id", "b>t id => b>t id,x"], "reject sink_taken"),
        (&["+a>t id", "a>t id => a>t "], "reject no_columns"),
    ] {
        assert_eq!(last_of(rules.clone(), changes), expected, "{changes:?}");
    }
}

#[test]
fn routes_are_found_by_their_source() {
    let rules = RouteRules { schema: Some("s".to_owned()), ..RouteRules::default() };
    let mut routes = Routes::new(rules);
    for text in ["+a>u id", "+a>t id,x", "+b>v id"] {
        let effects = step(&mut routes, &change(text));
        let Some(Effect::Ensure(table)) = effects.first() else { panic!("{effects:?}") };
        assert_eq!(table.schema.as_deref(), Some("S"));
    }
    let sinks = |source: &str| {
        routes.of(source).map(|row| row.sink_table.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((sinks("a"), sinks("b"), sinks("A")), ("T U".into(), "V".into(), String::new()));
    assert_eq!(routes.all().count(), 3);
}

/// The four samples of warehouse 2.3, from their bytes on.
#[test]
fn envelopes_of_the_config_table_become_effects() {
    const SKU: &str = r#""source_table":"sku_info","sink_table":"dim_sku_info","sink_pk":"id","sink_extend":" SALT_BUCKETS = 4""#;
    let narrow = format!(r#"{{{SKU},"sink_columns":"id,sku_name,tm_id"}}"#);
    let wide = format!(r#"{{{SKU},"sink_columns":"id,sku_name,tm_id,price"}}"#);
    let trademark = r#"{"source_table":"base_trademark","sink_table":"dim_base_trademark","sink_columns":"id,tm_name","sink_pk":"id","sink_extend":null}"#;
    let mut routes = Routes::default();
    for (before, after, op, expected) in [
        (
            "null",
            trademark,
            "r",
            "ensure DIM_BASE_TRADEMARK(ID,TM_NAME); put base_trademark>DIM_BASE_TRADEMARK(id,tm_name); \
             backfill base_trademark>DIM_BASE_TRADEMARK",
        ),
        (
            "null",
            &narrow,
            "c",
            "ensure DIM_SKU_INFO(ID,SKU_NAME,TM_ID); put sku_info>DIM_SKU_INFO(id,sku_name,tm_id); \
             backfill sku_info>DIM_SKU_INFO",
        ),
        (
            &narrow,
            &wide,
            "u",
            "ensure DIM_SKU_INFO(ID,SKU_NAME,TM_ID,PRICE); \
             put sku_info>DIM_SKU_INFO(id,sku_name,tm_id,price); backfill sku_info>DIM_SKU_INFO",
        ),
        (&wide, "null", "d", "remove sku_info>DIM_SKU_INFO"),
    ] {
        let envelope = format!(r#"{{"before":{before},"after":{after},"op":"{op}"}}"#);
        let mut parser = DebeziumParser::default();
        let Ok(Outcome::Change(read)) = parser.parse(Some(envelope.as_bytes())) else {
            panic!("{envelope}");
        };
        let columns = |row: Option<&str>| row.map(|row| column_map(row.as_bytes()));
        let change = as_change(columns(read.before()).as_ref(), columns(read.after()).as_ref());
        let effects = step(&mut routes, &change);
        assert_eq!(effects.iter().map(shown).collect::<Vec<_>>().join("; "), expected);
    }
    assert_eq!(routes.all().count(), 1);
}

fn random_row() -> impl Strategy<Value = String> {
    (
        select(&["a", "b", "c"][..]),
        select(&["t", "T", "u", "v"][..]),
        select(&["id", "id,x", "id,x,y", "y,id", "x", "id,id", "id,b-c", ""][..]),
        select(&["", "", "", "id", "x"][..]),
        select(&["", "", "", "SALT_BUCKETS=4", "?"][..]),
    )
        .prop_map(|(source, sink, columns, key, extend)| {
            format!("{source}>{sink} {columns}/{key}/{extend}")
        })
}

/// Changes of a config table that holds at most one row per slot, as a binlog would tell them.
fn random_changes() -> impl Strategy<Value = Vec<(Option<Columns>, Option<Columns>)>> {
    let written = (0..4_usize, prop::option::weighted(0.8, random_row()));
    prop::collection::vec(written, 1..25).prop_map(|all| {
        let mut slots: [Option<Columns>; 4] = Default::default();
        let steps = all.into_iter().map(|(slot, after)| {
            let after = after.map(|text| row(&text));
            (std::mem::replace(&mut slots[slot], after.clone()), after)
        });
        steps.filter(|(before, after)| before.is_some() || after.is_some()).collect()
    })
}

fn as_change(before: Option<&Columns>, after: Option<&Columns>) -> ConfigChange {
    match (before, after) {
        (Some(before), None) => ConfigChange::delete::<Dimensions>(before),
        (before, after) => {
            ConfigChange::put::<Dimensions>(before, after.expect("one of both is there"))
        }
    }
}

/// What must hold of the effects of one change.
fn check(before: &Routes, effects: &[Effect], after: &Routes) -> Result<(), TestCaseError> {
    let put = effects.iter().find_map(|effect| match effect {
        Effect::Put(row) => Some(row),
        _ => None,
    });
    let rejected = effects.iter().any(|effect| matches!(effect, Effect::Reject(_)));
    prop_assert!(!(rejected && put.is_some()));
    let Some(row) = put else { return Ok(()) };
    let known = before.get(&row.key());
    let widened = known.is_none_or(|known| row.columns.iter().any(|c| !known.columns.contains(c)));
    let ensure = effects.iter().position(|effect| matches!(effect, Effect::Ensure(_)));
    let place = effects.iter().position(|effect| matches!(effect, Effect::Put(_)));
    let backfill = effects.iter().position(|effect| matches!(effect, Effect::Backfill(_)));
    prop_assert_eq!(backfill.is_some(), widened);
    prop_assert!(!widened || ensure < place && place < backfill && ensure.is_some());
    if let Some(known) = known {
        prop_assert_eq!(known.folded_keys(), row.folded_keys());
        prop_assert_eq!(known.extend.salt_buckets(), row.extend.salt_buckets());
    }
    prop_assert_eq!(after.get(&row.key()), Some(row));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_changes_keep_what_must_hold(changes in random_changes(), shared: bool) {
        let mut routes = Routes::new(rules(shared));
        for (before, after) in &changes {
            let change = as_change(before.as_ref(), after.as_ref());
            let former = routes.clone();
            let effects = step(&mut routes, &change);
            check(&former, &effects, &routes)?;
            // Told once more, it changes nothing.
            let again = step(&mut routes.clone(), &change);
            prop_assert!(again.iter().all(|effect| matches!(effect, Effect::Reject(_))), "{again:?}");
            // A table has one source, or one key and salt.
            let mut sinks = BTreeSet::new();
            let mut shapes = BTreeSet::new();
            for row in routes.all() {
                sinks.insert(&row.sink_table);
                shapes.insert((&row.sink_table, row.folded_keys(), row.extend.salt_buckets()));
            }
            prop_assert!(shared || sinks.len() == routes.all().count());
            prop_assert_eq!(sinks.len(), shapes.len());
        }
    }
}
