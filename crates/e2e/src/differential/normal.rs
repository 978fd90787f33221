//! Pure: makes answers comparable: what differs from run to run is replaced by what it stands for.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{Answer, Script, owners};

/// What a server says of how it was built.
const BUILD: [&str; 7] =
    ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];

/// What was seen in the answers of one script so far.
#[derive(Debug, Default)]
struct Seen {
    run: String,
    uids: Vec<String>,
    revisions: BTreeMap<String, Vec<String>>,
}

/// Replaces what differs from run to run; `run` is what `$RUN` stood for.
pub fn normalise(script: &Script, answers: Vec<Answer>, run: &str) -> Vec<Answer> {
    let mut seen = Seen { run: run.to_owned(), ..Seen::default() };
    let normal = |answer: Answer| {
        let step = script.steps.iter().find(|step| step.name == answer.step);
        seen.answer(answer, step.map_or(&[], |step| &step.controlled))
    };
    answers.into_iter().map(normal).collect()
}

impl Seen {
    fn answer(&mut self, mut answer: Answer, controlled: &[String]) -> Answer {
        for text in answer.headers.values_mut() {
            *text = self.text(text);
        }
        if let Value::Array(events) = &mut answer.body {
            // What else happens to a controlled object while it is watched is for controllers to say, and
            // how often a bookmark comes depends on the hour.
            let is_controlled = !controlled.is_empty();
            events.retain(|event| match event["type"].as_str() {
                Some("MODIFIED") => !is_controlled,
                Some("BOOKMARK") => !event["object"]["metadata"]["annotations"].is_null(),
                _ => true,
            });
        }
        self.value(&mut answer.body, controlled);
        if answer.code == 500 {
            answer.body["message"] = json!("(internal)");
            answer.body["details"] = Value::Null;
        }
        answer
    }

    fn value(&mut self, value: &mut Value, controlled: &[String]) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => {
                for item in items {
                    self.value(item, controlled);
                }
            }
            Value::Object(fields) => self.object(fields, controlled),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, fields: &mut Map<String, Value>, controlled: &[String]) {
        if fields.get("metadata").is_some_and(Value::is_object) {
            erase(fields, controlled);
            owners::compare_clients_only(fields, controlled);
            self.metadata(fields, !controlled.is_empty());
        }
        if let Some(Value::Array(cells)) = fields.get_mut("cells") {
            cells.iter_mut().for_each(ages);
            for pointer in controlled.iter().filter_map(|it| it.strip_prefix("/cells/")) {
                if let Some(cell) = pointer.parse().ok().and_then(|at: usize| cells.get_mut(at)) {
                    *cell = json!("(controlled)");
                }
            }
        }
        if let Some(Value::Array(columns)) = fields.get_mut("columnDefinitions") {
            columns.iter_mut().for_each(description);
        }
        let names: Vec<_> = fields.keys().cloned().collect();
        for name in names {
            // A template has no version of its own that controllers could change.
            let below: &[String] = match name.as_str() {
                "items" | "rows" | "object" => controlled,
                _ => &[],
            };
            if let Some(value) = fields.get_mut(&name) {
                self.value(value, below);
                mask(&name, value);
            }
            let plain = self.text(&name);
            if plain != name
                && let Some(value) = fields.remove(&name)
            {
                fields.insert(plain, value);
            }
        }
    }

    /// Replaces versions by their order, for each object.
    fn metadata(&mut self, fields: &mut Map<String, Value>, is_controlled: bool) {
        let is_list = fields.contains_key("items") || fields.contains_key("rows");
        let Some(Value::Object(metadata)) = fields.get_mut("metadata") else { return };
        let name = metadata.get("name").and_then(Value::as_str).map(ToOwned::to_owned);
        let Some(Value::String(revision)) = metadata.get_mut("resourceVersion") else { return };
        *revision = match name {
            Some(name) if !is_controlled => {
                let known = self.revisions.entry(name).or_default();
                let index = known.iter().position(|it| it == revision).unwrap_or_else(|| {
                    known.push(revision.clone());
                    known.len() - 1
                });
                format!("version {}", index + 1)
            }
            Some(_) => "version".to_owned(),
            None if is_list => "of the list".to_owned(),
            None => "of the bookmark".to_owned(),
        };
    }

    fn text(&mut self, text: &str) -> String {
        static UID: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
        });
        // Fixtures hold times before 2025 and addresses of the ranges for documentation.
        static MICRO: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"20(2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").unwrap()
        });
        static TIME: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"20(2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap());
        static ADDRESS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\b10\.\d+\.\d+\.\d+\b").unwrap());
        static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"Key: [^,]+,").unwrap());
        static GENERATED: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"\b(gen|kube-api-access)-[bcdfghjklmnpqrstvwxz2456789]{5}\b").unwrap()
        });
        // What an update of a pod or a volume changed is shown as lines of the reference's internal types.
        static LINES: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\n@@ .*\n(?:[ +@-].*\n)*").unwrap());
        let mut text = sorted(text).replace(&self.run, "$RUN");
        text =
            UID.replace_all(&text, |found: &regex::Captures<'_>| self.uid(&found[0])).into_owned();
        text = MICRO.replace_all(&text, "(micro time)").into_owned();
        text = TIME.replace_all(&text, "(time)").into_owned();
        text = KEY.replace_all(&text, "Key: (key),").into_owned();
        text = ADDRESS.replace_all(&text, "(address)").into_owned();
        text = GENERATED.replace_all(&text, "$1-(suffix)").into_owned();
        text = LINES.replace_all(&text, "").into_owned();
        if text.to_lowercase().replace(' ', "").contains("resourceversion") {
            static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\d+\b").unwrap());
            text = NUMBER.replace_all(&text, "(number)").into_owned();
        }
        text
    }

    fn uid(&mut self, uid: &str) -> String {
        if uid.trim_matches(['0', '-']).is_empty() {
            return uid.to_owned();
        }
        let index = self.uids.iter().position(|it| it == uid).unwrap_or_else(|| {
            self.uids.push(uid.to_owned());
            self.uids.len() - 1
        });
        format!("(uid {})", index + 1)
    }
}

