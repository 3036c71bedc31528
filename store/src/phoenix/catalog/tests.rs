//! Tables made, widened, refused; by one and by many at once.

use super::super::tests::{definition, in_memory};
use connectors::format::dimension::COLUMNS_MAX;
use engine::state::backend::StateBackend;

use super::*;

fn reopened(backend: &engine::state::memory::MemoryBackend) -> DimensionStore {
    DimensionStore::new(Arc::new(backend.clone())).unwrap()
}

fn columns(table: &DimensionTable) -> Vec<(&str, Place)> {
    table.columns.iter().map(|column| (column.name.as_str(), column.place)).collect()
}

#[test]
fn a_table_is_made_once_and_known_again() {
    let (backend, store) = in_memory();
    let mut wanted = definition("dim_Sku", &["spu_id", "id", "名称", "tm"], &["tm", "id"], 4);
    wanted.schema = Some("gmall2022_realtime".to_owned());
    wanted.options.push(("ttl".to_owned(), " 86400 ".to_owned()));
    wanted.split_on = vec!["a".to_owned(), "中".to_owned()];
    assert_eq!(store.ensure_table(&wanted).unwrap(), Ensured::Created);
    assert_eq!(store.ensure_table(&wanted).unwrap(), Ensured::Matched);
    let table = store.table("Dim_sku").expect("any case");
    assert_eq!((table.id, table.version, table.name.as_str()), (1, 1, "DIM_SKU"));
    assert_eq!(table.schema.as_deref(), Some("GMALL2022_REALTIME"));
    assert_eq!((table.salt_buckets, table.key_names()), (4, vec!["TM", "ID"]));
    let places = [
        ("SPU_ID", Place::Cell(11)),
        ("ID", Place::Key(1)),
        ("名称", Place::Cell(12)),
        ("TM", Place::Key(0)),
    ];
    assert_eq!(columns(&table), places);
    let options = [("SALT_BUCKETS", "4"), ("TTL", "86400")];
    let options: Vec<_> = options.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!((&table.options, &table.split_on), (&options, &wanted.split_on));
    // What is on disk is all of it.
    assert_eq!(reopened(&backend).tables(), [table]);
}

#[test]
fn a_table_is_widened_and_never_narrowed() {
    let (backend, store) = in_memory();
    let ensure =
        |columns: &[&str]| store.ensure_table(&definition("t", columns, &["id"], 0)).unwrap();
    assert_eq!(ensure(&["id", "a"]), Ensured::Created);
    assert_eq!(ensure(&["c", "id", "B"]), Ensured::Altered(2));
    assert_eq!(ensure(&["id"]), Ensured::Matched);
    let table = store.table("T").expect("there");
    let places = [
        ("ID", Place::Key(0)),
        ("A", Place::Cell(11)),
        ("C", Place::Cell(12)),
        ("B", Place::Cell(13)),
    ];
    assert_eq!((columns(&table), table.version), (places.to_vec(), 2));
    // Both versions are kept, the newest counts.
    let kept = backend.view().unwrap().scan(CATALOG, TABLE_PREFIX, b"", 9).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(reopened(&backend).tables(), [table]);
    // The next table has another space.
    store.ensure_table(&definition("u", &["id"], &["id"], 0)).unwrap();
    assert_eq!(reopened(&backend).table("u").map(|table| table.id), Some(2));
}

#[test]
fn another_key_salt_or_schema_is_told_and_changes_nothing() {
    let (backend, store) = in_memory();
    store.ensure_table(&definition("t", &["id", "k", "a"], &["id", "k"], 4)).unwrap();
    let before = store.table("t");
    let mut schema = definition("T", &["id", "k", "new"], &["id", "k"], 4);
    schema.schema = Some("s".to_owned());
    for (wanted, difference) in [
        (
            definition("t", &["id", "k", "new"], &["id"], 4),
            "it has key (ID, K), the definition has key (ID)",
        ),
        (
            definition("t", &["id", "k", "new"], &["k", "id"], 0),
            "it has key (ID, K), the definition has key (K, ID); \
             it has 4 salt buckets, the definition has no salt",
        ),
        (
            definition("t", &["id", "k", "new"], &["id", "k"], 8),
            "it has 4 salt buckets, the definition has 8 salt buckets",
        ),
        (schema, "it has no schema, the definition has schema S"),
    ] {
        let message = format!("cannot use dimension table \"T\" as it is: {difference}");
        assert_eq!(store.ensure_table(&wanted).unwrap(), Ensured::Conflict(message));
        assert_eq!(store.table("t"), before);
    }
    assert_eq!(reopened(&backend).table("t"), before);
}

