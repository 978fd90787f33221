//! Pure: merges lists that are maps by a key of their items.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::without_null_fields;
use crate::json;

/// The fields that tell items of a list apart, the first that fits counts.
const MERGE_KEYS: [&str; 7] = ["containerPort", "port", "mountPath", "name", "uid", "ip", "path"];

/// What tells one item from the others.
type Identity = (String, Option<String>);

/// Merges lists of objects by their merge key; lists without one give `None`.
pub(super) fn merge(observed: &[Value], last: &[Value], desired: &[Value]) -> Option<Value> {
    let lists = [objects(observed)?, objects(last)?, objects(desired)?];
    let identities = MERGE_KEYS.iter().find_map(|key| identities(&lists, key))?;
    let [observed_ids, last_ids, desired_ids] = identities;
    let by_identity = |ids: &[Identity], items: &[Value]| {
        ids.iter().cloned().zip(items.iter().cloned()).collect::<BTreeMap<_, _>>()
    };
    let last = by_identity(&last_ids, last);
    let mut desired_items = by_identity(&desired_ids, desired);

    let mut merged = Vec::new();
    for (id, item) in observed_ids.iter().zip(observed) {
        if let Some(desired) = desired_items.remove(id) {
            merged.push(super::merge(item, last.get(id).unwrap_or(&Value::Null), &desired));
        } else if !last.contains_key(id) {
            merged.push(item.clone());
        }
    }
    let new = desired_ids.iter().filter_map(|id| desired_items.get(id));
    merged.extend(new.map(without_null_fields));
    Some(Value::Array(merged))
}

/// Returns each desired item with the one that stands for it, as far as there is one; lists without a
/// merge key give `None`.
pub(super) fn matching<'a>(
    items: &'a [Value],
    desired: &'a [Value],
) -> Option<impl Iterator<Item = (&'a Value, &'a Value)>> {
    let lists = [objects(items)?, Vec::new(), objects(desired)?];
    let [ids, _, desired_ids] = MERGE_KEYS.iter().find_map(|key| identities(&lists, key))?;
    let items: BTreeMap<_, _> = ids.into_iter().zip(items).collect();
    let pairs = desired_ids.into_iter().zip(desired);
    Some(pairs.filter_map(move |(id, desired)| Some((*items.get(&id)?, desired))))
}

fn objects(list: &[Value]) -> Option<Vec<&Map<String, Value>>> {
    list.iter().map(Value::as_object).collect()
}

/// Returns the identities of all items if `key`, alone or with the protocol, makes them unique.
fn identities(lists: &[Vec<&Map<String, Value>>; 3], key: &str) -> Option<[Vec<Identity>; 3]> {
    if lists.iter().all(Vec::is_empty) {
        return None;
    }
    let mut plain = [const { Vec::new() }; 3];
    for (ids, list) in plain.iter_mut().zip(lists) {
        for item in list {
            ids.push((text_form(item.get(key)?)?, None));
        }
    }
    if plain.iter().all(|ids| are_unique(ids)) {
        return Some(plain);
    }
    let mut paired = plain;
    for (ids, list) in paired.iter_mut().zip(lists) {
        for ((_, protocol), item) in ids.iter_mut().zip(list) {
            // Kubernetes means TCP where ports name no protocol.
            let default = || Some("TCP".to_owned());
            *protocol = item.get("protocol").and_then(text_form).or_else(default);
        }
    }
    paired.iter().all(|ids| are_unique(ids)).then_some(paired)
}

fn are_unique(ids: &[Identity]) -> bool {
    ids.iter().collect::<BTreeSet<_>>().len() == ids.len()
}

/// Returns how a scalar reads; anything else tells no items apart.
fn text_form(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(json::go_float),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
