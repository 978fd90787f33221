//! Pure: merges an applied value into a live one, and takes fields out of a value.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::managed::{
    compare::by_element,
    element::Element,
    form::{Form, Structure},
    set::FieldSet,
};

/// Returns the live value with everything that the applied one says.
pub(super) fn merge(form: Form<'_>, live: &Value, applied: &Value) -> Value {
    let structure = form.structure(applied);
    if structure != form.structure(live) {
        return applied.clone();
    }
    match (structure, live, applied) {
        (Structure::Leaf, ..) => applied.clone(),
        (Structure::Map, Value::Object(live), Value::Object(applied)) => {
            Value::Object(merge_maps(form, live, applied))
        }
        (Structure::Set | Structure::List(_), Value::Array(_), Value::Array(_)) => {
            Value::Array(merge_lists(form, structure, live, applied))
        }
        // Nothing said about a map or list takes nothing away from it.
        (_, live, Value::Null) if !is_bare(live) => live.clone(),
        _ => applied.clone(),
    }
}

fn merge_maps(
    form: Form<'_>,
    live: &Map<String, Value>,
    applied: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in applied {
        let value = match live.get(name) {
            Some(live) => merge(form.field(name), live, value),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// Merges lists: the applied items keep their order, the others stay where they stood among them.
fn merge_lists(
    form: Form<'_>,
    structure: Structure<'_>,
    live: &Value,
    applied: &Value,
) -> Vec<Value> {
    let (in_live, in_applied) =
        (by_element(form, structure, Some(live)), by_element(form, structure, Some(applied)));
    let places = |list: &Value| -> Vec<(Element, Value)> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| (form.kept_element(structure, item), item.clone())).collect()
    };
    let (theirs, ours) = (places(live), places(applied));
    let mut shared: VecDeque<&Element> =
        ours.iter().map(|it| &it.0).filter(|it| in_live.contains_key(it)).collect();
    let (mut out, mut left, mut right) = (vec![], 0, 0);
    loop {
        match (theirs.get(left), ours.get(right)) {
            (None, None) => return out,
            (Some((element, _)), Some((wanted, _)))
                if element != wanted
                    && in_applied.contains_key(element)
                    && shared.front().is_some_and(|next| *next != element) =>
            {
                left += 1;
            }
            (Some((element, item)), _) if !in_applied.contains_key(element) => {
                out.push(item.clone());
                left += 1;
            }
            (Some(_), None) => left += 1,
            (theirs, Some((element, item))) => {
                left += usize::from(theirs.is_some_and(|it| it.0 == *element));
                right += 1;
                shared.pop_front_if(|next| *next == element);
                out.push(match in_live.get(element).map(Vec::as_slice) {
                    Some([single]) => merge(form.item(), single, item),
                    _ => item.clone(),
                });
            }
        }
    }
}

/// Returns a value without the fields of a set; maps and lists that lose everything become null.
pub(super) fn without(form: Form<'_>, value: &Value, unwanted: &FieldSet) -> Value {
    let structure = form.structure(value);
    match (structure, value) {
        (Structure::Map, Value::Object(fields)) => {
            let mut left = Map::new();
            for (name, value) in fields {
                match unwanted.child(&Element::field(name)) {
                    Some(below) if below.is_own() => {}
                    Some(below) => {
                        left.insert(name.clone(), without(form.field(name), value, below));
                    }
                    None => {
                        left.insert(name.clone(), value.clone());
                    }
                }
            }
            if left.is_empty() { Value::Null } else { Value::Object(left) }
        }
        (Structure::Set | Structure::List(_), Value::Array(items)) => {
            let kept = items.iter().filter_map(|item| {
                match unwanted.child(&form.kept_element(structure, item)) {
                    Some(below) if below.is_own() => None,
                    Some(below) => Some(without(form.item(), item, below)),
                    None => Some(item.clone()),
                }
            });
            let kept: Vec<_> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => value.clone(),
    }
}

/// Returns a set with every named field that something in the set stands below.
///
/// Map entries and list items are left out: they exist only if somebody wants them.
pub(super) fn with_parents(form: Form<'_>, set: &FieldSet) -> FieldSet {
    let mut whole = FieldSet::default();
    if set.is_own() {
        whole.set_own();
    }
    for (element, child) in set.children() {
        let (below_form, is_named) = match element.name() {
            Some(name) => (form.field(name), form.declares(name)),
            None => (form.item(), false),
        };
        let mut below = with_parents(below_form, child);
        if is_named {
            below.set_own();
        }
        whole.insert(element.clone(), below);
    }
    whole
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}
