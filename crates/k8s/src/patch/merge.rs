//! Pure: JSON merge patches, RFC 7396.

use serde_json::{Map, Value};

/// Merges a patch into a value: objects field by field, `null` removes, anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    let mut fields = match target.take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
    *target = Value::Object(fields);
}

/// Returns the patch that turns one value into another. Fields that are null count as absent.
pub fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (key, old) in from {
        match to.get(key).filter(|new| !new.is_null()) {
            None if old.is_null() => {}
            None => drop(patch.insert(key.clone(), Value::Null)),
            Some(new) if new == old => {}
            Some(new) => drop(patch.insert(key.clone(), difference(old, new))),
        }
    }
    let added = to.iter().filter(|(key, new)| !from.contains_key(*key) && !new.is_null());
    patch.extend(added.map(|(key, new)| (key.clone(), new.clone())));
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_the_standard_hold() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, result) in cases {
            merge(&mut target, &patch);
            assert_eq!(target, result);
        }
    }

    /// Objects two levels deep, of few keys, so that two of them have much in common.
    fn objects() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!([1])), Just(json!({}))];
        let object = |below: BoxedStrategy<Value>| {
            proptest::collection::btree_map("[ab]", below, 0..3)
                .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into())
        };
        object(prop_oneof![leaf.clone(), object(leaf.boxed())].boxed())
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_to_the_other(from in objects(), to in objects()) {
            let mut merged = from.clone();
            merge(&mut merged, &difference(&from, &to));
            prop_assert_eq!(merged, to);
        }
    }
}
