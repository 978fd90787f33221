use std::sync::Arc;

use k8s::GroupVersion;
use proptest::prelude::*;

use super::*;
use crate::registry::Registry;

fn resource(api_version: &str, plural: &str) -> Arc<Registered> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let registry = Registry::new(vec![]);
    registry.by_path(&GroupVersion::new(group, version), plural).unwrap().clone()
}

fn maps() -> Arc<Registered> {
    resource("v1", "configmaps")
}

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

/// Applies as `name`, or as `name!` by force.
fn applied(
    registered: &Registered,
    live: Option<&Value>,
    name: &str,
    wanted: &Value,
) -> Result<Value, ApplyError> {
    let author = Author { name: name.trim_end_matches('!'), subresource: "" };
    let application = Application {
        registered,
        part: Part::Main,
        author,
        wanted,
        force: name.ends_with('!'),
        now: Timestamp::UNIX_EPOCH,
    };
    apply(application, live)
}

/// Returns who owns what as lines such as `m Apply .data.a`.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let lines = entries.map(|entry| {
        let paths = FieldSet::decode(&entry["fieldsV1"]).unwrap().paths();
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("manager"), text("operation"), paths.join(" "))
    });
    lines.collect()
}

/// Returns the set of what an applied Deployment owns of its pods' spec.
fn pod_set(spec: &Value) -> Value {
    let wanted = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"template": {"spec": spec}}});
    let object = applied(&resource("apps/v1", "deployments"), None, "m", &wanted).unwrap();
    object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"].clone()
}

#[test]
fn what_is_applied_is_owned_by_the_rules_of_its_type() {
    for (spec, expected) in [
        (
            json!({"containers": [{"name": "c", "ports": [{"containerPort": 1}]}]}),
            json!({"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:ports": {
                "k:{\"containerPort\":1,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}),
        ),
        (
            json!({"containers": [{"name": "c", "args": ["a", "b"]}]}),
            json!({"f:containers": {
            "k:{\"name\":\"c\"}": {".": {}, "f:args": {}, "f:name": {}}}}),
        ),
        (json!({"nodeSelector": {"a": "b"}}), json!({"f:nodeSelector": {}})),
        (json!({"securityContext": {}}), json!({"f:securityContext": {}})),
        (
            json!({"overhead": {"cpu": "1"}, "hostNetwork": null}),
            json!({"f:hostNetwork": {}, "f:overhead": {"f:cpu": {}}}),
        ),
    ] {
        assert_eq!(pod_set(&spec), expected);
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let deployments = resource("apps/v1", "deployments");
    for (spec, expected) in [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (json!({"replicas": "3"}), ".spec.replicas: expected numeric (int or float), got string"),
        (
            json!({"template": {"spec": {"containers": [{"name": "c"}, {"name": "c"}]}}}),
            ".spec.template.spec.containers: duplicate entries for key [name=\"c\"]",
        ),
        (
            json!({"template": {"spec": {"containers": {"a": [1, "b"]}}}}),
            ".spec.template.spec.containers: expected list, got &{map[a:[1 b]]}",
        ),
        (
            json!({"template": {"spec": {"nodeName": 1}}}),
            ".spec.template.spec.nodeName: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ] {
        let wanted = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec});
        let error = applied(&deployments, None, "m", &wanted).unwrap_err();
        assert_eq!(error, ApplyError::Untyped(expected.to_owned()));
    }
}

#[test]
fn fields_are_shared_refused_taken_and_given_up() {
    let maps = maps();
    let mut live = applied(&maps, None, "m", &map(&json!({"a": "1", "b": "2"}))).unwrap();
    for (name, data, expected) in [
        ("n", json!({"a": "1"}), ["n Apply .data.a", "m Apply .data.a .data.b"].as_slice()),
        ("o!", json!({"b": "3"}), &["n Apply .data.a", "m Apply .data.a", "o Apply .data.b"]),
        ("m", json!({}), &["n Apply .data.a", "m Apply .data", "o Apply .data.b"]),
        ("o", json!({}), &["n Apply .data.a", "m Apply .data", "o Apply .data"]),
    ] {
        let refused = applied(&maps, Some(&live), name.trim_end_matches('!'), &map(&data));
        assert_eq!(refused.is_err(), name.ends_with('!'), "{name} {data}");
        live = applied(&maps, Some(&live), name, &map(&data)).unwrap();
        assert_eq!(owners(&live), expected);
    }
    assert_eq!(live["data"], json!({"a": "1"}));
}

#[test]
fn list_items_keep_the_order_of_who_applies() {
    let services = resource("v1", "services");
    let service = |names: &[&str]| {
        let number = |name: &str| name.bytes().map(i64::from).sum::<i64>();
        let ports = names.iter().map(|name| json!({"name": name, "port": number(name)}));
        let ports: Vec<_> = ports.collect();
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}})
    };
    for (live, wanted, expected) in [
        (vec!["a", "b"], vec!["b", "a"], "b a"),
        (vec!["a", "x", "b"], vec!["b", "a"], "x b a"),
        (vec!["x", "y"], vec!["a"], "x y a"),
        (vec!["a", "x"], vec!["a", "b"], "a x b"),
    ] {
        let live = applied(&services, None, "m", &service(&live)).unwrap();
        let merged = applied(&services, Some(&live), "n", &service(&wanted)).unwrap();
        let ports = merged["spec"]["ports"].as_array().unwrap();
        let names: Vec<_> = ports.iter().map(|port| port["name"].as_str().unwrap()).collect();
        assert_eq!(names.join(" "), expected);
    }
}

