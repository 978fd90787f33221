//! Pure: plans as unified diffs.

use std::fmt::Write;

use api::names;
use serde_json::Value;
use similar::TextDiff;

/// Returns the steps of what `dev` answers about the next syncs of a parent, as a unified diff, empty if
/// there are none.
pub fn text(answer: &Value) -> String {
    let mut text = String::new();
    for outlook in items(answer, "outlooks") {
        for step in items(outlook, "steps") {
            put(&mut text, step);
        }
    }
    text
}

/// Returns what is wrong with single children.
pub fn problems(answer: &Value) -> Vec<String> {
    let outlooks = items(answer, "outlooks").iter();
    let problems = outlooks.flat_map(|outlook| items(outlook, "problems"));
    problems.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn put(text: &mut String, step: &Value) {
    let word = |field: &str| step[field].as_str().unwrap_or_default();
    let place = match word("namespace") {
        "" => word("name").to_owned(),
        namespace => format!("{namespace}/{}", word("name")),
    };
    let name = format!("{} {place}", word("kind"));
    let _ = writeln!(text, "# {} {name}: {}", word("verb"), word("reason"));
    let (mut before, mut after) = (step["before"].clone(), step["after"].clone());
    let differs = {
        let (mut before, mut after) = (before.clone(), after.clone());
        drop_last_applied(&mut before);
        drop_last_applied(&mut after);
        before != after
    };
    // It repeats what differs, unless nothing else does.
    if differs {
        drop_last_applied(&mut before);
        drop_last_applied(&mut after);
    }
    let yaml = |value: &Value| {
        if value.is_null() { String::new() } else { k8s::yaml::to_string(value) }
    };
    let (old, new) = (yaml(&before), yaml(&after));
    let header = |value: &Value, side: &str| {
        if value.is_null() { "/dev/null".to_owned() } else { format!("{side}/{name}") }
    };
    let diff = TextDiff::from_lines(&old, &new);
    let (from, to) = (header(&before, "a"), header(&after, "b"));
    let _ = write!(text, "{}", diff.unified_diff().context_radius(3).header(&from, &to));
}

fn drop_last_applied(object: &mut Value) {
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.remove(names::LAST_APPLIED);
        if annotations.is_empty()
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn step(verb: &str, before: &Value, after: &Value) -> Value {
        json!({"outlooks": [{"steps": [{"verb": verb, "kind": "Deployment", "namespace": "n",
            "name": "web", "reason": "spec.replicas differs", "before": before, "after": after}]}]})
    }

    #[test]
    fn only_lines_that_differ_are_marked() {
        let object = |replicas: u32| {
            json!({"kind": "Deployment", "metadata": {"name": "web", "annotations": {
                "metacontroller.k8s.io/last-applied-configuration": replicas.to_string()}},
                "spec": {"replicas": replicas}})
        };
        assert_snapshot!(text(&step("update", &object(3), &object(1))), @r"
        # update Deployment n/web: spec.replicas differs
        --- a/Deployment n/web
        +++ b/Deployment n/web
        @@ -2,4 +2,4 @@
         metadata:
           name: web
         spec:
        -  replicas: 3
        +  replicas: 1
        ");
        assert_snapshot!(text(&step("delete", &json!({"kind": "A"}), &Value::Null)), @r"
        # delete Deployment n/web: spec.replicas differs
        --- a/Deployment n/web
        +++ /dev/null
        @@ -1 +0,0 @@
        -kind: A
        ");
        assert_eq!(text(&json!({"outlooks": [{"steps": []}]})), "");
    }
}
