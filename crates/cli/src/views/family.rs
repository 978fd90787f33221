//! Pure: an object and what descends from it, as a tree.

use std::fmt::Write;

use k8s::{Object, Timestamp};
use serde_json::{Value, json};

use crate::dev::state;

/// Returns an object with its descendants among `objects`, as nested `children`.
pub fn tree(root: &Object, objects: &[Object], now: Timestamp) -> Value {
    let children = objects.iter().filter(|object| {
        object.meta().controller().is_some_and(|owner| owner.uid == root.meta().uid)
    });
    let mut children: Vec<_> = children.collect();
    children.sort_by_key(|child| (child.gvk().clone(), child.key()));
    let value = root.to_value();
    json!({
        "kind": root.gvk().kind, "apiVersion": root.gvk().api_version(),
        "namespace": root.meta().namespace, "name": root.meta().name,
        "state": state(&value).unwrap_or_default(), "why": why(&value),
        "age": age(&value, now),
        "children": children.into_iter().map(|child| tree(child, objects, now)).collect::<Vec<_>>(),
    })
}

/// Returns a tree for people.
pub fn text(tree: &Value) -> String {
    let mut lines = Vec::new();
    put(&mut lines, tree, "", "");
    let width = lines.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default();
    let states = lines.iter().map(|(_, state, _)| state.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, state, rest) in lines {
        let line = format!("{name:<width$}  {state:<states$}  {rest}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn put(lines: &mut Vec<(String, String, String)>, tree: &Value, branch: &str, below: &str) {
    let word = |field: &str| tree[field].as_str().unwrap_or_default().to_owned();
    let place = match word("namespace").as_str() {
        "" => word("name"),
        namespace => format!("{namespace}/{}", word("name")),
    };
    let rest = format!("{:<4} {}", word("age"), word("why"));
    lines.push((format!("{branch}{} {place}", word("kind")), word("state"), rest));
    let children = tree["children"].as_array().map_or(&[][..], Vec::as_slice);
    for (position, child) in children.iter().enumerate() {
        let is_last = position + 1 == children.len();
        let (branch, deeper) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        put(lines, child, &format!("{below}{branch}"), &format!("{below}{deeper}"));
    }
}

/// Returns what the conditions of an object say is not as it should be.
fn why(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let is_bad = |condition: &&Value| {
        let is_good_if_true =
            !matches!(condition["type"].as_str(), Some("Failed" | "ReplicaFailure"));
        condition["status"] == if is_good_if_true { "False" } else { "True" }
    };
    let messages = conditions.into_iter().flatten().filter(is_bad).filter_map(|condition| {
        let message = condition["message"].as_str().filter(|message| !message.is_empty());
        message.or(condition["reason"].as_str()).map(ToOwned::to_owned)
    });
    messages.collect::<Vec<_>>().join("; ")
}

/// Returns how old an object is, in the largest unit that fits.
fn age(object: &Value, now: Timestamp) -> String {
    let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let Some(created) = created.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return String::new();
    };
    let seconds = now.duration_since(created).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn descendants_stand_below_with_what_is_wrong() {
        let object = |kind: &str, name: &str, owner: &str, status: Value| {
            Object::from_value(&json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name,
                "namespace": "n", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"uid": owner, "controller": true}]}, "status": status}))
            .unwrap()
        };
        let slow = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Slow",
            "message": "not there yet"}]});
        let objects = [
            object("Deployment", "web", "p", Value::Null),
            object("Pod", "a", "web", slow),
            object("Pod", "b", "web", json!({"phase": "Running"})),
            object("ConfigMap", "c", "p", Value::Null),
            object("ConfigMap", "other", "q", Value::Null),
        ];
        let root = object("Thing", "p", "", Value::Null);
        let now = "2026-01-01T00:03:00Z".parse().unwrap();
        assert_snapshot!(text(&tree(&root, &objects, now)), @r"
        Thing n/p                             3m
        ├─ ConfigMap n/c                      3m
        └─ Deployment n/web                   3m
           ├─ Pod n/a        not Ready: Slow  3m   not there yet
           └─ Pod n/b        Running          3m
        ");
    }
}
