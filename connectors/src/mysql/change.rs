//! Rows of an event as changes of the table.

use mysql_async::Value;
use mysql_async::binlog::events::{RowsEventData, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;

use super::cell::{Side, Strange, push, push_logged};
use super::envelope::Row;
use super::json::push_text;
use super::table::Table;

/// What happened to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Create(Row),
    Update { before: Row, after: Row },
    Delete(Row),
}

/// The changes of an event whose table map fits the columns ([`Table::misfit`]).
///
/// # Errors
/// The event is malformed, has not all columns of a row, or a value that its column cannot have.
pub(super) fn of_event(
    table: &Table,
    map: &TableMapEvent<'_>,
    event: &RowsEventData<'_>,
) -> Result<Vec<Change>, Strange> {
    if let RowsEventData::PartialUpdateRowsEvent(_) = event {
        return Err(Strange(
            "a partial update of JSON; set binlog_row_value_options=''".to_owned(),
        ));
    }
    let mut changes = Vec::new();
    for images in event.rows(map) {
        let (before, after) = images.map_err(|error| Strange(format!("a bad row: {error}")))?;
        let image = |row: Option<BinlogRow>| row.map(|row| of_image(table, &row)).transpose();
        changes.push(match (image(before)?, image(after)?) {
            (None, Some(after)) => Change::Create(after),
            (Some(before), Some(after)) => Change::Update { before, after },
            (Some(before), None) => Change::Delete(before),
            (None, None) => return Err(Strange("an event without row images".to_owned())),
        });
    }
    Ok(changes)
}

fn of_image(table: &Table, image: &BinlogRow) -> Result<Row, Strange> {
    if image.len() != table.columns.len() {
        let (held, all) = (image.len(), table.columns.len());
        return Err(Strange(format!("{held} of {all} columns; set binlog_row_image=FULL")));
    }
    row(table, |out, index| {
        let value = image.as_ref(index).unwrap_or(&BinlogValue::Value(Value::NULL));
        push_logged(out, &table.columns[index], value)
    })
}

/// A row of a query's result, with the columns of the table in its order.
pub(super) fn of_selected(table: &Table, values: &[Value]) -> Result<Row, Strange> {
    row(table, |out, index| {
        let value = values.get(index).unwrap_or(&Value::NULL);
        push(out, &table.columns[index], Side::Selected, value)
    })
}

fn row(
    table: &Table,
    mut cell: impl FnMut(&mut Vec<u8>, usize) -> Result<(), Strange>,
) -> Result<Row, Strange> {
    let mut object = Vec::new();
    let mut places = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        object.push(if index == 0 { b'{' } else { b',' });
        push_text(&mut object, &column.name);
        object.push(b':');
        let begin = object.len();
        cell(&mut object, index)?;
        places.push(begin..object.len());
    }
    object.push(b'}');
    let mut key = Vec::new();
    for index in &table.key {
        key.extend_from_slice(&object[places[*index].clone()]);
        key.push(b',');
    }
    Ok(Row { object, key })
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::*;

    #[test]
    fn a_row_has_its_columns_in_table_order_and_its_key_in_key_order() {
        let utf8 = || Some("utf8mb4".to_owned());
        let columns = [
            Column::new("source_table".into(), "varchar(200)".into(), utf8(), 800, false),
            Column::new("n\"".into(), "int(11)".into(), None, 0, false),
            Column::new("extend".into(), "varchar(200)".into(), utf8(), 800, true),
        ];
        let table = Table { columns: columns.map(Result::unwrap).into(), key: vec![1, 0] };
        let values = [Value::Bytes("品牌".into()), Value::Int(7), Value::NULL];
        let row = of_selected(&table, &values).unwrap();
        let object = String::from_utf8(row.object).unwrap();
        assert_eq!(object, r#"{"source_table":"品牌","n\"":7,"extend":null}"#);
        assert_eq!(String::from_utf8(row.key).unwrap(), r#"7,"品牌","#);
        let strange = of_selected(&table, &[Value::Int(1)]).unwrap_err();
        assert!(strange.0.contains("\"source_table\""), "{}", strange.0);
    }
}
