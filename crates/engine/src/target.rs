//! Pure: what a decorator changes of its target.

use std::collections::BTreeMap;

use k8s::{
    Object,
    json::same,
    patch::{difference, merge},
};
use runtime::Part;
use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// The merge patches that bring a target to what its hook asked for; what is not in them stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TargetChange {
    /// Of the target.
    pub(crate) main: Option<Value>,
    /// Of its status, where that is written apart.
    pub(crate) status: Option<Value>,
}

/// Returns what must change of a target for an answer, and for finalizers to go.
pub(crate) fn change(
    target: &Object,
    answer: &Answer,
    finalizers: &[String],
    has_status: bool,
) -> TargetChange {
    let before = target.to_value();
    let mut metadata = Map::new();
    for (field, wanted) in [("labels", &answer.labels), ("annotations", &answer.annotations)] {
        let changed = entries(&before["metadata"][field], wanted);
        if !changed.is_empty() {
            metadata.insert(field.to_owned(), changed.into());
        }
    }
    let kept = target.meta().finalizers.iter().filter(|each| !finalizers.contains(each));
    let kept: Vec<_> = kept.collect();
    if kept.len() < target.meta().finalizers.len() {
        metadata.insert("finalizers".to_owned(), json!(kept));
    }
    let mut main = Map::new();
    if !metadata.is_empty() {
        main.insert("metadata".to_owned(), metadata.into());
    }
    let mut change = TargetChange::default();
    if let Some(status) = answer.status.as_ref().and_then(|status| status_change(&before, status)) {
        if has_status {
            change.status = Some(json!({"status": status}));
        } else {
            main.insert("status".to_owned(), status);
        }
    }
    change.main = (!main.is_empty()).then(|| main.into());
    change
}

/// Returns a target as a merge patch makes it, for those who may not send one.
pub(crate) fn patched(target: &Object, patch: &Value) -> Value {
    let mut value = target.to_value();
    merge(&mut value, patch);
    value
}

/// Returns what a decorator may change in a part of an object.
pub(crate) fn decorated(object: &Object, part: Part) -> Value {
    let value = object.to_value();
    match part {
        Part::Status => value["status"].clone(),
        Part::Main => {
            let metadata = &value["metadata"];
            json!([metadata["labels"], metadata["annotations"], value["status"]])
        }
    }
}

/// Returns those of the wanted entries that differ from what is there; nothing means that one goes.
fn entries(before: &Value, wanted: &BTreeMap<String, Option<String>>) -> Map<String, Value> {
    let differs = |(key, value): &(&String, &Option<String>)| {
        before.get(*key).and_then(Value::as_str) != value.as_deref()
    };
    wanted.iter().filter(differs).map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// Returns the change of a status, if there is any; a status that is absent is an empty one.
fn status_change(before: &Value, status: &Map<String, Value>) -> Option<Value> {
    let empty = json!({});
    let before = before.get("status").filter(|status| status.is_object()).unwrap_or(&empty);
    let wanted = Value::Object(status.clone());
    (!same(before, &wanted)).then(|| difference(before, &wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(answer: &Answer, has_status: bool) -> TargetChange {
        let target = json!({"metadata": {"name": "t", "labels": {"b": "1", "c": "1"},
            "finalizers": ["x", "ours"]}, "status": {"old": 1, "same": {"a": 1}}});
        change(&Object::from_value(&target).unwrap(), answer, &["ours".to_owned()], has_status)
    }

    fn labels(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
        let owned =
            |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(ToOwned::to_owned));
        entries.iter().map(owned).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let answer = Answer {
            labels: labels(&[("a", Some("1")), ("b", None), ("c", Some("1")), ("d", None)]),
            ..Answer::default()
        };
        assert_eq!(
            changed(&answer, true),
            TargetChange {
                main: Some(json!({"metadata": {"labels": {"a": "1", "b": null},
                    "finalizers": ["x"]}})),
                status: None,
            }
        );
    }

    #[test]
    fn a_status_replaces_what_is_there() {
        let status = json!({"same": {"a": 1}, "new": 2}).as_object().cloned();
        let answer = Answer { status, ..Answer::default() };
        let patch = json!({"old": null, "new": 2});
        let apart = changed(&answer, true);
        assert_eq!(apart.status, Some(json!({"status": patch})));
        let together = changed(&answer, false);
        assert_eq!(together.main.map(|main| main["status"].clone()), Some(patch));
        assert_eq!(together.status, None);
    }

    #[test]
    fn an_empty_status_is_as_good_as_none() {
        let target = Object::from_value(&json!({"metadata": {"name": "t"}})).unwrap();
        let answer = Answer { status: Some(Map::new()), ..Answer::default() };
        assert_eq!(change(&target, &answer, &[], true), TargetChange::default());
    }
}
