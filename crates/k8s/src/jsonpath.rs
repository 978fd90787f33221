//! Pure: the part of JSONPath that kubectl and printer columns use.

mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde_json::Value;
use thiserror::Error;

use crate::json;

/// Why a text is no JSONPath that we take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonPathError {
    /// Something else stands where the path should go on.
    #[error("found `{found}` in the JSONPath, expected {expected}")]
    Unexpected {
        /// The rest of the path; empty at its end.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// The path has a second `..`, which could visit values over and over.
    #[error("more than one `..` in a JSONPath is not supported")]
    RepeatedDescent,
    /// Filters are nested too deep.
    #[error("nested filters in a JSONPath are not supported")]
    NestedFilter,
}

/// A parsed JSONPath, such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Wildcard,
    Descent,
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    /// What the values at the path are compared with; `None` asks only whether there are any.
    test: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Parses a path, with or without braces around it.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        parse::path(text)
    }

    /// Returns the first value at the path.
    pub fn first(&self, value: &Value) -> Option<Value> {
        self.select(value).first().copied().cloned()
    }

    /// Returns all values at the path, in the order they stand in.
    pub fn all(&self, value: &Value) -> Vec<Value> {
        self.select(value).into_iter().cloned().collect()
    }

    fn select<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![root], |found, step| {
            let mut next = Vec::new();
            for value in found {
                step.visit(value, &mut next);
            }
            next
        })
    }
}

impl Step {
    fn visit<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match self {
            Self::Field(name) => found.extend(value.get(name)),
            Self::Index(index) => found.extend(item(value, *index)),
            Self::Wildcard => found.extend(children(value)),
            Self::Descent => descend(value, found),
            Self::Filter(filter) => {
                found
                    .extend(children(value).into_iter().filter(|child| filter.lets_through(child)));
            }
        }
    }
}

impl Filter {
    fn lets_through(&self, value: &Value) -> bool {
        let found = self.path.select(value);
        match &self.test {
            None => !found.is_empty(),
            Some((comparison, literal)) => {
                found.iter().any(|value| comparison.holds(value, literal))
            }
        }
    }
}

impl Comparison {
    fn holds(self, value: &Value, literal: &Value) -> bool {
        let order = match (value, literal) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().and_then(|a| a.partial_cmp(&b.as_f64()?))
            }
            _ => None,
        };
        match self {
            Self::Equal => json::same(value, literal),
            Self::NotEqual => !json::same(value, literal),
            Self::Less => order.is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

fn item(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    items.get(if index < 0 { items.len().checked_sub(distance)? } else { distance })
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    for child in children(value) {
        descend(child, found);
    }
}
