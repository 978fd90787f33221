//! Whatever is sent, the answer is a Status or an object, and the server goes on.

use bytes::Bytes;
use http::Method;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// JSON made of the words that objects and patches are made of.
fn json_values() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "metadata",
        "name",
        "labels",
        "finalizers",
        "ownerReferences",
        "annotations",
        "spec",
        "status",
        "containers",
        "template",
        "data",
        "op",
        "path",
        "value",
        "add",
        "/metadata/name",
        "$patch",
        "delete",
        "$retainKeys",
        "$setElementOrder/containers",
        "apiVersion",
        "kind",
        "resourceVersion",
        "generateName",
        "namespace",
        "default",
        "creationTimestamp",
        "propagationPolicy",
        "preconditions",
        "uid",
        "dryRun",
        "x",
        "",
        "-1",
        "1",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(words.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

/// Sends what `cases` make and checks that each is answered in order.
fn check<T: std::fmt::Debug>(
    cases: impl Strategy<Value = T>,
    send: impl Fn(&World, &Runtime, T) -> Vec<crate::world::Reply>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    runtime.block_on(world.post(MAPS, json!({"metadata": {"name": "a"}})));
    runtime.block_on(world.post(DEPLOYMENTS, crate::objects::deployment("a")));
    let mut runner =
        TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    runner
        .run(&cases, |case| {
            for reply in send(&world, &runtime, case) {
                let known = matches!(
                    reply.code,
                    200..=202 | 400 | 404 | 405 | 406 | 409 | 413 | 415 | 422 | 500 | 501
                );
                prop_assert!(known, "{:?}", reply);
                prop_assert!(reply.code < 400 || reply.body["kind"] == "Status", "{:?}", reply);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_bytes_are_answered() {
    let types = prop::sample::select(vec![
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
    ]);
    let framed = (any::<bool>(), vec(any::<u8>(), 0..60)).prop_map(|(framed, bytes)| {
        if framed { [b"k8s\0".as_slice(), &bytes].concat() } else { bytes }
    });
    check((framed, types), |world, runtime, (bytes, media_type)| {
        let headers = [("content-type", media_type)];
        let send = |method: Method, path: &str| {
            runtime.block_on(world.send(method, path, &headers, Bytes::from(bytes.clone())))
        };
        vec![
            send(Method::POST, MAPS),
            send(Method::PUT, &format!("{DEPLOYMENTS}/a")),
            send(Method::PATCH, &format!("{DEPLOYMENTS}/a")),
            send(Method::DELETE, &format!("{MAPS}/missing")),
        ]
    });
}

#[test]
fn any_json_is_answered() {
    check(json_values(), |world, runtime, value| {
        let mut named = value.clone();
        if named.is_object() {
            named["metadata"] = json!({"name": "a"});
        }
        let path = format!("{DEPLOYMENTS}/a");
        vec![
            runtime.block_on(world.post(MAPS, value.clone())),
            runtime.block_on(world.post(DEPLOYMENTS, value.clone())),
            runtime.block_on(world.post("/api/v1/namespaces/default/services", value.clone())),
            runtime.block_on(world.put(&path, named)),
            runtime.block_on(world.patch(&path, "merge", value.clone())),
            runtime.block_on(world.patch(&path, "strategic-merge", value.clone())),
            runtime.block_on(world.patch(&path, "json", json!([value.clone()]))),
            runtime.block_on(world.patch(&format!("{path}/scale"), "merge", value.clone())),
            runtime.block_on(world.delete_with(&format!("{MAPS}/missing"), value)),
        ]
    });
}

#[test]
fn any_definition_is_answered() {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    check(json_values(), |world, runtime, value| {
        let definition = json!({"metadata": {"name": "xs.x.io"}, "spec": {"group": "x.io",
            "scope": "Namespaced", "names": {"plural": "xs", "kind": "X"}, "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": value}}]}});
        vec![
            runtime.block_on(world.post(path, definition)),
            runtime.block_on(world.post(path, json!({"metadata": {"name": "a"}, "spec": value}))),
            runtime.block_on(world.delete(&format!("{path}/xs.x.io"))),
        ]
    });
}

#[test]
fn any_query_is_answered() {
    let names = prop::sample::select(vec![
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersionMatch",
        "fieldValidation",
        "dryRun",
        "includeObject",
        "pretty",
        "fieldManager",
    ]);
    let values = prop_oneof!["[a-z=!,()%/.0-9 ]{0,20}", "[A-Za-z0-9_=-]{0,40}"];
    check((names, values), |world, runtime, (name, value)| {
        let value = value.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        let map = json!({"metadata": {"generateName": "g"}});
        vec![
            runtime.block_on(world.get(&format!("{MAPS}?{name}={value}"))),
            runtime.block_on(world.post(&format!("{MAPS}?{name}={value}"), map)),
            runtime.block_on(world.delete(&format!("{MAPS}/missing?{name}={value}"))),
        ]
    });
}
