//! Pure: reads and sets fields of JSON objects by path.

use serde_json::{Map, Value};

/// Returns the text at `pointer`, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the elements of the list at `pointer`.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the number at `pointer`, 0 if there is none.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// Sets the field at `path`, making the objects on the way; what is no object there is replaced.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let Some((last, way)) = path.split_last() else {
        *value = new.into();
        return;
    };
    let parent = way.iter().fold(value, |at, name| child(at, name));
    members(parent).insert((*last).to_owned(), new.into());
}

/// Removes the field at `path`, if it is there.
pub(crate) fn remove(value: &mut Value, path: &[&str]) {
    let Some((last, way)) = path.split_last() else { return };
    let parent = way.iter().try_fold(value, |at, name| at.get_mut(name));
    if let Some(parent) = parent.and_then(Value::as_object_mut) {
        parent.remove(*last);
    }
}

fn child<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    members(value).entry(name).or_insert(Value::Null)
}

fn members(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made an object")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_made_and_removed() {
        let mut value = json!({"a": null});
        set(&mut value, &["a", "b/c", "d"], 1);
        assert_eq!(value, json!({"a": {"b/c": {"d": 1}}}));
        remove(&mut value, &["a", "b/c", "d"]);
        remove(&mut value, &["x", "y"]);
        assert_eq!(value, json!({"a": {"b/c": {}}}));
    }
}
