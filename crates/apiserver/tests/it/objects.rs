//! Creating, reading, changing and deleting objects.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const A: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "containers": [{"name": "c", "image": "nginx"}]}}}})
}

#[tokio::test]
async fn a_created_object_is_read_back() {
    let world = World::new().await;
    let created = world.post(MAPS, map("a")).await;
    assert_eq!(created.code, 201);
    assert_eq!(created.body["kind"], "ConfigMap");
    assert_eq!(created.body["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    let read = world.get(A).await;
    assert_eq!((read.code, read.body), (200, created.body));
    assert_eq!(world.get(MAPS).await.names(), ["a", "kube-root-ca.crt"]);
}

#[tokio::test]
async fn what_the_server_sets_cannot_be_sent() {
    let world = World::new().await;
    let sent = json!({"metadata": {"name": "a", "uid": "x", "creationTimestamp": "2000-01-01T00:00:00Z",
        "deletionTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x",
        "managedFields": [{"manager": "m"}]}});
    let created = world.post(MAPS, sent).await.body;
    assert_ne!(created["metadata"]["uid"], "x");
    assert_eq!(created["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    for field in ["deletionTimestamp", "selfLink", "managedFields"] {
        assert_eq!(created["metadata"].get(field), None, "{field}");
    }
}

#[tokio::test]
async fn names_are_generated() {
    let world = World::new().await;
    let created = world.post(MAPS, json!({"metadata": {"generateName": "web-"}})).await;
    let name = created.body["metadata"]["name"].as_str().unwrap();
    assert_eq!((name.len(), &name[..4]), (9, "web-"));
}

#[tokio::test]
async fn errors_have_the_words_of_the_reference() {
    let world = World::new().await;
    world.post(MAPS, map("a")).await;
    let mut versioned = map("b");
    versioned["metadata"]["resourceVersion"] = json!("1");
    let mut other = map("a");
    other["metadata"]["namespace"] = json!("other");
    let taken = "configmaps \"a\" already exists";
    let no_name = "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is \
                   required";
    let versioned_text = "resourceVersion should not be set on objects to be created";
    let elsewhere = "the namespace of the provided object does not match the namespace sent on the \
                     request";
    let wrong_version = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: no kind \
                         \"ConfigMap\" is registered for version \"apps/v1\" in scheme \
                         \"pkg/runtime/scheme.go:111\"";
    for (path, body, code, reason, message) in [
        (MAPS, map("a"), 409, "AlreadyExists", taken),
        (MAPS, json!({}), 422, "Invalid", no_name),
        (MAPS, versioned, 500, "", versioned_text),
        (MAPS, other, 400, "BadRequest", elsewhere),
        (
            MAPS,
            json!({"apiVersion": "apps/v1", "metadata": {"name": "x"}}),
            400,
            "BadRequest",
            wrong_version,
        ),
        (
            "/api/v1/namespaces/nope/configmaps",
            map("x"),
            404,
            "NotFound",
            "namespaces \"nope\" not found",
        ),
        (
            "/api/v1/configmaps",
            map("x"),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        (
            "/api/v1/namespaces/default/foos",
            map("x"),
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
    ] {
        let reply = world.post(path, body).await;
        assert_eq!(reply.error(), (code, reason, message));
    }
}

/// Breaks when `find` in `http/resource.rs` does not ask whether the version is served.
#[tokio::test]
async fn acceptance_5_unknown_resources_and_groups_differ() {
    let world = World::new().await;
    let missing = world.get("/api/v1/namespaces/default/pods/x").await;
    assert_eq!(missing.error(), (404, "NotFound", "pods \"x\" not found"));
    assert_eq!(missing.body["details"], json!({"name": "x", "kind": "pods"}));
    let unknown = world.get("/api/v1/foos").await;
    let text = "the server could not find the requested resource";
    assert_eq!(unknown.error(), (404, "NotFound", text));
    assert_eq!(unknown.body["details"], json!({}));
    let group = world.get("/apis/nope.io/v1/foos").await;
    assert_eq!((group.code, group.body), (404, json!("404 page not found\n")));
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let world = World::new().await;
    for (body, content_type, code) in [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("3", "application/json", 400),
        ("{\"metadata\": 3}", "application/json", 400),
        ("{\"metadata\": {\"labels\": {\"a\": 1}}}", "application/json", 400),
        ("a: [", "application/yaml", 400),
        ("x", "application/vnd.kubernetes.protobuf", 400),
        ("x", "application/cbor", 415),
        ("x", "text/plain", 415),
    ] {
        let headers = [("content-type", content_type)];
        let reply = world.send(Method::POST, MAPS, &headers, Bytes::from(body)).await;
        assert_eq!(reply.code, code, "{body} {}", reply.message());
        assert_eq!(reply.body["kind"], "Status");
    }
    let data = json!({"a": "x".repeat(1_572_864)});
    let reply = world.post(MAPS, json!({"metadata": {"name": "a"}, "data": data})).await;
    assert_eq!(
        (reply.code, reply.body["details"]["causes"][0]["reason"].as_str()),
        (422, Some("FieldValueTooLong"))
    );
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let reply = world.post(revisions, json!({"metadata": {"name": "a"}, "data": data})).await;
    assert_eq!(reply.error(), (500, "", "etcdserver: request is too large"));
    let large = Bytes::from(vec![b' '; 3_145_729]);
    let reply = world.send(Method::POST, MAPS, &[], large).await;
    let text = "Request entity too large: limit is 3145728";
    assert_eq!(reply.error(), (413, "RequestEntityTooLarge", text));
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let world = World::new().await;
    let body = "metadata:\n  name: a\ndata:\n  x: \"1\"\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let reply = world.send(Method::POST, MAPS, &headers, Bytes::from(body)).await;
    assert_eq!(reply.code, 201, "{}", reply.body);
    assert!(reply.body.as_str().unwrap().contains("kind: ConfigMap\n"), "{}", reply.body);
}

/// Breaks when `backend/update.rs` does not compare the resourceVersion, or commits what changes nothing.
#[tokio::test]
async fn acceptance_8_updates_are_optimistic_and_idle_ones_write_nothing() {
    let world = World::new().await;
    let created = world.post(MAPS, map("a")).await.body;
    let mut changed = created.clone();
    changed["data"]["a"] = json!("2");
    let updated = world.put(A, changed.clone()).await;
    assert_eq!((updated.code, &updated.body["data"]["a"]), (200, &json!("2")));
    let stale = world.put(A, changed).await;
    let text = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; \
                please apply your changes to the latest version and try again";
    assert_eq!(stale.error(), (409, "Conflict", text));
    let before = world.server.revision();
    let mut watch = world.watch(&format!("{MAPS}?watch=1&resourceVersion={before}")).await;
    let same = world.put(A, updated.body.clone()).await;
    assert_eq!(same.body, updated.body);
    let mut unconditional = updated.body;
    unconditional["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(world.put(A, unconditional).await.code, 200);
    assert_eq!(world.server.revision(), before);
    world.post(MAPS, map("next")).await;
    assert_eq!(watch.texts(1).await, ["ADDED next"]);
}

#[tokio::test]
async fn an_update_must_name_the_object_of_the_path() {
    let world = World::new().await;
    world.post(MAPS, map("a")).await;
    let reply = world.put(A, map("b")).await;
    let text = "the name of the object (b) does not match the name on the URL (a)";
    assert_eq!(reply.error(), (400, "BadRequest", text));
    let mut other = map("a");
    other["metadata"]["uid"] = json!("x");
    assert_eq!(world.put(A, other).await.code, 409);
    assert_eq!(world.put(&format!("{MAPS}/x"), map("x")).await.code, 404);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/x";
    assert_eq!(world.put(lease, json!({"metadata": {"name": "x"}})).await.code, 201);
}

#[tokio::test]
async fn the_generation_counts_changes_of_the_spec() {
    let world = World::new().await;
    let path = format!("{DEPLOYMENTS}/web");
    let created = world.post(DEPLOYMENTS, deployment("web")).await.body;
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(created["spec"]["replicas"], 1);
    for (patch, generation) in [
        (json!({"metadata": {"labels": {"a": "b"}}}), 1),
        (json!({"spec": {"replicas": 3}}), 2),
        (json!({"status": {"replicas": 7}}), 2),
    ] {
        let patched = world.patch(&path, "merge", patch).await.body;
        assert_eq!(patched["metadata"]["generation"], generation);
        assert_eq!(patched["status"], json!({}));
    }
    let status = json!({"spec": {"replicas": 9}, "status": {"replicas": 7}});
    let patched = world.patch(&format!("{path}/status"), "merge", status).await.body;
    assert_eq!(
        (&patched["spec"]["replicas"], &patched["status"]["replicas"]),
        (&json!(3), &json!(7))
    );
}

/// Breaks when `strategic.rs` takes `$patch: delete` for `merge`, or leaves `$retainKeys` unread.
#[tokio::test]
async fn acceptance_12_strategic_patches_know_the_lists() {
    let world = World::new().await;
    let path = format!("{DEPLOYMENTS}/web");
    world.post(DEPLOYMENTS, deployment("web")).await;
    let containers = |patch: Value| json!({"spec": {"template": {"spec": {"containers": patch}}}});
    let names = |object: &Value| -> Vec<String> {
        let all = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        all.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let add = containers(json!([{"name": "d", "image": "x"}]));
    let patched = world.patch(&path, "strategic-merge", add).await.body;
    assert_eq!(names(&patched), ["d", "c"]);
    let remove = containers(json!([{"name": "c", "$patch": "delete"}]));
    let patched = world.patch(&path, "strategic-merge", remove).await.body;
    assert_eq!(names(&patched), ["d"]);
    let recreate = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let kept = world.patch(&path, "strategic-merge", recreate(json!({"type": "Recreate"}))).await;
    assert_eq!(kept.code, 422, "the bounds of the other strategy are still there: {}", kept.body);
    let alone = recreate(json!({"type": "Recreate", "$retainKeys": ["type"]}));
    let patched = world.patch(&path, "strategic-merge", alone).await;
    assert_eq!(patched.body["spec"]["strategy"], json!({"type": "Recreate"}), "{}", patched.body);
}

/// Breaks when a failing `test` in `http/patch.rs` is a bad request, or custom resources take strategic patches.
#[tokio::test]
async fn acceptance_12_patches_of_the_other_kinds() {
    let world = World::new().await;
    let path = format!("{DEPLOYMENTS}/web");
    world.post(DEPLOYMENTS, deployment("web")).await;
    let test = json!([{"op": "test", "path": "/spec/replicas", "value": 9}]);
    let failed = world.patch(&path, "json", test).await;
    let text = "the server rejected our request due to an error in our request";
    assert_eq!(failed.error(), (422, "Invalid", text));
    let replace = json!([{"op": "replace", "path": "/spec/replicas", "value": 9}]);
    assert_eq!(world.patch(&path, "json", replace).await.body["spec"]["replicas"], 9);
    let merged = world.patch(&path, "merge", json!({"spec": {"replicas": 2}})).await;
    assert_eq!(merged.body["spec"]["replicas"], 2);
    let definition = json!({"metadata": {"name": "ps.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "ps", "kind": "P"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object"}}}]}});
    world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    let all = "/apis/x.io/v1/namespaces/default/ps";
    let own = json!({"apiVersion": "x.io/v1", "kind": "P", "metadata": {"name": "a"}});
    assert_eq!(world.post(all, own).await.code, 201);
    let strategic = world.patch(&format!("{all}/a"), "strategic-merge", json!({})).await;
    assert_eq!((strategic.code, strategic.error().1), (415, "UnsupportedMediaType"));
    for (kind, body, code) in [
        ("json", json!({}), 400),
        ("merge", json!([]), 400),
        ("merge", json!({"metadata": {"name": "x"}}), 400),
        ("merge", json!({"metadata": {"resourceVersion": "1"}}), 409),
        ("merge", json!({"metadata": null}), 400),
        ("odd", json!({}), 415),
    ] {
        let reply = world.patch(&path, kind, body).await;
        assert_eq!(reply.code, code, "{}", reply.message());
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let world = World::new().await;
    world.post(MAPS, map("a")).await;
    let before = world.server.revision();
    let created = world.post(&format!("{MAPS}?dryRun=All"), map("b")).await;
    assert_eq!((created.code, created.body["metadata"]["uid"].is_string()), (201, true));
    let patched =
        world.patch(&format!("{A}?dryRun=All"), "merge", json!({"data": {"b": "2"}})).await;
    assert_eq!(patched.body["data"]["b"], "2");
    assert_eq!(world.delete(&format!("{A}?dryRun=All")).await.code, 200);
    assert_eq!(world.server.revision(), before);
    assert_eq!(world.post(&format!("{MAPS}?dryRun=Some"), map("b")).await.code, 422);
}

#[tokio::test]
async fn an_object_with_finalizers_waits_for_them() {
    let world = World::new().await;
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["x.io/hold"]);
    world.post(MAPS, held).await;
    let marked = world.delete(A).await;
    assert_eq!(marked.code, 200);
    assert_eq!(marked.body["metadata"]["deletionTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 0);
    let more = json!({"metadata": {"finalizers": ["x.io/hold", "x.io/more"]}});
    let refused = world.patch(A, "merge", more).await;
    let text = "ConfigMap \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be \
                added if the object is being deleted, found new finalizers []string{\"x.io/more\"}";
    assert_eq!(refused.error(), (422, "Invalid", text));
    let taken = world.post(MAPS, map("a")).await;
    assert_eq!(taken.message(), "object is being deleted: configmaps \"a\" already exists");
    let freed = world.patch(A, "merge", json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(freed.code, 200);
    assert_eq!(world.get(A).await.code, 404);
}

#[tokio::test]
async fn a_deletion_is_answered_with_a_status_or_the_object() {
    let world = World::new().await;
    let created = world.post(MAPS, map("a")).await.body;
    let wrong = json!({"preconditions": {"uid": "x"}});
    assert_eq!(world.delete_with(A, wrong).await.code, 409);
    let both = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    assert_eq!(world.delete_with(A, both).await.code, 422);
    let gone = world.delete(A).await;
    assert_eq!(gone.body["status"], "Success");
    let details = json!({"name": "a", "kind": "configmaps", "uid": created["metadata"]["uid"]});
    assert_eq!(gone.body["details"], details);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    world.post(accounts, json!({"metadata": {"name": "s"}})).await;
    let gone = world.delete(&format!("{accounts}/s")).await;
    assert_eq!(gone.body["kind"], "ServiceAccount");
}

#[tokio::test]
async fn policies_become_finalizers() {
    let world = World::new().await;
    for (policy, finalizer) in [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")] {
        let name = policy.to_lowercase();
        let path = format!("{DEPLOYMENTS}/{name}");
        world.post(DEPLOYMENTS, deployment(&name)).await;
        let reply = world.delete_with(&path, json!({"propagationPolicy": policy})).await;
        assert_eq!(reply.body["metadata"]["finalizers"], json!([finalizer]));
        assert_eq!(reply.body["metadata"]["generation"], 2);
        assert_eq!(
            world.delete_with(&path, json!({"propagationPolicy": "Background"})).await.code,
            200
        );
        assert_eq!(world.get(&path).await.code, 404);
    }
}

#[tokio::test]
async fn a_running_pod_gets_time_to_stop() {
    let world = World::new().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod =
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    world.post(pods, pod.clone()).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"},
        "target": {"kind": "Node", "name": "n"}});
    assert_eq!(world.post(&format!("{pods}/a/binding"), binding.clone()).await.code, 201);
    assert_eq!(world.post(&format!("{pods}/a/binding"), binding).await.code, 409);
    let marked = world.delete(&format!("{pods}/a")).await.body;
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    let longer = world.delete(&format!("{pods}/a?gracePeriodSeconds=60")).await.body;
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(world.delete(&format!("{pods}/a?gracePeriodSeconds=0")).await.code, 200);
    assert_eq!(world.get(&format!("{pods}/a")).await.code, 404);
    world.post(pods, pod).await;
    world.delete(&format!("{pods}/a")).await;
    assert_eq!(world.get(&format!("{pods}/a")).await.code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let world = World::new().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut map = map(name);
        map["metadata"]["labels"] = json!({"app": app});
        world.post(MAPS, map).await;
    }
    let deleted = world.delete(&format!("{MAPS}?labelSelector=app%3Dx")).await;
    assert_eq!((deleted.code, deleted.names()), (200, vec!["a", "c"]));
    assert_eq!(world.get(MAPS).await.names(), ["b", "kube-root-ca.crt"]);
    assert_eq!(world.delete("/api/v1/configmaps").await.code, 405);
    assert_eq!(world.delete("/api/v1/namespaces").await.code, 405);
}

/// Breaks when `Sent::judge` takes `Strict` for `Warn`.
#[tokio::test]
async fn acceptance_6_unknown_fields_are_told() {
    let world = World::new().await;
    let mut odd = deployment("web");
    odd["spec"]["x"] = json!(1);
    let strict = world.post(&format!("{DEPLOYMENTS}?fieldValidation=Strict"), odd.clone()).await;
    let text = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
                unknown field \"spec.x\"";
    assert_eq!(strict.error(), (400, "BadRequest", text));
    let warned = world.post(DEPLOYMENTS, odd.clone()).await;
    assert_eq!((warned.code, warned.body["spec"].get("x")), (201, None));
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"spec.x\\\"\""]);
    let twice =
        Bytes::from(r#"{"metadata": {"name": "t"}, "spec": {"paused": true, "paused": true}}"#);
    let path = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let strict = world.send(Method::POST, &path, &[], twice).await;
    let text = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
                duplicate field \"spec.paused\"";
    assert_eq!(strict.error(), (400, "BadRequest", text));
    odd["metadata"]["name"] = json!("other");
    let silent = world.post(&format!("{DEPLOYMENTS}?fieldValidation=Ignore"), odd).await;
    assert_eq!((silent.code, silent.warnings.len()), (201, 0));
    let path = format!("{DEPLOYMENTS}/web");
    for (kind, patch) in [
        ("merge", json!({"spec": {"x": 1}})),
        ("strategic-merge", json!({"spec": {"x": 1}})),
        ("json", json!([{"op": "add", "path": "/spec/x", "value": 1}])),
    ] {
        let strict =
            world.patch(&format!("{path}?fieldValidation=Strict"), kind, patch.clone()).await;
        assert_eq!(strict.code, 422, "{kind} {}", strict.body);
        assert!(strict.message().ends_with("unknown field \"spec.x\""), "{}", strict.message());
        let warned = world.patch(&path, kind, patch).await;
        assert_eq!(warned.warnings, ["299 - \"unknown field \\\"spec.x\\\"\""], "{kind}");
    }
    for item in world.get(DEPLOYMENTS).await.body["items"].as_array().unwrap() {
        assert_eq!(item["spec"].get("x"), None);
    }
    assert_eq!(
        world.post(&format!("{DEPLOYMENTS}?fieldValidation=Odd"), json!({})).await.code,
        422
    );
}

#[tokio::test]
async fn a_scale_reads_and_writes_replicas() {
    let world = World::new().await;
    world.post(DEPLOYMENTS, deployment("web")).await;
    let path = format!("{DEPLOYMENTS}/web/scale");
    let mut scale = world.get(&path).await.body;
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(scale["spec"], json!({"replicas": 1}));
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "app=web"}));
    scale["spec"]["replicas"] = json!(4);
    assert_eq!(world.put(&path, scale.clone()).await.body["spec"]["replicas"], 4);
    assert_eq!(world.put(&path, scale).await.code, 409);
    let patched = world.patch(&path, "merge", json!({"spec": {"replicas": 5}})).await;
    assert_eq!(patched.body["spec"]["replicas"], 5);
    let deployment = world.get(&format!("{DEPLOYMENTS}/web")).await.body;
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]),
        (&json!(5), &json!(3))
    );
    assert_eq!(world.get(&format!("{A}/scale")).await.code, 404);
}

