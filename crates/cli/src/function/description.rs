//! Pure: one Function, described.

use serde_json::Value;

use super::listing::{container, text};
use crate::views::table::aligned;

/// Returns what people ask first of a Function, a line for each.
pub fn description(function: &Value) -> String {
    let (meta, spec, status) = (&function["metadata"], &function["spec"], &function["status"]);
    let container = container(function);
    let json = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
    let mut rows = vec![
        row("Name:", text(&meta["name"])),
        row("Namespace:", text(&meta["namespace"])),
        row("Handler:", text(&spec["handler"])),
        row("Runtime:", text(&spec["runtime"])),
        row("Label:", json(&meta["labels"])),
        row("Envvar:", json(&container["env"])),
        row("Memory:", text(&container["resources"]["requests"]["memory"])),
        row("Dependencies:", text(&spec["deps"]).trim_end().to_owned()),
        row("URL:", text(&status["url"])),
    ];
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let words = ["status", "reason", "message"].map(|field| text(&condition[field]));
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        rows.push(row(&format!("{}:", text(&condition["type"])), words.join("  ")));
    }
    aligned(&rows)
}

fn row(title: &str, value: String) -> Vec<String> {
    vec![title.to_owned(), value]
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_is_described_in_lines() {
        let function = json!({
            "metadata": {"name": "f", "namespace": "ops", "labels": {"function": "f"}},
            "spec": {"runtime": "python3.11", "handler": "a.b", "deps": "one\ntwo\n",
                "deployment": {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": "b"}]}]}}}}},
            "status": {"url": "http://f.ops.svc.cluster.local:8080", "conditions": [
                {"type": "Ready", "status": "False", "reason": "LoadFailed", "message": "no module"}]}});
        assert_snapshot!(description(&function), @r#"
        Name:          f
        Namespace:     ops
        Handler:       a.b
        Runtime:       python3.11
        Label:         {"function":"f"}
        Envvar:        [{"name":"A","value":"b"}]
        Memory:
        Dependencies:  one
                       two
        URL:           http://f.ops.svc.cluster.local:8080
        Ready:         False  LoadFailed  no module
        "#);
    }

    #[test]
    fn what_is_not_known_is_left_empty() {
        assert!(description(&json!({})).starts_with("Name:\nNamespace:\n"));
    }
}
