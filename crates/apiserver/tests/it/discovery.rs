//! What clients learn about the server.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::world::World;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json";

#[tokio::test]
async fn groups_and_resources_are_listed() {
    let world = World::new().await;
    assert_eq!(world.get("/api").await.body["versions"], json!(["v1"]));
    let groups = world.get("/apis").await.body;
    assert!(groups["groups"].as_array().unwrap().iter().any(|it| it["name"] == "apps"));
    assert_eq!(world.get("/apis/apps").await.body["preferredVersion"]["version"], "v1");
    let resources = world.get("/apis/apps/v1").await.body;
    let names =
        resources["resources"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
    assert!(names.into_iter().any(|name| name == "deployments/scale"));
    assert_eq!(world.get("/apis/nope.io").await.code, 404);
    assert_eq!(world.get("/apis/apps/v2").await.code, 404);
    assert_eq!(world.post("/apis", json!({})).await.code, 405);
}

#[tokio::test]
async fn all_of_it_comes_as_one_document_with_a_tag() {
    let world = World::new().await;
    for path in ["/api", "/apis"] {
        let headers = [("accept", AGGREGATED)];
        let response = world.open(Method::GET, path, &headers, Bytes::new()).await;
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["vary"], "Accept");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(document["kind"], "APIGroupDiscoveryList");
        let headers = [("accept", AGGREGATED), ("if-none-match", &*tag)];
        let response = world.open(Method::GET, path, &headers, Bytes::new()).await;
        assert_eq!(response.status(), 304);
    }
}

/// Breaks when the location of a wrong hash is the path without a hash, or schemas may not be kept.
#[tokio::test]
async fn acceptance_4_schemas_are_kept_by_their_hash() {
    let world = World::new().await;
    let index = world.get("/openapi/v3").await.body;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let response = world.open(Method::GET, url, &[], Bytes::new()).await;
    assert_eq!(response.headers()["cache-control"], "public, immutable");
    assert_eq!(response.headers()["expires"], "Fri, 01 Jan 2027 00:00:00 GMT");
    let wrong = "/openapi/v3/apis/apps/v1?hash=WRONG";
    let response = world.open(Method::GET, wrong, &[], Bytes::new()).await;
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], *url);
    let document = world.get(url).await.body;
    let path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    let parameters = document["paths"][path]["patch"]["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|it| it["name"] == "fieldValidation"));
    assert_eq!(world.get("/openapi/v3/apis/nope/v1").await.code, 404);
}

#[tokio::test]
async fn acceptance_3_the_older_schemas_come_as_protobuf() {
    let world = World::new().await;
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let headers = [("accept", accept)];
    let response = world.open(Method::GET, "/openapi/v2", &headers, Bytes::new()).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes.get(..5), Some(b"\x0a\x032.0".as_slice()));
    assert_eq!(world.get("/openapi/v2").await.body["swagger"], "2.0");
    assert_eq!(world.get_as("/openapi/v2", "text/html").await.code, 406);
}

#[tokio::test]
async fn tables_show_columns_and_rows() {
    let world = World::new().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = world.get_as("/api/v1/namespaces", accept).await.body;
    assert_eq!(table["kind"], "Table");
    let columns = table["columnDefinitions"].as_array().unwrap();
    let columns: Vec<_> = columns.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Status", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["default", "Active", "0s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = world.get_as("/api/v1/namespaces/default?includeObject=None", accept).await.body;
    let rows = one["rows"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0].get("object")), (1, Some(&Value::Null)));
    assert_eq!(world.get_as("/api/v1/namespaces?includeObject=Odd", accept).await.code, 400);
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let world = World::new().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping", "/readyz?verbose"] {
        assert_eq!(world.get(path).await.body, json!("ok"), "{path}");
    }
    assert_eq!(world.get("/version").await.body["minor"], "36");
    let paths = world.get("/").await.body;
    assert!(paths["paths"].as_array().unwrap().contains(&json!("/apis/apps/v1")));
    assert_eq!(world.get("/nope").await.body, json!("404 page not found\n"));
}
