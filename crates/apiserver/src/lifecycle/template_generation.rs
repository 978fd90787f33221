//! Pure: the annotation in which DaemonSets count the changes of their template.
//!
//! The reference keeps the number in a field that only old versions had; today it is shown as an annotation, which
//! a client can send but not set.

use serde_json::{Value, json};

use crate::registry::Registered;

const ANNOTATION: &str = "deprecated.daemonset.template.generation";

/// Checks that the annotation, if it is sent, is a number.
pub(crate) fn check(registered: &Registered, value: &Value) -> Result<(), String> {
    match text(value) {
        Some(text) if applies(registered) && text.parse::<i64>().is_err() => {
            Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
        }
        _ => Ok(()),
    }
}

/// Shows the number, zero if it is not sent.
pub(crate) fn show(registered: &Registered, value: &mut Value) {
    if applies(registered) && text(value).is_none() {
        set(value, 0);
    }
}

/// Starts to count in a new object.
pub(crate) fn start(registered: &Registered, value: &mut Value) {
    if applies(registered) {
        let sent = number(value);
        set(value, sent.max(1));
    }
}

/// Goes on counting in a changed object.
pub(crate) fn count(registered: &Registered, old: &Value, new: &mut Value) {
    if applies(registered) {
        let is_changed = old.pointer("/spec/template") != new.pointer("/spec/template");
        set(new, number(old) + i64::from(is_changed));
    }
}

/// Takes the number out of metadata that is shown alone: only the whole object has it.
pub(crate) fn hide(object: &mut Value) {
    if object["kind"] != "DaemonSet" {
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let is_last = annotations.is_some_and(|annotations| {
        annotations.remove(ANNOTATION);
        annotations.is_empty()
    });
    if is_last {
        metadata.remove("annotations");
    }
}

fn applies(registered: &Registered) -> bool {
    registered.is("apps", "daemonsets")
}

fn number(value: &Value) -> i64 {
    text(value).and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn text(value: &Value) -> Option<&str> {
    value.pointer("/metadata/annotations")?.get(ANNOTATION)?.as_str()
}

fn set(value: &mut Value, number: i64) {
    let metadata = &mut value["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][ANNOTATION] = json!(number.to_string());
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;

    use super::*;
    use crate::registry::Registry;

    fn daemon_set(number: &str, template: i64) -> Value {
        json!({"metadata": {"annotations": {ANNOTATION: number}}, "spec": {"template": template}})
    }

    #[test]
    fn the_number_follows_the_template_whatever_is_sent() {
        let registry = Registry::new(vec![]);
        let sets = registry.by_path(&GroupVersion::new("apps", "v1"), "daemonsets").unwrap();
        for (sent, started) in [("0", "1"), ("-3", "1"), ("5", "5")] {
            let mut new = daemon_set(sent, 1);
            start(sets, &mut new);
            assert_eq!(text(&new), Some(started));
        }
        for (sent, template, counted) in [("9", 1, "2"), ("0", 1, "2"), ("2", 7, "3")] {
            let mut new = daemon_set(sent, template);
            count(sets, &daemon_set("2", 1), &mut new);
            assert_eq!(text(&new), Some(counted));
        }
        let mut silent = json!({"metadata": {}});
        show(sets, &mut silent);
        assert_eq!(text(&silent), Some("0"));
        assert!(check(sets, &silent).is_ok());
        let mut shown = daemon_set("1", 1);
        shown["kind"] = json!("DaemonSet");
        hide(&mut shown);
        assert_eq!(shown["metadata"], json!({}));
        let error = check(sets, &daemon_set("x", 1)).unwrap_err();
        assert_eq!(error, "strconv.ParseInt: parsing \"x\": invalid syntax");
    }
}
