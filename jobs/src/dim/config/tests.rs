//! Config rows of every layout, and each way in which one is refused.

use super::*;

/// A row from `name=value` parts at line ends; `NULL` is NULL.
fn columns(row: &str) -> Columns {
    let columns = row.split('|').map(|part| part.split_once('=').expect("name=value"));
    columns
        .map(|(name, value)| (name.to_owned(), (value != "NULL").then(|| value.to_owned())))
        .collect()
}

fn read(row: &str) -> Result<ConfigRow, Rejected> {
    ConfigRow::read(&columns(row))
}

/// A row of 2022 with these columns, key and extension.
fn row_2022(sink_columns: &str, sink_pk: &str, sink_extend: &str) -> Columns {
    let given = format!(
        "source_table=s|sink_table=dim_s|sink_columns={sink_columns}|sink_pk={sink_pk}|sink_extend="
    );
    let mut row = columns(&given);
    row.insert("sink_extend".to_owned(), Some(sink_extend.to_owned()));
    row
}

#[test]
fn each_layout_is_recognised_by_its_columns() {
    for (row, expected) in [
        (
            "source_table=|sink_table=|sink_columns=|sink_pk=|sink_extend=",
            Some(Layout::TableProcess),
        ),
        ("source_table=|sink_table=|sink_columns=|sink_pk=", Some(Layout::TableProcess)),
        (
            "source_table=|sink_table=|sink_family=|sink_columns=|sink_row_key=",
            Some(Layout::TableProcessDim),
        ),
        ("source_table=|source_type=|sink_table=|sink_columns=", Some(Layout::TableProcessDwd)),
        (
            "source_table=|operate_type=|sink_type=|sink_table=|sink_columns=|sink_pk=|sink_extend=",
            Some(Layout::Older),
        ),
        ("source_table=|sink_table=|sink_columns=", None),
        ("source_table=|sink_columns=|sink_pk=", None),
        ("sink_table=|sink_columns=|sink_pk=", None),
        ("source_table=|sink_table=|sink_pk=|sink_extend=", None),
        ("id=", None),
    ] {
        assert_eq!(Layout::of(&columns(row)), expected, "{row}");
    }
}

#[test]
fn a_row_of_2022_is_read() {
    let row = read(
        "source_table=sku_info|sink_table=dim_sku_info|sink_columns=id, sku_name ,tm_id|sink_pk= id \
         |sink_extend= SALT_BUCKETS = 4",
    );
    // The extension has a second `=`, which the part keeps.
    let row = row.expect("it is in order");
    assert_eq!(
        row.key(),
        RouteKey { source_table: "sku_info".into(), sink_table: "DIM_SKU_INFO".into() }
    );
    assert_eq!(
        (row.columns.join(" "), row.keys.join(" ")),
        ("id sku_name tm_id".into(), "id".into())
    );
    assert_eq!((row.extend.to_string(), row.warning()), ("SALT_BUCKETS=4".to_owned(), None));
    let definition = row.definition(Some("gmall2022_realtime"));
    let varchar = |name: &str| (name.to_owned(), "VARCHAR".to_owned());
    let expected = TableDefinition {
        edition: 0,
        schema: Some("GMALL2022_REALTIME".to_owned()),
        name: "DIM_SKU_INFO".to_owned(),
        columns: ["ID", "SKU_NAME", "TM_ID"].map(varchar).to_vec(),
        keys: vec!["ID".to_owned()],
        options: vec![("SALT_BUCKETS".to_owned(), "4".to_owned())],
        split_on: Vec::new(),
    };
    assert_eq!(definition, expected);
}

#[test]
fn a_row_of_2023_has_its_family_as_a_property() {
    let row = read(
        "source_table=base_dic|sink_table=dim_base_dic|sink_family=info|sink_columns=dic_code,dic_name\
         |sink_row_key=dic_code",
    );
    let row = row.expect("it is in order");
    assert_eq!((row.keys.join(" "), row.columns.len()), ("dic_code".to_owned(), 2));
    let definition = row.definition(None);
    let family = ("DEFAULT_COLUMN_FAMILY".to_owned(), "info".to_owned());
    assert_eq!((definition.schema, definition.options), (None, vec![family]));
}

#[test]
fn rows_of_facts_are_told_from_dimensions() {
    let older = "source_table=s|operate_type=insert|sink_table=t|sink_columns=id|sink_pk=id|sink_extend=NULL";
    for (row, expected) in [
        (format!("{older}|sink_type=hbase"), None),
        (format!("{older}|sink_type=HBase "), None),
        (format!("{older}|sink_type=kafka"), Some(Reason::NotADimension)),
        (format!("{older}|sink_type=NULL"), Some(Reason::NotADimension)),
        (
            "source_table=coupon_use|source_type=insert|sink_table=dwd_tool_coupon_get|sink_columns=id"
                .to_owned(),
            Some(Reason::NotADimension),
        ),
        ("id=1|name=x".to_owned(), Some(Reason::UnknownLayout)),
    ] {
        assert_eq!(read(&row).err().map(|rejected| rejected.reason), expected, "{row}");
        let key = RouteKey::read(&columns(&row));
        assert_eq!(key.err().map(|rejected| rejected.reason), expected, "{row}");
    }
}

