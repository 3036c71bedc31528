//! Golden values: what Flink CDC 3.5 wrote for the same SQL (specification, `wire/maxwell`).

use proptest::prelude::*;

use super::*;

fn column(declared: &str, charset: Option<&str>, octets: u64, nullable: bool) -> Column {
    let charset = charset.map(str::to_owned);
    Column::new("c".to_owned(), declared.to_owned(), charset, octets, nullable).unwrap()
}

fn shown(column: &Column, side: Side, value: Value) -> String {
    let mut out = Vec::new();
    push(&mut out, column, side, &value).unwrap();
    String::from_utf8(out).unwrap()
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

fn check(declared: &str, octets: u64, cases: &[(Side, Value, &str)]) {
    let charset = declared.contains("char(").then_some("utf8mb4");
    let column = column(declared, charset, octets, true);
    for (side, value, expected) in cases {
        assert_eq!(shown(&column, *side, value.clone()), *expected, "{declared} {value:?}");
    }
    assert_eq!(shown(&column, Side::Logged, Value::NULL), "null");
}

use Side::{Logged, Selected};

#[test]
fn integers_have_the_sign_of_their_column() {
    check("tinyint(4)", 0, &[(Logged, Value::Int(-128), "-128")]);
    check("tinyint(3) unsigned", 0, &[(Logged, Value::Int(-1), "255")]);
    check("smallint unsigned", 0, &[(Logged, Value::Int(-32768), "32768")]);
    check("int unsigned", 0, &[(Logged, Value::Int(-1), "4294967295")]);
    check(
        "mediumint(9)",
        0,
        &[
            (Logged, Value::Int(16_777_215), "-1"),
            (Logged, Value::Int(8_388_608), "-8388608"),
            (Logged, Value::Int(8_388_607), "8388607"),
            (Selected, Value::Int(-1), "-1"),
        ],
    );
    check(
        "mediumint unsigned",
        0,
        &[
            (Logged, Value::Int(16_777_215), "16777215"),
            (Selected, Value::UInt(16_777_215), "16777215"),
        ],
    );
    check("bigint", 0, &[(Logged, Value::Int(i64::MIN), "-9223372036854775808")]);
    check(
        "bigint unsigned",
        0,
        &[
            (Logged, Value::Int(-1), r#""AP//////////""#),
            (Selected, Value::UInt(u64::MAX), r#""AP//////////""#),
            (Selected, Value::UInt(1 << 63), r#""AIAAAAAAAAAA""#),
            (Logged, Value::Int(0), r#""AA==""#),
            (Logged, Value::Int(1), r#""AQ==""#),
        ],
    );
}

#[test]
fn decimals_are_their_unscaled_number() {
    check(
        "decimal(20,10)",
        0,
        &[
            (Logged, bytes("-9999999999.9999999999"), r#""+pQ4odKc8AAB""#),
            (Logged, bytes("0.0000010000"), r#""JxA=""#),
            (Selected, bytes("-0.0000001000"), r#""/Bg=""#),
        ],
    );
    check("decimal(10,0)", 0, &[(Logged, bytes("-9999999999"), r#""/av0HAE=""#)]);
    check(
        "decimal(5,2) unsigned",
        0,
        &[(Logged, bytes("16.80"), r#""BpA=""#), (Logged, bytes("0"), r#""AA==""#)],
    );
    check(
        "decimal(65,0)",
        0,
        &[(
            Logged,
            bytes(&format!("-{}", "9".repeat(65))),
            r#""/wzp2OOAPG91dBC5sca6EIXayfYAAAAAAAAAAQ==""#,
        )],
    );
}

#[test]
fn bits_and_bytes() {
    check("bit(1)", 0, &[(Logged, Value::Bytes(vec![1]), "true")]);
    check("bit(9)", 0, &[(Logged, Value::Bytes(vec![1, 0x55]), r#""VQE=""#)]);
    check(
        "binary(10)",
        10,
        &[
            (Logged, bytes("ab"), r#""YWIAAAAAAAAAAA==""#),
            (Selected, bytes("ab\0\0\0\0\0\0\0\0"), r#""YWIAAAAAAAAAAA==""#),
        ],
    );
    check("varbinary(10)", 10, &[(Logged, Value::Bytes(vec![255, 0]), r#""/wA=""#)]);
    check("blob", 0, &[(Selected, Value::Bytes(vec![0, 255, 16]), r#""AP8Q""#)]);
}

#[test]
fn moments_are_numbers_or_utc_text() {
    let date = |y, m, d| Value::Date(y, m, d, 0, 0, 0, 0);
    check(
        "date",
        0,
        &[
            (Logged, date(1000, 1, 1), "-354285"),
            (Logged, date(9999, 12, 31), "2932896"),
            (Logged, date(2024, 2, 29), "19782"),
            // Proleptic, and the year itself: repairs of the original (capture.md 2.9-B).
            (Logged, date(1582, 10, 10), "-141432"),
            (Logged, date(1, 1, 1), "-719162"),
            (Logged, date(0, 0, 0), "null"),
            (Selected, date(2015, 2, 31), "null"),
        ],
    );
    let at = |micros| Value::Date(2024, 2, 29, 1, 2, 3, micros);
    check("datetime", 0, &[(Logged, at(0), "1709168523000")]);
    check("datetime(2)", 0, &[(Logged, at(40_000), "1709168523040")]);
    check("datetime(6)", 0, &[(Logged, at(450), "1709168523000450")]);
    let before = Value::Date(1969, 12, 31, 23, 59, 59, 999_999);
    check("datetime(6)", 0, &[(Logged, before, "-1")]);
    check(
        "timestamp(6)",
        0,
        &[
            (Logged, bytes("1709168523.000450"), r#""2024-02-29T01:02:03.00045Z""#),
            (Selected, at(450), r#""2024-02-29T01:02:03.00045Z""#),
            (Logged, bytes("1"), r#""1970-01-01T00:00:01Z""#),
            (Logged, bytes("2147483647"), r#""2038-01-19T03:14:07Z""#),
            (Logged, bytes("0"), "null"),
        ],
    );
    check(
        "time(1)",
        0,
        &[
            (Logged, Value::Time(true, 34, 22, 59, 59, 0), "-3020399000000"),
            (Selected, Value::Time(false, 0, 12, 13, 14, 500_000), "43994500000"),
        ],
    );
    check(
        "year(4)",
        0,
        &[
            (Logged, bytes("2155"), "2155"),
            (Logged, bytes("1900"), "1900"),
            (Selected, Value::Int(0), "1900"),
        ],
    );
}

/// What has no date in a column that takes no NULL: zero is the epoch, the rest is shown as stored.
#[test]
fn dates_that_no_calendar_has() {
    let column = column("date", None, 0, false);
    let date = |y, m, d| shown(&column, Logged, Value::Date(y, m, d, 0, 0, 0, 0));
    assert_eq!(date(0, 0, 0), "0");
    assert_eq!(date(2015, 0, 10), "0");
    assert_eq!(date(2015, 2, 31), r#""2015-02-31""#);
}

#[test]
fn texts_come_out_of_their_charset() {
    check("varchar(50)", 200, &[(Logged, bytes("中文é😀"), r#""中文é\uD83D\uDE00""#)]);
    let column = column("varchar(50)", Some("latin1"), 50, true);
    let stored = Value::Bytes(vec![0xe9, 0x80, 0xdf, 0x81, 0xff]);
    assert_eq!(shown(&column, Logged, stored), "\"é€ß\u{81}ÿ\"");
    assert_eq!(shown(&column, Selected, bytes("é€ß\u{81}ÿ")), "\"é€ß\u{81}ÿ\"");
    check(
        "enum('a','b''c')",
        0,
        &[
            (Logged, Value::Int(2), r#""b'c""#),
            (Logged, Value::Int(0), r#""""#),
            (Selected, bytes("b'c"), r#""b'c""#),
        ],
    );
    check(
        "set('a','b','c')",
        0,
        &[
            (Logged, Value::Bytes(vec![5]), r#""a,c""#),
            (Logged, Value::Bytes(vec![0]), r#""""#),
            (Selected, bytes("a,c"), r#""a,c""#),
        ],
    );
}

#[test]
fn what_a_kind_cannot_hold_is_named() {
    let column = column("enum('a')", None, 0, true);
    let strange = push(&mut Vec::new(), &column, Logged, &Value::Int(2)).unwrap_err();
    assert_eq!(strange.0, "column \"c\" (enum('a')) holds Int(2)");
}

proptest! {
    #[test]
    fn days_and_dates_are_inverse(days_given in -719_162_i64..2_932_897) {
        let (year, month, day) = civil(days_given);
        let narrow = |number| u8::try_from(number).unwrap();
        let back = days(u16::try_from(year).unwrap(), narrow(month), narrow(day));
        prop_assert_eq!(back, Some(days_given));
    }

    #[test]
    fn unscaled_numbers_are_exact(number: i128) {
        let text = number.to_string();
        let all = unscaled(text.as_bytes(), 0).unwrap();
        let (high, low) = all.split_at(16);
        prop_assert_eq!(i128::from_be_bytes(low.try_into().unwrap()), number);
        let sign = if number < 0 { 0xff } else { 0 };
        prop_assert!(high.iter().all(|byte| *byte == sign));
    }
}
