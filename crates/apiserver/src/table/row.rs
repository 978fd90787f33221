//! Pure: reads of an object what rows show.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    fields::{list, text},
    table::age,
};

/// An object and the moment that ages are told at.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    pub(super) now: Timestamp,
}

impl<'a> Row<'a> {
    pub(super) fn name(&self) -> Value {
        json!(self.text("/metadata/name"))
    }

    pub(super) fn age(&self) -> Value {
        self.since("/metadata/creationTimestamp")
    }

    pub(super) fn since(&self, pointer: &str) -> Value {
        json!(age::since(self.at(pointer), self.now))
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&'a Value> {
        self.object.pointer(pointer).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, pointer: &str) -> &'a str {
        text(self.object, pointer)
    }

    /// Returns a text, or what stands for a missing one.
    pub(super) fn text_or(&self, pointer: &str, missing: &'static str) -> Value {
        match self.text(pointer) {
            "" => json!(missing),
            text => json!(text),
        }
    }

    pub(super) fn number(&self, pointer: &str) -> i64 {
        self.at(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.at(pointer).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn list(&self, pointer: &str) -> &'a [Value] {
        list(self.object, pointer)
    }

    /// Returns how many entries a map has.
    pub(super) fn size(&self, pointer: &str) -> usize {
        self.at(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    /// Returns the labels of a map as `a=b,c=d`.
    pub(super) fn labels(&self, pointer: &str) -> String {
        let pairs = self.at(pointer).and_then(Value::as_object);
        let pairs: Vec<String> = pairs
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
    }

    /// Returns a label selector in its query form.
    pub(super) fn selector(&self, pointer: &str) -> String {
        let Some(selector) = self.at(pointer) else { return "<none>".to_owned() };
        match k8s::selector::Selector::from_label_selector(selector) {
            Err(_) => "<error>".to_owned(),
            Ok(selector) if selector.is_empty() => "<none>".to_owned(),
            Ok(selector) => selector.to_string(),
        }
    }

    /// Returns whether a condition in the status is true.
    pub(super) fn has_condition(&self, kind: &str) -> bool {
        self.list("/status/conditions")
            .iter()
            .any(|each| text(each, "/type") == kind && text(each, "/status") == "True")
    }

    /// Returns the names and the images of the containers of a pod template.
    pub(super) fn containers(&self, pod_spec: &str) -> [Value; 2] {
        let containers = self.list(&format!("{pod_spec}/containers"));
        ["/name", "/image"]
            .map(|field| json!(joined(containers.iter().map(|each| text(each, field)), ",")))
    }
}

pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    texts.collect::<Vec<_>>().join(separator)
}

/// Returns the first three of some texts and how many more there are.
pub(super) fn first_three(texts: &[String], none: &str) -> String {
    match texts {
        [] => none.to_owned(),
        [a, b, c, _, ..] => format!("{a},{b},{c} + {} more...", texts.len() - 3),
        few => few.join(","),
    }
}
