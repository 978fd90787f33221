//! Pure: what is wrong with one field of an object, in the words the Kubernetes API uses.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// In which way a field is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldReason {
    /// The value is missing.
    Required,
    /// The value is malformed.
    Invalid,
    /// The value has the wrong type.
    TypeInvalid,
    /// The value is none of the allowed ones.
    NotSupported,
    /// The value names something that is not there.
    NotFound,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value is well-formed but not permitted here.
    Forbidden,
    /// The value is too long.
    TooLong,
    /// The list or map has too many items.
    TooMany,
}

impl FieldReason {
    /// Returns the reason a status cause carries.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::NotFound => "FieldValueNotFound",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }

    /// Returns whether validation rules cannot be evaluated on what is wrong in this way.
    pub(crate) fn blocks_rules(self) -> bool {
        match self {
            Self::Required
            | Self::TypeInvalid
            | Self::NotSupported
            | Self::TooLong
            | Self::TooMany => true,
            Self::Invalid | Self::NotFound | Self::Duplicate | Self::Forbidden => false,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::NotFound => "Not found",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldError {
    /// In which way the field is wrong.
    pub reason: FieldReason,
    /// The path of the field, such as `spec.ports[0].name`.
    pub field: String,
    /// What is wrong, without the path.
    pub message: String,
}

impl FieldError {
    /// Returns the error of a missing value.
    pub(crate) fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(FieldReason::Required, field, None, detail)
    }

    /// Returns the error of a malformed value.
    pub(crate) fn invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(FieldReason::Invalid, field, Some(&value.into()), detail)
    }

    /// Returns the error of a value that must not be what it is, without showing it.
    pub(crate) fn invalid_without_value(
        field: impl fmt::Display,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(FieldReason::Invalid, field, None, detail)
    }

    /// Returns the error of a value of the wrong type.
    pub(crate) fn type_invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(FieldReason::TypeInvalid, field, Some(&value.into()), detail)
    }

    /// Returns the error of a value that is none of the `supported` ones.
    pub(crate) fn not_supported<T: AsRef<str>>(
        field: impl fmt::Display,
        value: impl Into<Value>,
        supported: &[T],
    ) -> Self {
        let mut detail = String::new();
        for (at, each) in supported.iter().enumerate() {
            detail.push_str(if at == 0 { "supported values: " } else { ", " });
            detail.push_str(&quote(each.as_ref()));
        }
        Self::new(FieldReason::NotSupported, field, Some(&value.into()), detail)
    }

    /// Returns the error of a malformed value that is shown in a form of its own.
    pub(crate) fn shown_invalid(field: impl fmt::Display, shown: &str, detail: &str) -> Self {
        let message = format!("Invalid value: {shown}: {detail}");
        Self { reason: FieldReason::Invalid, field: field.to_string(), message }
    }

    /// Returns the error of a value that is none of the `supported` ones and is shown in a form of its own.
    pub(crate) fn shown_not_supported(
        field: impl fmt::Display,
        shown: &str,
        supported: &[&str],
    ) -> Self {
        let supported: Vec<_> = supported.iter().map(|each| quote(each)).collect();
        let message =
            format!("Unsupported value: {shown}: supported values: {}", supported.join(", "));
        Self { reason: FieldReason::NotSupported, field: field.to_string(), message }
    }

    /// Returns the error of a value that names something that is not there.
    pub(crate) fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(FieldReason::NotFound, field, Some(&value.into()), "")
    }

    /// Returns the error of a value that occurs twice.
    pub(crate) fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(FieldReason::Duplicate, field, Some(&value.into()), "")
    }

    /// Returns the error of a value that is not permitted here.
    pub(crate) fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(FieldReason::Forbidden, field, None, detail)
    }

    /// Returns the error of a text longer than `max` bytes.
    pub(crate) fn too_long(field: impl fmt::Display, max: u64) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max} {unit}");
        Self::new(FieldReason::TooLong, field, None, detail)
    }

    /// Returns the error of a list or map of more than `max` items.
    pub(crate) fn too_many(field: impl fmt::Display, actual: u64, max: u64) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::new(FieldReason::TooMany, field, Some(&actual.into()), detail)
    }

    fn new(
        reason: FieldReason,
        field: impl fmt::Display,
        value: Option<&Value>,
        detail: impl Into<String>,
    ) -> Self {
        let mut message = reason.title().to_owned();
        if let Some(value) = value {
            message.push_str(": ");
            message.push_str(&shown(value));
        }
        let detail = detail.into();
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(&detail);
        }
        Self { reason, field: field.to_string(), message }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The path of a field, such as `spec.ports[0].name`.
///
/// The root prints as the API prints a missing path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldPath(String);

impl FieldPath {
    /// Returns the path of `below`, which is relative, below this one.
    pub(crate) fn join(&self, below: &Self) -> Self {
        match (self.0.as_str(), below.0.as_str()) {
            (_, "") => self.clone(),
            ("", _) => below.clone(),
            (path, below) if below.starts_with('[') => Self(format!("{path}{below}")),
            (path, below) => Self(format!("{path}.{below}")),
        }
    }

    /// Returns the path of the object itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// Returns the path that reads `path`.
    pub(crate) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Returns the path of a named field below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// Returns the path of a list item below this one.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// Returns the path of a map entry below this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// Returns the text in double quotes, escaped as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns how a message shows a value: a text quoted, everything else as Go's JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(_) | Value::Object(_) => value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_read_as_the_api_words_them() {
        let path = FieldPath::new("spec").child("ports").index(0).child("name");
        for (error, text) in [
            (FieldError::required(&path, ""), "spec.ports[0].name: Required value"),
            (
                FieldError::invalid(&path, "a\nb", "too odd"),
                r#"spec.ports[0].name: Invalid value: "a\nb": too odd"#,
            ),
            (
                FieldError::not_supported(&path, "x", &["a", "b"]),
                r#"spec.ports[0].name: Unsupported value: "x": supported values: "a", "b""#,
            ),
            (
                FieldError::duplicate(FieldPath::new("l").key("k"), json!({"a": "<"})),
                r#"l[k]: Duplicate value: {"a":"\u003c"}"#,
            ),
            (FieldError::forbidden(FieldPath::root(), "no more"), "<nil>: Forbidden: no more"),
            (FieldError::too_long("a", 1), "a: Too long: may not be more than 1 byte"),
            (FieldError::too_many("a", 3, 2), "a: Too many: 3: must have at most 2 items"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn control_characters_are_quoted_as_go_does() {
        assert_eq!(quote("\u{1}\u{7f}\u{85}\"\\é"), "\"\\x01\\x7f\\u0085\\\"\\\\é\"");
    }
}