#[test]
fn keys_are_found_or_added_in_front() {
    for (sink_columns, sink_pk, columns, keys, added) in [
        ("id,name", "id", "id name", "id", ""),
        ("id,name", "NULL", "id name", "id", ""),
        ("id,name", "  ", "id name", "id", ""),
        ("name", "NULL", "id name", "id", "id"),
        ("a,b,c", "c, a", "a b c", "c a", ""),
        ("a,b", "c,a,d", "c d a b", "c a d", "c d"),
        (" a , b ", "b", "a b", "b", ""),
    ] {
        let row = ConfigRow::read(&row_2022(sink_columns, sink_pk, "")).expect("in order");
        let found = [&row.columns, &row.keys, &row.added_keys].map(|names| names.join(" "));
        assert_eq!(found, [columns, keys, added], "{sink_columns} / {sink_pk}");
        assert_eq!(row.warning().is_some(), !added.is_empty());
    }
}

#[test]
fn the_first_check_that_fails_refuses_the_row() {
    for (sink_columns, sink_pk, sink_extend, expected) in [
        ("NULL", "a,,b", "?", "no_columns"),
        (" ", "id", "", "no_columns"),
        (",", "id", "", "empty_column"),
        ("id,,name", "a,", "?", "empty_column"),
        ("id,name,", "id", "", "empty_column"),
        ("id,name,id", "a,", "?", "duplicate_column"),
        ("id,name, id", "id", "", "duplicate_column"),
        ("id,ID", "id", "", "duplicate_column"),
        ("id,name", "ID", "", "duplicate_column"),
        ("id,b-c", "id,", "?", "empty_key"),
        ("id,b-c", "id,id", "?", "duplicate_key"),
        ("id,b-c", "id", "?", "bad_extend"),
        ("id", "id", "SALT_BUCKETS = 300", "bad_extend"),
        ("id", "id", "; drop table x", "bad_extend"),
        ("id,b-c", "id", "", "bad_name"),
        ("id,_a", "id", "", "bad_name"),
        ("id,'x'", "id", "", "bad_name"),
        ("id", "x y", "", "bad_name"),
        ("id,select,名", "id", "", "bad_name"),
        ("id,select,n名", "id", "", "none"),
    ] {
        let reason = ConfigRow::read(&row_2022(sink_columns, sink_pk, sink_extend)).err();
        let reason = reason.map_or("none", |rejected| rejected.reason.as_str());
        assert_eq!(reason, expected, "{sink_columns} / {sink_pk} / {sink_extend}");
    }
}

#[test]
fn both_tables_must_be_named() {
    for (row, expected) in [
        ("source_table=NULL|sink_table=NULL|sink_columns=id|sink_pk=id", "no_source_table"),
        ("source_table= |sink_table=t|sink_columns=id|sink_pk=id", "no_source_table"),
        ("source_table=s|sink_table=|sink_columns=NULL|sink_pk=id", "no_sink_table"),
        ("source_table=s|sink_table=a.b|sink_columns=id|sink_pk=id", "bad_name"),
        ("source_table=s|sink_table=a:b|sink_columns=id|sink_pk=id", "bad_name"),
        ("source_table=s|sink_table=1a|sink_columns=id|sink_pk=id", "bad_name"),
        ("source_table=s-1.x|sink_table= t |sink_columns=id|sink_pk=id", "none"),
    ] {
        let reason = read(row).err().map_or("none", |rejected| rejected.reason.as_str());
        assert_eq!(reason, expected, "{row}");
    }
    let family = "source_table=s|sink_table=t|sink_family=a:b|sink_columns=id|sink_row_key=id";
    assert_eq!(read(family).err().map(|rejected| rejected.reason), Some(Reason::BadName));
}

#[test]
fn a_table_has_no_more_columns_than_the_store_takes() {
    let list = |count| (0..count).map(|index| format!("c{index}")).collect::<Vec<_>>().join(",");
    let reason = |count, key| {
        let row = ConfigRow::read(&row_2022(&list(count), key, ""));
        row.err().map(|rejected| rejected.reason)
    };
    assert_eq!(reason(COLUMNS_MAX, "c0"), None);
    assert_eq!(reason(COLUMNS_MAX + 1, "c0"), Some(Reason::TooManyColumns));
    assert_eq!(reason(COLUMNS_MAX, "id"), Some(Reason::TooManyColumns));
}
