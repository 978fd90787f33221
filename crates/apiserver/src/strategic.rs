//! Pure: strategic merge patches of built-in kinds.
//!
//! How a list is merged comes from the types; a list nobody knows is refused, never replaced in silence.

mod order;
#[cfg(test)]
mod tests;

use k8s::GroupVersionKind;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    field::FieldPath,
    pack::{self, Patch, Shape},
};

/// Why a strategic merge patch cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum StrategicError {
    /// The kind has no strategies of its own, as custom resources have none.
    #[error("strategic merge patch is not supported for {0}")]
    UnknownKind(GroupVersionKind),
    /// The patch or what it changes is no JSON object.
    #[error("a strategic merge patch must be an object")]
    NotAnObject,
    /// Nobody knows how the list is merged.
    #[error("how to merge the list `{0}` is not known")]
    UnknownList(String),
    /// An item of a list lacks the field that tells items apart.
    #[error("an item of `{path}` does not contain declared merge key: {key}")]
    NoMergeKey { path: String, key: &'static str },
    /// A list holds both objects and other values.
    #[error("the items of `{0}` are not of one kind")]
    MixedList(String),
    /// A `$patch` directive says what no patch can do.
    #[error("unknown patch type `{directive}` at `{path}`")]
    Directive { path: String, directive: String },
    /// `$retainKeys` is no list of names, or lacks a field that the patch sets.
    #[error("invalid patch format of retainKeys at `{0}`")]
    RetainKeys(String),
    /// A `$setElementOrder` or `$deleteFromPrimitiveList` directive is no list.
    #[error("the directive `{0}` is not a list")]
    ListDirective(String),
}

/// Merges a strategic merge patch into an object of a built-in kind.
pub(crate) fn merge(
    gvk: &GroupVersionKind,
    target: &mut Value,
    patch: &Value,
) -> Result<(), StrategicError> {
    let root = pack::of(gvk).ok_or_else(|| StrategicError::UnknownKind(gvk.clone()))?;
    let (Value::Object(target), Value::Object(patch)) = (target, patch) else {
        return Err(StrategicError::NotAnObject);
    };
    let place = Place { path: FieldPath::root(), form: Form::Struct(root.name) };
    merge_map(&place, target, patch)
}

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

/// Where in an object the merge is, and what is known about it.
struct Place {
    path: FieldPath,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    /// The fields of a struct.
    Struct(&'static str),
    /// A value whose type is known.
    Shape(&'static Shape),
    /// A value that may hold anything.
    Free,
    /// A value of a field that no type has.
    Unknown,
}

impl Place {
    /// Returns the place of a field or map entry, and how it is patched.
    fn field(&self, name: &str) -> (Self, Patch) {
        let (form, patch) = match self.form {
            Form::Struct(owner) => match pack::named(owner).and_then(|owner| owner.field(name)) {
                Some(field) => (Form::of(&field.shape), field.patch),
                None => (Form::Unknown, Patch::default()),
            },
            Form::Shape(Shape::Map(entry)) => (Form::of(entry), Patch::default()),
            Form::Shape(_) | Form::Unknown => (Form::Unknown, Patch::default()),
            Form::Free => (Form::Free, Patch::default()),
        };
        (Self { path: self.path.child(name), form }, patch)
    }

    /// Returns the place of an item of a list.
    fn item(&self, index: usize) -> Self {
        let form = match self.form {
            Form::Shape(Shape::List(item)) => Form::of(item),
            other => other,
        };
        Self { path: self.path.index(index), form }
    }
}

impl Form {
    fn of(shape: &'static Shape) -> Self {
        match shape {
            Shape::Struct(name) => Self::Struct(name),
            Shape::Leaf(leaf) if leaf.is_free() => Self::Free,
            other => Self::Shape(other),
        }
    }
}

fn merge_map(
    place: &Place,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), StrategicError> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None => {}
        Some("replace") => {
            *target = cleaned_map(patch);
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => {
            let (path, directive) = (place.path.to_string(), other.to_owned());
            return Err(StrategicError::Directive { path, directive });
        }
    }
    retain_keys(place, target, patch)?;
    // Items that the order does not name stay where they were before the merge, so that is put aside.
    let before: Map<String, Value> = patch
        .keys()
        .filter_map(|key| key.strip_prefix(ELEMENT_ORDER))
        .filter_map(|name| Some((name.to_owned(), target.get(name)?.clone())))
        .collect();
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM_LIST) {
            delete_from_list(target, key, name, value)?;
        } else if key != RETAIN_KEYS && !key.starts_with(ELEMENT_ORDER) {
            merge_field(place, target, key, value)?;
        }
    }
    for (key, wanted) in patch {
        if let Some(name) = key.strip_prefix(ELEMENT_ORDER) {
            let Value::Array(wanted) = wanted else {
                return Err(StrategicError::ListDirective(key.clone()));
            };
            let (_, strategy) = place.field(name);
            let before = before.get(name).and_then(Value::as_array);
            if let Some(Value::Array(list)) = target.get_mut(name) {
                order::arrange(
                    list,
                    wanted,
                    before.map(Vec::as_slice).unwrap_or_default(),
                    strategy.key,
                );
            }
        }
    }
    Ok(())
}

