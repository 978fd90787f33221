//! Pure: field selectors, which compare fields by their path.

use std::fmt;

use thiserror::Error;

/// Why a text is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldSelectorError {
    /// A term has none of the operators `=`, `==` and `!=`.
    #[error("`{term}` of the field selector has no operator")]
    NoOperator {
        /// The term.
        term: String,
    },
    /// A value has a character that must be escaped, or an escape that means nothing.
    #[error("`{value}` of the field selector is not escaped right")]
    Escape {
        /// The value as it stands.
        value: String,
    },
}

/// What one field must be, or must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The path of the field, such as `metadata.name`.
    pub path: String,
    /// The value it is compared with.
    pub value: String,
    /// Whether the field must differ from the value.
    pub negated: bool,
}

impl FieldRequirement {
    /// Returns whether a field with this value meets the requirement; a missing field is empty.
    pub fn is_met(&self, field: &str) -> bool {
        (self.value == field) != self.negated
    }
}

/// Which fields are selected: those that meet every requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldRequirement>);

impl FieldSelector {
    /// Parses the query form, such as `metadata.name=web,spec.node!=a`.
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let terms = split_terms(text).into_iter().filter(|term| !term.is_empty());
        terms.map(requirement).collect::<Result<_, _>>().map(Self)
    }

    /// Returns what is required.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.0
    }

    /// Returns whether nothing is required, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldRequirement { path, value, negated }) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if *negated { "!=" } else { "=" };
            write!(f, "{comma}{path}{operator}{}", escape(value))?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if c == ',' && !escaped {
            terms.push(&text[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(&text[start..]);
    terms
}

fn requirement(term: &str) -> Result<FieldRequirement, FieldSelectorError> {
    let no_operator = || FieldSelectorError::NoOperator { term: term.to_owned() };
    let at = term.find(['=', '!']).ok_or_else(no_operator)?;
    let (path, rest) = term.split_at(at);
    let (value, negated) = if let Some(value) = rest.strip_prefix("!=") {
        (value, true)
    } else {
        let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='));
        (value.ok_or_else(no_operator)?, false)
    };
    let value =
        unescape(value).ok_or_else(|| FieldSelectorError::Escape { value: value.to_owned() })?;
    Ok(FieldRequirement { path: path.to_owned(), value, negated })
}

fn unescape(value: &str) -> Option<String> {
    let mut chars = value.chars();
    let mut plain = String::with_capacity(value.len());
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| "\\,=".contains(*c))?),
            ',' | '=' => return None,
            _ => plain.push(c),
        }
    }
    Some(plain)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}