#[test]
fn an_update_takes_over_what_it_changes() {
    let maps = maps();
    let mut old = applied(&maps, None, "m", &map(&json!({"a": "1", "b": "2"}))).unwrap();
    let held = take(&mut old).unwrap();
    let new = map(&json!({"a": "9", "c": "3"}));
    let author = Author { name: "u", subresource: "" };
    let after = |sent: Option<Value>| {
        let mut after = new.clone();
        let places = (Some(&old), Some(&held));
        let managed = update(&maps, author, places, (&new, sent), Timestamp::UNIX_EPOCH);
        put(&mut after, managed);
        owners(&after)
    };
    assert_eq!(after(None), ["u Update .data.a .data.c"]);
    assert_eq!(after(Some(json!([]))), [""; 0]);
    assert_eq!(after(Some(json!([{}]))), [""; 0]);
    assert_eq!(after(Some(json!([{"manager": "odd"}]))), ["u Update .data.a .data.c"]);
}

/// Returns who owns what after a change of an object that `m` made.
fn owners_after(
    registered: &Registered,
    subresource: &str,
    [old, new]: [&Value; 2],
) -> Option<Value> {
    let now = Timestamp::UNIX_EPOCH;
    let maker = Author { name: "m", subresource: "" };
    let held = update(registered, maker, (None, None), (old, None), now);
    let author = Author { name: "n", subresource };
    update(registered, author, (Some(old), held.as_ref()), (new, None), now)
}

#[test]
fn no_replicas_are_nobodys_through_the_scale() {
    let deployments = resource("apps/v1", "deployments");
    let of = |replicas: u32| json!({"metadata": {"name": "a"}, "spec": {"replicas": replicas}});
    for (replicas, expected) in [(3, json!("n")), (0, Value::Null)] {
        let owners =
            owners_after(&deployments, "scale", [&of(1), &of(replicas)]).unwrap_or_default();
        let owner = owners
            .as_array()
            .into_iter()
            .flatten()
            .find(|entry| entry["fieldsV1"]["f:spec"].get("f:replicas").is_some());
        assert_eq!(owner.map_or(Value::Null, |entry| entry["manager"].clone()), expected);
    }
}

#[test]
fn an_object_of_any_type_is_owned_as_a_whole() {
    let revisions = resource("apps/v1", "controllerrevisions");
    let wanted = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": "a"}, "revision": 1, "data": {"a": {"b": 1}}});
    let object = applied(&revisions, None, "m", &wanted).unwrap();
    assert_eq!(owners(&object), ["m Apply .data .revision"]);
}

fn data() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[0-2]", 0..4).prop_map(|data| json!(data))
}

proptest! {
    #[test]
    fn to_apply_again_changes_nothing(first in data(), second in data()) {
        let maps = maps();
        let live = applied(&maps, None, "m", &map(&first)).unwrap();
        let once = applied(&maps, Some(&live), "n!", &map(&second)).unwrap();
        prop_assert_eq!(&applied(&maps, Some(&once), "n", &map(&second)).unwrap(), &once);
        for (name, value) in second.as_object().unwrap() {
            prop_assert_eq!(&once["data"][name], value);
        }
    }

    #[test]
    fn what_is_there_was_applied_by_its_owners(turns in prop::collection::vec(("[mno]", data()), 1..6)) {
        let maps = maps();
        let mut live: Option<Value> = None;
        let mut last = std::collections::BTreeMap::new();
        for (name, data) in turns {
            live = Some(applied(&maps, live.as_ref(), &format!("{name}!"), &map(&data)).unwrap());
            last.insert(name, data);
        }
        let live = live.unwrap();
        for (name, value) in live["data"].as_object().into_iter().flatten() {
            let owner = last.iter().find(|(owner, data)| {
                let owns = owners(&live).iter().any(|line| {
                    line.starts_with(&format!("{owner} ")) && line.contains(&format!(".data.{name}"))
                });
                owns && data.get(name) == Some(value)
            });
            prop_assert!(owner.is_some(), "{name} in {live}");
        }
    }
}
