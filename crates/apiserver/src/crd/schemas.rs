//! Pure: checks the versions of a definition: schemas, subresources, columns and selectable fields.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, text},
    schema::Schema,
};

const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

/// Returns the path of a version's schema, as errors name it.
pub(super) fn path(crd: &Value, index: usize) -> FieldPath {
    place(crd, index, "schema", "validation").child("openAPIV3Schema")
}

/// Returns what is wrong with the contents of the versions.
pub(super) fn check(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, version) in list(crd, "/spec/versions").iter().enumerate() {
        let mut check = |part, shared, check: fn(&Value, &FieldPath) -> Vec<FieldError>| {
            let path = place(crd, index, part, shared);
            // What all versions share is checked, and told, once.
            if seen.insert(path.to_string()) {
                errors.extend(check(version, &path));
            }
        };
        check("schema", "validation", schema);
        check("subresources", "subresources", scale);
        check("additionalPrinterColumns", "additionalPrinterColumns", columns);
        check("selectableFields", "selectableFields", selectable_fields);
    }
    errors
}

/// Returns where errors place a part of a version: all versions having the same, in the spec itself.
fn place(crd: &Value, index: usize, part: &str, shared: &str) -> FieldPath {
    let versions = list(crd, "/spec/versions");
    let spec = FieldPath::new("spec");
    let first = versions.first().and_then(|version| version.get(part));
    if versions.iter().all(|version| version.get(part) == first) {
        spec.child(shared)
    } else {
        spec.child("versions").index(index).child(part)
    }
}

fn schema(version: &Value, path: &FieldPath) -> Vec<FieldError> {
    let Some(schema) = version.pointer("/schema/openAPIV3Schema").filter(|each| !each.is_null())
    else {
        return Vec::new();
    };
    let path = path.child("openAPIV3Schema");
    let mut errors = Vec::new();
    let has_status = version.pointer("/subresources/status").is_some_and(|each| !each.is_null());
    let forbidden_at_root = ["default", "enum", "maxProperties", "minProperties", "allOf", "anyOf"]
        .into_iter()
        .chain(["oneOf", "not", "additionalProperties", "x-kubernetes-embedded-resource"])
        .any(|keyword| schema.get(keyword).is_some_and(|value| !value.is_null()));
    if has_status && forbidden_at_root {
        // Otherwise what they say about the status would be lost when it is checked alone.
        let detail = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum \
                      ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems \
                      MultipleOf Required Items Properties ExternalDocs Example \
                      XPreserveUnknownFields XValidations] fields are allowed at the root of the \
                      schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&path, schema.clone(), detail));
    }
    errors.extend(Schema::parse(&path, schema).err().unwrap_or_default());
    errors
}

fn scale(version: &Value, path: &FieldPath) -> Vec<FieldError> {
    let Some(scale) = version.pointer("/subresources/scale").filter(|scale| !scale.is_null())
    else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    for (name, below, where_to, required) in [
        ("specReplicasPath", &[".spec."][..], ".spec", true),
        ("statusReplicasPath", &[".status."], ".status", true),
        ("labelSelectorPath", &[".spec.", ".status."], "either .spec or .status", false),
    ] {
        let path = path.child("scale").child(name);
        let value = text(scale, &format!("/{name}"));
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(path, ""));
            }
        } else if let Some(error) = simple_path(value, &path) {
            errors.push(error);
        } else if !below.iter().any(|prefix| value.starts_with(prefix)) {
            let detail = format!("should be a json path under {where_to}");
            errors.push(FieldError::invalid(path, value, detail));
        }
    }
    errors
}

fn simple_path(value: &str, path: &FieldPath) -> Option<FieldError> {
    (!value.starts_with('.'))
        .then(|| FieldError::invalid(path, value, "must be a simple json path starting with ."))
}

fn columns(version: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, column) in list(version, "/additionalPrinterColumns").iter().enumerate() {
        let path = path.index(index);
        if text(column, "/name").is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        let data_type = text(column, "/type");
        let one_of = format!("must be one of {COLUMN_TYPES}");
        if data_type.is_empty() {
            errors.push(FieldError::required(path.child("type"), one_of));
        } else if !COLUMN_TYPES.split(',').any(|each| each == data_type) {
            errors.push(FieldError::invalid(path.child("type"), data_type, one_of));
        }
        let format = text(column, "/format");
        if !format.is_empty() && !COLUMN_FORMATS.split(',').any(|each| each == format) {
            let detail = format!("must be one of {COLUMN_FORMATS}");
            errors.push(FieldError::invalid(path.child("format"), format, detail));
        }
        let json_path = text(column, "/jsonPath");
        let path = path.child("JSONPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else {
            errors.extend(simple_path(json_path, &path));
        }
    }
    errors
}

fn selectable_fields(version: &Value, path: &FieldPath) -> Vec<FieldError> {
    let fields = list(version, "/selectableFields");
    let raw = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    // A broken schema is told of on its own.
    let Ok(schema) = Schema::parse(path, &raw) else { return Vec::new() };
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let json_path = text(field, "/jsonPath");
        let path = path.index(index).child("jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        let Some(found) = field_schema(&schema, json_path) else {
            let detail = "is an invalid path: does not refer to a valid field";
            errors.push(FieldError::invalid(path, json_path, detail));
            continue;
        };
        if json_path.starts_with(".metadata") {
            let detail = "must not point to fields in metadata";
            errors.push(FieldError::invalid(&path, json_path, detail));
        }
        if !["string", "boolean", "integer"].contains(&found.json_type()) {
            let detail = "must point to a field of type string, boolean or integer. Enum string \
                          fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&path, json_path, detail));
        }
        if !seen.insert(json_path) {
            errors.push(FieldError::duplicate(&path, json_path));
        }
    }
    if seen.len() > 8 {
        errors.push(FieldError::too_many(path, seen.len() as u64, 8));
    }
    errors
}

fn field_schema<'a>(schema: &'a Schema, json_path: &str) -> Option<&'a Schema> {
    json_path.strip_prefix('.')?.split('.').try_fold(schema, |schema, name| schema.property(name))
}
