//! Pure: parents with their children, as a tree.

use std::fmt;

use k8s::Object;
use serde_json::Value;

use super::line::subject;

/// A parent and its children.
#[derive(Debug)]
pub(super) struct Family {
    /// The name of the parent, as lines show it.
    pub(super) parent: String,
    /// The names of the children and the state of each.
    pub(super) children: Vec<(String, String)>,
}

/// All parents with their children.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) families: Vec<Family>,
    /// How many things are failing.
    pub(super) failing: usize,
}

/// Returns a parent with those of `objects` that it controls.
pub(super) fn family<'a>(parent: &Object, objects: impl Iterator<Item = &'a Object>) -> Family {
    let is_child = |object: &&Object| {
        object.meta().controller().is_some_and(|owner| owner.uid == parent.meta().uid)
    };
    let children = objects.filter(is_child).map(|child| {
        (subject(child.gvk(), &child.key()), state(&child.to_value()).unwrap_or_default())
    });
    Family { parent: subject(parent.gvk(), &parent.key()), children: children.collect() }
}

/// Returns the state of an object in a word, for kinds that have one.
pub(crate) fn state(object: &Value) -> Option<String> {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Some("Terminating".to_owned());
    }
    let status = object.get("status")?;
    // A pod that has done its work is not Ready, and need not be.
    if status["phase"] == "Succeeded" {
        return Some("Succeeded".to_owned());
    }
    let conditions = status.get("conditions").and_then(Value::as_array);
    for wanted in ["Available", "Ready", "Complete", "Failed"] {
        let condition = conditions.into_iter().flatten().find(|each| each["type"] == wanted);
        let Some(condition) = condition else { continue };
        if condition["status"] == "True" {
            return Some(wanted.to_owned());
        }
        let reason = condition["reason"].as_str().unwrap_or_default();
        return Some(format!("not {wanted}: {reason}").trim_end_matches(": ").to_owned());
    }
    status.get("phase")?.as_str().map(ToOwned::to_owned)
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Family { parent, children } in &self.families {
            writeln!(f, "{parent}")?;
            for (position, (child, state)) in children.iter().enumerate() {
                let branch = if position + 1 == children.len() { "└─" } else { "├─" };
                let line = format!("{branch} {child:<46} {state}");
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        let children = self.families.iter().map(|family| family.children.len()).sum();
        write!(
            f,
            "{} synced, {}, {} failing",
            count(self.families.len(), "parent", "parents"),
            count(children, "child", "children"),
            self.failing
        )
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_has_done_its_work_lacks_nothing() {
        let ready = json!([{"type": "Ready", "status": "False", "reason": "PodCompleted"}]);
        let pod = |phase: &str| json!({"status": {"phase": phase, "conditions": ready.clone()}});
        assert_eq!(state(&pod("Succeeded")).as_deref(), Some("Succeeded"));
        assert_eq!(state(&pod("Running")).as_deref(), Some("not Ready: PodCompleted"));
    }

    #[test]
    fn children_stand_below_their_parent_with_their_state() {
        let object = |kind: &str, name: &str, uid: &str, owner: &str, status: Value| {
            Object::from_value(&json!({"kind": kind, "metadata": {"name": name, "namespace": "default",
                "uid": uid, "ownerReferences": [{"uid": owner, "controller": true}]}, "status": status}))
            .unwrap()
        };
        let parent = object("UselessPod", "test1", "p", "", Value::Null);
        let available = json!({"conditions": [{"type": "Available", "status": "True"}]});
        let waiting =
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Slow"}]});
        let objects = [
            object("Deployment", "a", "1", "p", available),
            object("Deployment", "other", "2", "q", Value::Null),
            object("Pod", "b", "3", "p", waiting),
            object("ConfigMap", "c", "4", "p", Value::Null),
        ];
        let tree = Tree { families: vec![family(&parent, objects.iter())], failing: 0 };
        assert_eq!(
            tree.to_string(),
            "UselessPod default/test1\n\
             ├─ Deployment default/a                           Available\n\
             ├─ Pod default/b                                  not Ready: Slow\n\
             └─ ConfigMap default/c\n\
             1 parent synced, 3 children, 0 failing"
        );
    }
}