#[tokio::test]
async fn what_is_left_out_says_so() {
    let world = World::new().await;
    let pods = "/api/v1/namespaces/default/pods";
    let annotations = json!({"sim.windlass.dev/logs": "hello\n"});
    let pod = json!({"metadata": {"name": "a", "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "x"}]}});
    world.post(pods, pod).await;
    let exec = world.post(&format!("{pods}/a/exec"), json!({})).await;
    let text = "pods/exec is not available: pod \"a\" is simulated; start with --runtime=podman";
    assert_eq!(exec.error(), (501, "NotImplemented", text));
    assert_eq!(world.get(&format!("{pods}/a/log")).await.body, json!("hello\n"));
}

#[tokio::test]
async fn reviews_allow_everything() {
    let world = World::new().await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let reply = world.post(path, review).await;
    assert_eq!((reply.code, &reply.body["status"]["allowed"]), (201, &json!(true)));
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let reply = world.post(path, json!({})).await;
    assert_eq!(reply.body["status"]["userInfo"]["username"], "windlass-admin");
    assert_eq!(world.get(path).await.code, 405);
}

#[tokio::test]
async fn metadata_is_validated() {
    let world = World::new().await;
    let owner =
        json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": true});
    for (metadata, expected) in [
        (
            json!({"name": "A"}),
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
        ),
        (
            json!({"name": "a", "labels": {"a/b/c": ""}}),
            "metadata.labels: Invalid value: \"a/b/c\"",
        ),
        (
            json!({"name": "a", "labels": {"a": "!"}}),
            "metadata.labels: Invalid value: \"!\": a valid label",
        ),
        (
            json!({"name": "a", "annotations": {"/x": "1"}}),
            "metadata.annotations: Invalid value: \"/x\": prefix part must be non-empty",
        ),
        (
            json!({"name": "a", "finalizers": ["x"]}),
            "metadata.finalizers[0]: Invalid value: \"x\": name is neither a standard",
        ),
        (
            json!({"name": "a", "ownerReferences": [{"kind": "X"}]}),
            "[metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
        ),
        (
            json!({"name": "a", "ownerReferences": [owner, {"apiVersion": "v1", "kind": "X", "name": "y", "uid": "v", "controller": true}]}),
            "metadata.ownerReferences: Invalid value:",
        ),
    ] {
        let reply = world.post(MAPS, json!({"metadata": metadata})).await;
        assert_eq!(reply.code, 422, "{}", reply.body);
        let (_, why) = reply.message().split_once("is invalid: ").unwrap();
        assert!(why.starts_with(expected), "{why}");
    }
}

#[tokio::test]
async fn events_are_seen_in_both_groups() {
    let world = World::new().await;
    let event = json!({"metadata": {"name": "e"}, "reason": "R", "message": "hi", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}});
    let created = world.post("/api/v1/namespaces/default/events", event).await;
    assert_eq!(created.code, 201, "{}", created.body);
    let list = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event =
        &world.get(&format!("{list}?fieldSelector=regarding.name%3Dp")).await.body["items"][0];
    assert_eq!((&event["note"], &event["regarding"]["name"]), (&json!("hi"), &json!("p")));
    assert_eq!(world.get(&format!("{list}/e")).await.body["apiVersion"], "events.k8s.io/v1");
}
