#![expect(clippy::needless_pass_by_value, reason = "tests read better with owned JSON")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn deployment() -> GroupVersionKind {
    GroupVersionKind::new("apps/v1", "Deployment")
}

fn pod() -> GroupVersionKind {
    GroupVersionKind::new("v1", "Pod")
}

/// Returns the spec of a pod after the patch of its spec.
fn patched(spec: Value, patch: Value) -> Result<Value, StrategicError> {
    let mut target = json!({"spec": spec});
    merge(&pod(), &mut target, &json!({"spec": patch}))?;
    Ok(target["spec"].take())
}

#[test]
fn lists_merge_by_the_key_of_their_type() {
    for (spec, patch, expected) in [
        (
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "2"}]}),
            json!({"containers": [{"name": "a", "image": "2"}, {"name": "b"}]}),
        ),
        (
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}),
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 81}]}]}),
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 81}, {"containerPort": 80}]}]}),
        ),
        (
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b"}]}),
        ),
        (
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        ),
        (
            json!({"containers": [{"name": "a", "args": ["1", "2"]}]}),
            json!({"containers": [{"name": "a", "args": ["3"]}]}),
            json!({"containers": [{"name": "a", "args": ["3"]}]}),
        ),
        (
            json!({"tolerations": [{"key": "a"}]}),
            json!({"tolerations": [{"key": "b"}]}),
            json!({"tolerations": [{"key": "b"}]}),
        ),
        (
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ),
        (
            json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
        ),
        (
            json!({"nodeSelector": {"a": "1", "b": "2"}, "hostNetwork": true}),
            json!({"nodeSelector": {"a": null}, "hostNetwork": null}),
            json!({"nodeSelector": {"b": "2"}}),
        ),
        (
            json!({"nodeSelector": {"a": "1"}}),
            json!({"nodeSelector": {"$patch": "replace", "b": "2"}}),
            json!({"nodeSelector": {"b": "2"}}),
        ),
        (
            json!({}),
            json!({"affinity": {"nodeAffinity": null}, "containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"affinity": {}, "containers": []}),
        ),
    ] {
        assert_eq!(patched(spec, patch), Ok(expected));
    }
}

#[test]
fn finalizers_merge_as_a_set() {
    let mut target = json!({"metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["c", "b"]}});
    merge(&pod(), &mut target, &patch).unwrap();
    assert_eq!(target, json!({"metadata": {"finalizers": ["c", "b"]}}));
}

#[test]
fn a_deployment_strategy_can_be_narrowed() {
    let mut target =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    merge(&deployment(), &mut target, &patch).unwrap();
    assert_eq!(target, json!({"spec": {"strategy": {"type": "Recreate"}}}));
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let error = |spec, patch| patched(spec, patch).unwrap_err();
    assert_eq!(
        error(json!({}), json!({"unheardOf": [1]})),
        StrategicError::UnknownList("spec.unheardOf".to_owned())
    );
    assert_eq!(
        error(json!({"containers": [{"name": "a"}]}), json!({"containers": [{"image": "b"}]})),
        StrategicError::NoMergeKey { path: "spec.containers".to_owned(), key: "name" }
    );
    assert_eq!(
        error(json!({"containers": [{"name": "a"}]}), json!({"containers": ["b"]})),
        StrategicError::MixedList("spec.containers".to_owned())
    );
    assert_eq!(
        error(json!({}), json!({"$patch": "explode"})),
        StrategicError::Directive { path: "spec".to_owned(), directive: "explode".to_owned() }
    );
    assert_eq!(
        error(json!({}), json!({"$retainKeys": ["a"], "b": 1})),
        StrategicError::RetainKeys("spec".to_owned())
    );
    let custom = GroupVersionKind::new("a.b/v1", "C");
    assert_eq!(
        merge(&custom, &mut json!({}), &json!({})),
        Err(StrategicError::UnknownKind(custom.clone()))
    );
}

/// Returns any JSON that often looks like a pod or a patch of one.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec!["a", "b", "delete", "replace", "name"]).prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "metadata",
        "spec",
        "finalizers",
        "containers",
        "ports",
        "name",
        "containerPort",
        "image",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "volumes",
        "emptyDir",
        "args",
    ]);
    leaf.prop_recursive(6, 64, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..5).prop_map(|fields| {
                Value::Object(
                    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn merging_never_panics(target in values(), patch in values()) {
        let mut merged = target;
        let _ = merge(&pod(), &mut merged, &patch);
    }

    #[test]
    fn an_empty_patch_changes_nothing(fields in prop::collection::btree_map("metadata|spec", values(), 0..3)) {
        let target = json!(fields);
        let mut merged = target.clone();
        merge(&pod(), &mut merged, &json!({})).unwrap();
        prop_assert_eq!(merged, target);
    }
}
