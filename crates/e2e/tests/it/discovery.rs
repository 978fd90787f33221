//! What both servers say that they serve.
//!
//! `WINDLASS_BLESS=1` makes the test of the real server write the recording anew.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use apiserver::ApiServer;
use http::Request;
use serde_json::{Value, json};

use crate::differential::real_client;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What of the served groups the embedded server does not have yet.
const LATER: [&str; 23] = [
    "bindings",
    "componentstatuses",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "ipaddresses",
    "limitranges",
    "nodes/proxy",
    "pods/ephemeralcontainers",
    "pods/proxy",
    "pods/resize",
    "podtemplates",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "servicecidrs",
    "servicecidrs/status",
    "services/proxy",
    "volumeattachments",
    "volumeattachments/status",
    "volumeattributesclasses",
];

/// Where something stands, and what is said of it, in the order of the documents.
type Entries = Vec<(String, Value)>;

/// Breaks when a short name, a verb, a category or a hash in `registry/builtin.rs` is another one.
#[tokio::test]
async fn acceptance_5_embedded() {
    let client = embedded().await;
    let groups = group_versions(&client).await;
    let told = told(&client, &groups).await;
    let recorded: BTreeMap<String, Value> = recording().into_iter().collect();
    let mut wrong = Vec::new();
    for (place, entry) in &told {
        match recorded.get(place) {
            Some(expected) if expected == entry => {}
            other => wrong.push(format!("{place}: {entry} instead of {other:?}")),
        }
    }
    let is_told = |place: &String| told.iter().any(|it| it.0 == *place);
    let is_later = |place: &str| {
        let name = place.rsplit(' ').next().unwrap_or_default();
        LATER.contains(&name)
    };
    let recorded = recording();
    let places: Vec<_> = recorded.iter().map(|it| &it.0).filter(|place| is_told(place)).collect();
    wrong.extend(
        recorded.iter().map(|it| &it.0).filter(|it| !is_told(it) && !is_later(it)).cloned(),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(told.iter().map(|it| &it.0).collect::<Vec<_>>(), places, "the order");
}

#[tokio::test]
async fn acceptance_5_real() {
    let Some(kubeconfig) = e2e::real_kubeconfig("discovery") else { return };
    let groups = group_versions(&embedded().await).await;
    let told = told(&real_client(&kubeconfig).await, &groups).await;
    if env::var_os("WINDLASS_BLESS").is_some() {
        let lines: Vec<_> =
            told.iter().map(|(place, entry)| json!([place, entry]).to_string() + "\n").collect();
        fs::write(path(), lines.concat()).unwrap();
    }
    assert_eq!(told, recording());
}

async fn embedded() -> kube::Client {
    let server = ApiServer::builder().controllers(false).start().await.unwrap();
    let service = server.service();
    // The service answers as long as there is a server.
    tokio::spawn(async move {
        let _server = server;
        std::future::pending::<()>().await;
    });
    kube::Client::new(service, "default")
}

/// Returns the versions that the embedded server has; only they are compared.
async fn group_versions(client: &kube::Client) -> Vec<String> {
    let groups = get(client, "/apis", "application/json").await;
    let groups = groups["groups"].as_array().unwrap().iter();
    let versions = groups.flat_map(|group| group["versions"].as_array().unwrap().clone());
    let named = versions.map(|version| version["groupVersion"].as_str().unwrap().to_owned());
    ["v1".to_owned()].into_iter().chain(named).collect()
}

/// Returns all that is said of these versions, in both forms of discovery.
async fn told(client: &kube::Client, versions: &[String]) -> Entries {
    let mut entries = vec![];
    let is_ours = |version: &str| versions.iter().any(|it| it == version);
    let groups = get(client, "/apis", "application/json").await;
    for group in groups["groups"].as_array().unwrap() {
        if is_ours(group["preferredVersion"]["groupVersion"].as_str().unwrap()) {
            entries.push((format!("group {}", group["name"].as_str().unwrap()), group.clone()));
        }
    }
    for version in versions {
        let prefix = if version == "v1" { "/api" } else { "/apis" };
        let list = get(client, &format!("{prefix}/{version}"), "application/json").await;
        for entry in list["resources"].as_array().unwrap() {
            entries.push((format!("{version} {}", entry["name"].as_str().unwrap()), entry.clone()));
        }
    }
    for root in ["/api", "/apis"] {
        let all = get(client, root, AGGREGATED).await;
        for group in all["items"].as_array().unwrap() {
            entries.extend(
                aggregated(group)
                    .into_iter()
                    .filter(|it| is_ours(&it.0))
                    .map(|(version, name, entry)| (format!("aggregated {version} {name}"), entry)),
            );
        }
    }
    entries
}

/// Takes a group of the aggregated form apart: version, name and entry of each resource and part of one.
fn aggregated(group: &Value) -> Vec<(String, String, Value)> {
    let mut entries = vec![];
    let name = group["metadata"]["name"].as_str().unwrap_or_default();
    for version in group["versions"].as_array().unwrap() {
        let short = version["version"].as_str().unwrap();
        let full = if name.is_empty() { short.to_owned() } else { format!("{name}/{short}") };
        entries.push((full.clone(), "-".to_owned(), version["freshness"].clone()));
        for resource in version["resources"].as_array().unwrap() {
            let mut resource = resource.clone();
            let plural = resource["resource"].as_str().unwrap().to_owned();
            let parts = resource.as_object_mut().unwrap().remove("subresources");
            entries.push((full.clone(), plural.clone(), resource));
            for part in parts.iter().flat_map(|it| it.as_array().unwrap()) {
                let name = format!("{plural}/{}", part["subresource"].as_str().unwrap());
                entries.push((full.clone(), name, part.clone()));
            }
        }
    }
    entries
}

async fn get(client: &kube::Client, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept).body(vec![]).unwrap();
    client.request(request).await.unwrap()
}

fn recording() -> Entries {
    let text = fs::read_to_string(path()).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/discovery.jsonl")
}