#[test]
fn what_is_no_dimension_table_is_told() {
    let (backend, store) = in_memory();
    let with = |option: &str, value: &str| {
        let mut wanted = definition("t", &["id"], &["id"], 0);
        wanted.options.push((option.to_owned(), value.to_owned()));
        wanted
    };
    let mut typed = definition("t", &["id", "n"], &["id"], 0);
    typed.columns[1].1 = "INTEGER".to_owned();
    let many: Vec<String> = (0..=COLUMNS_MAX).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (wanted, why) in [
        (definition("", &["id"], &["id"], 0), "it has no name"),
        (definition("t", &["id"], &[], 0), "it has no key"),
        (definition("t", &["a"], &["id"], 0), "key column \"ID\" is no column"),
        (definition("t", &["id"], &["id", "ID"], 0), "key column \"ID\" is named twice"),
        (definition("t", &["id", "a", "A"], &["id"], 0), "column \"A\" is named twice"),
        (definition("t", &["id", ""], &["id"], 0), "a column has no name"),
        (definition("t", &many, &["c0"], 0), "it has more than 1000 columns"),
        (typed, "column \"n\" is \"INTEGER\", all columns are VARCHAR"),
        (with("salt_buckets", "257"), "SALT_BUCKETS is \"257\", allowed are 0 to 256"),
        (with("salt_buckets", "four"), "SALT_BUCKETS is \"four\", allowed are 0 to 256"),
        (with("transactional", "TRUE"), "TRANSACTIONAL is not supported"),
        (with("MULTI_TENANT", "true"), "MULTI_TENANT is not supported"),
    ] {
        match store.ensure_table(&wanted).unwrap() {
            Ensured::Invalid(message) => assert!(message.ends_with(why), "{message}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    assert!(store.tables().is_empty());
    assert_eq!(backend.spaces().unwrap(), ["meta"]);
    assert_eq!(store.ensure_table(&with("SALT_BUCKETS", "0")).unwrap(), Ensured::Created);
    assert_eq!(store.ensure_table(&with("salt_buckets", "256")).unwrap(), {
        let what = "it has no salt, the definition has 256 salt buckets";
        Ensured::Conflict(format!("cannot use dimension table \"T\" as it is: {what}"))
    });
}

#[test]
fn many_at_once_make_one_table_with_all_columns() {
    let (backend, store) = in_memory();
    let names: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
    let made: Vec<Ensured> = std::thread::scope(|scope| {
        let ensure = |name: &String| {
            let (store, columns) = (store.clone(), ["id", name.as_str()]);
            let wanted = definition("t", &columns, &["id"], 2);
            scope.spawn(move || store.ensure_table(&wanted).unwrap())
        };
        let threads: Vec<_> = names.iter().map(ensure).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(made.iter().filter(|made| **made == Ensured::Created).count(), 1);
    assert_eq!(made.iter().filter(|made| **made == Ensured::Altered(1)).count(), 7);
    let table = reopened(&backend).table("t").expect("made");
    assert_eq!(table.version, 8);
    let mut found: Vec<String> = table.columns[1..].iter().map(|c| c.name.to_lowercase()).collect();
    found.sort();
    assert_eq!(found, names);
    let qualifiers: Vec<Place> = table.columns[1..].iter().map(|column| column.place).collect();
    assert_eq!(qualifiers, (11..19).map(Place::Cell).collect::<Vec<_>>());
}

#[test]
fn a_table_whose_commit_failed_is_not_there() {
    for luck in 0..2 {
        let (backend, store) = in_memory();
        backend.fail_next_commit();
        let wanted = definition("t", &["id"], &["id"], 0);
        assert!(store.ensure_table(&wanted).is_err());
        assert_eq!(store.table("t"), None);
        backend.crash(&mut |n| if n == 2 { luck } else { 0 });
        // It is whole or absent, and either way it can be ensured.
        let store = reopened(&backend);
        let expected = if luck == 0 { Ensured::Matched } else { Ensured::Created };
        assert_eq!(store.ensure_table(&wanted).unwrap(), expected);
        assert_eq!(reopened(&backend).table("t").map(|table| table.id), Some(1));
    }
}

#[test]
fn golden_bytes() {
    let (_, store) = in_memory();
    let mut wanted = definition("t", &["a", "id"], &["id"], 4);
    wanted.schema = Some("s".to_owned());
    wanted.split_on = vec!["p".to_owned()];
    store.ensure_table(&wanted).unwrap();
    let table = store.table("t").expect("made");
    let golden =
        b"\x01\x01T\x01S\x04\x0c\x02\x01A\x0b\x02ID\0\x01\x01\x01\x0cSALT_BUCKETS\x014\x01\x01p";
    assert_eq!(table.encode(), golden);
    assert_eq!(DimensionTable::decode(1, 1, golden).as_ref(), Some(&*table));
    for cut in 0..golden.len() {
        assert_eq!(DimensionTable::decode(1, 1, &golden[..cut]), None);
    }
}
