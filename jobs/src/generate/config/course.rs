//! The rows of the course's config tables (warehouse 4.1, 4.2).

use crate::generate::shop::row;

/// Which config table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `table_process` of generation 2022.
    TableProcess,
    /// `table_process_dim` of generation 2023.
    TableProcessDim,
}

/// A row of a config table; texts as they stand in it, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Where rows come from: a table of the business database.
    pub source_table: String,
    /// The dimension table.
    pub sink_table: String,
    /// Its columns, separated by commas.
    pub sink_columns: String,
    /// Its key columns likewise; `None` is NULL and means `id` (in 2023: is written so).
    pub sink_pk: Option<String>,
    /// Properties of the table; `None` is NULL. Not in 2023.
    pub sink_extend: Option<String>,
}

/// Source table, columns, key, properties.
type Entry = (&'static str, &'static str, Option<&'static str>, Option<&'static str>);

const ID: Option<&str> = Some("id");

/// The rows of 2022 in the order of the table; the sink is named like the source.
const ROWS: &[Entry] = &[
    (
        "activity_info",
        "id,activity_name,activity_type,activity_desc,start_time,end_time,create_time",
        ID,
        None,
    ),
    (
        "activity_rule",
        "id,activity_id,activity_type,condition_amount,condition_num,benefit_amount,benefit_discount,benefit_level",
        ID,
        None,
    ),
    ("activity_sku", "id,activity_id,sku_id,create_time", ID, None),
    ("base_category1", "id,name", ID, None),
    ("base_category2", "id,name,category1_id", ID, None),
    ("base_category3", "id,name,category2_id", ID, None),
    ("base_province", "id,name,region_id,area_code,iso_code,iso_3166_2", None, None),
    ("base_region", "id,region_name", None, None),
    ("base_trademark", "id,tm_name", ID, None),
    (
        "coupon_info",
        "id,coupon_name,coupon_type,condition_amount,condition_num,activity_id,benefit_amount,benefit_discount,create_time,range_type,limit_num,taken_count,start_time,end_time,operate_time,expire_time,range_desc",
        ID,
        None,
    ),
    ("coupon_range", "id,coupon_id,range_type,range_id", ID, None),
    (
        "financial_sku_cost",
        "id,sku_id,sku_name,busi_date,is_lastest,sku_cost,create_time",
        ID,
        None,
    ),
    (
        "sku_info",
        "id,spu_id,price,sku_name,sku_desc,weight,tm_id,category3_id,sku_default_img,is_sale,create_time",
        ID,
        Some(" SALT_BUCKETS = 4"),
    ),
    ("spu_info", "id,spu_name,description,category3_id,tm_id", ID, Some("SALT_BUCKETS = 3")),
    (
        "user_info",
        "id,login_name,name,user_level,birthday,gender,create_time,operate_time",
        ID,
        Some(" SALT_BUCKETS = 3"),
    ),
];

/// The dictionary, a dimension table of 2023 only.
const DICTIONARY: Entry = ("base_dic", "dic_code,dic_name", Some("dic_code"), None);

impl Layout {
    /// Name of the config table.
    pub fn table(self) -> &'static str {
        match self {
            Self::TableProcess => "table_process",
            Self::TableProcessDim => "table_process_dim",
        }
    }

    /// The rows of the course.
    pub(super) fn rows(self) -> Vec<Row> {
        let dictionary = (self == Self::TableProcessDim).then_some(&DICTIONARY);
        ROWS.iter().chain(dictionary).map(Row::of_entry).collect()
    }

    /// A row with the column names of the table.
    pub(super) fn named(self, row: &Row) -> row::Row {
        let mut named: row::Row = vec![
            ("source_table", row.source_table.clone().into()),
            ("sink_table", row.sink_table.clone().into()),
        ];
        let columns = ("sink_columns", row.sink_columns.clone().into());
        match self {
            Self::TableProcess => named.extend([
                columns,
                ("sink_pk", row.sink_pk.clone().into()),
                ("sink_extend", row.sink_extend.clone().into()),
            ]),
            Self::TableProcessDim => {
                let key = row.sink_pk.clone().unwrap_or_else(|| "id".to_owned());
                let family = ("sink_family", "info".into());
                named.extend([family, columns, ("sink_row_key", key.into())]);
            }
        }
        named
    }
}

impl Row {
    fn of_entry(&(source, columns, key, extend): &Entry) -> Self {
        Self {
            source_table: source.to_owned(),
            sink_table: format!("dim_{source}"),
            sink_columns: columns.to_owned(),
            sink_pk: key.map(str::to_owned),
            sink_extend: extend.map(str::to_owned),
        }
    }

    /// The row that makes the dictionary a dimension table, in 2023 as in 2022.
    pub fn dictionary() -> Self {
        Self::of_entry(&DICTIONARY)
    }

    /// The columns one by one.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.sink_columns.split(',')
    }

    /// The row with these columns.
    #[must_use]
    pub fn with_columns<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns: Vec<&str> = columns.into_iter().collect();
        Self { sink_columns: columns.join(","), ..self.clone() }
    }

    /// The row with this column more, at the end.
    #[must_use]
    pub fn with_column(&self, column: &str) -> Self {
        self.with_columns(self.columns().chain([column]))
    }

    /// The row without this column.
    #[must_use]
    pub fn without_column(&self, column: &str) -> Self {
        self.with_columns(self.columns().filter(|name| *name != column))
    }
}
