//! The naive model of the app log rules on `serde_json::Value`, what outputs must be equal to.
//!
//! The model reads a record into maps, in which the last of equal names wins by itself, and builds
//! each output by inserting and removing. It knows no byte of the record.

use serde_json::{Map, Value, json};

use super::*;

/// What the rules say of a record.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) mid: String,
    pub(super) ts: i64,
    pub(super) is_new: IsNew,
    pub(super) texts: [Option<String>; 8],
    pub(super) during_time: Option<i64>,
    pub(super) start_and_page: bool,
    pub(super) bad_members: usize,
    pub(super) outputs: Outputs,
}

/// The outputs of a record.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outputs {
    pub(super) error: Option<Value>,
    pub(super) main: Option<Value>,
    pub(super) displays: Vec<Value>,
    pub(super) actions: Vec<Value>,
}

/// The rules, naively.
pub(super) fn expected(
    value: &[u8],
    repair: bool,
    options: SplitOptions,
) -> Result<Verdict, Dirty> {
    let value: Value = serde_json::from_slice(value).ok().ok_or(Dirty::NotObject)?;
    let mut record =
        value.as_object().filter(|_| depth(&value) <= 64).ok_or(Dirty::NotObject)?.clone();
    let common = record.get("common").and_then(Value::as_object).ok_or(Dirty::NoCommon)?.clone();
    let mid = text_or_number(&common, "mid").filter(|mid| !mid.is_empty()).ok_or(Dirty::NoMid)?;
    let ts = record.get("ts").and_then(Value::as_i64).filter(|ts| *ts >= 0).ok_or(Dirty::BadTs)?;
    let object = |name| record.get(name).and_then(Value::as_object).cloned();
    let (start, page) = (object("start"), object("page"));
    let has_err = record.get("err").is_some_and(|err| !err.is_null());
    if start.is_none() && page.is_none() && !has_err {
        return Err(Dirty::NoMain);
    }
    let is_new = match common.get("is_new").and_then(Value::as_str) {
        Some("0") => IsNew::Zero,
        Some("1") => IsNew::One,
        _ => IsNew::Other,
    };
    if repair && is_new == IsNew::One {
        record["common"]["is_new"] = json!("0");
    }
    let start_and_page = start.is_some() && page.is_some();
    let no_page = Map::new();
    let read = page.as_ref().unwrap_or(&no_page);
    let string = |map: &Map<String, Value>, name| Some(map.get(name)?.as_str()?.to_owned());
    let texts = [
        string(&common, "vc"),
        string(&common, "ch"),
        string(&common, "ar"),
        text_or_number(&common, "uid"),
        string(read, "page_id"),
        text_or_number(read, "last_page_id"),
        string(read, "item"),
        string(read, "item_type"),
    ];
    let during_time = read.get("during_time").and_then(Value::as_i64);
    let (bad_members, outputs) = split(record, start.is_some(), page.is_some(), options);
    Ok(Verdict { mid, ts, is_new, texts, during_time, start_and_page, bad_members, outputs })
}

fn split(
    mut record: Map<String, Value>,
    start: bool,
    page: bool,
    options: SplitOptions,
) -> (usize, Outputs) {
    let mut bad_members = 0;
    let mut outputs = Outputs::default();
    let is_page = page && !start;
    let (mut displays, mut actions) = (Vec::new(), Vec::new());
    if is_page {
        displays = take_objects(&mut record, "displays", &mut bad_members);
        actions = take_objects(&mut record, "actions", &mut bad_members);
    }
    if record.get("err").is_some_and(|err| !err.is_null()) {
        outputs.error = Some(error(&record, options.err));
        record.remove("err");
    }
    if is_page {
        record.remove("displays");
        record.remove("actions");
    }
    let output = |kind, element: &Map<String, Value>| {
        Value::Object(element_output(&record, kind, element, options))
    };
    outputs.displays = displays.iter().map(|element| output("display", element)).collect();
    outputs.actions = actions.iter().map(|element| output("action", element)).collect();
    outputs.main = (start || page).then_some(Value::Object(record));
    (bad_members, outputs)
}

/// The objects of a list, from which the rest is taken out.
fn take_objects(
    record: &mut Map<String, Value>,
    name: &str,
    bad: &mut usize,
) -> Vec<Map<String, Value>> {
    let Some(list) = record.get_mut(name) else { return Vec::new() };
    let Some(list) = list.as_array_mut() else {
        *bad += 1;
        record.remove(name);
        return Vec::new();
    };
    *bad += list.iter().filter(|element| !element.is_object()).count();
    list.retain(Value::is_object);
    list.iter().filter_map(|element| element.as_object().cloned()).collect()
}

fn error(record: &Map<String, Value>, form: ErrForm) -> Value {
    let sub_object = match &record["err"] {
        Value::Object(err) => err.clone(),
        other => Map::from_iter([("err".to_owned(), other.clone())]),
    };
    match form {
        ErrForm::Whole => Value::Object(record.clone()),
        ErrForm::SubObject => Value::Object(sub_object),
        ErrForm::SubObjectTs => {
            let mut err = sub_object;
            err.insert("ts".to_owned(), record["ts"].clone());
            Value::Object(err)
        }
    }
}

fn element_output(
    record: &Map<String, Value>,
    kind: &str,
    element: &Map<String, Value>,
    options: SplitOptions,
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut element = element.clone();
    let action = kind == "action";
    if options.shape == Shape::Wrapped {
        out.insert(kind.to_owned(), Value::Object(element));
        for name in ["common", "page", "ts"] {
            out.insert(name.to_owned(), record[name].clone());
        }
        return out;
    }
    if !(action && options.action_ts == ActionTs::Own) {
        element.remove("ts");
    }
    if options.shape == Shape::Nested {
        out.extend(element);
        out.insert("common".to_owned(), record["common"].clone());
        out.insert("page".to_owned(), record["page"].clone());
    } else {
        let part = |name: &str| {
            let mut part = record[name].as_object().expect("checked before").clone();
            part.remove("ts");
            part
        };
        let (common, page) = (part("common"), part("page"));
        let layers = match options.flat_clash {
            FlatClash::Element => [common, page, element],
            FlatClash::Page => [element, common, page],
        };
        layers.into_iter().for_each(|layer| out.extend(layer));
    }
    if !action || options.action_ts == ActionTs::Page {
        out.insert("ts".to_owned(), record["ts"].clone());
    }
    out
}

fn text_or_number(map: &Map<String, Value>, name: &str) -> Option<String> {
    match map.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
