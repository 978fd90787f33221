//! Pure: what keeps a value from being applied: undeclared fields, items that cannot be told apart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    managed::form::{Form, ItemError, Structure},
    pack::{Leaf, Shape},
};

/// Returns everything that keeps a value from being applied, in the words of the reference.
pub(super) fn check(form: Form<'_>, value: &Value) -> Vec<String> {
    let mut errors = vec![];
    node(form, "", value, &mut errors);
    errors
}

/// Returns whether every declared field of a value has its type.
pub(super) fn fits(form: Form<'_>, value: &Value) -> bool {
    mismatch(form, value).is_none()
        && match value {
            Value::Object(fields) => {
                fields.iter().all(|(name, value)| fits(form.field(name), value))
            }
            Value::Array(items) => items.iter().all(|item| fits(form.item(), item)),
            _ => true,
        }
}

fn node(form: Form<'_>, path: &str, value: &Value, errors: &mut Vec<String>) {
    if let Some(why) = mismatch(form, value) {
        errors.push(format!("{path}: {why}"));
        return;
    }
    // What stands in an object of any type is nobody's business.
    if matches!(form, Form::Shape(Shape::Leaf(_), _)) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                if form.admits(name) {
                    node(form.field(name), &path, value, errors);
                } else {
                    errors.push(format!("{path}: field not declared in schema"));
                }
            }
        }
        Value::Array(list) => items(form, path, (value, list), errors),
        _ => {}
    }
}

fn items(form: Form<'_>, path: &str, (value, list): (&Value, &[Value]), errors: &mut Vec<String>) {
    let structure = form.structure(value);
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        let mut place = format!("[{index}]");
        if !matches!(structure, Structure::Leaf | Structure::Map) {
            match form.element(structure, item) {
                Ok(element) => {
                    place = element.to_string();
                    if !seen.insert(element) {
                        errors.push(format!("{path}: duplicate entries for key {place}"));
                        continue;
                    }
                }
                Err(error) => {
                    errors.push(format!("{path}: element {index}: {}", told(&error)));
                    continue;
                }
            }
        }
        node(form.item(), &format!("{path}{place}"), item, errors);
    }
}

fn told(error: &ItemError) -> String {
    match error {
        ItemError::NotAnObject => {
            "associative list with keys may not have non-map elements".to_owned()
        }
        ItemError::NoKey(name) => format!(
            "associative list with keys has an element that omits key field {name:?} (and doesn't \
             have default value)"
        ),
    }
}

/// Returns why a value is not of the type that is declared.
fn mismatch(form: Form<'_>, value: &Value) -> Option<String> {
    let expected = match form {
        _ if value.is_null() => return None,
        Form::Struct(_) | Form::Object(_) | Form::Shape(Shape::Map(_) | Shape::Struct(_), _) => {
            "map"
        }
        Form::Shape(Shape::List(_), _) => "list",
        Form::Shape(Shape::Leaf(leaf), _) => leaf_type(*leaf)?,
        Form::Custom(schema) => match schema.json_type() {
            "object" => "map",
            "array" => "list",
            "string" => "string",
            "boolean" => "boolean",
            "integer" | "number" => "numeric (int or float)",
            _ => return None,
        },
        Form::Free => return None,
    };
    let found = match value {
        Value::Object(_) => "map",
        Value::Array(_) => "list",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        _ => "numeric (int or float)",
    };
    (found != expected).then(|| match expected {
        "map" | "list" => format!("expected {expected}, got &{{{}}}", go_value(value)),
        "string" => {
            let value = go_value(value);
            format!("expected {expected}, got &value.valueUnstructured{{Value:{value}}}")
        }
        _ => format!("expected {expected}, got {found}"),
    })
}

fn leaf_type(leaf: Leaf) -> Option<&'static str> {
    match leaf {
        Leaf::String | Leaf::Bytes => Some("string"),
        Leaf::Bool => Some("boolean"),
        Leaf::Int32 | Leaf::Int64 | Leaf::Float => Some("numeric (int or float)"),
        _ => None,
    }
}

/// Returns how Go shows the value in such an error.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", go_value(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}
