//! Rollouts as text: what is there, which version claims it, what each version wants.

use std::sync::Arc;

use k8s::Resource;

use super::*;
use crate::{plan::new_child, selector::Ownership, strategy::ApplyStrategy};

fn parent() -> Object {
    let value = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
    Object::from_value(&value).unwrap()
}

/// Reads `a=1 b=2`.
fn wishes(text: &str) -> Vec<Desired> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    let wish = |(position, (name, value)): (usize, (&str, &str))| Desired {
        resource: Resource::namespaced("v1", "Pod", "pods"),
        key: ObjectKey::new("n", name),
        value: json!({"apiVersion": "v1", "kind": "Pod", "spec": {"value": value},
            "metadata": {"name": name, "namespace": "n"}}),
        position,
        ownership: Ownership::Controller,
    };
    pairs.enumerate().map(wish).collect()
}

fn pods() -> GroupKind {
    (String::new(), "Pod".to_owned())
}

/// Reads `latest: a b / a=2 b=2`: a name, what it claims, what it wants.
fn version(text: &str) -> Version {
    let (name, rest) = text.split_once(": ").unwrap();
    let (claims, wants) = rest.split_once('/').unwrap();
    let names: Vec<_> = claims.split_whitespace().map(ToOwned::to_owned).collect();
    let mut revision = Revision::new(&wishes("x=1")[0].resource, &parent(), json!({}));
    name.clone_into(&mut revision.name);
    if !names.is_empty() {
        revision.claims.insert(pods(), names);
    }
    Version { revision, desired: wishes(wants) }
}

