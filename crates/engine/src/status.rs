//! Pure: the status a parent should have, and which changes of a parent are news.

use std::collections::BTreeMap;

use k8s::{Object, json::same};
use serde_json::{Map, Value, json, value::RawValue};

/// Returns the status that the hook's becomes: with the generation that was seen.
pub(crate) fn wanted(parent: &Object, status: Map<String, Value>) -> Value {
    let mut status = status;
    status.insert("observedGeneration".to_owned(), json!(parent.meta().generation));
    Value::Object(status)
}

/// Returns the status that an object has, `null` if it has none.
pub(crate) fn of(object: &Object) -> Value {
    object.to_value().get_mut("status").map(Value::take).unwrap_or_default()
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
    // Servers count the generation up for no change of the metadata: labels and annotations are
    // news of their own.
    let (before, after) = (old.meta(), new.meta());
    if before.uid != after.uid
        || before.generation != after.generation
        || before.deletion_timestamp != after.deletion_timestamp
        || before.labels != after.labels
    {
        return true;
    }
    let (Some(old), Some(new)) = (pieces(old.json()), pieces(new.json())) else { return true };
    let annotations = |object: &Pieces<'_>| {
        let metadata = pieces(object.get("metadata")?.get().as_bytes())?;
        metadata.get("annotations").map(|text| text.get().to_owned())
    };
    if annotations(&old) != annotations(&new) {
        return true;
    }
    // Whoever waits for a parent to go must not miss what holds it up.
    let ignores = ignore_status && !after.is_deleting();
    !ignores
        && (before.finalizers != after.finalizers
            || content(&old) != content(&new)
            || noted(&old) != noted(&new))
}

/// An object in pieces of text: it is compared with every event, so little of it is parsed.
type Pieces<'a> = BTreeMap<String, &'a RawValue>;

fn pieces(json: &[u8]) -> Option<Pieces<'_>> {
    serde_json::from_slice(json).ok()
}

/// Returns all but metadata and status. One server writes equal values as equal text.
fn content<'a>(object: &Pieces<'a>) -> Vec<(String, &'a str)> {
    let content = object.iter().filter(|(key, _)| *key != "metadata" && *key != "status");
    content.map(|(key, value)| (key.clone(), value.get())).collect()
}

/// Returns the status without what the engine notes in it; an empty one is none.
fn noted(object: &Pieces<'_>) -> Option<Map<String, Value>> {
    let status = k8s::json::parse(object.get("status")?.get().as_bytes()).ok()?;
    let Value::Object(mut status) = status else { return None };
    status.remove("observedGeneration");
    (!status.is_empty()).then_some(status)
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
