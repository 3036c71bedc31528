//! Texts of `sink_extend` as people write them, and any others.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn canonical(text: &str) -> Result<String, ExtendFault> {
    Extend::parse(text).map(|extend| extend.to_string())
}

#[test]
fn what_people_write_is_read() {
    for (text, expected) in [
        ("", ""),
        (" \t\n", ""),
        (" SALT_BUCKETS = 4", "SALT_BUCKETS=4"),
        ("SALT_BUCKETS = 3", "SALT_BUCKETS=3"),
        (
            "salt_buckets=8, Compression='SNAPPY', ttl=86400",
            "SALT_BUCKETS=8, COMPRESSION='SNAPPY', TTL=86400",
        ),
        ("SALT_BUCKETS=8 TTL=1\nVERSIONS=3", "SALT_BUCKETS=8, TTL=1, VERSIONS=3"),
        ("SALT_BUCKETS=8 ,TTL=1", "SALT_BUCKETS=8, TTL=1"),
        ("COMPRESSION='GZ', b.VERSIONS=3", "COMPRESSION='GZ', B.VERSIONS=3"),
        (
            "IMMUTABLE_STORAGE_SCHEME=ONE_CELL_PER_COLUMN, COLUMN_ENCODED_BYTES=0",
            "IMMUTABLE_STORAGE_SCHEME=ONE_CELL_PER_COLUMN, COLUMN_ENCODED_BYTES=0",
        ),
        ("FOO='bar'", "FOO='bar'"),
        ("FOO=\"bar\"", "FOO='bar'"),
        ("UPDATE_CACHE_FREQUENCY=0.5", "UPDATE_CACHE_FREQUENCY=0.5"),
        ("STORE_NULLS=true", "STORE_NULLS=true"),
        ("SPLIT=7", "SPLIT=7"),
        ("SPLIT ON ('a','m','t')", "SPLIT ON ('a', 'm', 't')"),
        ("split on('a')", "SPLIT ON ('a')"),
        ("SALT_BUCKETS=4 SPLIT ON ( 'a' , '中' )", "SALT_BUCKETS=4 SPLIT ON ('a', '中')"),
        ("SALT_BUCKETS=4, SPLIT ON ('a')", "SALT_BUCKETS=4 SPLIT ON ('a')"),
        (
            r"A='it''s', B='it\'s', C='\\\n\r\t\b\f\x22'".replace("\\x22", "\\\"").as_str(),
            r#"A='it''s', B='it''s', C='\\\n\r\t\b\f"'"#,
        ),
        (r"A='\_\%'", r"A='\\_\\%'"),
        ("SALT_BUCKETS=0", "SALT_BUCKETS=0"),
        ("SALT_BUCKETS=256", "SALT_BUCKETS=256"),
        ("A='', B=''", "A='', B=''"),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text:?}");
    }
}

#[test]
fn what_does_not_parse_is_refused_with_its_place() {
    for (text, at) in [
        ("SALT_BUCKETS", 13),
        ("SALT_BUCKETS 4", 14),
        ("SALT_BUCKETS =", 15),
        ("SALT_BUCKETS = -1", 16),
        ("SALT_BUCKETS = 257", 1),
        (" SALT_BUCKETS = 4.0", 2),
        ("SALT_BUCKETS = '4'", 1),
        ("SALT_BUCKETS = four", 1),
        ("SALT_BUCKETS = 99999999999", 1),
        ("SALT_BUCKETS = 4x", 17),
        ("SALT_BUCKETS = 4,", 18),
        ("SALT_BUCKETS = 4,,TTL=1", 18),
        (",SALT_BUCKETS = 4", 1),
        ("SALT_BUCKETS = 4;", 17),
        ("SALT_BUCKETS = 4 SALT_BUCKETS = 5", 18),
        ("A=1, a=1", 6),
        ("A=1..2", 5),
        ("A=1.", 5),
        ("A='x", 5),
        (r"A='\x'", 5),
        ("A=\"x", 5),
        ("A=\"\"", 4),
        ("A.=1", 3),
        (".A=1", 1),
        ("A = 1) --", 6),
        ("-- comment", 1),
        ("SPLIT ON", 9),
        ("SPLIT ON ()", 11),
        ("SPLIT ON ('a'", 14),
        ("SPLIT ON ('a' 'b')", 15),
        ("SPLIT ON ('a',)", 15),
        ("SPLIT ON (1)", 11),
        ("SPLIT ON ('a') TTL=1", 16),
        ("SPLIT ON ('a') SPLIT ON ('b')", 16),
        ("中=1", 1),
        ("x'; drop table y", 2),
    ] {
        assert_eq!(canonical(text).map_err(|fault| fault.at), Err(at), "{text:?}");
    }
}

#[test]
fn the_salt_is_read_once_and_unqualified() {
    for (text, buckets) in [
        ("", 0),
        ("TTL=1", 0),
        ("salt_buckets = 4", 4),
        ("SALT_BUCKETS=0", 0),
        ("b.SALT_BUCKETS=4", 0),
    ] {
        assert_eq!(Extend::parse(text).unwrap().salt_buckets(), buckets, "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_read_prints_as_something_that_reads_the_same(
        pieces in prop::collection::vec(select(&[
            "SALT_BUCKETS", "TTL", "FOO", "b.", "=", "=", "4", "86400", "1.5", "'x'", "'it''s'",
            r"'\n'", r"'\_'", "\"q\"", "GZ", "中", " ", ",", "SPLIT ON", "(", ")", "'", "\\", ";",
            "A=1", "B='2'", " C = D ", "SPLIT ON ('a','b')",
        ][..]), 0..8),
    ) {
        let text = pieces.concat();
        if let Ok(extend) = Extend::parse(&text) {
            let printed = extend.to_string();
            prop_assert_eq!(Extend::parse(&printed), Ok(extend), "{} as {}", text, printed);
        }
    }

    #[test]
    fn any_value_comes_back(value in "\\PC*", control in "[\\x00-\\x20'\\\\\"_%]*") {
        let text = format!("{value}{control}");
        let value = PropertyValue::Text(text.clone());
        let properties = vec![Property { name: "FOO".to_owned(), value }];
        let extend = Extend { properties, split_on: vec![text] };
        prop_assert_eq!(Extend::parse(&extend.to_string()), Ok(extend));
    }
}
