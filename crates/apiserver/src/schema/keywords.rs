//! Pure: which keywords a schema may use, and how list and map types must be written.
//!
//! Works on the schema as it was sent, because a refused keyword is in no schema that was read.

use serde_json::{Map, Value};

use crate::{
    field::{FieldError, FieldPath},
    schema::rules as validations,
};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Keywords that have no place in a custom resource's schema, and what is said about them.
const REFUSED: [(&str, &str); 6] = [
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];

/// Returns what is wrong with the keywords of a whole schema.
pub(super) fn check(path: &FieldPath, schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let place = Place { root: true, ..Place::default() };
    if flag(schema, "nullable") {
        errors.push(FieldError::forbidden(
            path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    node(path, schema, &place, &mut errors);
    errors
}

/// Returns whether the errors are of keywords that no structural schema can have.
pub(super) fn is_unstructural(errors: &[FieldError]) -> bool {
    errors.iter().any(|error| REFUSED.iter().any(|(_, detail)| error.message.ends_with(detail)))
}

/// Where in an object a node stands, as far as it decides what is allowed there.
#[derive(Clone, Default)]
struct Place {
    root: bool,
    inside_meta: bool,
    /// Why no default may stand here.
    no_defaults: Option<String>,
}

fn node(path: &FieldPath, schema: &Value, place: &Place, errors: &mut Vec<FieldError>) {
    let Value::Object(fields) = schema else { return };
    keywords(path, fields, place, errors);
    children(path, schema, place, errors);
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (index, each) in list(schema, junctor).iter().enumerate() {
            let place = Place { root: false, ..place.clone() };
            node(&path.child(junctor).index(index), each, &place, errors);
        }
    }
    if let Some(not) = fields.get("not") {
        node(&path.child("not"), not, &Place { root: false, ..place.clone() }, errors);
    }
    map_type(path, schema, errors);
    list_type(path, schema, errors);
    rules(path, schema, errors);
}

fn keywords(
    path: &FieldPath,
    fields: &Map<String, Value>,
    place: &Place,
    errors: &mut Vec<FieldError>,
) {
    match fields.get("type").and_then(Value::as_str) {
        Some("null") => errors.push(FieldError::forbidden(
            path.child("type"),
            "type cannot be set to null, use nullable as an alternative",
        )),
        Some(kind) if !kind.is_empty() && !TYPES.contains(&kind) => {
            errors.push(FieldError::not_supported(path.child("type"), kind, &TYPES));
        }
        _ => {}
    }
    if let (Some(_), Some(why)) = (present(fields, "default"), &place.no_defaults) {
        errors.push(FieldError::forbidden(path.child("default"), format!("must not be set {why}")));
    }
    for (keyword, detail) in REFUSED {
        if present(fields, keyword).is_some_and(|value| !is_empty(value)) {
            errors.push(FieldError::forbidden(path.child(keyword), detail));
        }
    }
    if fields.get("items").is_some_and(Value::is_array) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(path.child("items"), detail));
    }
    if place.inside_meta && fields.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true))
    {
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::forbidden(path, "must not be used inside of resource meta"));
    }
    if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(path.child("uniqueItems"), detail));
    }
    if fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(path, false, "must be true or undefined"));
    }
}

