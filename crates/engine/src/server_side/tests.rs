//! Plans as text, where the server merges.

use std::sync::Arc;

use k8s::{ObjectKey, Resource};

use super::*;
use crate::{
    plan::{SettledChildren, Trials, plan, wish},
    selector::Ownership,
    strategy::ApplyStrategy,
};

fn parent() -> Object {
    let value = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
    Object::from_value(&value).unwrap()
}

fn desired(value: &str) -> Desired {
    Desired {
        resource: Resource::namespaced("v1", "ConfigMap", "configmaps"),
        key: ObjectKey::new("n", "web"),
        value: json!({"apiVersion": "v1", "kind": "ConfigMap", "status": {"x": 1},
            "metadata": {"name": "web", "namespace": "n"}, "data": {"k": value, "none": null}}),
        position: 0,
        ownership: Ownership::Controller,
    }
}

/// Returns an object as the server would hold it after an apply, at this version.
fn stored(wish: &Desired, version: &str) -> Object {
    let mut value = body(&parent(), wish);
    value["metadata"]["uid"] = json!("uid-web");
    value["metadata"]["resourceVersion"] = json!(version);
    Object::from_value(&value).unwrap()
}

fn observed(object: Object, method: UpdateMethod) -> [ObservedType; 1] {
    let (resource, objects) = (desired("").resource, vec![Arc::new(object)]);
    [ObservedType { resource, method, status_checks: Arc::default(), objects }]
}

fn known() -> Known {
    let strategy = ApplyStrategy::ServerSide { manager: "m".to_owned() };
    Known { strategy, ..Known::default() }
}

/// Plans the way from value 1 to value 2, with the answer of the server to a dry run.
fn tried(method: UpdateMethod, answer: Option<Effect>) -> String {
    let (have, want) = (stored(&desired("1"), "1"), desired("2"));
    let answer = answer.map(|effect| (id(wish(&want), &have), Trial::Applied(effect)));
    let known = Known { trials: Arc::new(Trials::from_iter(answer)), ..known() };
    plan(&parent(), &observed(have, method), &[want], &known).to_string()
}

#[test]
fn what_is_applied_has_its_owner_and_nothing_that_is_not_wanted() {
    assert_eq!(
        body(&parent(), &desired("1")),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"}, "metadata":
            {"name": "web", "namespace": "n", "ownerReferences": [owner_reference(&parent(), Ownership::Controller)]}})
    );
}

#[test]
fn each_method_has_its_own_way_to_change_a_child() {
    for (method, text) in [
        (UpdateMethod::OnDelete, ""),
        (UpdateMethod::Recreate, "delete ConfigMap n/web: data.k differs, to be recreated\n"),
        (UpdateMethod::InPlace, "update ConfigMap n/web: data.k differs\n"),
    ] {
        assert_eq!(tried(method, None), text, "{method:?}");
    }
}

#[test]
fn the_server_says_whether_a_child_is_recreated() {
    for (answer, text) in [
        (Effect::Nothing, ""),
        (
            Effect::Changes("data.k".to_owned()),
            "delete ConfigMap n/web: an apply would change data.k, to be recreated\n",
        ),
        (
            Effect::Refused,
            "delete ConfigMap n/web: the server refuses the change, to be recreated\n",
        ),
    ] {
        assert_eq!(tried(UpdateMethod::RollingRecreate, Some(answer)), text);
    }
}

#[test]
fn only_changes_that_an_apply_could_undo_count() {
    let want = desired("1");
    let before = Settled::new(&known().strategy, wish(&want), &stored(&want, "1"));
    let settled = SettledChildren::from([("uid-web".to_owned(), before)]);
    let known = Known { settled, ..known() };
    for (path, value, counts) in [
        ("/status", json!({"ready": true}), false),
        ("/metadata/generation", json!(2), false),
        ("/metadata/managedFields", json!([{"manager": "other"}]), false),
        ("/metadata/labels", json!({"l": "v"}), true),
        ("/data", json!({"k": "1", "foreign": "x"}), true),
    ] {
        let mut now = stored(&want, "2").to_value();
        let (above, field) = path.rsplit_once('/').unwrap();
        now.pointer_mut(above).unwrap()[field] = value;
        let now = Object::from_value(&now).unwrap();
        let types = observed(now, UpdateMethod::InPlace);
        let plan = plan(&parent(), &types, std::slice::from_ref(&want), &known);
        assert_eq!(!plan.actions.is_empty(), counts, "{path}");
    }
}

#[test]
fn an_apply_goes_only_to_the_object_that_was_observed() {
    let (have, want) = (stored(&desired("1"), "7"), desired("2"));
    let sent = |method| {
        let types = observed(have.clone(), method);
        let action =
            plan(&parent(), &types, std::slice::from_ref(&want), &known()).actions.remove(0);
        let text = match (action.write.kind, action.doubt) {
            (WriteKind::Apply { body, .. }, _) => serde_json::from_slice(&body).unwrap(),
            (_, Some(Doubt::Application(application))) => application.body,
            other => panic!("{other:?}"),
        };
        let metadata: &Value = &text["metadata"];
        (metadata["uid"].clone(), metadata["resourceVersion"].clone())
    };
    assert_eq!(sent(UpdateMethod::InPlace), (json!("uid-web"), Value::Null));
    assert_eq!(sent(UpdateMethod::Recreate), (Value::Null, json!("7")));
}

#[test]
fn what_dynamic_apply_wrote_counts_as_applied() {
    let entry = |manager: &str, operation: &str, fields: &Value| json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields});
    let mut status = entry("m", "Update", &json!({"f:status": {}}));
    status["subresource"] = json!("status");
    let live = json!({"metadata": {"resourceVersion": "7",
        "annotations": {names::LAST_APPLIED: "{}"},
        "managedFields": [
            entry("m", "Apply", &json!({"f:data": {"f:a": {}}})), entry("x", "Update", &json!({})),
            entry("m", "Update", &json!({"f:data": {".": {}, "f:b": {}}})), status]}});
    let own = entry("m", "Apply", &json!({"f:data": {"f:a": {}, ".": {}, "f:b": {}}}));
    assert_eq!(
        takeover(&live, "m"),
        Some(json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "remove",
                "path": "/metadata/annotations/metacontroller.k8s.io~1last-applied-configuration"},
            {"op": "replace", "path": "/metadata/managedFields",
                "value": [own, entry("x", "Update", &json!({})), status]}]))
    );
    assert_eq!(takeover(&json!({"metadata": {"annotations": {"a": "b"}}}), "m"), None);
}
