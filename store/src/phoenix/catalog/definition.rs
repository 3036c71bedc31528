//! From a definition to a specification, and what keeps one from fitting the other.

use connectors::format::dimension::COLUMNS_MAX;
use engine::sink::TableDefinition;

use super::super::value::Qualifier;
use super::specification::space;
use super::{DimensionColumn, DimensionTable, Place, fold};

/// Numbers below are reserved by Phoenix (phoenix.md 8.5).
const FIRST_QUALIFIER: Qualifier = 11;
/// Most salt buckets: the bucket is one byte (phoenix.md 7.5).
const SALT_BUCKETS_MAX: u16 = 256;
/// The property that is the salt.
const SALT_BUCKETS: &str = "SALT_BUCKETS";
/// Properties that may not be true: they would promise what is not kept here (phoenix.md 7.5).
const REFUSED: [&str; 2] = ["TRANSACTIONAL", "MULTI_TENANT"];

impl DimensionTable {
    /// The first specification of a table, or why there is none.
    pub(super) fn of_definition(definition: &TableDefinition, id: u32) -> Result<Self, String> {
        let name = fold(&definition.name);
        let invalid = |why: String| format!("cannot make dimension table \"{name}\": {why}");
        let options = options(definition);
        let mut table = Self {
            id,
            version: 1,
            schema: definition.schema.as_deref().map(fold).filter(|schema| !schema.is_empty()),
            salt_buckets: salt_buckets(&options).map_err(&invalid)?,
            columns: Vec::new(),
            keys: Vec::new(),
            options,
            split_on: definition.split_on.clone(),
            edition: definition.edition,
            space: space(id),
            next_qualifier: FIRST_QUALIFIER,
            name: name.clone(),
        };
        if name.is_empty() {
            return Err(invalid("it has no name".to_owned()));
        }
        table.add_columns(definition).map_err(&invalid)?;
        Ok(table)
    }

    fn add_columns(&mut self, definition: &TableDefinition) -> Result<(), String> {
        let keys: Vec<String> = definition.keys.iter().map(|key| fold(key)).collect();
        for (name, kind) in &definition.columns {
            if !kind.trim().eq_ignore_ascii_case("VARCHAR") {
                return Err(format!("column {name:?} is {kind:?}, all columns are VARCHAR"));
            }
            let key = keys.iter().position(|key| *key == fold(name));
            self.add_column(fold(name), key)?;
        }
        for key in &keys {
            let index = self.columns.iter().position(|column| column.name == *key);
            let index = index.ok_or_else(|| format!("key column {key:?} is no column"))?;
            if self.keys.contains(&index) {
                return Err(format!("key column {key:?} is named twice"));
            }
            self.keys.push(index);
        }
        if self.keys.is_empty() { Err("it has no key".to_owned()) } else { Ok(()) }
    }

    /// Adds a column at the end; `key` is its position in the key, if it is part of it.
    fn add_column(&mut self, name: String, key: Option<usize>) -> Result<(), String> {
        if name.is_empty() {
            return Err("a column has no name".to_owned());
        }
        if self.columns.iter().any(|column| column.name == name) {
            return Err(format!("column {name:?} is named twice"));
        }
        if self.columns.len() == COLUMNS_MAX {
            return Err(format!("it has more than {COLUMNS_MAX} columns"));
        }
        let place = key.map_or(Place::Cell(self.next_qualifier), Place::Key);
        if key.is_none() {
            self.next_qualifier += 1;
        }
        self.columns.push(DimensionColumn { name, place });
        Ok(())
    }

    /// The next specification: with the columns of `wanted` that this one lacks. The same one if it
    /// lacks none. Their keys are equal.
    pub(super) fn widened(&self, wanted: &Self) -> Result<Self, String> {
        let mut table = Self { version: self.version + 1, ..self.clone() };
        for column in &wanted.columns {
            if !self.columns.iter().any(|known| known.name == column.name) {
                table.add_column(column.name.clone(), None).map_err(|why| {
                    format!("cannot add a column to dimension table \"{}\": {why}", self.name)
                })?;
            }
        }
        Ok(table)
    }
}

/// Properties with their names folded.
fn options(definition: &TableDefinition) -> Vec<(String, String)> {
    let option = |(name, value): &(String, String)| (fold(name.trim()), value.trim().to_owned());
    definition.options.iter().map(option).collect()
}

fn salt_buckets(options: &[(String, String)]) -> Result<u16, String> {
    let refused = options.iter().find(|(name, value)| {
        REFUSED.contains(&name.as_str()) && value.eq_ignore_ascii_case("true")
    });
    if let Some((name, _)) = refused {
        return Err(format!("{name} is not supported"));
    }
    let given = options.iter().rfind(|(name, _)| name == SALT_BUCKETS);
    let Some((_, value)) = given else { return Ok(0) };
    let buckets = value.parse().ok().filter(|buckets| *buckets <= SALT_BUCKETS_MAX);
    buckets.ok_or_else(|| format!("{SALT_BUCKETS} is {value:?}, allowed are 0 to 256"))
}

/// What keeps the rows of `wanted` out of `table`, in words; `None` if nothing does.
pub(super) fn difference(table: &DimensionTable, wanted: &DimensionTable) -> Option<String> {
    let salt = |table: &DimensionTable| match table.salt_buckets {
        0 => "no salt".to_owned(),
        buckets => format!("{buckets} salt buckets"),
    };
    let key = |table: &DimensionTable| format!("key ({})", table.key_names().join(", "));
    let schema = |table: &DimensionTable| match &table.schema {
        None => "no schema".to_owned(),
        Some(schema) => format!("schema {schema}"),
    };
    let differ = |what: &dyn Fn(&DimensionTable) -> String| {
        let (is, should) = (what(table), what(wanted));
        (is != should).then(|| format!("it has {is}, the definition has {should}"))
    };
    let differences: Vec<String> =
        [differ(&key), differ(&salt), differ(&schema)].into_iter().flatten().collect();
    let name = &table.name;
    let all = differences.join("; ");
    (!all.is_empty()).then(|| format!("cannot use dimension table \"{name}\" as it is: {all}"))
}
