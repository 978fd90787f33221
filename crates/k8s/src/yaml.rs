//! Pure: YAML as kubectl reads and writes it, which is neither quite YAML 1.1 nor 1.2.

mod build;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

pub use write::to_string;

use saphyr_parser::{Event, Parser, ScanError, Span};
use serde_json::Value;
use thiserror::Error;

use build::Builder;

/// Why a text is not YAML that we take, and where that shows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason} at line {line} column {column}")]
pub struct YamlError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl YamlError {
    fn new(at: Span, reason: impl Into<String>) -> Self {
        Self { line: at.start.line(), column: at.start.col() + 1, reason: reason.into() }
    }
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self::new(Span::empty(*error.marker()), error.info())
    }
}

/// One document of a YAML text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The value; an empty document is `null`.
    pub value: Value,
    /// The line its value starts at, counted from 1.
    pub line: usize,
    /// The keys that stand twice in a mapping; the last value counts.
    pub repeated: Vec<RepeatedKey>,
}

/// A key that stood in its mapping before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedKey {
    /// The key.
    pub key: String,
    /// Whether the key is a text and not, for example, a number.
    pub is_text: bool,
    /// The line its value starts at, counted from 1.
    pub line: usize,
}

/// Reads all documents of a text; a text without any, such as an empty one, gives none.
pub fn documents(text: &str) -> Result<Vec<Document>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::new(text.len());
    let mut documents = Vec::new();
    let mut line = None;
    while let Some(event) = parser.next_event() {
        let (event, at) = event?;
        match event {
            Event::DocumentStart(_) => {
                builder.begin();
                line = None;
            }
            Event::DocumentEnd => {
                let line = line.unwrap_or(at.start.line());
                let (value, repeated) = builder.finish();
                documents.push(Document { value, line, repeated });
            }
            event => {
                line.get_or_insert(at.start.line());
                builder.add(event, at)?;
            }
        }
    }
    Ok(documents)
}
