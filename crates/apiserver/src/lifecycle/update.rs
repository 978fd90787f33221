//! Pure: what an update may change, and what it carries over.

use serde_json::{Value, json};

use crate::{
    backend::Part, field::FieldError, lifecycle::template_generation, registry::Registered,
};

/// The metadata that no update changes.
const CARRIED: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
    "resourceVersion",
];

/// Limits a new value to the part it may write: the rest is taken from the old one.
pub(crate) fn limit(registered: &Registered, part: Part, old: &Value, new: &mut Value) {
    match part {
        Part::Main => {
            carry(old, new, CARRIED);
            if registered.status {
                set(new, "status", old.get("status").cloned());
            }
        }
        Part::Status => limit_to(registered, "status", old, new),
        Part::Finalize => limit_to(registered, "spec", old, new),
    }
}

/// Takes back what an update may not change although who sent it owns it from now on.
pub(crate) fn revert(registered: &Registered, part: Part, old: &Value, new: &mut Value) {
    if part == Part::Main && registered.is("", "namespaces") {
        set(new, "spec", old.get("spec").cloned());
    }
    template_generation::count(registered, old, new);
}

/// Limits a new value to one field and, for built-ins, to the metadata, which they do not protect.
fn limit_to(registered: &Registered, field: &str, old: &Value, new: &mut Value) {
    let (metadata, part) = (new.get("metadata").cloned(), new.get(field).cloned());
    *new = old.clone();
    set(new, field, part);
    if registered.is_custom() {
        return;
    }
    set(new, "metadata", metadata);
    carry(old, new, CARRIED);
    carry(old, new, protected_from_status(registered));
}

/// Returns the metadata that only writes to the resource itself change.
///
/// Old nodes knew no owner references; the labels of deployments are kept for no known reason.
pub(crate) fn protected_from_status(registered: &Registered) -> &'static [&'static str] {
    if registered.is("apps", "deployments") {
        &["labels"]
    } else if registered.is("", "pods") {
        &["ownerReferences"]
    } else {
        &[]
    }
}

/// Returns what is wrong with metadata that nobody may change and that nobody overlooks.
pub(crate) fn fixed(part: Part, old: &Value, new: &Value) -> Vec<FieldError> {
    if part != Part::Main {
        return vec![];
    }
    let of = |value: &Value, field| value.get("metadata").and_then(|it| it.get(field)).cloned();
    let fixed = ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"];
    let errors = fixed.into_iter().filter_map(|field| {
        let given = of(new, field).filter(|given| of(old, field).as_ref() != Some(given))?;
        // Who is going away already goes when it was to go.
        if field == "deletionTimestamp" && of(old, field).is_some() {
            return None;
        }
        Some(FieldError::invalid(format!("metadata.{field}"), given, "field is immutable"))
    });
    twice(errors.collect())
}

/// The reference looks twice at the metadata of an update and tells what it found each time.
fn twice(errors: Vec<FieldError>) -> Vec<FieldError> {
    [errors.clone(), errors].concat()
}

/// Counts the generation up if the update changes what the generation counts.
pub(crate) fn count_generation(registered: &Registered, old: &Value, new: &mut Value) {
    if (registered.generation || registered.is_custom()) && differs(registered, old, new) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64);
        new["metadata"]["generation"] = json!(generation.unwrap_or_default() + 1);
    }
}

/// Returns whether nothing differs but what a write itself changes.
pub(crate) fn is_same(old: &Value, new: &Value) -> bool {
    k8s::json::same(old, new)
}

/// Returns what is wrong with the finalizers of an object that is going away.
pub(crate) fn finalizers(old: &Value, new: &Value) -> Vec<FieldError> {
    if old.pointer("/metadata/deletionTimestamp").is_none() {
        return vec![];
    }
    let of = |value: &Value| -> Vec<String> {
        let list = value.pointer("/metadata/finalizers").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|it| it.as_str().map(ToOwned::to_owned)).collect()
    };
    let (before, after) = (of(old), of(new));
    let added: Vec<_> = after.into_iter().filter(|each| !before.contains(each)).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers \
         []string{{{}}}",
        added.iter().map(|each| format!("{each:?}")).collect::<Vec<_>>().join(", ")
    );
    let error = (!added.is_empty()).then(|| FieldError::forbidden("metadata.finalizers", why));
    twice(error.into_iter().collect())
}

