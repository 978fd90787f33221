//! Pure: what the server itself writes into an object that is about to be stored. Nobody owns that.

use k8s::Timestamp;
use serde_json::{Map, Value, json};

use crate::{backend::Part, lifecycle::rfc3339, registry::Registered, typed};

/// Keeps a volume while it is bound.
pub(crate) const VOLUME_IN_USE: &str = "kubernetes.io/pv-protection";

/// Keeps a claim while a pod uses it.
pub(crate) const CLAIM_IN_USE: &str = "kubernetes.io/pvc-protection";

/// Writes into an object what its kind is given besides its defaults.
pub(crate) fn prepare(
    registered: &Registered,
    part: Part,
    (new, old): (&mut Value, Option<&Value>),
    now: Timestamp,
) {
    if registered.is("", "persistentvolumes") {
        if old.is_none() {
            protect(new, VOLUME_IN_USE);
        }
        if part == Part::Status || old.is_none() {
            time_phase(new, old, now);
        }
    } else if registered.is("", "persistentvolumeclaims") && part == Part::Main {
        if old.is_none() {
            protect(new, CLAIM_IN_USE);
        }
        pair_origins(new, old);
    } else if registered.is("", "pods")
        && part == Part::Status
        && let Some(old) = old
    {
        keep_pod_status(new, old);
    }
    typed::empty_lists(&registered.resource.gvk, new);
}

/// Drops what is not kept although sending it counts as a change.
pub(crate) fn drop_unkept(registered: &Registered, new: &mut Value) {
    if registered.is("discovery.k8s.io", "endpointslices") {
        drop_topology(new);
    }
}

fn protect(new: &mut Value, finalizer: &str) {
    let finalizers = &mut new["metadata"]["finalizers"];
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.contains(&json!(finalizer))
    {
        finalizers.push(json!(finalizer));
    }
}

/// Brings the two fields for what a claim is filled from into line: clients know the old one, the new one or both.
fn pair_origins(new: &mut Value, old: Option<&Value>) {
    const CLAIM: (&str, &str) = ("", "PersistentVolumeClaim");
    const SNAPSHOT: (&str, &str) = ("snapshot.storage.k8s.io", "VolumeSnapshot");
    let text = |value: &Value, field| value[field].as_str().unwrap_or_default().to_owned();
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let taken =
        |spec: &mut Map<String, Value>, name: &str| spec.remove(name).filter(|it| !it.is_null());
    let (source, reference) = (taken(spec, "dataSource"), taken(spec, "dataSourceRef"));
    let was_set = old.is_some_and(|old| !old["spec"]["dataSource"].is_null());
    // Claims of other namespaces are filled from only where that is switched on.
    let reference = reference.filter(|it| text(it, "namespace").is_empty());
    let (source, reference) = match (source, reference) {
        (Some(source), None) => {
            let (group, kind) = (text(&source, "apiGroup"), text(&source, "kind"));
            let is_known = [CLAIM, SNAPSHOT].contains(&(group.as_str(), kind.as_str()));
            // Before there was the other field, anything else was ignored.
            let source = Some(source).filter(|_| is_known || was_set);
            (source.clone(), source)
        }
        (None, Some(reference)) => (Some(reference.clone()), Some(reference)),
        both => both,
    };
    spec.extend(source.map(|it| ("dataSource".to_owned(), it)));
    spec.extend(reference.map(|it| ("dataSourceRef".to_owned(), it)));
}

/// Notes when a volume came into its phase, unless the writer knows better.
fn time_phase(new: &mut Value, old: Option<&Value>, now: Timestamp) {
    const TIME: &str = "lastPhaseTransitionTime";
    let before = old.map_or(&Value::Null, |old| &old["status"]);
    let status = &new["status"];
    let is_told = !status[TIME].is_null();
    let time = if before["phase"] == status["phase"] {
        if is_told { &status[TIME] } else { &before[TIME] }.clone()
    } else if is_told && status[TIME] != before[TIME] {
        status[TIME].clone()
    } else {
        json!(rfc3339(now))
    };
    if !time.is_null() {
        new["status"][TIME] = time;
    }
}

