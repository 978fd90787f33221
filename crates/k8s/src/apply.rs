//! Pure: client-side apply of objects whose types nobody knows.
//!
//! Merges what is desired into what is observed, guided by what was desired last time. How the result is
//! written, and when, is left to others.

mod list;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, ser::Formatter};

use crate::json;

/// The annotation that keeps what was desired last time.
pub const LAST_APPLIED_ANNOTATION: &str = "metacontroller.k8s.io/last-applied-configuration";

/// The metadata that only the server sets.
const SERVER_METADATA: [&str; 8] = [
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// Merges `desired` into `observed`, and takes out what `last` had and `desired` lacks.
///
/// The status and the metadata that the server sets stay as observed. A field that is `null` in `desired`
/// counts as absent. What means the same as observed, such as `1` and `1.0`, stays as observed.
pub fn three_way(observed: &Value, last: &Value, desired: &Value) -> Value {
    let mut merged = merge(observed, last, desired);
    if let Value::Object(fields) = &mut merged {
        put_back(fields, observed, "status");
        put_back_metadata(fields, observed.get("metadata").unwrap_or(&Value::Null));
    }
    merged
}

/// Returns the text that the last-applied annotation has for `desired`: compact, with sorted keys.
pub fn last_applied(desired: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, GoFormatter);
    Sorted(desired).serialize(&mut serializer).expect("values are written to memory");
    String::from_utf8(text).expect("the formatter writes UTF-8")
}

/// Takes from `answer` what stands where `desired` sets something: what a server made of `desired`, without
/// what the server added. Lists with a merge key are matched by item, others are taken whole.
pub fn project(answer: &Value, desired: &Value) -> Value {
    match (answer, desired) {
        (Value::Object(fields), Value::Object(wanted)) => present(wanted)
            .filter_map(|(key, wanted)| Some((key.clone(), project(fields.get(key)?, wanted))))
            .collect::<Map<_, _>>()
            .into(),
        (Value::Array(items), Value::Array(wanted)) => match list::matching(items, wanted) {
            Some(pairs) => pairs.map(|(item, wanted)| project(item, wanted)).collect(),
            None => answer.clone(),
        },
        _ => answer.clone(),
    }
}

/// Takes out the metadata that only the server sets.
pub fn strip_server_metadata(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|field, _| !SERVER_METADATA.contains(&field.as_str()));
    }
}

/// Returns the value without the fields that are `null`, at any depth.
pub fn without_null_fields(value: &Value) -> Value {
    match value {
        Value::Object(fields) => present(fields)
            .map(|(key, value)| (key.clone(), without_null_fields(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(without_null_fields).collect(),
        scalar => scalar.clone(),
    }
}

fn merge(observed: &Value, last: &Value, desired: &Value) -> Value {
    match (observed, desired) {
        (Value::Object(fields), Value::Object(wanted)) => {
            let last = last.as_object();
            Value::Object(merge_objects(fields, last.unwrap_or(&Map::new()), wanted))
        }
        (Value::Array(items), Value::Array(wanted)) => {
            let last = last.as_array().map(Vec::as_slice).unwrap_or_default();
            list::merge(items, last, wanted).unwrap_or_else(|| replace(observed, desired))
        }
        _ => replace(observed, desired),
    }
}

fn merge_objects(
    observed: &Map<String, Value>,
    last: &Map<String, Value>,
    desired: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = observed.clone();
    for (key, _) in present(last) {
        if desired.get(key).is_none_or(Value::is_null) {
            merged.remove(key);
        }
    }
    for (key, desired) in present(desired) {
        let observed = observed.get(key).unwrap_or(&Value::Null);
        let last = last.get(key).unwrap_or(&Value::Null);
        merged.insert(key.clone(), merge(observed, last, desired));
    }
    merged
}

/// Takes the desired value whole, unless it means the same as the observed one.
fn replace(observed: &Value, desired: &Value) -> Value {
    let desired = without_null_fields(desired);
    if json::same(&without_null_fields(observed), &desired) { observed.clone() } else { desired }
}

fn present(fields: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    fields.iter().filter(|(_, value)| !value.is_null())
}

fn put_back_metadata(fields: &mut Map<String, Value>, observed: &Value) {
    let has_some = SERVER_METADATA.iter().any(|field| observed.get(field).is_some());
    if has_some && !fields.get("metadata").is_some_and(Value::is_object) {
        fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        for field in SERVER_METADATA {
            put_back(metadata, observed, field);
        }
    }
}

fn put_back(fields: &mut Map<String, Value>, observed: &Value, field: &str) {
    match observed.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Writes objects with sorted keys, in whichever order the map at hand has them.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| (key, Sorted(value)));
                fields.collect::<BTreeMap<_, _>>().serialize(serializer)
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Sorted)),
            scalar => scalar.serialize(serializer),
        }
    }
}

/// Writes what Go's encoder writes, which escapes for HTML and JavaScript.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(json::go_float(value).as_bytes())
    }

    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, tail) = rest.split_at(at);
            let mut chars = tail.chars();
            let code = chars.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{code:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
