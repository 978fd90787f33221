//! Pure: removes the fields a schema does not know.

use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::{Additional, Schema, is_meta};

/// Removes unknown fields of a whole object and returns their paths, sorted.
pub(super) fn prune(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut removed = Removed::default();
    if schema.preserve_unknown {
        keep(Some(schema), true, object, &mut removed);
    } else {
        walk(Some(schema), true, object, &mut removed);
    }
    removed.paths.sort_unstable();
    removed.paths
}

/// Removes unknown fields of a value below the root of an object.
pub(super) fn prune_below(schema: &Schema, value: &mut Value) {
    visit(Some(schema), value, &mut Removed::default());
}

/// The paths removed so far, and the path of the node that is looked at.
#[derive(Default)]
struct Removed {
    paths: Vec<String>,
    at: String,
}

impl Removed {
    fn at_field<T>(&mut self, name: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.at.len();
        if length > 0 {
            self.at.push('.');
        }
        self.at.push_str(name);
        let result = visit(self);
        self.at.truncate(length);
        result
    }

    fn at_item<T>(&mut self, index: usize, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.at.len();
        let _ = write!(self.at, "[{index}]");
        let result = visit(self);
        self.at.truncate(length);
        result
    }

    fn record(&mut self, name: &str) {
        self.at_field(name, |removed| removed.paths.push(removed.at.clone()));
    }
}

fn visit(schema: Option<&Schema>, value: &mut Value, removed: &mut Removed) {
    let embedded = schema.is_some_and(|schema| schema.embedded);
    if schema.is_some_and(|schema| schema.preserve_unknown) {
        keep(schema, embedded, value, removed);
    } else {
        walk(schema, embedded, value, removed);
    }
}

/// Removes what is unknown; without a schema every field is.
fn walk(schema: Option<&Schema>, embedded: bool, value: &mut Value, removed: &mut Removed) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            if embedded && is_meta(name) {
                return true;
            }
            let known = schema.and_then(|schema| Child::of(schema, name));
            if let Some(child) = known {
                removed.at_field(name, |removed| visit(child.0, field, removed));
                return true;
            }
            removed.record(name);
            false
        }),
        Value::Array(items) => {
            let schema = schema.and_then(Schema::items);
            for (index, item) in items.iter_mut().enumerate() {
                removed.at_item(index, |removed| visit(schema, item, removed));
            }
        }
        _ => {}
    }
}

/// Keeps what is unknown and looks only into what is known.
fn keep(schema: Option<&Schema>, embedded: bool, value: &mut Value, removed: &mut Removed) {
    let Some(schema) = schema else { return };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if embedded && is_meta(name) {
                    continue;
                }
                if let Some(child) = Child::of(schema, name) {
                    removed.at_field(name, |removed| visit(child.0, field, removed));
                }
            }
        }
        Value::Array(items) => {
            let items_schema = schema.items();
            let embedded = items_schema.is_some_and(|schema| schema.embedded);
            for (index, item) in items.iter_mut().enumerate() {
                removed.at_item(index, |removed| keep(items_schema, embedded, item, removed));
            }
        }
        _ => {}
    }
}

/// A field that stays, with its schema if it has one.
struct Child<'a>(Option<&'a Schema>);

impl<'a> Child<'a> {
    fn of(schema: &'a Schema, name: &str) -> Option<Self> {
        if let Some(property) = schema.property(name) {
            return Some(Self(Some(property)));
        }
        match &schema.additional_properties {
            Some(Additional::Schema(schema)) => Some(Self(Some(schema))),
            Some(Additional::Allowed(_)) => Some(Self(None)),
            None => None,
        }
    }
}
