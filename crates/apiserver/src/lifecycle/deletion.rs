//! Pure: whether a deletion removes an object or marks it, and what it waits for.

use k8s::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    backend::{DeleteOptions, Propagation},
    lifecycle::rfc3339,
    registry::Registered,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion does to an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deletion {
    /// It goes at once.
    Remove,
    /// It is written back with a deletion timestamp, and goes then.
    MarkAndRemove(Value),
    /// It is written back with a deletion timestamp.
    Mark(Value),
    /// It waits already, and nothing about that changes.
    Waiting,
}

/// Decides what a deletion does to an object.
pub(crate) fn plan(
    registered: &Registered,
    object: &Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Deletion {
    let mut marked = object.clone();
    let was_deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    let grace = grace(registered, object, options);
    let is_first_apart =
        registered.is("apiextensions.k8s.io", "customresourcedefinitions") && !was_deleting;
    // The reference calls events unfit for garbage collection: nothing waits for their dependents.
    if !is_first_apart && (registered.storage.plural != "events" || registered.is_custom()) {
        set_policy(registered, &mut marked, options.propagation);
    }
    let before = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    // A second deletion may shorten the time that is left, never lengthen it.
    let shorter = !is_marked_apart(registered) && before.is_none_or(|before| grace < before);
    if !was_deleting || shorter {
        let at = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
        marked["metadata"]["deletionTimestamp"] = json!(rfc3339(at));
        if !is_marked_apart(registered) {
            marked["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    }
    let is_done = is_done(registered, &marked);
    if is_done && (was_deleting || !registered.is("", "pods")) {
        return Deletion::Remove;
    }
    if !was_deleting
        && !is_marked_apart(registered)
        && let Some(generation) = marked.pointer_mut("/metadata/generation")
    {
        *generation = json!(generation.as_i64().unwrap_or_default() + 1);
    }
    if registered.is("", "namespaces") {
        marked["status"]["phase"] = json!("Terminating");
    }
    match marked == *object {
        // Who watches a pod sees that it ends before it has ended, even if it had nothing to do.
        _ if is_done => Deletion::MarkAndRemove(marked),
        false => Deletion::Mark(marked),
        true => Deletion::Waiting,
    }
}

/// Returns whether the reference deletes the objects by a way of its own, before its common one.
pub(crate) fn is_marked_apart(registered: &Registered) -> bool {
    registered.is("", "namespaces")
        || registered.is("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Returns whether an object that is marked has nothing left to wait for.
pub(crate) fn is_done(registered: &Registered, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let deleting = metadata.get("deletionTimestamp").is_some();
    let grace = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    let holds = |path: &str| {
        object.pointer(path).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    };
    deleting
        && grace == 0
        && !holds("/metadata/finalizers")
        && !(registered.is("", "namespaces") && holds("/spec/finalizers"))
}

/// Only pods have time to stop, and only while something may run.
fn grace(registered: &Registered, object: &Value, options: &DeleteOptions) -> i64 {
    if !registered.is("", "pods") {
        return 0;
    }
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let node = object.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() || phase == "Succeeded" || phase == "Failed" {
        return 0;
    }
    let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    match options.grace.or(own).unwrap_or(30) {
        // The reference takes it for the shortest time there is, not for none.
        negative if negative < 0 => 1,
        seconds => seconds,
    }
}

fn set_policy(registered: &Registered, object: &mut Value, policy: Option<Propagation>) {
    // Both are older than garbage collection: who says nothing gets what was so before, orphans.
    let orphans_by_default =
        registered.is("batch", "jobs") || registered.is("", "replicationcontrollers");
    let policy = match policy {
        None if orphans_by_default => Some(Propagation::Orphan),
        policy => policy,
    };
    let Some(policy) = policy else { return };
    let wanted = match policy {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let metadata = &mut object["metadata"];
    let mut finalizers: Vec<Value> =
        metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    finalizers.retain(|it| {
        it == &Value::from(wanted.unwrap_or_default()) || (it != ORPHAN && it != FOREGROUND)
    });
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|it| it == wanted)
    {
        finalizers.push(json!(wanted));
    }
    match metadata.as_object_mut() {
        Some(metadata) if finalizers.is_empty() => drop(metadata.remove("finalizers")),
        _ => metadata["finalizers"] = Value::Array(finalizers),
    }
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;

    use super::*;
    use crate::registry::Registry;

    /// Plans a deletion and shows what it does.
    fn planned(plural: &str, object: &Value, options: &DeleteOptions) -> String {
        let registry = Registry::new(vec![]);
        let group = if plural == "jobs" { "batch" } else { "" };
        let registered = registry.by_path(&GroupVersion::new(group, "v1"), plural).unwrap();
        match plan(registered, object, options, Timestamp::UNIX_EPOCH) {
            Deletion::Remove => "remove".to_owned(),
            Deletion::MarkAndRemove(value) => format!("remove {}", value["metadata"]),
            Deletion::Waiting => "waiting".to_owned(),
            Deletion::Mark(value) => value["metadata"].to_string(),
        }
    }

    #[test]
    fn objects_wait_for_finalizers_and_pods_for_their_grace() {
        let none = DeleteOptions::default();
        let held = json!({"metadata": {"finalizers": ["x"]}});
        let running = json!({"metadata": {}, "spec": {"nodeName": "n"}});
        let ended =
            json!({"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": "Failed"}});
        let at = "1970-01-01T00:00:00Z";
        let waiting = json!({"metadata": {"finalizers": ["x"], "deletionTimestamp": at,
            "deletionGracePeriodSeconds": 0}});
        for (plural, object, expected) in [
            ("configmaps", json!({"metadata": {}}), "remove".to_owned()),
            ("configmaps", held, waiting["metadata"].to_string()),
            ("configmaps", waiting, "waiting".to_owned()),
            (
                "pods",
                running,
                json!({"deletionGracePeriodSeconds": 30, "deletionTimestamp": "1970-01-01T00:00:30Z"})
                    .to_string(),
            ),
            (
                "pods",
                ended,
                format!("remove {}", json!({"deletionGracePeriodSeconds": 0, "deletionTimestamp": at})),
            ),
            (
                "namespaces",
                json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}}),
                json!({"deletionTimestamp": at}).to_string(),
            ),
            (
                "jobs",
                json!({"metadata": {"generation": 1}}),
                json!({"deletionGracePeriodSeconds": 0, "deletionTimestamp": at,
                    "finalizers": ["orphan"], "generation": 2})
                .to_string(),
            ),
        ] {
            assert_eq!(planned(plural, &object, &none), expected);
        }
    }

    #[test]
    fn a_negative_grace_is_one_second() {
        let options = DeleteOptions { grace: Some(-1), ..DeleteOptions::default() };
        let running = json!({"metadata": {}, "spec": {"nodeName": "n"}});
        let marked = planned("pods", &running, &options);
        assert!(marked.contains("\"deletionGracePeriodSeconds\":1"), "{marked}");
    }
}
