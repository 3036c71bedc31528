//! A config row of facts: changes of one table and type go to one topic.
//!
//! Layouts are told apart by their columns, as for dimensions ([`crate::dim::config`]): that of 2023
//! (`table_process_dwd`), and the one before 2022, whose rows with a `sink_type` other than hbase are
//! about facts. The checks are those of warehouse 4.5 as far as there is something to check; the first
//! that fails refuses the row.
//!
//! Decisions where the specification leaves room:
//!
//! - The source of a route is table and type, with a blank between: no type has one.
//! - Several rows may lead to one topic, and one source to several topics.
//! - Where the time of the change is added as `ts`, a column of that name is left out for it.

use crate::dim::config::{Columns, ConfigRow, Layout, RouteKey, column_names, text};
use crate::dim::extend::Extend;
use crate::dim::rejected::{Reason, Rejected};
use crate::dim::subject::Subject;
use crate::ods::ods_db::{FIRST_FOR_FACTS, FOR_FACTS};

/// Longest name of a Kafka topic, bytes, and one that file systems take for a directory. Source:
/// `Topic.MAX_NAME_LENGTH` of Kafka's clients.
pub(super) const TOPIC_NAME_MAX: usize = 249;

/// Rows that route facts.
#[derive(Debug, Clone, Copy)]
pub struct Facts;

impl Subject for Facts {
    fn key(columns: &Columns) -> Result<RouteKey, Rejected> {
        let type_column = type_column(columns)?;
        let empty = |name: &str, reason| Rejected::new(reason, format!("{name} is empty"));
        let table = text(columns, "source_table")
            .ok_or_else(|| empty("source_table", Reason::NoSourceTable))?;
        let kind =
            text(columns, type_column).ok_or_else(|| empty(type_column, Reason::NoSourceType))?;
        if !["insert", "update", "delete"].contains(&kind) {
            let text = format!("{type_column} {kind:?} is none of insert, update and delete");
            return Err(Rejected::new(Reason::BadSourceType, text));
        }
        let topic =
            text(columns, "sink_table").ok_or_else(|| empty("sink_table", Reason::NoSinkTable))?;
        let mut source = Vec::new();
        push_source(table.as_bytes(), kind, &mut source);
        let source_table = String::from_utf8(source).expect("both are text");
        Ok(RouteKey { source_table, sink_table: topic.to_owned() })
    }

    fn row(columns: &Columns) -> Result<ConfigRow, Rejected> {
        let RouteKey { source_table, sink_table } = Self::key(columns)?;
        if !is_topic_name(&sink_table) {
            let rule = "1 to 249 of the letters a-z and A-Z, digits, '.', '_' and '-'";
            let text = format!("{sink_table:?} cannot be a name of a topic: {rule}");
            return Err(Rejected::new(Reason::BadTopic, text));
        }
        Ok(ConfigRow {
            source_table,
            sink_table,
            columns: column_names(text(columns, "sink_columns"))?,
            keys: Vec::new(),
            added_keys: Vec::new(),
            extend: Extend::default(),
            family: None,
        })
    }

    fn table_of(source: &str) -> &str {
        source.rsplit_once(' ').map_or(source, |(table, _kind)| table)
    }

    const REQUESTS_FROM: u32 = FIRST_FOR_FACTS;

    fn request(table: &str) -> String {
        format!("{FOR_FACTS}{table}")
    }

    fn requested(name: &str) -> Option<&str> {
        name.strip_prefix(FOR_FACTS)
    }
}

/// Appends what routes call changes of this type to this table.
pub(super) fn push_source(table: &[u8], kind: &str, out: &mut Vec<u8>) {
    for part in [table, b" ", kind.as_bytes()] {
        out.extend_from_slice(part);
    }
}

/// The column with the type, in the layout of a row that is about facts.
fn type_column(columns: &Columns) -> Result<&'static str, Rejected> {
    let not_a_fact = |text| Err(Rejected::new(Reason::NotAFact, text));
    match Layout::of(columns) {
        None => {
            let names: Vec<&str> = columns.keys().map(String::as_str).collect();
            let text = format!("no config table has the columns {}", names.join(", "));
            Err(Rejected::new(Reason::UnknownLayout, text))
        }
        Some(Layout::TableProcessDwd) => Ok("source_type"),
        Some(Layout::Older) => match text(columns, "sink_type") {
            Some(kind) if kind.eq_ignore_ascii_case("kafka") => Ok("operate_type"),
            _ => not_a_fact("the row makes a dimension (sink_type is not kafka)"),
        },
        Some(Layout::TableProcess | Layout::TableProcessDim) => {
            not_a_fact("the row makes a dimension (it has a key column and no source_type)")
        }
    }
}

