//! What requests that cannot be done are answered, in the words of the reference.

use bytes::Bytes;
use http::{Method, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const A: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// A server that holds the ConfigMap `a`.
async fn world() -> World {
    let world = World::new().await;
    let created = world.post(MAPS, json!({"metadata": {"name": "a"}, "data": {"a": "1"}})).await;
    assert_eq!(created.code, 201);
    world
}

fn named(name: &str) -> String {
    json!({"metadata": {"name": name}}).to_string()
}

/// Returns what a request is answered: code, reason, message and details.
async fn told(world: &World, request: (&str, &str, &str, String)) -> String {
    let (method, path, media_type, body) = request;
    let header = if path.contains("Accept") { "accept" } else { "content-type" };
    let headers = [(header, media_type)];
    let method: Method = method.parse().unwrap();
    let reply = world.send(method, path, &headers, Bytes::from(body)).await;
    let Value::Object(status) = &reply.body else {
        return format!("{} {}", reply.code, reply.body);
    };
    assert_eq!(status["kind"], "Status", "{}", reply.body);
    assert_eq!(status["code"], reply.code);
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or("-");
    let mut details = status.get("details").cloned().unwrap_or_default();
    let causes = details.get("causes").and_then(Value::as_array).cloned().unwrap_or_default();
    let causes: Vec<_> = causes
        .iter()
        .map(|it| {
            format!(
                " {}@{}",
                it["reason"].as_str().unwrap_or("-"),
                it["field"].as_str().unwrap_or("-")
            )
        })
        .collect();
    if let Value::Object(details) = &mut details {
        details.remove("causes");
    }
    format!(
        "{} {} | {} | {details}{}",
        reply.code,
        text("reason"),
        text("message"),
        causes.concat()
    )
}

async fn check(rows: &[(&str, &str, &str, String, &str)]) {
    let world = world().await;
    for (method, path, media_type, body, expected) in rows {
        let answer = told(&world, (method, path, media_type, body.clone())).await;
        assert_eq!(
            answer,
            *expected,
            "{method} {path} {}",
            body.chars().take(200).collect::<String>()
        );
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Breaks when `ApiError::not_found` or `ApiError::already_exists` says anything else.
#[tokio::test]
async fn what_is_missing_or_there_already_is_named() {
    let kind = |it: &str| json!({"metadata": {"generateName": it}}).to_string();
    check(&[
        ("GET", &format!("{DEPLOYMENTS}/x"), JSON, text(""), r#"404 NotFound | deployments.apps "x" not found | {"group":"apps","kind":"deployments","name":"x"}"#),
        ("DELETE", &format!("{MAPS}/x"), JSON, text(""), r#"404 NotFound | configmaps "x" not found | {"kind":"configmaps","name":"x"}"#),
        ("PATCH", &format!("{MAPS}/x"), MERGE, text("{}"), r#"404 NotFound | configmaps "x" not found | {"kind":"configmaps","name":"x"}"#),
        ("POST", "/api/v1/namespaces/nope/configmaps", JSON, named("x"), r#"404 NotFound | namespaces "nope" not found | {"kind":"namespaces","name":"nope"}"#),
        ("GET", "/api/v1/foos", JSON, text(""), "404 NotFound | the server could not find the requested resource | {}"),
        ("POST", "/api/v1/namespaces/default/foos", JSON, named("x"), "404 NotFound | the server could not find the requested resource | {}"),
        ("GET", &format!("{A}/odd"), JSON, text(""), "404 NotFound | the server could not find the requested resource | {}"),
        ("PUT", &format!("{A}/status"), JSON, named("a"), "404 NotFound | the server could not find the requested resource | {}"),
        ("GET", "/apis/nope.io/v1/foos", JSON, text(""), r#"404 "404 page not found\n""#),
        ("GET", "/odd", JSON, text(""), r#"404 "404 page not found\n""#),
        ("POST", MAPS, JSON, named("a"), r#"409 AlreadyExists | configmaps "a" already exists | {"kind":"configmaps","name":"a"}"#),
        ("POST", MAPS, JSON, kind(""), r#"422 Invalid | ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required | {"kind":"ConfigMap"} FieldValueRequired@metadata.name"#),
    ]).await;
}

/// Breaks when `ApiError::page_not_found` is answered as a Status.
#[tokio::test]
async fn unknown_paths_are_answered_as_text() {
    let world = world().await;
    let response = world.open(Method::GET, "/apis/nope.io/v1/foos", &[], Bytes::new()).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "404 page not found\n");
}

/// Breaks when a precondition is not looked at, in `backend/delete.rs` and `backend/update.rs`.
#[tokio::test]
async fn conflicts_name_what_differs() {
    let world = world().await;
    let object = world.get(A).await.body;
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let version = object["metadata"]["resourceVersion"].as_str().unwrap();
    let mut stale = object.clone();
    stale["metadata"]["resourceVersion"] = json!("1");
    let mut other = object.clone();
    other["metadata"]["uid"] = json!("x");
    let modified = r#"409 Conflict | Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again | {"kind":"configmaps","name":"a"}"#;
    for (method, media_type, body, expected) in [
        ("PUT", JSON, stale.to_string(), modified.to_owned()),
        (
            "PATCH",
            MERGE,
            json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "z"}}).to_string(),
            modified.to_owned(),
        ),
        (
            "PUT",
            JSON,
            other.to_string(),
            format!(
                r#"409 Conflict | Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta: {uid} | {{"kind":"configmaps","name":"a"}}"#
            ),
        ),
        (
            "DELETE",
            JSON,
            json!({"preconditions": {"uid": "x"}}).to_string(),
            format!(
                r#"409 Conflict | Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (x) does not match the UID in record ({uid}). The object might have been deleted and then recreated | {{"kind":"ConfigMap","name":"a"}}"#
            ),
        ),
        (
            "DELETE",
            JSON,
            json!({"preconditions": {"resourceVersion": "1"}}).to_string(),
            format!(
                r#"409 Conflict | Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({version}). The object might have been modified | {{"kind":"ConfigMap","name":"a"}}"#
            ),
        ),
    ] {
        assert_eq!(told(&world, (method, A, media_type, body)).await, expected);
    }
    let held = json!({"metadata": {"name": "f", "finalizers": ["x.io/hold"]}});
    world.post(MAPS, held).await;
    world.delete(&format!("{MAPS}/f")).await;
    let expected = r#"409 AlreadyExists | object is being deleted: configmaps "f" already exists | {"kind":"configmaps","name":"f"}"#;
    assert_eq!(told(&world, ("POST", MAPS, JSON, named("f"))).await, expected);
}

/// Breaks when `ApiError::invalid` joins errors in another way.
#[tokio::test]
async fn what_is_wrong_is_listed() {
    let name = "metadata.name: Invalid value: \"A B\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let label = "metadata.labels: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    check(&[
        ("POST", MAPS, JSON, named("A B"), &format!(r#"422 Invalid | ConfigMap "A B" is invalid: {name} | {{"kind":"ConfigMap","name":"A B"}} FieldValueInvalid@metadata.name"#)),
        ("POST", MAPS, JSON, json!({"metadata": {"name": "A B", "labels": {"-": "x"}}}).to_string(), &format!(r#"422 Invalid | ConfigMap "A B" is invalid: [{name}, {label}] | {{"kind":"ConfigMap","name":"A B"}} FieldValueInvalid@metadata.name FieldValueInvalid@metadata.labels"#)),
        ("POST", DEPLOYMENTS, JSON, json!({"metadata": {"name": "web"}, "spec": {}}).to_string(), r#"422 Invalid | Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: Required value] | {"group":"apps","kind":"Deployment","name":"web"} FieldValueRequired@spec.selector FieldValueInvalid@spec.template.metadata.labels FieldValueRequired@spec.template.spec.containers"#),
        ("POST", MAPS, JSON, json!({"metadata": {"name": "big", "annotations": {"a": "x".repeat(300_000)}}}).to_string(), r#"422 Invalid | ConfigMap "big" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes | {"kind":"ConfigMap","name":"big"} FieldValueTooLong@metadata.annotations"#),
        ("POST", MAPS, JSON, json!({"metadata": {"name": "big"}, "data": {"a": "x".repeat(1_600_000)}}).to_string(), r#"422 Invalid | ConfigMap "big" is invalid: []: Too long: may not be more than 1048576 bytes | {"kind":"ConfigMap","name":"big"} FieldValueTooLong@[]"#),
        ("POST", &format!("{MAPS}?dryRun=Some"), JSON, named("x"), r#"422 Invalid | CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All" | {"group":"meta.k8s.io","kind":"CreateOptions"} FieldValueNotSupported@dryRun"#),
        ("POST", &format!("{MAPS}?fieldValidation=Some"), JSON, named("x"), r#"422 Invalid | CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Some": supported values: "", "Ignore", "Strict", "Warn" | {"group":"meta.k8s.io","kind":"CreateOptions"} FieldValueNotSupported@fieldValidation"#),
        ("POST", &format!("{MAPS}?fieldManager={}", "x".repeat(129)), JSON, named("x"), r#"422 Invalid | CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes | {"group":"meta.k8s.io","kind":"CreateOptions"} FieldValueTooLong@fieldManager"#),
        ("DELETE", A, JSON, json!({"propagationPolicy": "Orphan", "orphanDependents": true}).to_string(), r#"422 Invalid | DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set | {"group":"meta.k8s.io","kind":"DeleteOptions"} FieldValueInvalid@propagationPolicy"#),
        ("DELETE", A, JSON, json!({"propagationPolicy": "Odd"}).to_string(), r#"422 Invalid | DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Odd": supported values: "Foreground", "Background", "Orphan", "nil" | {"group":"meta.k8s.io","kind":"DeleteOptions"} FieldValueNotSupported@propagationPolicy"#),
        ("PATCH", &format!("{A}?force=true"), MERGE, text("{}"), r#"422 Invalid | PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch | {"group":"meta.k8s.io","kind":"PatchOptions"} FieldValueForbidden@force"#),
    ]).await;
}

/// Breaks when `lifecycle::identify` or the decoders word their refusals in another way.
#[tokio::test]
async fn bodies_that_are_something_else_are_refused() {
    let unrecognised = "the object provided is unrecognized (must be of type ConfigMap)";
    let go_type = r#"Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let cannot = |from: &str, why: &str| {
        format!("400 BadRequest | {from} cannot be handled as a ConfigMap: {why} | null")
    };
    let unregistered = |kind: &str, version: &str| {
        format!(
            r#"no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111""#
        )
    };
    check(&[
        ("POST", MAPS, JSON, text("{"), &format!("400 BadRequest | {unrecognised}: couldn't get version/kind; json parse error: unexpected end of JSON input ({{) | null")),
        ("POST", MAPS, JSON, text("[]"), &format!("400 BadRequest | {unrecognised}: couldn't get version/kind; json parse error: json: cannot unmarshal array into {go_type} (5b5d) | null")),
        ("POST", MAPS, JSON, text("3"), &format!("400 BadRequest | {unrecognised}: couldn't get version/kind; json parse error: json: cannot unmarshal number into {go_type} (33) | null")),
        ("POST", MAPS, JSON, text(r#""x""#), &format!("400 BadRequest | {unrecognised}: couldn't get version/kind; json parse error: json: cannot unmarshal string into {go_type} (227822) | null")),
        ("POST", MAPS, JSON, text(""), &format!("400 BadRequest | {unrecognised}: couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>) | null")),
        ("POST", MAPS, JSON, text("null"), r#"422 Invalid | ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required | {"kind":"ConfigMap"} FieldValueRequired@metadata.name"#),
        ("POST", MAPS, "application/vnd.kubernetes.protobuf", text("x"), &format!("400 BadRequest | {unrecognised}: provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (78) | null")),
        ("POST", MAPS, JSON, json!({"metadata": 3}).to_string(), &cannot("ConfigMap in version \"v1\"", "json: cannot unmarshal number into Go struct field ConfigMap.metadata of type v1.ObjectMeta")),
        ("POST", MAPS, JSON, json!({"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "x"}}).to_string(), &cannot("ConfigMap in version \"v1\"", &unregistered("ConfigMap", "apps/v1"))),
        ("POST", MAPS, JSON, json!({"apiVersion": "apps/v1", "metadata": {"name": "x"}}).to_string(), &cannot("ConfigMap in version \"v1\"", &unregistered("ConfigMap", "apps/v1"))),
        ("POST", MAPS, JSON, json!({"apiVersion": "v1", "kind": "Odd", "metadata": {"name": "x"}}).to_string(), &cannot("Odd in version \"v1\"", &unregistered("Odd", "v1"))),
        ("POST", MAPS, JSON, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}).to_string(), &cannot("Secret in version \"v1\"", "converting (v1.Secret) to (core.ConfigMap): unknown conversion")),
        ("POST", MAPS, JSON, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}).to_string(), &cannot("Deployment in version \"v1\"", "converting (v1.Deployment) to (core.ConfigMap): unknown conversion")),
    ])
    .await;
}

/// Breaks when `check_name` or `patch::parse` word their refusals in another way.
#[tokio::test]
async fn bodies_that_are_of_another_object_are_refused() {
    check(&[
        ("PUT", A, JSON, named("b"), "400 BadRequest | the name of the object (b) does not match the name on the URL (a) | null"),
        ("PUT", A, JSON, text(r#"{"metadata":{}}"#), "400 BadRequest | the name of the object (a based on URL) was undeterminable: name must be provided | null"),
        ("PATCH", A, MERGE, named("x"), "400 BadRequest | the name of the object (x) does not match the name on the URL (a) | null"),
        ("POST", MAPS, JSON, json!({"metadata": {"name": "x", "namespace": "other"}}).to_string(), "400 BadRequest | the namespace of the provided object does not match the namespace sent on the request | null"),
        ("PUT", A, JSON, json!({"metadata": {"name": "a", "namespace": "other"}}).to_string(), "400 BadRequest | the namespace of the provided object does not match the namespace sent on the request | null"),
        ("PATCH", A, MERGE, text("[]"), "400 BadRequest | error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {} | null"),
        ("PATCH", A, MERGE, text("{"), "400 BadRequest | error decoding patch: unexpected end of JSON input | null"),
        ("PATCH", A, "application/json-patch+json", text("{}"), "400 BadRequest | error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp | null"),
        ("PATCH", A, "application/json-patch+json", json!([{"op": "test", "path": "/data/a", "value": "9"}]).to_string(), "422 Invalid | the server rejected our request due to an error in our request | {}"),
        ("POST", &format!("{MAPS}?fieldValidation=Strict"), JSON, text(r#"{"metadata":{"name":"s"},"odd":1}"#), r#"400 BadRequest | ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "odd" | null"#),
    ]).await;
}

/// Breaks when the router offers more methods, or the negotiation takes other types.
#[tokio::test]
async fn methods_and_media_types_that_are_not_offered_are_told() {
    let world = world().await;
    let none = "405 MethodNotAllowed | the server does not allow this method on the requested resource | {}";
    for (method, path) in [
        ("POST", "/api/v1/configmaps"),
        ("PUT", MAPS),
        ("PATCH", MAPS),
        ("POST", A),
        ("TRACE", MAPS),
    ] {
        let answer = told(&world, (method, path, JSON, named("a"))).await;
        assert_eq!(answer, none, "{method} {path}");
    }
    let accepted = "406 NotAcceptable | only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf | null";
    let table = "application/json;as=Table;g=meta.k8s.io;v=v9";
    let reply = told(&world, ("GET", &format!("{MAPS}?Accept"), table, text(""))).await;
    assert_eq!(reply, accepted);
    let none = "406 NotAcceptable | 406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch | {}";
    let reply = told(&world, ("GET", &format!("{MAPS}?Accept"), "text/html", text(""))).await;
    assert_eq!(reply, none);
    let unknown = "415 UnsupportedMediaType | the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf | null";
    assert_eq!(told(&world, ("POST", MAPS, "text/plain", named("x"))).await, unknown);
    let unknown = "415 UnsupportedMediaType | 415: Unsupported Media Type | {}";
    assert_eq!(told(&world, ("PATCH", A, "application/odd", named("x"))).await, unknown);
    let large = " ".repeat(3_145_729);
    let expected = "413 RequestEntityTooLarge | Request entity too large: limit is 3145728 | null";
    assert_eq!(told(&world, ("POST", MAPS, JSON, large)).await, expected);
    let many =
        json!(vec![json!({"op": "test", "path": "/data/a", "value": "1"}); 10_001]).to_string();
    let expected = "413 RequestEntityTooLarge | Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001 | null";
    assert_eq!(told(&world, ("PATCH", A, "application/json-patch+json", many)).await, expected);
}

/// Breaks when `http/query.rs` or `list.rs` words its refusals in another way.
#[tokio::test]
async fn lists_that_cannot_be_given_are_refused() {
    let options = |field: &str, why: &str, cause: &str| {
        format!(
            r#"422 Invalid | ListOptions.meta.k8s.io "" is invalid: {field}: {why} | {{"group":"meta.k8s.io","kind":"ListOptions"}} {cause}@{field}"#
        )
    };
    let forbidden = |field: &str, why: &str| {
        options(field, &format!("Forbidden: {why}"), "FieldValueForbidden")
    };
    let bad = |why: &str| format!("400 BadRequest | {why} | null");
    let matching = "resourceVersionMatch";
    let world = world().await;
    for (query, expected) in [
        (
            "resourceVersion=abc",
            bad(
                r#"invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax"#,
            ),
        ),
        (
            "continue=abc",
            bad(
                "invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value",
            ),
        ),
        (
            "resourceVersion=5&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NTAsInN0YXJ0IjoiYSJ9",
            bad("specifying resource version is not allowed when using continue"),
        ),
        (
            "fieldSelector=spec.x%3D1",
            bad(
                r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#,
            ),
        ),
        ("limit=x", bad(r#"strconv.ParseInt: parsing "x": invalid syntax"#)),
        (
            "resourceVersionMatch=Exact",
            forbidden(
                matching,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
        ),
        (
            "resourceVersionMatch=Odd&resourceVersion=5",
            options(
                matching,
                r#"Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", """#,
                "FieldValueNotSupported",
            ),
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            forbidden(
                matching,
                r#"resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
            ),
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=5&continue=abc",
            forbidden(matching, "resourceVersionMatch is forbidden when continue is provided"),
        ),
        (
            "sendInitialEvents=true",
            forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"),
        ),
        (
            "watch=1&sendInitialEvents=true",
            forbidden(
                matching,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
        ),
    ] {
        let answer = told(&world, ("GET", &format!("{MAPS}?{query}"), JSON, text(""))).await;
        assert_eq!(answer, expected, "{query}");
    }
}

/// Breaks when `Revision::Exact` is read from what is left of the history.
#[tokio::test]
async fn lists_of_the_past_are_gone_with_the_history() {
    let world = world().await;
    let pods = "/api/v1/namespaces/default/pods?fieldSelector=spec.x%3D1";
    let expected = "400 BadRequest | field label not supported: spec.x | null";
    assert_eq!(told(&world, ("GET", pods, JSON, text(""))).await, expected);
    world.server.backend().expire_history();
    let old = format!("{MAPS}?resourceVersionMatch=Exact&resourceVersion=1");
    let expected = "410 Expired | The resourceVersion for the provided list is too old. | null";
    assert_eq!(told(&world, ("GET", &old, JSON, text(""))).await, expected);
}

/// Breaks when these failures get a reason, which they have not in the reference.
#[tokio::test]
async fn failures_of_storage_have_no_reason() {
    let revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
    check(&[
        ("POST", MAPS, JSON, json!({"metadata": {"name": "q", "resourceVersion": "5"}}).to_string(), "500 - | resourceVersion should not be set on objects to be created | null"),
        ("POST", revisions, JSON, json!({"metadata": {"name": "big"}, "revision": 1, "data": {"a": "x".repeat(1_600_000)}}).to_string(), "500 - | etcdserver: request is too large | null"),
    ]).await;
}

/// Breaks when `IMMORTAL` in `backend/delete.rs` is empty.
#[tokio::test]
async fn what_is_forbidden_says_so() {
    let world = world().await;
    let answer = told(&world, ("DELETE", "/api/v1/namespaces/default", JSON, text(""))).await;
    assert_eq!(
        answer,
        r#"403 Forbidden | namespaces "default" is forbidden: this namespace may not be deleted | {"kind":"namespaces","name":"default"}"#
    );
}

/// Breaks when a warning of `lifecycle` or of a deprecated kind is left out or worded in another way.
#[tokio::test]
async fn warnings_are_quoted() {
    let world = world().await;
    let warned = world.get("/api/v1/namespaces/default/endpoints").await.warnings;
    assert_eq!(
        warned,
        [r#"299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice""#]
    );
    let body = r#"{"metadata":{"name":"s"},"odd":1,"data":{"a":"1","a":"2"}}"#;
    let reply = world.send(Method::POST, MAPS, &[], Bytes::from(body)).await;
    assert_eq!(
        (reply.code, reply.warnings),
        (
            201,
            vec![
                text(r#"299 - "unknown field \"odd\"""#),
                text(r#"299 - "duplicate field \"data.a\"""#)
            ]
        )
    );
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u1"});
    let owned = json!({"metadata": {"name": "own", "ownerReferences": [owner, owner]}});
    let warned = world.post(MAPS, owned).await.warnings;
    assert_eq!(
        warned,
        [
            r#"299 - ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u1""#
        ]
    );
}
