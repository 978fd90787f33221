//! Pure: how a partial object is filled up with what it does not say.

use serde_json::{Map, Value};

/// The lists whose items are told apart by fields of their own, and these fields.
const KEYED: &[(&str, &[&str])] = &[
    ("env", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
];
/// What has one of several forms: half of one and half of another would be refused.
const WHOLE: &[&str] = &[
    "env",
    "volumeMounts",
    "volumes",
    "imagePullSecrets",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "strategy",
];

/// Adds what `defaults` have and `value` does not: maps by key, lists whose items have names by these,
/// containers by name but the first by its place. Other lists and scalars only where there is nothing.
pub(crate) fn fill(value: &mut Value, defaults: &Value) {
    fill_under("", value, defaults);
}

/// Drops items that are the same as a later one: an API server refuses to apply such lists.
pub(crate) fn without_repeated(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let fields = KEYED.iter().find(|(list, _)| list == key).map(|(_, fields)| *fields);
                if let (Some(items), Some(fields)) = (value.as_array_mut(), fields) {
                    drop_repeated(items, fields);
                }
                without_repeated(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_repeated),
        _ => {}
    }
}

/// Returns a value without the nulls, empty names and the like that old tools write for "nothing".
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn fill_under(key: &str, value: &mut Value, defaults: &Value) {
    match (value, defaults) {
        (value @ Value::Null, defaults) => *value = defaults.clone(),
        (Value::Object(fields), Value::Object(defaults)) => fill_fields(fields, defaults),
        (Value::Array(items), Value::Array(defaults)) if key == "containers" => {
            fill_containers(items, defaults);
        }
        (Value::Array(items), Value::Array(defaults)) => {
            if let Some((_, fields)) = KEYED.iter().find(|(list, _)| *list == key) {
                fill_items(items, (key, defaults), fields);
            }
        }
        _ => {}
    }
}

fn drop_repeated(items: &mut Vec<Value>, fields: &[&str]) {
    let all = std::mem::take(items);
    for (place, item) in all.iter().enumerate() {
        let is_same = |later: &Value| fields.iter().all(|field| same(field, later, item));
        if !all.iter().skip(place + 1).any(is_same) {
            items.push(item.clone());
        }
    }
}

fn fill_fields(fields: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (key, default) in defaults {
        // Tools of old write an empty one for none.
        let given = fields.get(key).and_then(Value::as_object);
        let is_there = given.is_some_and(|given| !given.is_empty());
        if is_there && WHOLE.contains(&key.as_str()) {
            continue;
        }
        fill_under(key, fields.entry(key.clone()).or_insert(Value::Null), default);
    }
}

/// The first container is the function's, whatever it is called.
fn fill_containers(items: &mut Vec<Value>, defaults: &[Value]) {
    if let (Some(first), Some(default)) = (items.first_mut(), defaults.first()) {
        fill(first, default);
    }
    let (from, defaults) =
        if items.is_empty() { (0, defaults) } else { (1, defaults.get(1..).unwrap_or_default()) };
    let mut others = items.split_off(from);
    fill_items(&mut others, ("containers", defaults), &["name"]);
    items.extend(others);
}

fn fill_items(items: &mut Vec<Value>, (key, defaults): (&str, &[Value]), fields: &[&str]) {
    for default in defaults {
        let is_same = |item: &&mut Value| fields.iter().all(|field| same(field, item, default));
        match items.iter_mut().find(is_same) {
            Some(_) if WHOLE.contains(&key) => {}
            Some(item) => fill(item, default),
            None => items.push(default.clone()),
        }
    }
}

fn same(field: &str, one: &Value, other: &Value) -> bool {
    let of = |value: &Value| match (field, &value[field]) {
        // What a port of no protocol means.
        ("protocol", Value::Null) => Value::from("TCP"),
        (_, value) => value.clone(),
    };
    of(one) == of(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(value: &Value, defaults: &Value) -> Value {
        let mut value = value.clone();
        fill(&mut value, defaults);
        value
    }

    #[test]
    fn what_is_said_stays() {
        assert_eq!(
            filled(&json!({"a": 1, "list": [1]}), &json!({"a": 2, "b": 3, "list": [2, 3]})),
            json!({"a": 1, "b": 3, "list": [1]})
        );
    }

    #[test]
    fn items_are_told_apart_by_their_fields() {
        let mounts = |items: Value| json!({"volumeMounts": items});
        assert_eq!(
            filled(
                &mounts(json!([{"mountPath": "/a", "name": "mine"}])),
                &mounts(
                    json!([{"mountPath": "/a", "name": "other"}, {"mountPath": "/b", "name": "b"}])
                )
            ),
            mounts(json!([{"mountPath": "/a", "name": "mine"}, {"mountPath": "/b", "name": "b"}]))
        );
        let ports = |items: Value| json!({"ports": items});
        assert_eq!(
            filled(
                &ports(json!([{"containerPort": 53}])),
                &ports(
                    json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}])
                )
            ),
            ports(
                json!([{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}])
            )
        );
    }

    #[test]
    fn forms_are_not_mixed() {
        assert_eq!(
            filled(
                &json!({"livenessProbe": {"httpGet": {"port": 1}}, "volumes": [{"name": "a", "emptyDir": {}}]}),
                &json!({"livenessProbe": {"exec": {}}, "volumes": [{"name": "a", "secret": {}}]})
            ),
            json!({"livenessProbe": {"httpGet": {"port": 1}}, "volumes": [{"name": "a", "emptyDir": {}}]})
        );
    }

    #[test]
    fn an_empty_form_is_none() {
        let strategy = json!({"strategy": {"type": "Recreate"}});
        assert_eq!(filled(&json!({"strategy": {}}), &strategy), strategy);
        let given = json!({"strategy": {"type": "RollingUpdate"}});
        assert_eq!(filled(&given, &strategy), given);
    }

    #[test]
    fn of_two_the_later_one_stays() {
        let mut value = json!({"containers": [{"env": [
            {"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]}]});
        without_repeated(&mut value);
        assert_eq!(
            value,
            json!({"containers": [{"env": [{"name": "B"}, {"name": "A", "value": "2"}]}]})
        );
    }

    #[test]
    fn the_first_container_is_the_same_by_its_place() {
        let containers = |items: Value| json!({"containers": items});
        assert_eq!(
            filled(
                &containers(json!([{"name": "f"}, {"name": "side"}])),
                &containers(
                    json!([{"name": "", "tty": true}, {"name": "log"}, {"name": "side", "tty": true}])
                )
            ),
            containers(
                json!([{"name": "f", "tty": true}, {"name": "side", "tty": true}, {"name": "log"}])
            )
        );
    }
}