/// Carries over what old nodes do not send: the class of service, and which generation was seen.
fn keep_pod_status(new: &mut Value, old: &Value) {
    const SEEN: &str = "observedGeneration";
    let keep = |new: &mut Value, old: &Value, field: &str| {
        if let (None, Some(before), true) = (new.get(field), old.get(field), new.is_object()) {
            new[field] = before.clone();
        }
    };
    let Some(status) = new.get_mut("status") else { return };
    keep(status, &old["status"], "qosClass");
    keep(status, &old["status"], SEEN);
    let before = old["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(same) = before.iter().find(|it| it["type"] == condition["type"]) {
            keep(condition, same, SEEN);
        }
    }
}

/// The field is left from before v1, where nobody can write it.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
        if let Some(endpoint) = endpoint.as_object_mut() {
            endpoint.remove("deprecatedTopology");
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;

    use super::*;
    use crate::registry::Registry;

    fn prepared(plural: &str, part: Part, mut new: Value, old: Option<&Value>) -> Value {
        let registry = Registry::new(vec![]);
        let registered = registry.by_path(&GroupVersion::new("", "v1"), plural).unwrap();
        prepare(registered, part, (&mut new, old), Timestamp::UNIX_EPOCH);
        new
    }

    #[test]
    fn new_volumes_and_claims_are_protected_once() {
        for (plural, finalizer) in
            [("persistentvolumes", VOLUME_IN_USE), ("persistentvolumeclaims", CLAIM_IN_USE)]
        {
            let once = prepared(plural, Part::Main, json!({"metadata": {}}), None);
            assert_eq!(once["metadata"]["finalizers"], json!([finalizer]));
            let twice = prepared(plural, Part::Main, once.clone(), None);
            assert_eq!(twice["metadata"], once["metadata"]);
        }
    }

    #[test]
    fn claims_tell_both_ways_what_they_are_filled_from() {
        let origin =
            |group: Value, kind: &str| json!({"apiGroup": group, "kind": kind, "name": "x"});
        let claim = origin(Value::Null, "PersistentVolumeClaim");
        let other = origin(json!("example.com"), "X");
        let mut far = claim.clone();
        far["namespace"] = json!("far");
        for (sent, expected) in [
            (json!({"dataSource": claim}), json!({"dataSource": claim, "dataSourceRef": claim})),
            (json!({"dataSource": other}), json!({})),
            (json!({"dataSourceRef": other}), json!({"dataSource": other, "dataSourceRef": other})),
            (json!({"dataSourceRef": far}), json!({})),
            (
                json!({"dataSource": other, "dataSourceRef": claim}),
                json!({"dataSource": other, "dataSourceRef": claim}),
            ),
        ] {
            let new = json!({"metadata": {}, "spec": sent});
            assert_eq!(prepared("persistentvolumeclaims", Part::Main, new, None)["spec"], expected);
        }
    }

    #[test]
    fn a_change_of_phase_is_timed_unless_the_writer_did() {
        let status = |phase: &str, time: Option<&str>| match time {
            Some(time) => json!({"status": {"phase": phase, "lastPhaseTransitionTime": time}}),
            None => json!({"status": {"phase": phase}}),
        };
        let (now, before) = ("1970-01-01T00:00:00Z", "1969-01-01T00:00:00Z");
        let old = status("A", Some(before));
        for (new, expected) in [
            (status("A", None), before),
            (status("B", None), now),
            (status("B", Some(before)), now),
            (status("B", Some("2000-01-01T00:00:00Z")), "2000-01-01T00:00:00Z"),
        ] {
            let found = prepared("persistentvolumes", Part::Status, new, Some(&old));
            assert_eq!(found["status"]["lastPhaseTransitionTime"], expected);
        }
    }

    #[test]
    fn the_status_of_a_pod_keeps_what_old_nodes_do_not_send() {
        let old = json!({"status": {"qosClass": "Burstable", "observedGeneration": 2,
            "conditions": [{"type": "Ready", "observedGeneration": 2}]}});
        let new = json!({"status": {"observedGeneration": 3, "conditions": [{"type": "Ready"}]}});
        let expected = json!({"qosClass": "Burstable", "observedGeneration": 3,
            "conditions": [{"type": "Ready", "observedGeneration": 2}]});
        assert_eq!(prepared("pods", Part::Status, new, Some(&old))["status"], expected);
    }
}
