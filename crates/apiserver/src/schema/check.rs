//! Pure: validates values against a schema.

use serde_json::{Map, Number, Value};

use crate::{
    field::{FieldError, FieldPath, quote},
    schema::{Additional, Schema, format},
};

/// Returns what is wrong with an object.
pub(super) fn check(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut found = Found::default();
    node(schema, "", object, &mut found);
    found.errors
}

/// Returns what is wrong with the value at `path`: the errors name its fields as if it were an object.
pub(super) fn check_at(path: &FieldPath, schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = check(schema, value);
    for error in &mut errors {
        let below = if error.field == FieldPath::root().to_string() { "" } else { &error.field };
        error.field = path.join(&FieldPath::new(below)).to_string();
    }
    errors
}

/// The errors found so far, and how many checks there were, good or bad.
#[derive(Default)]
struct Found {
    errors: Vec<FieldError>,
    checks: usize,
}

impl Found {
    fn push(&mut self, error: FieldError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn merge(&mut self, other: Self) {
        self.checks += other.checks;
        other.errors.into_iter().for_each(|error| self.push(error));
    }

    fn invalid(&mut self, path: &str, value: impl Into<Value>, detail: &str) {
        let detail = format!("{path} in body {detail}");
        self.push(FieldError::invalid(at(path), value, detail));
    }

    /// Adds an error that names its place in its text only.
    fn loose(&mut self, detail: String) {
        self.push(FieldError::invalid(FieldPath::root(), "", detail));
    }
}

fn at(path: &str) -> FieldPath {
    FieldPath::new(path.trim_start_matches('.'))
}

fn node(schema: &Schema, path: &str, value: &Value, found: &mut Found) {
    found.checks += 1;
    type_of(schema, path, value, found);
    if !value.is_null() {
        junctors(schema, path, value, found);
        match value {
            Value::String(text) => string(schema, path, text, found),
            Value::Number(value) => number(schema, path, value, found),
            Value::Array(list) => array(schema, path, list, found),
            _ => {}
        }
    }
    if !schema.allowed.is_empty() && !schema.allowed.iter().any(|each| k8s::json::same(each, value))
    {
        let supported: Vec<String> = schema.allowed.iter().map(plain).collect();
        found.push(FieldError::not_supported(at(path), value.clone(), &supported));
    }
    if let Value::Object(fields) = value {
        object(schema, path, fields, found);
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the JSON type of a value and the format that comes with it.
fn json_type(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn type_of(schema: &Schema, path: &str, value: &Value, found: &mut Found) {
    let expected: &[&str] = match (schema.int_or_string, schema.kind.as_str()) {
        (true, _) => &["integer", "string"],
        (false, "") => &[],
        (false, kind) => &[kind],
    };
    let format = supported_format(schema);
    if expected.is_empty() && format.is_empty() || value.is_null() && schema.nullable {
        return;
    }
    found.checks += 1;
    let (actual, actual_format) = json_type(value);
    let whole = actual == "number" && value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = expected.contains(&actual)
        || whole && expected.contains(&"integer")
        || actual == "integer" && expected.contains(&"number");
    let is_text = matches!(value, Value::String(_) | Value::Array(_));
    let (expected, actual) = if value.is_null() {
        if expected.is_empty() {
            return;
        }
        (expected.join(","), actual)
    } else if !is_text && !format.is_empty() && !fits && format != actual_format {
        (format.to_owned(), actual_format)
    } else if is_text && !format.is_empty() && !is_numeric(expected) || fits || expected.is_empty()
    {
        return;
    } else {
        (expected.join(","), actual)
    };
    let detail = format!("{path} in body must be of type {expected}: {}", quote(actual));
    found.push(FieldError::type_invalid(at(path), actual, detail));
}

fn is_numeric(types: &[&str]) -> bool {
    types.contains(&"integer") || types.contains(&"number")
}

/// Returns the format unless it says nothing about the type.
fn supported_format(schema: &Schema) -> &str {
    let format = schema.format.as_str();
    let known = match schema.kind.as_str() {
        _ if schema.int_or_string => false,
        "" | "string" => format::is_known(format),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    };
    if known { format } else { "" }
}

fn junctors(schema: &Schema, path: &str, value: &Value, found: &mut Found) {
    any_of(schema, path, value, found);
    one_of(schema, path, value, found);
    let mut valid = 0;
    for each in &schema.all_of {
        let result = attempt(each, path, value);
        valid += usize::from(result.errors.is_empty());
        found.merge(result);
    }
    if valid != schema.all_of.len() {
        let more = if valid == 0 { ". None validated" } else { "" };
        found.loose(format!("{} must validate all the schemas (allOf){more}", quote(path)));
    }
    if schema.not.as_ref().is_some_and(|not| attempt(not, path, value).errors.is_empty()) {
        found.loose(format!("{} must not validate the schema (not)", quote(path)));
    }
}

fn attempt(schema: &Schema, path: &str, value: &Value) -> Found {
    let mut found = Found::default();
    node(schema, path, value, &mut found);
    found
}

fn any_of(schema: &Schema, path: &str, value: &Value, found: &mut Found) {
    if schema.any_of.is_empty() {
        return;
    }
    let results: Vec<_> = schema.any_of.iter().map(|each| attempt(each, path, value)).collect();
    if results.iter().any(|result| result.errors.is_empty()) {
        return;
    }
    found.loose(format!("{} must validate at least one schema (anyOf)", quote(path)));
    if let Some(best) = closest(results) {
        found.merge(best);
    }
}

fn one_of(schema: &Schema, path: &str, value: &Value, found: &mut Found) {
    if schema.one_of.is_empty() {
        return;
    }
    let results: Vec<_> = schema.one_of.iter().map(|each| attempt(each, path, value)).collect();
    let valid = results.iter().filter(|result| result.errors.is_empty()).count();
    let why = match valid {
        1 => return,
        0 => "Found none valid".to_owned(),
        several => format!("Found {several} valid alternatives"),
    };
    found.loose(format!("{} must validate one and only one schema (oneOf). {why}", quote(path)));
    if let (0, Some(best)) = (valid, closest(results)) {
        found.merge(best);
    }
}

/// Returns the first of the results with the most checks: the schema that was most likely meant.
fn closest(results: Vec<Found>) -> Option<Found> {
    results.into_iter().reduce(|best, next| if best.checks < next.checks { next } else { best })
}

fn string(schema: &Schema, path: &str, text: &str, found: &mut Found) {
    found.checks += 1;
    let length = text.chars().count() as u64;
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        found.push(FieldError::too_long(at(path), max));
    } else if let Some(min) = schema.min_length.filter(|min| length < *min) {
        found.invalid(path, text, &format!("should be at least {min} chars long"));
    } else if let Some(pattern) = schema.pattern.as_ref().filter(|each| !each.matches(text)) {
        found.invalid(path, text, &format!("should match '{}'", pattern.source()));
    }
    let format = supported_format(schema);
    if !format.is_empty() && !is_numeric(&[&schema.kind]) && !format::holds(format, text) {
        let detail = format!("{path} in body must be of type {format}: {}", quote(text));
        found.push(FieldError::type_invalid(at(path), text, detail));
    }
}

fn number(schema: &Schema, path: &str, value: &Number, found: &mut Found) {
    found.checks += 1;
    let format = supported_format(schema);
    let fits = |number: i64| format == "int64" || i32::try_from(number).is_ok();
    if ["int32", "int64"].contains(&format) && !value.as_i64().is_some_and(fits) {
        found
            .loose(format!("Checked value must be of type integer with format {format} in {path}"));
    }
    let shown = Value::Number(value.clone());
    let float = value.as_f64().unwrap_or_default();
    if let Some(factor) = schema.multiple_of.filter(|factor| !is_multiple(value, *factor)) {
        found.invalid(path, shown.clone(), &format!("should be a multiple of {factor}"));
    }
    if let Some(min) = schema.minimum {
        if float < min {
            found.invalid(
                path,
                shown.clone(),
                &format!("should be greater than or equal to {min}"),
            );
        } else if schema.exclusive_minimum && float <= min {
            found.invalid(path, shown.clone(), &format!("should be greater than {min}"));
        }
    }
    if let Some(max) = schema.maximum {
        if schema.exclusive_maximum && float >= max {
            found.invalid(path, shown, &format!("should be less than {max}"));
        } else if float > max {
            found.invalid(path, shown, &format!("should be less than or equal to {max}"));
        }
    }
}

fn is_multiple(value: &Number, factor: f64) -> bool {
    let float = value.as_f64().unwrap_or_default();
    let times = if factor < 1.0 { 1.0 / factor * float } else { float / factor };
    (times - times.round()).abs() < 1e-9
}

fn array(schema: &Schema, path: &str, list: &[Value], found: &mut Found) {
    if let Some(items) = schema.items() {
        for (index, item) in list.iter().enumerate() {
            node(items, &format!("{path}[{index}]"), item, found);
        }
    }
    found.checks += 1;
    let length = list.len() as u64;
    if let Some(min) = schema.min_items.filter(|min| length < *min) {
        found.invalid(path, length, &format!("should have at least {min} items"));
    }
    if let Some(max) = schema.max_items.filter(|max| length > *max) {
        found.push(FieldError::too_many(at(path), length, max));
    }
}

fn object(schema: &Schema, path: &str, fields: &Map<String, Value>, found: &mut Found) {
    found.checks += 1;
    let length = fields.len() as u64;
    if let Some(min) = schema.min_properties.filter(|min| length < *min) {
        found.invalid(path, length, &format!("should have at least {min} properties"));
    }
    if let Some(max) = schema.max_properties.filter(|max| length > *max) {
        found.push(FieldError::too_many(at(path), length, max));
    }
    for (name, field) in fields {
        if let Some(property) = schema.property(name) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            node(property, &path, field, found);
        } else {
            match &schema.additional_properties {
                Some(Additional::Schema(schema)) => {
                    node(schema, &format!("{path}.{name}"), field, found);
                }
                Some(Additional::Allowed(false)) => {
                    let detail = format!("{path}.{name} in body is a forbidden property");
                    found.push(FieldError::invalid(at(path), "", detail));
                }
                Some(Additional::Allowed(true)) | None => {}
            }
        }
    }
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        found.push(FieldError::required(at(&format!("{path}.{name}")), ""));
    }
}
