//! Pure: the status a parent should have, and which changes of a parent are news.

use k8s::{Object, json::same};
use serde_json::{Map, Value, json};

/// Returns the status that the hook's becomes: with the generation that was seen.
pub(crate) fn wanted(parent: &Object, status: Map<String, Value>) -> Value {
    let mut status = status;
    status.insert("observedGeneration".to_owned(), json!(parent.meta().generation));
    Value::Object(status)
}

/// Returns the parent with another status, or nothing if it has that status already.
pub(crate) fn with_status(parent: &Object, status: &Value) -> Option<Value> {
    let mut value = parent.to_value();
    if value.get("status").is_some_and(|observed| same(observed, status)) {
        return None;
    }
    value["status"] = status.clone();
    Some(value)
}

/// Tells whether a parent changed in more than what the engine itself notes in it.
///
/// A status write that moves only `observedGeneration` is the engine's own, and no reason for a sync.
pub(crate) fn is_news(old: &Object, new: &Object, ignore_status: bool) -> bool {
    let (before, after) = (old.meta(), new.meta());
    if before.uid != after.uid
        || before.generation != after.generation
        || before.deletion_timestamp != after.deletion_timestamp
        || before.finalizers != after.finalizers
        || before.labels != after.labels
    {
        return true;
    }
    let (old, new) = (lean(old, ignore_status), lean(new, ignore_status));
    old != new
}

/// Returns an object without what changes with every write and what the engine notes in it.
fn lean(object: &Object, ignore_status: bool) -> Value {
    let mut value = object.to_value();
    if ignore_status {
        let metadata = &value["metadata"];
        return json!([metadata["annotations"], metadata["labels"]]);
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("observedGeneration");
        if status.is_empty() {
            value["status"] = Value::Null;
        }
    }
    if value.get("status").is_none() {
        value["status"] = Value::Null;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(version: &str, generation: i64, status: &Value) -> Object {
        let value = json!({"metadata": {"name": "p", "uid": "u", "resourceVersion": version,
            "generation": generation}, "status": status});
        Object::from_value(&value).unwrap()
    }

    #[test]
    fn the_generation_is_added_and_an_equal_status_is_not_written() {
        let status = wanted(&parent("1", 3, &Value::Null), Map::new());
        assert_eq!(status, json!({"observedGeneration": 3}));
        assert!(
            with_status(&parent("1", 3, &json!({"observedGeneration": 3.0})), &status).is_none()
        );
        assert!(with_status(&parent("1", 3, &Value::Null), &status).is_some());
    }

    #[test]
    fn only_more_than_the_observed_generation_is_news() {
        let old = parent("1", 1, &json!({"a": 1}));
        for (new, ignore_status, news) in [
            (parent("2", 1, &json!({"a": 1, "observedGeneration": 1})), false, false),
            (parent("2", 1, &json!({"a": 2})), false, true),
            (parent("2", 1, &json!({"a": 2})), true, false),
            (parent("2", 2, &json!({"a": 1})), true, true),
        ] {
            assert_eq!(is_news(&old, &new, ignore_status), news, "{new:?}");
        }
        let empty = parent("1", 1, &Value::Null);
        let noted = parent("2", 1, &json!({"observedGeneration": 1}));
        assert!(!is_news(&empty, &noted, false));
    }
}
