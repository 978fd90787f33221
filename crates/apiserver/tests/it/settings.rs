//! What can be set when a server is made.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use apiserver::{ApiServer, Settings};
use http::Method;
use k8s::{Activity, Settle, SignedDuration, VirtualClock};
use serde_json::{Value, json};

use crate::world::World;

/// Where lines go that a test reads.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Breaks when Events stay, or go without being told of to watches.
#[tokio::test]
async fn events_go_when_their_time_is_up() {
    let (clock, activity) = (VirtualClock::default(), Activity::default());
    let settings = Settings { event_ttl: Duration::from_mins(10), ..Settings::default() };
    let server = ApiServer::builder().clock(Arc::new(clock.clone())).settings(settings);
    let server = server.activity(activity.clone()).controllers(false).start().await.unwrap();
    let world = World::of(server);
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str| {
        let about = json!({"kind": "Pod", "namespace": "default", "name": "p"});
        json!({"metadata": {"name": name}, "involvedObject": about, "reason": "R", "type": "Normal"})
    };
    assert_eq!(world.post(events, event("a")).await.code, 201);
    let mut watch = world.watch(&format!("{events}?watch=true")).await;
    assert_eq!(watch.texts(1).await, ["ADDED a"]);
    clock.advance(SignedDuration::from_mins(6));
    assert_eq!(world.post(events, event("b")).await.code, 201);
    clock.advance(SignedDuration::from_mins(4));
    assert_eq!(watch.texts(2).await, ["ADDED b", "DELETED a"]);
    activity.settle(&clock, Settle::within(Duration::from_secs(9))).await.unwrap();
    assert_eq!(world.get(events).await.names(), ["b"]);
}

#[tokio::test]
async fn each_request_is_noted() {
    let page = Page::default();
    let server = ApiServer::builder().controllers(false).audit_log(page.clone());
    let world = World::of(server.start().await.unwrap());
    let maps = "/api/v1/namespaces/default/configmaps";
    world.post(maps, json!({"metadata": {"name": "a"}})).await;
    world.patch(&format!("{maps}/a?dryRun=All"), "merge", json!({"data": {"a": "b"}})).await;
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [create, patch] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(create["verb"], "create");
    assert_eq!(create["gvr"], "v1/configmaps");
    assert_eq!((&create["code"], &create["user"]), (&json!(201), &json!("windlass-admin")));
    assert_eq!(create["rv"], world.server.revision());
    assert_eq!(patch["patch_type"], "application/merge-patch+json");
    assert_eq!(patch["dry_run"], true);
}

#[tokio::test]
async fn sizes_are_limited_as_set() {
    let settings = Settings { max_body: 20_000, max_object: 5000, ..Settings::default() };
    let server = ApiServer::builder().controllers(false).settings(settings).start().await.unwrap();
    let world = World::of(server);
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |length: usize| json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(length)}});
    let reply = world.post(maps, map(20_000)).await;
    let message = "Request entity too large: limit is 20000";
    assert_eq!(reply.error(), (413, "RequestEntityTooLarge", message));
    assert_eq!(world.post(maps, map(6000)).await.code, 500);
    assert_eq!(world.post(maps, map(100)).await.code, 201);
}

#[tokio::test]
async fn addresses_come_from_the_networks_that_were_set() {
    let settings = Settings {
        networks: apiserver::Networks {
            services: "10.1.0.0/24".parse().unwrap(),
            pods: "10.2.0.0/24".parse().unwrap(),
            node_ports: 31_000..=31_000,
        },
        nodes: 2,
        ..Settings::default()
    };
    let world = World::of(ApiServer::builder().settings(settings).start().await.unwrap());
    let services = "/api/v1/namespaces/default/services";
    let own = world.get(&format!("{services}/kubernetes")).await.body;
    assert_eq!(own["spec"]["clusterIP"], "10.1.0.1");
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let made = world.post(services, json!({"metadata": {"name": "a"}, "spec": spec})).await.body;
    assert_eq!(made["spec"]["clusterIP"], "10.1.0.2");
    assert_eq!(made["spec"]["ports"][0]["nodePort"], 31_000);
    let names = world.get("/api/v1/nodes").await;
    assert_eq!(names.names(), ["windlass-0", "windlass-1"]);
    let pods = "/api/v1/namespaces/default/pods";
    let spec = json!({"nodeName": "windlass-1", "containers": [{"name": "c", "image": "i"}]});
    world.post(pods, json!({"metadata": {"name": "p"}, "spec": spec})).await;
    let clock = world.server.backend().clock().clone();
    world.activity.settle(&*clock, Settle::within(Duration::from_secs(9))).await.unwrap();
    let pod = world.get(&format!("{pods}/p")).await.body;
    assert_eq!(pod["status"]["podIP"], "10.2.0.1");
    assert_eq!(pod["status"]["hostIP"], "172.18.0.3");
}

/// Breaks when a controller runs that was left out.
#[tokio::test]
async fn controllers_can_be_left_out() {
    let controllers = "*,-deployment".parse().unwrap();
    let server = ApiServer::builder().settings(Settings { controllers, ..Settings::default() });
    let world = World::of(server.start().await.unwrap());
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
    let body = json!({"metadata": {"name": "d"}, "spec": spec});
    let made = world.post("/apis/apps/v1/namespaces/default/deployments", body).await;
    assert_eq!(made.code, 201);
    let clock = world.server.backend().clock().clone();
    world.activity.settle(&*clock, Settle::within(Duration::from_secs(9))).await.unwrap();
    let sets = world.send(Method::GET, "/apis/apps/v1/replicasets", &[], "".into()).await;
    assert!(sets.names().is_empty());
}
