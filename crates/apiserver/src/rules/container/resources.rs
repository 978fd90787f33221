//! Pure: the rules of what containers ask for and are limited to.

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    lifecycle::metadata,
    quantity,
    rules::{Errors, entries},
};

const NANO: i128 = 1_000_000_000;

/// What a cluster may count without saying whose it is; containers may ask for the first three.
const STANDARD: [&str; 13] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const OF_CONTAINERS: usize = 3;

/// Checks the limits and the requests of a container.
pub(super) fn resources(path: &FieldPath, resources: &Value, errors: &mut Errors) {
    for kind in ["limits", "requests"] {
        for (name, amount) in entries(resources, kind) {
            let at = path.child(kind).key(name);
            resource_name(&at, name, errors);
            let nanos = amount.as_str().and_then(quantity::nanos).unwrap_or_default();
            if nanos < 0 {
                errors.invalid(&at, amount.clone(), "must be greater than or equal to 0");
            }
            if is_extended(name) && nanos % NANO != 0 {
                errors.invalid(&at, amount.clone(), "must be an integer");
            }
            if kind == "requests" {
                limit(path, name, amount, &resources["limits"][name], errors);
            }
        }
    }
}

/// Checks a request against its limit.
fn limit(path: &FieldPath, name: &str, request: &Value, limit: &Value, errors: &mut Errors) {
    // Extended resources and huge pages cannot be promised twice.
    let is_exact = is_extended(name) || name.starts_with("hugepages-");
    let (Some(request), Some(limit)) = (request.as_str(), limit.as_str()) else {
        if is_exact {
            let detail = "Limit must be set for non overcommitable resources";
            errors.push(FieldError::required(path.child("limits"), detail));
        }
        return;
    };
    let (asked, most) = (quantity::nanos(request), quantity::nanos(limit));
    let path = path.child("requests");
    if is_exact && asked != most {
        errors.invalid(&path, request, format!("must be equal to {name} limit of {limit}"));
    } else if asked > most {
        let detail = format!("must be less than or equal to {name} limit of {limit}");
        errors.invalid(&path, request, detail);
    }
}

fn resource_name(path: &FieldPath, name: &str, errors: &mut Errors) {
    let why = metadata::qualified_name(name);
    if !why.is_empty() || name.contains('/') || name.starts_with("hugepages-") {
        return why.into_iter().for_each(|why| errors.invalid(path, name, why));
    }
    let place = STANDARD.iter().position(|standard| *standard == name);
    if place.is_none() {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    if place.is_none_or(|place| OF_CONTAINERS <= place) {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}

/// Returns whether a resource is one that the reference knows nothing of.
fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_ask_for_whole_known_things_within_their_limits() {
        let wrong = |asked: Value| {
            let mut errors = Errors::default();
            resources(&FieldPath::new("r"), &asked, &mut errors);
            errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        for (asked, expected) in [
            (json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1", "hugepages-2Mi": "2Mi"}}), ""),
            (
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                "r.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
            (
                json!({"limits": {"a.b/c": "1500m"}}),
                "r.limits[a.b/c]: Invalid value: \"1500m\": must be an integer",
            ),
            (
                json!({"requests": {"a.b/c": "1"}}),
                "r.limits: Required value: Limit must be set for non overcommitable resources",
            ),
            (
                json!({"requests": {"pods": "1"}}),
                "r.requests[pods]: Invalid value: \"pods\": must be a standard resource for containers",
            ),
        ] {
            assert_eq!(wrong(asked), expected);
        }
    }
}