fn differs(registered: &Registered, old: &Value, new: &Value) -> bool {
    // Controllers find what slices are for by their labels.
    let is_slice = registered.is("discovery.k8s.io", "endpointslices");
    if is_slice && old.pointer("/metadata/labels") != new.pointer("/metadata/labels") {
        return true;
    }
    let has_spec = old.get("spec").is_some() || new.get("spec").is_some();
    if !registered.is_custom() && has_spec {
        return !same_field(old, new, "spec");
    }
    let counted = |value: &Value| {
        let mut value = value.clone();
        for field in ["metadata", "apiVersion", "kind"] {
            set(&mut value, field, None);
        }
        if registered.status {
            set(&mut value, "status", None);
        }
        value
    };
    !k8s::json::same(&counted(old), &counted(new))
}

fn same_field(old: &Value, new: &Value, field: &str) -> bool {
    match (old.get(field), new.get(field)) {
        (Some(old), Some(new)) => k8s::json::same(old, new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

fn carry(old: &Value, new: &mut Value, fields: &[&str]) {
    let (Some(old), Some(new)) = (old.get("metadata"), new.get_mut("metadata")) else { return };
    for field in fields {
        set(new, field, old.get(field).cloned());
    }
}

fn set(value: &mut Value, field: &str, to: Option<Value>) {
    let Value::Object(fields) = value else { return };
    match to {
        Some(to) => fields.insert(field.to_owned(), to),
        None => fields.remove(field),
    };
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;

    use super::*;
    use crate::registry::Registry;

    /// Limits an update of a Deployment and counts its generation.
    fn updated(part: Part, old: &Value, mut new: Value) -> Value {
        let registry = Registry::new(vec![]);
        let registered = registry.by_path(&GroupVersion::new("apps", "v1"), "deployments").unwrap();
        limit(registered, part, old, &mut new);
        count_generation(registered, old, &mut new);
        new
    }

    #[test]
    fn each_part_leaves_the_other_alone() {
        let old = json!({"metadata": {"uid": "u", "generation": 1}, "spec": 1, "status": 1});
        let new =
            json!({"metadata": {"uid": "", "generation": 7, "labels": {}}, "spec": 2, "status": 2});
        let main = json!({"metadata": {"uid": "u", "generation": 2, "labels": {}}, "spec": 2, "status": 1});
        let status = json!({"metadata": {"uid": "u", "generation": 1}, "spec": 1, "status": 2});
        assert_eq!(updated(Part::Main, &old, new.clone()), main);
        assert_eq!(updated(Part::Status, &old, new), status);
    }

    #[test]
    fn what_writes_the_status_writes_most_of_the_metadata_too() {
        let registry = Registry::new(vec![]);
        let old = json!({"metadata": {"name": "a", "uid": "u"}});
        let sent = json!({"metadata": {"name": "a", "labels": {"a": "b"}, "ownerReferences": [1]}});
        for (group, plural, expected) in [
            ("apps", "deployments", json!({"name": "a", "uid": "u", "ownerReferences": [1]})),
            ("", "pods", json!({"name": "a", "uid": "u", "labels": {"a": "b"}})),
            (
                "",
                "nodes",
                json!({"name": "a", "uid": "u", "labels": {"a": "b"}, "ownerReferences": [1]}),
            ),
        ] {
            let registered = registry.by_path(&GroupVersion::new(group, "v1"), plural).unwrap();
            let mut new = sent.clone();
            limit(registered, Part::Status, &old, &mut new);
            assert_eq!(new["metadata"], expected, "{plural}");
        }
    }

    #[test]
    fn only_the_spec_counts_for_the_generation() {
        let old = json!({"metadata": {"generation": 1}, "spec": {"a": 1}});
        let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"a": 1.0}});
        assert_eq!(updated(Part::Main, &old, labelled)["metadata"]["generation"], 1);
    }

    #[test]
    fn who_goes_gets_no_new_finalizers() {
        let with =
            |list: &[&str]| json!({"metadata": {"deletionTimestamp": "t", "finalizers": list}});
        assert_eq!(finalizers(&with(&["a", "b"]), &with(&["b"])), vec![]);
        let errors = finalizers(&with(&["a"]), &with(&["a", "b"]));
        let [error, _] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(error.to_string().ends_with("found new finalizers []string{\"b\"}"), "{error}");
    }
}
