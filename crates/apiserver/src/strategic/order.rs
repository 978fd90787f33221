//! Pure: the order of the items of a merged list.

use serde_json::Value;

/// Puts the items that `wanted` names into its order, and the others where they stood `before`.
///
/// `key` is the field that tells items apart, empty for lists of scalars.
pub(super) fn arrange(list: &mut Vec<Value>, wanted: &[Value], before: &[Value], key: &str) {
    let place = |list: &[Value], item: &Value| {
        let id = identity(item, key);
        list.iter().position(|each| identity(each, key) == id)
    };
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        list.drain(..).partition(|item| place(wanted, item).is_some());
    named.sort_by_key(|item| place(wanted, item));
    others.sort_by_key(|item| place(before, item).unwrap_or(usize::MAX));
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(next), Some(other)) = (named.peek(), others.peek()) {
        let other_first = match (place(before, other), place(before, next)) {
            (Some(other), Some(next)) => other < next,
            _ => false,
        };
        list.extend(if other_first { others.next() } else { named.next() });
    }
    list.extend(named);
    list.extend(others);
}

fn identity<'a>(item: &'a Value, key: &str) -> Option<&'a Value> {
    if key.is_empty() { Some(item) } else { item.get(key) }
}
