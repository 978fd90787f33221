//! Pure: the rules of namespaces.

use serde_json::Value;

use crate::{field::FieldPath, fields::list, lifecycle::metadata, rules::Errors};

/// Checks what a new namespace waits for; an update never changes that.
pub(super) fn namespace(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    if old.is_some() {
        return;
    }
    let path = FieldPath::new("spec.finalizers");
    for name in list(new, "/spec/finalizers").iter().filter_map(Value::as_str) {
        for why in metadata::qualified_name(name) {
            errors.invalid(&path, name, why);
        }
        if !metadata::is_standard_finalizer(name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.invalid(&path, name, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn namespaces_wait_for_what_has_a_name() {
        for (name, count) in [("kubernetes", 0), ("a.example/b", 0), ("b", 1), ("a b", 2)] {
            let mut errors = Errors::default();
            namespace(&json!({"spec": {"finalizers": [name]}}), None, &mut errors);
            assert_eq!(errors.0.len(), count, "{name}");
        }
    }
}
