//! Pure: the values of objects as rules see them.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube_cel::cel::{
    Value as Cel,
    objects::{Key, Map as CelMap, OptionalValue},
};
use serde_json::{Map, Number, Value};

use crate::schema::{Schema, rules::names};

/// Returns how a rule sees a value of a node, which is the whole object if `root`.
pub(super) fn of(schema: &Schema, value: &Value, root: bool) -> Cel {
    match value {
        Value::Object(fields) => object(schema, fields, root || schema.embedded),
        Value::Array(items) => {
            let convert =
                |item| schema.items().map_or_else(|| plain(item), |it| of(it, item, false));
            Cel::List(Arc::new(items.iter().map(convert).collect()))
        }
        Value::String(text) => string(schema, text),
        Value::Number(number) if schema.json_type() == "number" => {
            Cel::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        scalar => plain(scalar),
    }
}

/// Returns an optional value as a rule sees it.
pub(super) fn optional(value: Option<Cel>) -> Cel {
    Cel::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// Returns about how many values there are in a value; long texts count as several.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(size).sum::<u64>() + 1,
        Value::Array(items) => items.iter().map(size).sum::<u64>() + 1,
        Value::String(text) => text.len() as u64 / 64 + 1,
        _ => 1,
    }
}

fn object(schema: &Schema, fields: &Map<String, Value>, is_resource: bool) -> Cel {
    let mut map = HashMap::with_capacity(fields.len());
    for (name, field) in fields {
        let (key, value) = if is_resource && name == "metadata" {
            (Some(name.clone()), metadata(field))
        } else if let Some(property) = schema.property(name) {
            (names::escape(name), of(property, field, false))
        } else if let Some(additional) = schema.additional() {
            (Some(name.clone()), of(additional, field, false))
        } else {
            (Some(name.clone()), plain(field))
        };
        // A field whose name cannot be written is out of reach, as it is for whoever wrote the rule.
        if let Some(key) = key {
            map.insert(Key::String(Arc::new(key)), value);
        }
    }
    Cel::Map(CelMap { map: Arc::new(map) })
}

/// Returns the part of an object's metadata that rules see.
fn metadata(value: &Value) -> Cel {
    let fields = ["name", "generateName"];
    let seen =
        fields.iter().filter_map(|name| Some(((*name).to_owned(), value.get(*name)?.clone())));
    plain(&Value::Object(seen.collect()))
}

fn plain(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(value) => number(value),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(fields) => {
            let entry = |(name, field): (&String, &Value)| {
                (Key::String(Arc::new(name.clone())), plain(field))
            };
            Cel::Map(CelMap { map: Arc::new(fields.iter().map(entry).collect()) })
        }
    }
}

fn number(number: &Number) -> Cel {
    number.as_i64().map_or_else(|| Cel::Float(number.as_f64().unwrap_or(f64::NAN)), Cel::Int)
}

fn string(schema: &Schema, text: &str) -> Cel {
    let parsed = match schema.format.as_str() {
        _ if schema.int_or_string => None,
        "date-time" => chrono::DateTime::parse_from_rfc3339(text).ok().map(Cel::Timestamp),
        "date" => {
            let midnight = format!("{text}T00:00:00Z");
            chrono::DateTime::parse_from_rfc3339(&midnight).ok().map(Cel::Timestamp)
        }
        "duration" => duration(text).map(Cel::Duration),
        "byte" => STANDARD.decode(text).ok().map(|bytes| Cel::Bytes(Arc::new(bytes))),
        _ => None,
    };
    parsed.unwrap_or_else(|| Cel::String(Arc::new(text.to_owned())))
}

/// Reads a duration as Go writes it, such as `1h30m`.
fn duration(text: &str) -> Option<chrono::Duration> {
    let (text, sign) = text.strip_prefix('-').map_or((text, 1.0), |rest| (rest, -1.0));
    let (mut rest, mut nanoseconds) = (text, 0.0);
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, after) = rest.split_at(digits);
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        let (unit, factor) = units.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        nanoseconds += count.parse::<f64>().ok()? * factor;
        rest = after.strip_prefix(unit)?;
    }
    let whole = format!("{:.0}", sign * nanoseconds).parse().ok()?;
    Some(chrono::Duration::nanoseconds(whole))
}
