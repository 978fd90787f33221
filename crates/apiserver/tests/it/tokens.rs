//! Tokens of ServiceAccounts, and who is who.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use k8s::SignedDuration;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{Reply, World};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Asks for a token of the default account.
async fn request(world: &World, spec: Value) -> Reply {
    world.post(&format!("{ACCOUNTS}/default/token"), json!({"spec": spec})).await
}

async fn token(world: &World, spec: Value) -> String {
    let reply = request(world, spec).await;
    assert_eq!(reply.code, 201, "{}", reply.message());
    reply.body["status"]["token"].as_str().unwrap().to_owned()
}

/// Sends a request that nothing but its token vouches for.
async fn with_token(world: &World, token: &str, (path, body): (&str, Value)) -> (u16, Value) {
    let method = if body.is_null() { Method::GET } else { Method::POST };
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {token}"));
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let answer = world.server.open_service().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Returns the status code that a look at the pods is answered with.
async fn code(world: &World, token: &str) -> u16 {
    with_token(world, token, ("/api/v1/pods", Value::Null)).await.0
}

/// Breaks when the request's token is not looked at, or its user has no groups of the namespace.
#[tokio::test]
async fn a_token_is_its_account() {
    let world = World::new().await;
    let token = token(&world, json!({})).await;
    let (code, review) = with_token(&world, &token, (WHOAMI, json!({}))).await;
    assert_eq!(code, 201);
    let account = world.get(&format!("{ACCOUNTS}/default")).await.body;
    let user = &review["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    assert_eq!(user["uid"], account["metadata"]["uid"]);
    let groups =
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user["groups"], json!(groups));
    let records = world.server.requests();
    assert_eq!(records.iter().rev().nth(1).unwrap().user, "system:serviceaccount:default:default");
}

#[tokio::test]
async fn a_token_request_is_answered_as_the_reference_does() {
    let world = World::new().await;
    let body =
        request(&world, json!({"audiences": ["a", "b"], "expirationSeconds": 600})).await.body;
    assert_eq!(body["kind"], "TokenRequest");
    assert_eq!(body["metadata"]["name"], "default");
    assert_eq!(body["metadata"]["managedFields"][0]["subresource"], "token");
    let fields = json!({"f:spec": {"f:audiences": {}, "f:expirationSeconds": {}}});
    assert_eq!(body["metadata"]["managedFields"][0]["fieldsV1"], fields);
    let spec = json!({"audiences": ["a", "b"], "expirationSeconds": 600, "boundObjectRef": null});
    assert_eq!(body["spec"], spec);
    assert_eq!(body["status"]["expirationTimestamp"], "2026-01-01T00:10:00Z");
    let body = request(&world, json!({})).await.body;
    assert_eq!(body["spec"]["audiences"], json!(["https://kubernetes.default.svc"]));
    assert_eq!(body["spec"]["expirationSeconds"], 3600);
    let long = request(&world, json!({"expirationSeconds": 172_800})).await;
    assert_eq!(long.body["spec"]["expirationSeconds"], 86400);
    let warning = "requested expiration of 172800 seconds shortened to 86400 seconds";
    assert_eq!(long.warnings, [format!("299 - \"{warning}\"")]);
}

#[tokio::test]
async fn token_requests_are_checked() {
    let world = World::new().await;
    for (spec, code, message) in [
        (
            json!({"expirationSeconds": 599}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid \
             value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"expirationSeconds": 4_294_967_297_i64}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid \
             value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}),
            404,
            "pods \"p\" not found",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
    ] {
        let reply = request(&world, spec).await;
        assert_eq!((reply.code, reply.message()), (code, message));
    }
    let other = json!({"metadata": {"name": "other"}, "spec": {}});
    let reply = world.post(&format!("{ACCOUNTS}/default/token"), other).await;
    assert_eq!(
        reply.message(),
        "TokenRequest.authentication.k8s.io \"default\" is invalid: metadata.name: Invalid value: \
         \"other\": must match the service account name if specified"
    );
    let reply = world.post(&format!("{ACCOUNTS}/nope/token"), json!({"spec": {}})).await;
    assert_eq!(reply.message(), "serviceaccounts \"nope\" not found");
    assert_eq!(world.get(&format!("{ACCOUNTS}/default/token")).await.code, 405);
}

/// Breaks when the expiry of a token is not checked, or not by the server's clock.
#[tokio::test]
async fn a_token_ends_when_its_time_is_up() {
    let world = World::new().await;
    let token = token(&world, json!({"expirationSeconds": 600})).await;
    world.clock.advance(SignedDuration::from_secs(599));
    assert_eq!(code(&world, &token).await, 200);
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(code(&world, &token).await, 401);
}