/// Removes what controllers write.
fn erase(fields: &mut Map<String, Value>, controlled: &[String]) {
    for pointer in controlled {
        let Some((parents, last)) = pointer.rsplit_once('/') else { continue };
        let last = last.replace("~1", "/");
        let mut at = Some(&mut *fields);
        for name in parents.split('/').skip(1) {
            at = at.and_then(|fields| fields.get_mut(name)).and_then(Value::as_object_mut);
        }
        let is_empty = at.is_some_and(|parent| parent.remove(&last).is_some() && parent.is_empty());
        if is_empty && parents == "/metadata/annotations" {
            // A map that controllers made goes with what they put into it.
            erase(fields, &[parents.to_owned()]);
        }
    }
}

/// Sorts the keys of JSON objects within a text, also if they are quoted once more.
fn sorted(text: &str) -> String {
    let mut sorted_text = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '[', '"']) {
        let (before, from) = rest.split_at(at);
        sorted_text.push_str(before);
        let mut values = serde_json::Deserializer::from_str(from).into_iter::<Value>();
        let value = values.next().and_then(Result::ok);
        let length = value.as_ref().map_or(1, |_| values.byte_offset());
        let (own, after) = from.split_at(length);
        match value {
            Some(Value::String(quoted)) if quoted.starts_with(['{', '[']) => {
                sorted_text.push_str(&Value::from(sorted(&quoted)).to_string());
            }
            Some(Value::Object(fields)) if is_internal(&fields) => {
                sorted_text.push_str(&given_only(Value::Object(fields)).to_string());
            }
            Some(value @ (Value::Object(_) | Value::Array(_))) => {
                sorted_text.push_str(&value.to_string());
            }
            _ => sorted_text.push_str(own),
        }
        rest = after;
    }
    sorted_text.push_str(rest);
    sorted_text
}

/// Returns whether these are the fields of an internal type that pods are made of, with their names in Go.
fn is_internal(fields: &Map<String, Value>) -> bool {
    let (template, pod, container, seccomp) =
        ("Spec", "Containers", "AllowPrivilegeEscalation", "LocalhostProfile");
    [template, pod, container, seccomp].iter().any(|name| fields.contains_key(*name))
}

/// Leaves what a value of an internal type says, in the names that clients know but for their case.
///
/// The reference shows all fields of such types, among them those that no client can set and that other
/// releases do not have.
fn given_only(value: Value) -> Value {
    let is_given = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), given_only(value)))
            .filter(|(_, value)| is_given(value))
            .collect(),
        Value::Array(items) => items.into_iter().map(given_only).collect(),
        scalar => scalar,
    }
}

/// Replaces values that are allocated or secret, by the name of their field.
fn mask(name: &str, value: &mut Value) {
    let is_node_port = |port: i64| (30000..=32767).contains(&port);
    match (name, &*value) {
        ("nodePort" | "healthCheckNodePort", Value::Number(port))
            if port.as_i64().is_some_and(is_node_port) =>
        {
            *value = json!("(port)");
        }
        ("continue" | "token" | "hash" | "storageVersionHash", Value::String(text))
            if !text.is_empty() =>
        {
            *value = json!("(opaque)");
        }
        (name, _) if BUILD.contains(&name) => *value = json!("(build)"),
        _ => {}
    }
}