fn children(path: &FieldPath, schema: &Value, place: &Place, errors: &mut Vec<FieldError>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(additional) = schema.get("additionalProperties").filter(|value| !value.is_null()) {
        let path = path.child("additionalProperties");
        if properties.is_some_and(|each| !each.is_empty()) && additional != &Value::Bool(true) {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(&path, detail));
        }
        let mut place = Place { root: false, ..place.clone() };
        if place.inside_meta {
            place.no_defaults =
                Some("inside additionalProperties applying to object metadata".to_owned());
        }
        node(&path, additional, &place, errors);
    }
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    for (name, property) in properties.into_iter().flatten() {
        let mut inner = Place { root: false, ..place.clone() };
        if (place.root || embedded) && super::is_meta(name) {
            inner.inside_meta = true;
            if place.root {
                inner.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        node(&path.child("properties").key(name), property, &inner, errors);
    }
    if let Some(items) = schema.get("items") {
        node(&path.child("items"), items, &Place { root: false, ..place.clone() }, errors);
    }
}

fn map_type(path: &FieldPath, schema: &Value, errors: &mut Vec<FieldError>) {
    let Some(map_type) = text(schema, "x-kubernetes-map-type") else { return };
    must_have_type(path, schema, "object", "x-kubernetes-map-type", errors);
    if !["atomic", "granular"].contains(&map_type) {
        let path = path.child("x-kubernetes-map-type");
        errors.push(FieldError::not_supported(path, map_type, &["atomic", "granular"]));
    }
}

fn must_have_type(
    path: &FieldPath,
    schema: &Value,
    expected: &str,
    keyword: &str,
    errors: &mut Vec<FieldError>,
) {
    let detail = format!("must be {expected} if {keyword} is specified");
    match text(schema, "type").unwrap_or_default() {
        "" => errors.push(FieldError::required(path.child("type"), detail)),
        actual if actual != expected => {
            errors.push(FieldError::invalid(path.child("type"), actual, detail));
        }
        _ => {}
    }
}

fn list_type(path: &FieldPath, schema: &Value, errors: &mut Vec<FieldError>) {
    let list_type = text(schema, "x-kubernetes-list-type");
    let type_path = path.child("x-kubernetes-list-type");
    let keys = list(schema, "x-kubernetes-list-map-keys");
    if !keys.is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            None => errors.push(FieldError::required(&type_path, detail)),
            Some("map") => {}
            Some(other) => errors.push(FieldError::invalid(&type_path, other, detail)),
        }
    }
    let Some(list_type) = list_type else { return };
    must_have_type(path, schema, "array", "x-kubernetes-list-type", errors);
    match list_type {
        "atomic" => {}
        "set" => set_items(path, schema, errors),
        "map" => map_items(path, schema, keys, errors),
        other => {
            let supported = ["atomic", "set", "map"];
            errors.push(FieldError::not_supported(&type_path, other, &supported));
        }
    }
    let items = schema.get("items");
    if ["set", "map"].contains(&list_type) && items.is_some_and(|each| flag(each, "nullable")) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(path.child("items").child("nullable"), detail));
    }
}

fn set_items(path: &FieldPath, schema: &Value, errors: &mut Vec<FieldError>) {
    let Some(items) = schema.get("items") else { return };
    let keyword = match text(items, "type") {
        Some("array") => "x-kubernetes-list-type",
        Some("object") => "x-kubernetes-map-type",
        _ => return,
    };
    let declared = text(items, keyword);
    let implied = keyword == "x-kubernetes-list-type";
    if declared != Some("atomic") && !(implied && declared.is_none()) {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let value = declared.map_or(Value::Null, Value::from);
        errors.push(FieldError::invalid(path.child("items").child(keyword), value, detail));
    }
}

fn map_items(path: &FieldPath, schema: &Value, keys: &[Value], errors: &mut Vec<FieldError>) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&keys_path, detail));
    }
    let items_path = path.child("items");
    let Some(items) = schema.get("items") else {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(items_path, detail));
        return;
    };
    let item_type = text(items, "type").unwrap_or_default();
    if item_type != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(items_path.child("type"), item_type, detail));
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        if keys[..index].contains(key) {
            let detail = "must not contain duplicate entries";
            errors.push(FieldError::invalid(&keys_path, keys.to_vec(), detail));
        }
        let property = items.get("properties").and_then(|properties| properties.get(name));
        if let Some(property) = property {
            map_key(&items_path, items, name, property, errors);
        } else {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid(&keys_path, keys.to_vec(), detail));
        }
    }
}

fn map_key(
    items_path: &FieldPath,
    items: &Value,
    name: &str,
    property: &Value,
    errors: &mut Vec<FieldError>,
) {
    let path = items_path.child("properties").key(name);
    if matches!(text(property, "type"), Some("array" | "object")) {
        let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
        let shown = text(items, "type").unwrap_or_default();
        errors.push(FieldError::invalid(path.child("type"), shown, detail));
    }
    let is_required = list(items, "required").iter().any(|each| each == name);
    if !is_required && property.get("default").is_none_or(Value::is_null) {
        let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be \
                      a required property";
        errors.push(FieldError::required(path.child("default"), detail));
    }
    if flag(property, "nullable") {
        let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
        errors.push(FieldError::forbidden(path.child("nullable"), detail));
    }
}

fn rules(path: &FieldPath, schema: &Value, errors: &mut Vec<FieldError>) {
    for (index, rule) in list(schema, validations::KEYWORD).iter().enumerate() {
        let path = path.child(validations::KEYWORD).index(index);
        errors.extend(validations::check_form(&path, rule));
    }
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema.get(keyword).and_then(Value::as_str)
}

fn flag(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool).unwrap_or_default()
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn present<'a>(fields: &'a Map<String, Value>, keyword: &str) -> Option<&'a Value> {
    fields.get(keyword).filter(|value| !value.is_null())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