/// Removes the fields that `$retainKeys` does not name.
fn retain_keys(
    place: &Place,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), StrategicError> {
    let Some(retained) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let wrong = || StrategicError::RetainKeys(place.path.to_string());
    let retained = retained.as_array().ok_or_else(wrong)?;
    let is_retained = |key: &str| retained.iter().any(|each| each == key);
    if patch.iter().any(|(key, value)| !value.is_null() && !is_directive(key) && !is_retained(key))
    {
        return Err(wrong());
    }
    target.retain(|key, _| is_retained(key));
    Ok(())
}

fn delete_from_list(
    target: &mut Map<String, Value>,
    key: &str,
    name: &str,
    unwanted: &Value,
) -> Result<(), StrategicError> {
    let Value::Array(unwanted) = unwanted else {
        return Err(StrategicError::ListDirective(key.to_owned()));
    };
    if let Some(Value::Array(list)) = target.get_mut(name) {
        list.retain(|item| !unwanted.contains(item));
    }
    Ok(())
}

fn merge_field(
    place: &Place,
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
) -> Result<(), StrategicError> {
    let (place, strategy) = place.field(name);
    if value.is_array() && matches!(place.form, Form::Unknown) {
        return Err(StrategicError::UnknownList(place.path.to_string()));
    }
    match (target.get_mut(name), value) {
        (_, Value::Null) => {
            target.remove(name);
        }
        (Some(Value::Object(old)), Value::Object(new)) => merge_map(&place, old, new)?,
        (Some(Value::Array(old)), Value::Array(new)) if strategy.merge => {
            merge_list(&place, strategy.key, old, new)?;
        }
        (_, value) => match cleaned(value) {
            Some(value) => {
                target.insert(name.to_owned(), value);
            }
            None => {
                target.remove(name);
            }
        },
    }
    Ok(())
}

fn merge_list(
    place: &Place,
    key: &'static str,
    old: &mut Vec<Value>,
    new: &[Value],
) -> Result<(), StrategicError> {
    let objects = old.iter().chain(new).filter(|item| item.is_object()).count();
    let before = old.clone();
    if objects == 0 {
        for item in new {
            if !old.contains(item) {
                old.push(item.clone());
            }
        }
        order::arrange(old, new, &before, "");
        return Ok(());
    }
    if objects != old.len() + new.len() {
        return Err(StrategicError::MixedList(place.path.to_string()));
    }
    if key.is_empty() {
        return Err(StrategicError::UnknownList(place.path.to_string()));
    }
    let new = apply_directives(place, key, old, new)?;
    for item in &new {
        merge_item(place, key, old, item)?;
    }
    let new: Vec<Value> = new.into_iter().cloned().collect();
    order::arrange(old, &new, &before, key);
    Ok(())
}

/// Removes the items that `$patch: delete` names, or all of them on `$patch: replace`.
///
/// Returns the items of the patch that are no directives.
fn apply_directives<'a>(
    place: &Place,
    key: &'static str,
    old: &mut Vec<Value>,
    new: &'a [Value],
) -> Result<Vec<&'a Value>, StrategicError> {
    let mut ordinary = Vec::new();
    for item in new {
        match item.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
            None => ordinary.push(item),
            Some("delete") => {
                let wanted = item.get(key).ok_or_else(|| no_key(place, key))?;
                old.retain(|each| each.get(key) != Some(wanted));
            }
            Some("replace") => old.clear(),
            Some(other) => {
                let (path, directive) = (place.path.to_string(), other.to_owned());
                return Err(StrategicError::Directive { path, directive });
            }
        }
    }
    Ok(ordinary)
}

fn merge_item(
    place: &Place,
    key: &'static str,
    old: &mut Vec<Value>,
    item: &Value,
) -> Result<(), StrategicError> {
    let wanted = item.get(key).ok_or_else(|| no_key(place, key))?;
    let found = old.iter_mut().enumerate().find(|(_, each)| each.get(key) == Some(wanted));
    if let (Some((index, Value::Object(old))), Value::Object(item)) = (found, item) {
        return merge_map(&place.item(index), old, item);
    }
    old.extend(cleaned(item));
    Ok(())
}

fn no_key(place: &Place, key: &'static str) -> StrategicError {
    StrategicError::NoMergeKey { path: place.path.to_string(), key }
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE
        || key == RETAIN_KEYS
        || key.starts_with(ELEMENT_ORDER)
        || key.starts_with(DELETE_FROM_LIST)
}

/// Returns a new value without directives and nulls; nothing if it is one.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => Some(Value::Object(cleaned_map(fields))),
        Value::Array(list) => Some(Value::Array(list.iter().filter_map(cleaned).collect())),
        scalar => Some(scalar.clone()),
    }
}

fn cleaned_map(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(key, value)| !value.is_null() && !is_directive(key))
        .filter_map(|(key, value)| Some((key.clone(), cleaned(value)?)))
        .collect()
}
