//! Pure: the steps of a path to a field: a name, the keys of a list item, its value or its index.

use std::fmt;

use serde_json::{Map, Value};

use crate::field::quote;

/// One step of a path, in the form that `fieldsV1` has for it: `f:NAME`, `k:KEYS`, `v:VALUE` or `i:INDEX`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element(String);

impl Element {
    /// Returns the step to a field or map entry.
    pub(super) fn field(name: &str) -> Self {
        // This is by far the most frequent step, and `format!` is slow.
        Self(["f:", name].concat())
    }

    /// Returns the step to the list item with these key fields.
    pub(super) fn keys(keys: Map<String, Value>) -> Self {
        Self(format!("k:{}", Value::Object(keys)))
    }

    /// Returns the step to the item of a set.
    pub(super) fn value(value: &Value) -> Self {
        Self(format!("v:{value}"))
    }

    /// Reads a key of `fieldsV1` and brings it into its one form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self(text.to_owned())),
            "k" => match k8s::json::parse(rest.as_bytes()).ok()? {
                Value::Object(keys) => Some(Self::keys(keys)),
                _ => None,
            },
            "v" => k8s::json::parse(rest.as_bytes()).ok().map(|value| Self::value(&value)),
            "i" => rest.parse::<i64>().ok().map(|index| Self(format!("i:{index}"))),
            _ => None,
        }
    }

    /// Returns the name if the step is one to a field or map entry.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    /// Returns the form that `fieldsV1` has for it.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, rest) = self.0.split_once(':').unwrap_or_default();
        let value = || serde_json::from_str(rest).unwrap_or_default();
        match kind {
            "k" => {
                let value: Value = value();
                let keys = value.as_object().into_iter().flatten();
                let keys: Vec<_> =
                    keys.map(|(name, key)| format!("{name}={}", shown(key))).collect();
                write!(f, "[{}]", keys.join(","))
            }
            "v" => write!(f, "[={}]", shown(&value())),
            "i" => write!(f, "[{rest}]"),
            _ => write!(f, ".{rest}"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}
