//! Pure: checks what `/scale` reads from a custom resource, whatever its schema says.

use serde_json::Value;

use crate::{backend::Part, field::FieldError, lifecycle::go_text, registry::ScalePaths};

/// Returns what is wrong with the numbers and the selector; a write of the status looks at the status alone.
pub(crate) fn check(paths: &ScalePaths, part: Part, object: &Value) -> Vec<FieldError> {
    let spec = (part == Part::Main).then_some(&paths.spec_replicas);
    let counts = spec.into_iter().chain([&paths.status_replicas]);
    let mut errors: Vec<_> = counts.filter_map(|path| count(object, path)).collect();
    if !paths.label_selector.is_empty() {
        errors.extend(selector(object, &paths.label_selector));
    }
    errors
}

fn count(object: &Value, path: &str) -> Option<FieldError> {
    let (number, why) = match find(object, path) {
        Err(why) => (0, why),
        Ok(None) => return None,
        Ok(Some(value)) => match value.as_i64() {
            None => (0, mismatch(path, value, "int64")),
            Some(number) if number < 0 => (number, "should be a non-negative integer".to_owned()),
            Some(number) if i64::from(i32::MAX) < number => {
                (number, format!("should be less than or equal to {}", i32::MAX))
            }
            Some(_) => return None,
        },
    };
    Some(FieldError::invalid(path, number, why))
}

fn selector(object: &Value, path: &str) -> Option<FieldError> {
    let why = match find(object, path) {
        Err(why) => why,
        Ok(Some(value)) if !value.is_string() => mismatch(path, value, "string"),
        Ok(_) => return None,
    };
    Some(FieldError::invalid(path, "", why))
}

/// Returns the value at a dotted path, or why there is no way to it.
fn find<'v>(object: &'v Value, path: &str) -> Result<Option<&'v Value>, String> {
    let mut value = object;
    let mut walked = String::new();
    for name in path.trim_start_matches('.').split('.') {
        walked.push('.');
        walked.push_str(name);
        let next = match value {
            Value::Null => None,
            Value::Object(fields) => fields.get(name),
            other => return Err(mismatch(&walked, other, "map[string]interface{}")),
        };
        let Some(next) = next else { return Ok(None) };
        value = next;
    }
    Ok(Some(value))
}

fn mismatch(path: &str, value: &Value, wanted: &str) -> String {
    let (text, kind) = (go_text(value), go_type(value));
    format!("{path} accessor error: {text} is of the type {kind}, expected {wanted}")
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(part: Part, object: &Value) -> Vec<String> {
        let paths = ScalePaths {
            spec_replicas: ".spec.size".to_owned(),
            status_replicas: ".status.size".to_owned(),
            label_selector: ".status.selector".to_owned(),
        };
        check(&paths, part, object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn counts_are_small_numbers_and_the_selector_is_text() {
        for (object, expected) in [
            (json!({}), ""),
            (json!({"spec": {"size": 3}, "status": {"size": 0, "selector": "a=b"}}), ""),
            (
                json!({"spec": {"size": -1}}),
                ".spec.size: Invalid value: -1: should be a non-negative integer",
            ),
            (
                json!({"spec": {"size": 9_999_999_999_i64}}),
                ".spec.size: Invalid value: 9999999999: should be less than or equal to 2147483647",
            ),
            (
                json!({"spec": {"size": "x"}}),
                ".spec.size: Invalid value: 0: .spec.size accessor error: x is of the type string, \
                 expected int64",
            ),
            (
                json!({"spec": []}),
                ".spec.size: Invalid value: 0: .spec.size accessor error: [] is of the type \
                 []interface {}, expected map[string]interface{}",
            ),
            (
                json!({"status": {"selector": 1}}),
                ".status.selector: Invalid value: \"\": .status.selector accessor error: 1 is of \
                 the type int64, expected string",
            ),
        ] {
            assert_eq!(texts(Part::Main, &object).join(", "), expected);
        }
    }

    #[test]
    fn a_write_of_the_status_is_not_refused_for_the_spec() {
        let object = json!({"spec": {"size": -1}, "status": {"size": -2}});
        let expected = ".status.size: Invalid value: -2: should be a non-negative integer";
        assert_eq!(texts(Part::Status, &object), [expected]);
    }
}
