//! Real objects, patches, selectors and tokens with random edits: each is answered, none is too deep.

use bytes::Bytes;
use http::Method;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use crate::{
    objects::deployment,
    world::{Reply, World},
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// The deepest nesting that is read.
const DEEPEST: usize = 512;

/// One edit of a text: where, how many bytes go, and what comes in their place.
pub(crate) type Edit = (usize, usize, &'static str);

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pieces = [
        "",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u0000",
        "null",
        "-1",
        "1e999",
        "9223372036854775808",
        "true",
        "$patch",
        "\n",
        "  - ",
        "&a",
        "*a",
        "<<: ",
        "---\n",
        "!!binary ",
        "é",
        "\u{0}",
        "=",
        "!",
        "(",
        ")",
        " in ",
        " notin ",
        "%",
        "/",
        ".",
        "~1",
        "k8s\0",
    ];
    vec((0..4000_usize, 0..6_usize, prop::sample::select(pieces.to_vec())), 1..5)
}

pub(crate) fn edited(text: &str, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, gone, piece) in edits {
        let at = at % (bytes.len() + 1);
        let end = bytes.len().min(at + gone);
        bytes.splice(at..end, piece.bytes());
    }
    bytes
}

/// What is sent: method, path, media type, body.
fn fixtures() -> Vec<(Method, String, &'static str, String)> {
    let web = deployment("web").to_string();
    let yaml =
        "metadata:\n  name: m\n  labels: {a: b}\ndata:\n  x: \"1\"\n  y: |\n    text\n    more\n";
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "c"}],
        "containers": [{"name": "c", "env": [{"name": "A", "$patch": "delete"}]}],
        "$retainKeys": ["containers"]}}}});
    let operations = json!([{"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "add", "path": "/metadata/labels", "value": {"a~1b": "c"}},
        {"op": "move", "from": "/metadata/labels", "path": "/metadata/annotations"}]);
    let definition = json!({"metadata": {"name": "ms.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "ms", "kind": "M"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {
                    "l": {"type": "array", "items": {"type": "string", "default": "a"}}},
                    "x-kubernetes-validations": [{"rule": "self.l.all(x, x != '' || size(x) < 3)",
                        "messageExpression": "'has ' + string(size(self.l))"}]}}}}}]}});
    let apply =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 2\n";
    let patch_type = |kind: &'static str| (Method::PATCH, WEB.to_owned(), kind);
    let with = |(method, path, kind), body: String| (method, path, kind, body);
    vec![
        with((Method::PUT, WEB.to_owned(), "application/json"), web),
        with((Method::POST, MAPS.to_owned(), "application/yaml"), yaml.to_owned()),
        with(patch_type("application/strategic-merge-patch+json"), patch.to_string()),
        with(patch_type("application/merge-patch+json"), patch.to_string()),
        with(patch_type("application/json-patch+json"), operations.to_string()),
        (
            Method::PATCH,
            format!("{WEB}?fieldManager=m"),
            "application/apply-patch+yaml",
            apply.to_owned(),
        ),
        with(
            (Method::POST, format!("{CRDS}?dryRun=All"), "application/json"),
            definition.to_string(),
        ),
    ]
}

fn check(reply: &Reply) -> Result<(), TestCaseError> {
    let known =
        matches!(reply.code, 200 | 201 | 400 | 404 | 409 | 410 | 413 | 415 | 422 | 500 | 501);
    prop_assert!(known, "{reply:?}");
    prop_assert!(reply.code < 400 || reply.body["kind"] == "Status", "{reply:?}");
    Ok(())
}

fn run<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    send: impl Fn(&tokio::runtime::Runtime, &World, T) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let created = runtime.block_on(world.post(deployments, deployment("web")));
    assert_eq!(created.code, 201);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(&strategy, |case| send(&runtime, &world, case)).unwrap();
}

/// Breaks when YAML is taken for granted.
#[test]
fn edited_bodies_are_answered() {
    let fixtures = fixtures();
    run(400, (0..fixtures.len(), edits()), |runtime, world, (index, edits)| {
        let (method, path, kind, body) = &fixtures[index];
        let body = Bytes::from(edited(body, &edits));
        let headers = [("content-type", *kind)];
        let sent = world.send(method.clone(), path, &headers, body);
        check(&runtime.block_on(sent))
    });
}

/// Breaks when a selector is taken for ASCII.
#[test]
fn edited_queries_are_answered() {
    let queries = [
        ("labelSelector", "app in (a,b),tier notin (c),!x,y=z,w!=v"),
        ("fieldSelector", "metadata.name=a,metadata.namespace!=b"),
        ("continue", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NCwic3RhcnQiOiJkZWZhdWx0L2EifQ"),
        ("resourceVersion", "4"),
        ("limit", "500"),
    ];
    run(300, (0..queries.len(), edits()), |runtime, world, (index, edits)| {
        let (name, value) = queries[index];
        let value = edited(value, &edits);
        // A huge number is a revision from the future, which is waited for.
        prop_assume!(
            name != "resourceVersion"
                || std::str::from_utf8(&value).is_ok_and(|it| it.parse::<u64>().is_err())
        );
        let escaped = value.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        check(&runtime.block_on(world.get(&format!("{MAPS}?{name}={escaped}"))))
    });
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// Breaks when the limit of `k8s::json` or `k8s::yaml` is another.
#[tokio::test]
async fn what_is_too_deep_is_refused() {
    let world = World::new().await;
    let definition = json!({"metadata": {"name": "ds.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "ds", "kind": "D"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    assert_eq!(world.post(CRDS, definition).await.code, 201);
    let all = "/apis/x.io/v1/namespaces/default/ds";
    // The object itself is one level.
    for (depth, code) in [(DEEPEST - 1, 201), (DEEPEST, 400), (100_000, 400)] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for kind in ["application/json", "application/yaml"] {
                let deep = nested(open, close, depth).replace("\":", "\": ");
                let body = format!(
                    r#"{{"apiVersion": "x.io/v1", "kind": "D", "metadata": {{"generateName": "d"}}, "deep": {deep}}}"#
                );
                let reply =
                    world.send(Method::POST, all, &[("content-type", kind)], body.into()).await;
                assert_eq!(reply.code, code, "{depth} {open} {kind} {}", reply.message());
                assert!(code < 400 || reply.body["kind"] == "Status");
            }
        }
    }
    world.post(MAPS, json!({"metadata": {"name": "a"}})).await;
    for kind in ["merge", "strategic-merge", "json", "apply"] {
        let body = nested("[", "]", 100_000);
        let media_type = if kind == "apply" {
            "application/apply-patch+yaml".to_owned()
        } else {
            format!("application/{kind}-patch+json")
        };
        let headers = [("content-type", media_type.as_str())];
        let path = format!("{MAPS}/a?fieldManager=m");
        let reply = world.send(Method::PATCH, &path, &headers, body.into()).await;
        assert_eq!(reply.code, 400, "{kind} {}", reply.message());
    }
}
