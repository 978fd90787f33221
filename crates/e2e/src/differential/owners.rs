//! Pure: makes the ownership of fields comparable.

use serde_json::{Map, Value};

/// Puts the entries of `managedFields` into an order that does not depend on the second they were written in,
/// and drops what tells of the work of controllers.
///
/// Of an object that controllers write to as well, what they own is left out, and who owns what they write.
pub(super) fn compare_clients_only(object: &mut Map<String, Value>, controlled: &[String]) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    let Some(Value::Array(entries)) = metadata.get_mut("managedFields") else { return };
    if !controlled.is_empty() {
        entries.retain_mut(|entry| {
            if entry["manager"].as_str().is_some_and(|name| name.starts_with("kube-")) {
                return false;
            }
            let Some(fields) = entry["fieldsV1"].as_object_mut() else { return true };
            for pointer in controlled {
                let path: Vec<_> = pointer.split('/').skip(1).collect();
                release(fields, &path);
            }
            !fields.is_empty()
        });
        // Without the entries of controllers an object may seem to have no owner at all.
        if entries.is_empty() {
            metadata.remove("managedFields");
            return;
        }
    }
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let names = ["operation", "manager", "apiVersion", "subresource"];
    entries.sort_by_cached_key(|entry| names.map(|name| text(entry, name)));
}

/// Takes a path out of a set of fields, with the sets that have nothing else.
fn release(fields: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let name = format!("f:{}", first.replace("~1", "/"));
    if rest.is_empty() {
        fields.remove(&name);
        return;
    }
    let Some(Value::Object(below)) = fields.get_mut(&name) else { return };
    release(below, rest);
    if below.keys().all(|name| name == ".") {
        fields.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_own_is_compared() {
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "fieldsV1": fields});
        let entries = json!([
            entry("kube-controller-manager", json!({"f:status": {"f:replicas": {}}})),
            entry("two", json!({"f:spec": {}, "f:status": {"f:conditions": {}}})),
            entry("one", json!({"f:metadata": {"f:annotations": {".": {}, "f:a/b": {}}}})),
        ]);
        let mut object = json!({"metadata": {"managedFields": entries}});
        let controlled = ["/status".to_owned(), "/metadata/annotations/a~1b".to_owned()];
        compare_clients_only(object.as_object_mut().unwrap(), &controlled);
        assert_eq!(
            object["metadata"]["managedFields"],
            json!([entry("two", json!({"f:spec": {}}))])
        );
    }

    #[test]
    fn the_order_of_entries_does_not_depend_on_time() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "time": time});
        let mut object = json!({"metadata": {"managedFields": [entry("b", "1"), entry("a", "2")]}});
        compare_clients_only(object.as_object_mut().unwrap(), &[]);
        assert_eq!(object["metadata"]["managedFields"], json!([entry("a", "2"), entry("b", "1")]));
    }
}