/// Breaks when the UID of the account is not compared with the living one's.
#[tokio::test]
async fn a_token_ends_with_its_account() {
    let world = World::new().await;
    let account = json!({"metadata": {"name": "a"}});
    world.post(ACCOUNTS, account.clone()).await;
    let reply = world.post(&format!("{ACCOUNTS}/a/token"), json!({"spec": {}})).await;
    let token = reply.body["status"]["token"].as_str().unwrap();
    assert_eq!(code(&world, token).await, 200);
    world.delete(&format!("{ACCOUNTS}/a")).await;
    assert_eq!(code(&world, token).await, 401);
    world.post(ACCOUNTS, account).await;
    assert_eq!(code(&world, token).await, 401, "this is another account of the same name");
}

/// Breaks when bound objects are not looked for.
#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let world = World::new().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    world.post(secrets, json!({"metadata": {"name": "s"}})).await;
    let bound = json!({"apiVersion": "v1", "kind": "Secret", "name": "s"});
    let token = token(&world, json!({"boundObjectRef": bound})).await;
    assert_eq!(code(&world, &token).await, 200);
    world.delete(&format!("{secrets}/s")).await;
    assert_eq!(code(&world, &token).await, 401);
    let bound = json!({"apiVersion": "v1", "kind": "Secret", "name": "t", "uid": "u"});
    world.post(secrets, json!({"metadata": {"name": "t"}})).await;
    let reply = request(&world, json!({"boundObjectRef": bound})).await;
    let message = "Operation cannot be fulfilled on Secret \"t\": the UID in the bound object \
                   reference (u) does not match the UID in record. The object might have been deleted \
                   and then recreated";
    assert_eq!((reply.code, reply.message()), (409, message));
}

/// Breaks when audiences are not compared, or signatures not checked.
#[tokio::test]
async fn what_is_no_token_for_this_server_is_refused() {
    let world = World::new().await;
    let elsewhere = token(&world, json!({"audiences": ["elsewhere"]})).await;
    assert_eq!(code(&world, &elsewhere).await, 401);
    let other = World::new().await;
    let foreign = token(&other, json!({})).await;
    for bad in ["nope", "a.b.c", foreign.as_str()] {
        assert_eq!(code(&world, bad).await, 401, "{bad}");
    }
    // Bad credentials are worse than none.
    assert_eq!(with_token(&world, "nope", ("/readyz", Value::Null)).await.0, 401);
}

#[tokio::test]
async fn a_token_review_tells_whose_token_it_is() {
    let world = World::new().await;
    let token = token(&world, json!({})).await;
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = world.post(path, json!({"spec": {"token": token}})).await.body;
    let status = &review["status"];
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(status["audiences"], json!(["https://kubernetes.default.svc"]));
    let other = world.post(path, json!({"spec": {"token": token, "audiences": ["x"]}})).await.body;
    let error = r#"[invalid bearer token, token audiences ["https://kubernetes.default.svc"] is invalid for the target audiences ["x"]]"#;
    assert_eq!(other["status"], json!({"user": {}, "error": error}));
    let bad = world.post(path, json!({"spec": {"token": "zz"}})).await.body;
    assert_eq!(bad["status"], json!({"user": {}, "error": "invalid bearer token"}));
    assert_eq!(world.post(path, json!({"spec": {}})).await.code, 400);
}

#[tokio::test]
async fn others_find_the_key_of_tokens() {
    let world = World::new().await;
    let set = world.get("/openid/v1/jwks").await.body;
    assert_eq!(set["keys"][0]["alg"], "ES256");
    let headers = [("host", "api.test:6443")];
    let path = "/.well-known/openid-configuration";
    let found = world.send(Method::GET, path, &headers, Bytes::new()).await.body;
    assert_eq!(found["issuer"], "https://kubernetes.default.svc");
    assert_eq!(found["jwks_uri"], "https://api.test:6443/openid/v1/jwks");
}

#[tokio::test]
async fn an_impersonated_account_has_its_groups() {
    let world = World::new().await;
    let headers = [("impersonate-user", "system:serviceaccount:a:b"), ("impersonate-uid", "u")];
    let review = world.send(Method::POST, WHOAMI, &headers, "{}".into()).await.body;
    let user = &review["status"]["userInfo"];
    assert_eq!(user["groups"][1], "system:serviceaccounts:a");
    assert_eq!(user["uid"], "u");
}
