//! Pure: fills in the defaults of a schema.

use serde_json::Value;

use crate::schema::Schema;

/// Removes nulls where the schema allows none and has no default.
pub(super) fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let Some(child) = schema.child(name) else { return true };
            if field.is_null() && !child.nullable && child.default.is_none() {
                return false;
            }
            drop_nulls(child, field);
            true
        }),
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                for item in list {
                    drop_nulls(items, item);
                }
            }
        }
        _ => {}
    }
}

/// Sets what is missing, and nulls that may not stand, to their defaults.
pub(super) fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                let field = fields.get(name);
                if field.is_none_or(|field| is_wrong_null(property, field)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields {
                if let Some(child) = schema.child(name) {
                    fill_one(child, field);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                for item in list {
                    fill_one(items, item);
                }
            }
        }
        _ => {}
    }
}

fn fill_one(schema: &Schema, value: &mut Value) {
    if is_wrong_null(schema, value)
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
    fill(schema, value);
}

fn is_wrong_null(schema: &Schema, value: &Value) -> bool {
    value.is_null() && !schema.nullable
}