/// Whether Kafka takes a topic of this name.
fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_MAX).contains(&name.len())
        && name.chars().all(legal)
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(cells: &[(&str, &str)]) -> Columns {
        let cell = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), (*text != "NULL").then(|| (*text).to_owned()))
        };
        cells.iter().map(cell).collect()
    }

    fn row_2023(table: &str, kind: &str, topic: &str, list: &str) -> Columns {
        columns(&[
            ("source_table", table),
            ("source_type", kind),
            ("sink_table", topic),
            ("sink_columns", list),
        ])
    }

    #[test]
    fn the_rows_of_the_course_are_taken() {
        let row =
            Facts::row(&row_2023("coupon_use", "insert", "dwd_tool_coupon_get", "id, user_id"));
        let row = row.expect("in order");
        assert_eq!(row.source_table, "coupon_use insert");
        assert_eq!(row.sink_table, "dwd_tool_coupon_get");
        assert_eq!(row.columns, ["id", "user_id"]);
        assert_eq!(Facts::table_of(&row.source_table), "coupon_use");
    }

    #[test]
    fn a_blank_in_a_name_of_a_table_is_part_of_it() {
        let key = Facts::key(&row_2023("odd name", "delete", "t", "id")).expect("in order");
        assert_eq!(Facts::table_of(&key.source_table), "odd name");
        let mut source = Vec::new();
        push_source(b"odd name", "delete", &mut source);
        assert_eq!(source, key.source_table.as_bytes());
    }

    #[test]
    fn the_older_layout_has_rows_of_both_kinds() {
        let row = |sink_type| {
            columns(&[
                ("source_table", "favor_info"),
                ("operate_type", "insert"),
                ("sink_type", sink_type),
                ("sink_table", "dwd_favor"),
                ("sink_columns", "id"),
                ("sink_pk", "id"),
                ("sink_extend", "NULL"),
            ])
        };
        let key = Facts::key(&row("Kafka")).expect("a fact");
        assert_eq!(key.source_table, "favor_info insert");
        for other in ["hbase", "NULL"] {
            assert_eq!(Facts::key(&row(other)).expect_err(other).reason, Reason::NotAFact);
        }
    }

    #[test]
    fn rows_are_refused_for_the_first_thing_that_is_wrong() {
        let long = "t".repeat(250);
        for (table, kind, topic, list, reason) in [
            (" ", "insert", "t", "id", Reason::NoSourceTable),
            ("a", "NULL", "t", "id", Reason::NoSourceType),
            ("a", "Insert", "t", "id", Reason::BadSourceType),
            ("a", "bootstrap-insert", "t", "id", Reason::BadSourceType),
            ("a", "insert", "NULL", "id", Reason::NoSinkTable),
            ("a", "insert", "a/b", "id", Reason::BadTopic),
            ("a", "insert", "..", "id", Reason::BadTopic),
            ("a", "insert", "主题", "id", Reason::BadTopic),
            ("a", "insert", &long, "id", Reason::BadTopic),
            ("a", "insert", "t", "NULL", Reason::NoColumns),
            ("a", "insert", "t", "id,,b", Reason::EmptyColumn),
            ("a", "insert", "t", "id,b,id", Reason::DuplicateColumn),
        ] {
            let refused = Facts::row(&row_2023(table, kind, topic, list)).expect_err(list);
            assert_eq!(refused.reason, reason, "{refused}");
        }
        let dimension = columns(&[
            ("source_table", "a"),
            ("sink_table", "t"),
            ("sink_columns", "id"),
            ("sink_pk", "id"),
        ]);
        assert_eq!(Facts::row(&dimension).expect_err("a dimension").reason, Reason::NotAFact);
        let unknown = columns(&[("a", "b")]);
        assert_eq!(Facts::row(&unknown).expect_err("unknown").reason, Reason::UnknownLayout);
    }
}