/// Drops the words about a column: the embedded server has none of the reference's prose.
fn description(column: &mut Value) {
    if let Some(column) = column.as_object_mut() {
        column.remove("description");
    }
}

/// Replaces the ages among the cells of a table.
fn ages(cell: &mut Value) {
    static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\d+[smhdy])+$").unwrap());
    // How long ago a container ended: recordings grow older by the day.
    static AGO: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\((\d+[smhdy])+ ago\)").unwrap());
    static PORT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r":3[0-2]\d{3}/").unwrap());
    if let Value::String(text) = cell {
        if AGE.is_match(text) {
            "(age)".clone_into(text);
        }
        *text = AGO.replace_all(text, "((age) ago)").into_owned();
        *text = PORT.replace_all(text, ":(port)/").into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::Step;

    #[test]
    fn versions_become_their_order_and_uids_their_number() {
        let answer = |step: &str, revision: &str, uid: &str| Answer {
            step: step.to_owned(),
            code: 200,
            body: json!({"metadata": {"name": "run-1-x", "resourceVersion": revision, "uid": uid}}),
            ..Answer::default()
        };
        let uid = "7b2e1c5e-3f33-4d57-8c9a-0f4b8a9e5d11";
        let answers = vec![answer("a", "10", uid), answer("b", "10", uid), answer("c", "12", uid)];
        let normal = normalise(&Script::default(), answers, "run-1");
        let texts: Vec<_> = normal
            .iter()
            .map(|it| {
                let metadata = &it.body["metadata"];
                [&metadata["name"], &metadata["resourceVersion"], &metadata["uid"]]
                    .map(|it| it.as_str().unwrap_or_default().to_owned())
                    .join(" ")
            })
            .collect();
        let expected = ["version 1", "version 1", "version 2"];
        assert_eq!(texts, expected.map(|version| format!("$RUN-x {version} (uid 1)")));
    }

    #[test]
    fn what_is_shown_of_internal_types_is_not_compared() {
        let mut seen = Seen { run: "run".to_owned(), ..Seen::default() };
        let text =
            "[spec: Forbidden: no\n@@ -1,2 +1,2 @@\n {\n- \"A\": 1\n+ \"A\": 2\n, b: Required]";
        assert_eq!(seen.text(text), "[spec: Forbidden: no, b: Required]");
    }

    #[test]
    fn json_within_a_text_is_sorted() {
        for (text, expected) in [
            (
                r#"a: {"b":1,"a":[{"d":1,"c":2}]}: x [y]"#,
                r#"a: {"a":[{"c":2,"d":1}],"b":1}: x [y]"#,
            ),
            (
                r#"a: {"Containers":[{"Stdin":false,"Image":"i","Args":null}],"DNSPolicy":""}: x"#,
                r#"a: {"containers":[{"image":"i"}]}: x"#,
            ),
            (r#"p: "{\"b\":1,\"a\":2}": no "{b" {"#, r#"p: "{\"a\":2,\"b\":1}": no "{b" {"#),
        ] {
            assert_eq!(sorted(text), expected);
        }
    }

    #[test]
    fn what_grows_older_is_not_compared() {
        for (cell, expected) in [("6y326d", "(age)"), ("2 (6y326d ago)", "2 ((age) ago)")] {
            let mut cell = json!(cell);
            ages(&mut cell);
            assert_eq!(cell, expected);
        }
    }

    #[test]
    fn what_controllers_write_is_not_compared() {
        let script = Script {
            name: "s".to_owned(),
            steps: vec![Step {
                name: "a".to_owned(),
                controlled: vec!["/status".to_owned(), "/metadata/annotations/x~1y".to_owned()],
                ..Step::default()
            }],
        };
        let body = json!({"items": [{"metadata": {"resourceVersion": "3", "name": "n",
            "annotations": {"x/y": "1", "z": "2026-01-01T00:00:00Z"}}, "status": {}}]});
        let answer = Answer { step: "a".to_owned(), code: 200, body, ..Answer::default() };
        let expected = json!({"items": [{"metadata": {"resourceVersion": "version", "name": "n",
            "annotations": {"z": "(time)"}}}]});
        assert_eq!(normalise(&script, vec![answer], "run-1")[0].body, expected);
        let mut row = json!({"rows": [{"cells": ["n", "Pending"], "object": {}}]});
        let mut seen = Seen { run: "run-1".to_owned(), ..Seen::default() };
        seen.value(&mut row, &["/cells/1".to_owned()]);
        assert_eq!(row, json!({"rows": [{"cells": ["n", "(controlled)"], "object": {}}]}));
    }
}
