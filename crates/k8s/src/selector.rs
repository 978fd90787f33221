//! Pure: label and field selectors, in the query form and in the form objects carry.

mod field;
mod parse;
#[cfg(test)]
mod tests;

pub use field::{FieldRequirement, FieldSelector, FieldSelectorError};

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;
use thiserror::Error;

/// Why a text or an object is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// Something else stands where the text should go on.
    #[error("found `{found}`, expected {expected}")]
    Unexpected {
        /// What stands there; empty at the end of the text.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// A key is no label key.
    #[error("`{key}` is not a label key: {reason}")]
    Key {
        /// The key.
        key: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A value is no label value.
    #[error("`{value}` is not a value of label `{key}`: {reason}")]
    LabelValue {
        /// The key it is compared with.
        key: String,
        /// The value.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A value that numbers are compared with is no integer.
    #[error("`{value}`, which label `{key}` is compared with, is no integer")]
    NoInteger {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The operator does not go with so many values.
    #[error("operator `{operator}` of `{key}` {reason}")]
    Values {
        /// The key.
        key: String,
        /// The operator.
        operator: String,
        /// Which rule is broken.
        reason: &'static str,
    },
    /// An expression has an operator that does not exist.
    #[error("`{operator}` is not an operator of a label selector")]
    Operator {
        /// The operator.
        operator: String,
    },
    /// A field of the selector has the wrong type.
    #[error("`{field}` of the label selector must be {expected}")]
    Type {
        /// The field, empty for the selector itself.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Equals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// What the label of one key must be like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

/// Which labels are selected: those that meet every requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

impl Selector {
    /// Parses the query form, such as `app=web,tier in (a, b),!old`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::selector(text).map(Self::sorted)
    }

    /// Reads a selector with `matchLabels` and `matchExpressions`.
    pub fn from_label_selector(selector: &Value) -> Result<Self, SelectorError> {
        let fields = selector
            .as_object()
            .ok_or(SelectorError::Type { field: "selector", expected: "an object" })?;
        let mut requirements = match_labels(fields.get("matchLabels"))?;
        requirements.extend(match_expressions(fields.get("matchExpressions"))?);
        Ok(Self::sorted(requirements))
    }

    /// Returns a selector of the objects that carry all these labels.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        let equals = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: BTreeSet::from([value.clone()]),
        };
        Self(labels.iter().map(equals).collect())
    }

    /// Returns whether the labels meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.is_met(labels.get(&requirement.key)))
    }

    /// Returns a label and the only value that it may have, if there is such a requirement.
    pub fn required_label(&self) -> Option<(&str, &str)> {
        self.0.iter().find_map(|Requirement { key, operator, values }| {
            let is_fixed = matches!(operator, Operator::Equals | Operator::In) && values.len() == 1;
            values.first().filter(|_| is_fixed).map(|value| (key.as_str(), value.as_str()))
        })
    }

    /// Returns whether nothing is required, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sorted(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        Self(requirements)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl Requirement {
    /// Makes a requirement whose key, operator and values go together.
    fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, SelectorError> {
        let (key, refuse) = (key.to_owned(), |reason| SelectorError::Values {
            key: key.to_owned(),
            operator: operator.to_string(),
            reason,
        });
        if let Some(reason) = key_flaw(&key) {
            return Err(SelectorError::Key { key, reason });
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(refuse("needs at least one value"));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(refuse("takes no values"));
            }
            Operator::GreaterThan | Operator::LessThan => {
                let odd = values.iter().find(|value| value.parse::<i64>().is_err()).cloned();
                if let Some(value) = odd {
                    return Err(SelectorError::NoInteger { key, value });
                }
            }
            _ => {}
        }
        for value in &values {
            if let Some(reason) = value_flaw(value) {
                return Err(SelectorError::LabelValue { key, value: value.clone(), reason });
            }
        }
        Ok(Self { key, operator, values })
    }

    fn is_met(&self, label: Option<&String>) -> bool {
        let listed = label.is_some_and(|label| self.values.contains(label));
        match self.operator {
            Operator::Equals | Operator::In => listed,
            Operator::NotEquals | Operator::NotIn => !listed,
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => self.compares(label, |label, bound| label > bound),
            Operator::LessThan => self.compares(label, |label, bound| label < bound),
        }
    }

    fn compares(&self, label: Option<&String>, test: fn(i64, i64) -> bool) -> bool {
        let Some(label) = label.and_then(|label| label.parse().ok()) else {
            return false;
        };
        self.values.iter().filter_map(|bound| bound.parse().ok()).all(|bound| test(label, bound))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        let values = values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In | Operator::NotIn => write!(f, "{key} {operator} ({values})"),
            _ => write!(f, "{key}{operator}{values}"),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equals => "=",
            Self::NotEquals => "!=",
            Self::In => "in",
            Self::NotIn => "notin",
            Self::Exists => "exists",
            Self::DoesNotExist => "!",
            Self::GreaterThan => ">",
            Self::LessThan => "<",
        })
    }
}

fn match_labels(labels: Option<&Value>) -> Result<Vec<Requirement>, SelectorError> {
    let refused = SelectorError::Type { field: "matchLabels", expected: "a map of strings" };
    match labels {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(labels)) => labels
            .iter()
            .map(|(key, value)| {
                let value = value.as_str().ok_or_else(|| refused.clone())?;
                Requirement::new(key, Operator::Equals, BTreeSet::from([value.to_owned()]))
            })
            .collect(),
        Some(_) => Err(refused),
    }
}

fn match_expressions(expressions: Option<&Value>) -> Result<Vec<Requirement>, SelectorError> {
    match expressions {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(expressions)) => expressions.iter().map(match_expression).collect(),
        Some(_) => Err(SelectorError::Type { field: "matchExpressions", expected: "a list" }),
    }
}

fn match_expression(expression: &Value) -> Result<Requirement, SelectorError> {
    let text = |field: &'static str| {
        expression
            .get(field)
            .and_then(Value::as_str)
            .ok_or(SelectorError::Type { field, expected: "a string" })
    };
    let operator = match text("operator")? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(SelectorError::Operator { operator: other.to_owned() }),
    };
    let refused = SelectorError::Type { field: "values", expected: "a list of strings" };
    let values = match expression.get("values") {
        None | Some(Value::Null) => BTreeSet::new(),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(refused)?,
        Some(_) => return Err(refused),
    };
    Requirement::new(text("key")?, operator, values)
}

/// Returns which rule of label keys `key` breaks.
fn key_flaw(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.len() > 253 || !prefix.split('.').all(is_dns_label) {
                return Some("the part before `/` must be a DNS subdomain");
            }
            name
        }
        None => key,
    };
    if name.is_empty() { Some("the name is empty") } else { value_flaw(name) }
}

/// Returns which rule of label values `value` breaks.
fn value_flaw(value: &str) -> Option<&'static str> {
    let alphanumeric = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    if bytes.len() > 63 {
        Some("it is longer than 63 characters")
    } else if !alphanumeric(bytes.first()) || !alphanumeric(bytes.last()) {
        Some("it must start and end with a letter or digit")
    } else if !bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)) {
        Some("only letters, digits, `-`, `_` and `.` are allowed")
    } else {
        None
    }
}

fn is_dns_label(label: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
}
