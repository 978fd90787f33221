//! Pods on the simulated node, and the endpoints that lead to them.

use super::*;

async fn ran(pod: Value) -> (Server, Value) {
    let server = Server::start().await;
    let name = format!("default/{}", text(&pod, "/metadata/name"));
    server.create(&kinds::PODS, pod);
    server.settle().await;
    let pod = server.get(&kinds::PODS, &name).unwrap();
    (server, pod)
}

#[tokio::test]
async fn a_pod_runs_at_once() {
    let (_server, pod) = ran(pod("a", "Always", &json!({}))).await;
    assert_eq!(pod["spec"]["nodeName"], "windlass-0");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["podIP"], "10.244.0.1");
    for kind in ["Ready", "ContainersReady", "Initialized", "PodScheduled"] {
        assert_eq!(condition(&pod, kind), "True/", "{kind}");
    }
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
}

#[tokio::test]
async fn a_pod_becomes_ready_after_the_time_it_asks_for() {
    let ready_after = json!({"sim.windlass.dev/ready-after": "5s"});
    let (server, pod) = ran(pod("a", "Always", &ready_after)).await;
    assert_eq!(condition(&pod, "Ready"), "False/ContainersNotReady");
    server.settle_within(4).await;
    let pod = server.get(&kinds::PODS, "default/a").unwrap();
    assert_eq!(condition(&pod, "Ready"), "False/ContainersNotReady");
    server.settle_within(5).await;
    let pod = server.get(&kinds::PODS, "default/a").unwrap();
    assert_eq!(condition(&pod, "Ready"), "True/");
}

#[tokio::test]
async fn a_pod_that_ends_takes_a_second() {
    for (code, phase) in [("0", "Succeeded"), ("3", "Failed")] {
        let annotations = json!({"sim.windlass.dev/exit-code": code});
        let (server, running) = ran(pod("a", "Never", &annotations)).await;
        assert_eq!(running["status"]["phase"], "Running");
        server.settle_within(1).await;
        let pod = server.get(&kinds::PODS, "default/a").unwrap();
        assert_eq!(pod["status"]["phase"], phase);
        let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(state["exitCode"].to_string(), code);
    }
}

#[tokio::test]
async fn a_deleted_pod_goes_at_once_but_a_stuck_one_takes_its_grace() {
    let (server, _) = ran(pod("a", "Always", &json!({}))).await;
    server.delete(&kinds::PODS, "default/a", Propagation::Background);
    server.settle().await;
    assert_eq!(server.get(&kinds::PODS, "default/a"), None);

    let (server, _) = ran(pod("a", "Always", &json!({"sim.windlass.dev/fail": "Stuck"}))).await;
    server.delete(&kinds::PODS, "default/a", Propagation::Background);
    server.settle_within(29).await;
    assert!(server.get(&kinds::PODS, "default/a").is_some());
    server.settle_within(30).await;
    assert_eq!(server.get(&kinds::PODS, "default/a"), None);
}

#[tokio::test]
async fn a_bad_annotation_is_told_and_ignored() {
    let annotations = json!({"sim.windlass.dev/ready-after": "soon"});
    let (server, pod) = ran(pod("a", "Always", &annotations)).await;
    assert_eq!(condition(&pod, "Ready"), "True/");
    assert_eq!(
        server.events("SimInvalidAnnotation"),
        [
            "annotation `sim.windlass.dev/ready-after` is `soon`, expected a duration such as `1m30s` \
          or `250ms`"
        ]
    );
}

#[tokio::test]
async fn a_pod_that_no_node_takes_waits_for_one() {
    let mut value = pod("a", "Always", &json!({}));
    value["spec"]["nodeSelector"] = json!({"disk": "fast"});
    let (server, pod) = ran(value).await;
    assert_eq!(condition(&pod, "PodScheduled"), "False/Unschedulable");
    assert_eq!(
        server.events("FailedScheduling"),
        ["0/1 nodes are available: 1 didn't match Pod's node affinity/selector."]
    );
    server
        .change(&kinds::NODES, "windlass-0", |it| it["metadata"]["labels"]["disk"] = json!("fast"));
    server.settle().await;
    let pod = server.get(&kinds::PODS, "default/a").unwrap();
    assert_eq!(condition(&pod, "Ready"), "True/");
}

#[tokio::test]
async fn init_containers_run_first() {
    let mut value = pod("a", "Always", &json!({}));
    value["spec"]["initContainers"] =
        json!([{"name": "i", "image": "x"}, {"name": "j", "image": "x"}]);
    let server = Server::start().await;
    let mut events = server.api.backend().subscribe(server.api.backend().revision());
    server.create(&kinds::PODS, value);
    let mut stages = Vec::new();
    while stages.last().is_none_or(|it| it != "Running 2") {
        let event = events.next().await.unwrap();
        if *event.resource != *kinds::PODS {
            continue;
        }
        let pod = event.object.to_value();
        let done = list(&pod, "/status/initContainerStatuses").iter();
        let done = done.filter(|it| it.pointer("/state/terminated").is_some()).count();
        stages.push(format!("{} {done}", text(&pod, "/status/phase")));
    }
    // The first two are the creation and the binding.
    assert_eq!(stages[2..], ["Pending 0", "Pending 1", "Running 2"]);
}

#[tokio::test]
async fn endpoints_follow_the_ready_pods() {
    let server = Server::start().await;
    let service = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "type": "ClusterIP", "clusterIP": "10.96.0.9",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    server.create(&kinds::SERVICES, service);
    server.create(&kinds::DEPLOYMENTS, deployment("web", 2, &json!({})));
    server.settle().await;
    let endpoints = server.get(&kinds::ENDPOINTS, "default/web").unwrap();
    let subset = &endpoints["subsets"][0];
    assert_eq!(list(subset, "/addresses").len(), 2);
    assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    let slices = slices_of_web(&server);
    assert_eq!(slices.len(), 1);
    assert_eq!(list(&slices[0], "/endpoints").len(), 2);
    server.delete(&kinds::SERVICES, "default/web", Propagation::Background);
    server.settle().await;
    assert_eq!(server.get(&kinds::ENDPOINTS, "default/web"), None);
    assert!(slices_of_web(&server).is_empty());
}

fn slices_of_web(server: &Server) -> Vec<Value> {
    let slices = server.list(&kinds::ENDPOINT_SLICES).into_iter();
    slices.filter(|it| it["metadata"]["labels"]["kubernetes.io/service-name"] == "web").collect()
}

#[tokio::test]
async fn a_pod_waits_until_there_is_room_for_it() {
    let server = Server::start().await;
    for name in ["first", "second"] {
        let mut value = pod(name, "Always", &json!({}));
        value["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "20"}});
        server.create(&kinds::PODS, value);
    }
    server.settle().await;
    let second = server.get(&kinds::PODS, "default/second").unwrap();
    assert_eq!(condition(&second, "PodScheduled"), "False/Unschedulable");
    assert_eq!(server.events("FailedScheduling"), ["0/1 nodes are available: 1 Insufficient cpu."]);
    server.delete(&kinds::PODS, "default/first", Propagation::Background);
    server.settle().await;
    let second = server.get(&kinds::PODS, "default/second").unwrap();
    assert_eq!(condition(&second, "Ready"), "True/");
}
