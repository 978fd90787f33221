//! Pure: checks the uniqueness that list types promise, and the metadata of embedded resources.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    dns,
    field::{FieldError, FieldPath},
    schema::Schema,
};

/// Returns what list types and embedded resources forbid in a whole object.
pub(super) fn check(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(&FieldPath::root(), schema, object, &mut errors);
    errors
}

/// Returns what list types and embedded resources forbid in the value at `path`.
pub(super) fn check_at(path: &FieldPath, schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    visit(path, schema, value, &mut errors);
    errors
}

fn visit(path: &FieldPath, schema: &Schema, value: &Value, errors: &mut Vec<FieldError>) {
    if let (true, Value::Object(fields)) = (schema.embedded, value) {
        check_embedded(path, fields, errors);
    }
    walk(path, schema, value, errors);
}

fn walk(path: &FieldPath, schema: &Schema, value: &Value, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(property) = schema.property(name) {
                    visit(&path.child(name), property, field, errors);
                } else if let Some(additional) = schema.additional() {
                    visit(&path.key(name), additional, field, errors);
                }
            }
        }
        Value::Array(list) => {
            match schema.list_type.as_deref() {
                Some("set") => check_set(path, list, errors),
                Some("map") => check_map(path, &schema.list_map_keys, list, errors),
                _ => {}
            }
            if let Some(items) = schema.items() {
                for (index, item) in list.iter().enumerate() {
                    visit(&path.index(index), items, item, errors);
                }
            }
        }
        _ => {}
    }
}

fn check_set(path: &FieldPath, list: &[Value], errors: &mut Vec<FieldError>) {
    for index in second_occurrences(list) {
        errors.push(FieldError::duplicate(path.index(index), list[index].clone()));
    }
}

fn check_map(path: &FieldPath, keys: &[String], list: &[Value], errors: &mut Vec<FieldError>) {
    let mut found = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let mut key = Map::new();
        match item {
            Value::Object(fields) => {
                for name in keys {
                    if let Some(value) = fields.get(name) {
                        key.insert(name.clone(), value.clone());
                    }
                }
            }
            Value::Null => {}
            other => {
                let detail = "must be an object for an array of list-type map";
                errors.push(FieldError::invalid(path.index(index), other.clone(), detail));
                return;
            }
        }
        found.push(Value::Object(key));
    }
    check_set(path, &found, errors);
}

/// Returns where a value stands that stood once before.
fn second_occurrences(list: &[Value]) -> Vec<usize> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut repeated = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let times = seen.entry(item.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            repeated.push(index);
        }
    }
    repeated
}

fn check_embedded(path: &FieldPath, fields: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = path.child(name);
        match fields.get(name) {
            None => errors.push(FieldError::required(path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(path, "", "must not be empty"));
            }
            Some(Value::String(kind)) if name == "kind" => errors.extend(dns::kind(&path, kind)),
            Some(Value::String(_)) => {}
            Some(other) => {
                errors.push(FieldError::invalid(path, other.clone(), "must be a string"));
            }
        }
    }
}