/// Returns what is there, each `Ready` but those whose name ends with a question mark.
fn observed(text: &str, method: UpdateMethod) -> Vec<ObservedType> {
    let object = |wish: &Desired| {
        let mut value = new_child(&parent(), wish, &ApplyStrategy::Dynamic);
        let name = wish.key.name.trim_end_matches('?');
        let ready = if wish.key.name == name { "True" } else { "False" };
        value["metadata"]["name"] = json!(name);
        value["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
        Arc::new(Object::from_value(&value).unwrap())
    };
    let check = ConditionCheck {
        r#type: "Ready".to_owned(),
        status: Some("True".to_owned()),
        reason: None,
    };
    vec![ObservedType {
        resource: Resource::namespaced("v1", "Pod", "pods"),
        method,
        status_checks: [check].into(),
        objects: wishes(text).iter().map(object).collect(),
    }]
}

/// Returns the claims of each version after one step, and how far the rollout is.
fn step(have: &str, versions: &[&str]) -> String {
    let observed = observed(have, UpdateMethod::RollingRecreate);
    let mut versions: Vec<_> = versions.iter().map(|text| version(text)).collect();
    let (parent, known) = (parent(), Known::default());
    let view = View { parent: &parent, observed: &observed, known: &known };
    let progress = match advance(&mut versions, view) {
        Progress::Waiting(why) => why,
        Progress::Moving { kind, name } => format!("moves {kind} {name}"),
        Progress::Done(name) => format!("done at {name}"),
    };
    let claims = versions.iter().map(|version| {
        let names = version.revision.claims.get(&pods()).cloned().unwrap_or_default();
        format!("{}[{}]", version.revision.name, names.join(" "))
    });
    format!("{} {progress}", claims.collect::<Vec<_>>().join(" "))
}

#[test]
fn the_first_version_gets_all_children() {
    assert_eq!(step("", &["new: / a=1 b=1"]), "new[a b] done at new");
}

#[test]
fn one_child_moves_at_a_time_in_the_order_of_the_latest_list() {
    let old = "old: b a c / a=1 b=1 c=1";
    assert_eq!(step("a=1 b=1 c=1", &["new: / b=2 a=2 c=2", old]), "new[b] old[a c] moves Pod b");
    assert_eq!(
        step("a=1 b=2 c=1", &["new: b / b=2 a=2 c=2", "old: a c / a=1 b=1 c=1"]),
        "new[b a] old[c] moves Pod a"
    );
    assert_eq!(step("a=2 b=2", &["new: a b / a=2 b=2"]), "new[a b] done at new");
}

#[test]
fn a_rollout_waits_for_what_moved_before() {
    for (have, why) in [
        ("b=1", "missing child Pod a"),
        ("a=1 b=1", "child Pod a is not updated yet"),
        (
            "a?=2 b=1",
            "child Pod a failed status check: \"Ready\" condition status is \"False\" (want \"True\")",
        ),
    ] {
        let versions = ["new: a / a=2 b=2", "old: b / a=1 b=1"];
        assert_eq!(step(have, &versions), format!("new[a] old[b] {why}"));
    }
}

/// Returns why a rollout waits for a child of this method with such a status, if it does.
fn unhappy(method: UpdateMethod, check: ConditionCheck, status: Value) -> Option<String> {
    let mut observed = observed("a=2", method);
    let mut value = observed[0].objects[0].to_value();
    value["metadata"]["generation"] = json!(7);
    value["status"] = status;
    observed[0].objects = vec![Arc::new(Object::from_value(&value).unwrap())];
    observed[0].status_checks = [check].into();
    let (parent, known) = (parent(), Known::default());
    let view = View { parent: &parent, observed: &observed, known: &known };
    view.unhappy(&wishes("a=2")[0])
}

#[test]
fn each_check_says_what_it_misses() {
    let ready = |fields: Value| {
        let mut condition = json!({"type": "Ready"});
        condition.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        json!({"conditions": [{"type": "Other", "status": "False"}, condition]})
    };
    for (status, reason, child, why) in [
        (None, None, json!({}), Some(r#"required condition type missing: "Ready""#)),
        (None, None, ready(json!({"status": "False"})), None),
        (Some("True"), None, ready(json!({"status": "True", "reason": "Any"})), None),
        (
            Some("True"),
            None,
            ready(json!({})),
            Some(r#""Ready" condition status is "" (want "True")"#),
        ),
        (
            Some("True"),
            Some("Good"),
            ready(json!({"status": "True", "reason": "Bad"})),
            Some(r#""Ready" condition reason is "Bad" (want "Good")"#),
        ),
    ] {
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        let check = ConditionCheck {
            r#type: "Ready".to_owned(),
            status: text(status),
            reason: text(reason),
        };
        let why = why.map(|why| format!("child Pod a failed status check: {why}"));
        assert_eq!(unhappy(UpdateMethod::RollingRecreate, check, child.clone()), why, "{child}");
    }
}

#[test]
fn only_rolling_in_place_waits_for_a_child_to_see_its_change() {
    let lag = "child Pod a with RollingInPlace update strategy hasn't observed latest spec";
    for (method, seen, why) in [
        (UpdateMethod::RollingInPlace, json!(6), Some(lag.to_owned())),
        (UpdateMethod::RollingInPlace, json!(7), None),
        (UpdateMethod::RollingInPlace, json!(0), None),
        (UpdateMethod::RollingInPlace, Value::Null, None),
        (UpdateMethod::RollingRecreate, json!(6), None),
    ] {
        let check = ConditionCheck { r#type: "Ready".to_owned(), status: None, reason: None };
        let status = json!({"observedGeneration": seen, "conditions": [{"type": "Ready"}]});
        assert_eq!(unhappy(method, check, status), why, "{method:?} {seen}");
    }
}

#[test]
fn what_needs_no_change_moves_at_once() {
    assert_eq!(
        step("a=1 b=2 c=2", &["new: / a=2 b=2 c=2", "old: a b c / a=1 b=1 c=1"]),
        "new[b c a] old[] moves Pod a"
    );
}

#[test]
fn claims_that_mean_nothing_any_more_are_dropped() {
    assert_eq!(
        step("a=2", &["new: a gone / a=2", "old: a gone / a=1 gone=1"]),
        "new[a] old[] done at new"
    );
    let between = ["new: / a=2", "first: a / a=1", "second: a / a=0"];
    assert_eq!(step("a=1", &between), "new[a] first[] second[] moves Pod a");
}

#[test]
fn children_keep_the_form_of_the_version_they_follow() {
    let versions = [version("new: b / b=2 a=2"), version("old: a / a=1 b=1")];
    let latest = wishes("b=2 a=2").into_iter().map(|wish| wish.value).collect();
    let values: Vec<_> = merged(latest, &versions, &parent())
        .iter()
        .map(|child| format!("{}={}", child["metadata"]["name"], child["spec"]["value"]))
        .collect();
    assert_eq!(values, [r#""b"="2""#, r#""a"="1""#]);
}

#[test]
fn the_condition_of_the_engine_replaces_one_of_the_hook() {
    let status = json!({"conditions": [{"type": "Updated", "stale": true}, {"type": "Other"}]});
    let mut status = status.as_object().cloned().unwrap();
    note(&mut status, &Progress::Waiting("x".to_owned()));
    assert_eq!(
        Value::Object(status),
        json!({"conditions": [{"type": "Updated", "status": "False", "reason": "RolloutWaiting",
            "message": "x"}, {"type": "Other"}]})
    );
    let mut status = Map::new();
    note(&mut status, &Progress::Done("r".to_owned()));
    assert_eq!(status["conditions"][0]["message"], "latest ControllerRevision: r");
}

#[test]
fn children_elsewhere_are_known_by_their_namespace() {
    let cluster = Object::from_value(&json!({"metadata": {"name": "p"}})).unwrap();
    assert_eq!(relative(&cluster, &ObjectKey::new("n", "a")), "n/a");
    assert_eq!(relative(&parent(), &ObjectKey::new("n", "a")), "a");
}
