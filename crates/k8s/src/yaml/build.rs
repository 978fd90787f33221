//! Pure: builds values from parser events, with bounds on depth and on what aliases expand to.

use std::{collections::HashMap, mem};

use saphyr_parser::{Event, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::{RepeatedKey, YamlError, scalar};
use crate::json::MAX_DEPTH;

/// Builds the values of a stream, one document after the other.
pub(super) struct Builder {
    root: Value,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Value>,
    /// How much more aliases may expand to, in values and bytes of text.
    budget: usize,
    repeated: Vec<RepeatedKey>,
}

/// A list or mapping that has begun.
struct Frame {
    anchor: usize,
    content: Content,
    start: Span,
}

enum Content {
    List(Vec<Value>),
    Mapping { fields: Map<String, Value>, merged: Vec<Value>, key: Option<Key> },
}

/// The key whose value comes next.
enum Key {
    Field { name: String, is_text: bool },
    Merge,
}

impl Builder {
    /// Makes a builder for a text of this length.
    pub(super) fn new(length: usize) -> Self {
        let budget = length.saturating_mul(10).saturating_add(1_000_000);
        let (stack, anchors, repeated) = (Vec::new(), HashMap::new(), Vec::new());
        Self { root: Value::Null, stack, anchors, budget, repeated }
    }

    /// Begins a document.
    pub(super) fn begin(&mut self) {
        self.root = Value::Null;
        self.stack.clear();
        self.anchors.clear();
        self.repeated.clear();
    }

    /// Ends the document and returns its value and the keys that stand twice in a mapping.
    pub(super) fn finish(&mut self) -> (Value, Vec<RepeatedKey>) {
        (self.root.take(), mem::take(&mut self.repeated))
    }

    /// Takes the next event within the document.
    pub(super) fn add(&mut self, event: Event<'_>, at: Span) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, tag.as_deref(), anchor, at)
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(anchor, _) => self.open(anchor, Content::List(Vec::new()), at),
            Event::MappingStart(anchor, _) => {
                let (fields, merged) = (Map::new(), Vec::new());
                self.open(anchor, Content::Mapping { fields, merged, key: None }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        anchor: usize,
        at: Span,
    ) -> Result<(), YamlError> {
        if let Some(key @ None) = self.key()
            && text == "<<"
            && style == ScalarStyle::Plain
            && tag.is_none()
        {
            *key = Some(Key::Merge);
            return Ok(());
        }
        let value = scalar::resolve(text, style, tag).map_err(|why| YamlError::new(at, why))?;
        self.keep(anchor, &value, at)?;
        self.place(value, at)
    }

    fn alias(&mut self, anchor: usize, at: Span) -> Result<(), YamlError> {
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(YamlError::new(at, "the alias is within its own anchor or of no anchor"));
        };
        if height(value) + self.stack.len() > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let size = size(value);
        let value = value.clone();
        self.spend(size, at)?;
        self.place(value, at)
    }

    fn open(&mut self, anchor: usize, content: Content, at: Span) -> Result<(), YamlError> {
        if matches!(self.key(), Some(None)) {
            return Err(YamlError::new(at, "a list or mapping cannot be a key"));
        }
        if self.stack.len() == MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.stack.push(Frame { anchor, content, start: at });
        Ok(())
    }

    fn close(&mut self, at: Span) -> Result<(), YamlError> {
        let Frame { anchor, content, start } =
            self.stack.pop().expect("the parser closes only what it has opened");
        let value = match content {
            Content::List(items) => Value::Array(items),
            Content::Mapping { mut fields, merged, .. } => {
                for from in merged {
                    merge(&mut fields, from).map_err(|why| YamlError::new(at, why))?;
                }
                Value::Object(fields)
            }
        };
        self.keep(anchor, &value, at)?;
        self.place(value, start)
    }

    /// Returns the slot of the current key if a mapping is being built.
    fn key(&mut self) -> Option<&mut Option<Key>> {
        match self.stack.last_mut() {
            Some(Frame { content: Content::Mapping { key, .. }, .. }) => Some(key),
            _ => None,
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, value: Value, at: Span) -> Result<(), YamlError> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = value;
            return Ok(());
        };
        match &mut frame.content {
            Content::List(items) => items.push(value),
            Content::Mapping { fields, merged, key } => match key.take() {
                Some(Key::Field { name, is_text }) => {
                    if fields.contains_key(&name) {
                        let (key, line) = (name.clone(), at.start.line());
                        self.repeated.push(RepeatedKey { key, is_text, line });
                    }
                    fields.insert(name, value);
                }
                Some(Key::Merge) => merged.push(value),
                None => {
                    let is_text = value.is_string();
                    let name = scalar::key(value).map_err(|why| YamlError::new(at, why))?;
                    *key = Some(Key::Field { name, is_text });
                }
            },
        }
        Ok(())
    }

    fn keep(&mut self, anchor: usize, value: &Value, at: Span) -> Result<(), YamlError> {
        // Anchors are counted from 1; 0 means none.
        if anchor > 0 {
            self.spend(size(value), at)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(())
    }

    fn spend(&mut self, size: usize, at: Span) -> Result<(), YamlError> {
        let rest = self.budget.checked_sub(size);
        self.budget = rest.ok_or_else(|| YamlError::new(at, "aliases expand to too much"))?;
        Ok(())
    }
}

/// Adds the fields of merged mappings: those already there win.
fn merge(fields: &mut Map<String, Value>, from: Value) -> Result<(), &'static str> {
    match from {
        Value::Object(from) => {
            for (key, value) in from {
                fields.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(all) if all.iter().all(Value::is_object) => {
            all.into_iter().try_for_each(|from| merge(fields, from))
        }
        _ => Err("`<<` needs a mapping or a list of mappings"),
    }
}

fn too_deep(at: Span) -> YamlError {
    YamlError::new(at, format!("nested deeper than {MAX_DEPTH} levels"))
}

fn height(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(height).max().unwrap_or(0),
        _ => 0,
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}
