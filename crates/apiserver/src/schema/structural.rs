//! Pure: what makes a schema structural, so that pruning and defaulting have one meaning.

use crate::{
    field::{FieldError, FieldPath},
    schema::{Additional, Schema, check::check_at, is_meta, lists, prune},
};

/// Returns what keeps a schema from being structural, sorted by text.
pub(super) fn check(path: &FieldPath, schema: &Schema) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(path, schema, Level::Root, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

/// Returns which defaults would themselves be pruned or refused.
pub(super) fn check_defaults(path: &FieldPath, schema: &Schema) -> Vec<FieldError> {
    let mut errors = Vec::new();
    defaults(path, schema, true, &mut errors);
    errors
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

fn node(path: &FieldPath, schema: &Schema, level: Level, errors: &mut Vec<FieldError>) {
    if schema.kind == "array" && schema.items.is_none() {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    if let Some(items) = schema.items() {
        node(&path.child("items"), items, Level::Item, errors);
    }
    for (name, property) in &schema.properties {
        node(&path.child("properties").key(name), property, Level::Field, errors);
    }
    if let Some(additional) = schema.additional() {
        node(&path.child("additionalProperties"), additional, Level::Field, errors);
    }
    shape(path, schema, level, errors);
    validations(path, schema, is_int_or_string(&schema.any_of), errors);
    metadata(path, schema, level, errors);
}

fn shape(path: &FieldPath, schema: &Schema, level: Level, errors: &mut Vec<FieldError>) {
    let additional_path = path.child("additionalProperties");
    if level == Level::Root && schema.additional_properties.is_some() {
        errors.push(FieldError::forbidden(&additional_path, "must not be used at the root"));
    }
    for (name, wrong) in [
        ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown),
        ("x-kubernetes-embedded-resource", schema.embedded),
    ] {
        if schema.int_or_string && wrong {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(path.child(name), true, detail));
        }
    }
    let type_path = path.child("type");
    let kind = schema.kind.as_str();
    if schema.embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&type_path, detail)
        } else {
            FieldError::invalid(&type_path, kind, detail)
        });
    } else if kind.is_empty() && !schema.int_or_string && !schema.preserve_unknown {
        let place = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(FieldError::required(&type_path, format!("must not be empty {place}")));
    }
    if schema.embedded && schema.additional_properties.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&additional_path, detail));
    }
    if level == Level::Root && !["", "object"].contains(&kind) {
        errors.push(FieldError::invalid(&type_path, kind, "must be object at the root"));
    }
    if schema.embedded && !schema.preserve_unknown && schema.properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), detail));
    }
}

fn metadata(path: &FieldPath, schema: &Schema, level: Level, errors: &mut Vec<FieldError>) {
    if level != Level::Root && !schema.embedded {
        return;
    }
    for (name, expected) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = schema.property(name) else { continue };
        if property.kind != expected {
            let path = path.child("properties").key(name).child("type");
            let detail = format!("must be {expected}");
            errors.push(FieldError::invalid(path, property.kind.as_str(), detail));
        }
    }
    let Some(metadata) = schema.property("metadata").filter(|_| level == Level::Root) else {
        return;
    };
    let names_only =
        metadata.properties.keys().all(|name| ["name", "generateName"].contains(&name.as_str()));
    if !names_only || metadata.restricts_more_than_properties() {
        let detail = "must not specify anything other than name and generateName, but metadata is \
                      implicitly specified";
        errors.push(FieldError::forbidden(path.child("properties").key("metadata"), detail));
    }
}

impl Schema {
    fn restricts_more_than_properties(&self) -> bool {
        self.additional_properties.is_some()
            || self.preserve_unknown
            || self.embedded
            || self.nullable
            || !self.required.is_empty()
            || !self.description.is_empty()
            || !self.title.is_empty()
            || self.max_properties.is_some()
            || self.min_properties.is_some()
    }
}

/// Checks what stands in allOf, anyOf, oneOf and not, and the pattern.
fn validations(path: &FieldPath, schema: &Schema, skip_any: bool, errors: &mut Vec<FieldError>) {
    if !skip_any {
        for (index, each) in schema.any_of.iter().enumerate() {
            nested(&path.child("anyOf").index(index), each, false, errors);
        }
    }
    for (index, each) in schema.all_of.iter().enumerate() {
        let skip = index == 0 && is_int_or_string(&each.any_of);
        nested(&path.child("allOf").index(index), each, skip, errors);
    }
    for (index, each) in schema.one_of.iter().enumerate() {
        nested(&path.child("oneOf").index(index), each, false, errors);
    }
    if let Some(not) = &schema.not {
        nested(&path.child("not"), not, false, errors);
    }
    if let Some(pattern) = &schema.pattern
        && let Some(error) = pattern.error()
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern.source(), detail));
    }
}

fn nested(path: &FieldPath, schema: &Schema, skip_any: bool, errors: &mut Vec<FieldError>) {
    validations(path, schema, skip_any, errors);
    if let Some(items) = schema.items() {
        nested(&path.child("items"), items, false, errors);
    }
    for (name, property) in &schema.properties {
        let path = path.child("properties").key(name);
        if name == "metadata" {
            errors.push(FieldError::forbidden(&path, "must not be specified in a nested context"));
        }
        nested(&path, property, false, errors);
    }
    let additional = matches!(
        schema.additional_properties,
        Some(Additional::Schema(_) | Additional::Allowed(true))
    );
    for (name, wrong, must) in [
        ("type", !schema.kind.is_empty(), "be empty"),
        ("additionalProperties", additional, "be undefined"),
        ("default", schema.default.is_some(), "be undefined"),
        ("title", !schema.title.is_empty(), "be empty"),
        ("description", !schema.description.is_empty(), "be empty"),
        ("nullable", schema.nullable, "be false"),
        ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown, "be false"),
        ("x-kubernetes-embedded-resource", schema.embedded, "be false"),
        ("x-kubernetes-int-or-string", schema.int_or_string, "be false"),
        ("x-kubernetes-list-map-keys", !schema.list_map_keys.is_empty(), "be empty"),
        ("x-kubernetes-list-type", schema.list_type.is_some(), "be undefined"),
        ("x-kubernetes-map-type", schema.map_type.is_some(), "be undefined"),
        ("x-kubernetes-validations", !schema.rules.is_empty(), "be empty"),
    ] {
        if wrong {
            let detail = format!("must {must} to be structural");
            errors.push(FieldError::forbidden(path.child(name), detail));
        }
    }
}

/// Returns whether the alternatives are `integer` and `string`, the one form types may take there.
fn is_int_or_string(any_of: &[Schema]) -> bool {
    matches!(any_of, [a, b] if a.kind == "integer" && b.kind == "string")
}

fn defaults(path: &FieldPath, schema: &Schema, root: bool, errors: &mut Vec<FieldError>) {
    if let Some(default) = &schema.default {
        let path = path.child("default");
        let mut pruned = default.clone();
        prune::prune_below(schema, &mut pruned);
        if pruned != *default {
            errors.push(FieldError::invalid(
                &path,
                default.clone(),
                "must not have unknown fields",
            ));
        }
        errors.extend(check_at(&path, schema, default));
        errors.extend(lists::check_at(&path, schema, default));
    }
    if let Some(items) = schema.items() {
        defaults(&path.child("items"), items, false, errors);
    }
    for (name, property) in &schema.properties {
        if !(root && is_meta(name)) {
            defaults(&path.child("properties").key(name), property, false, errors);
        }
    }
}
