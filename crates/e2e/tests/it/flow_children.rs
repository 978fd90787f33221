//! Children of the kinds that merge and vanish in ways of their own.

use std::time::Duration;

use e2e::{World, story};
use k8s::Resource;
use serde_json::{Value, json};

use crate::{controller, thing};

fn jobs() -> Resource {
    Resource::namespaced("batch/v1", "Job", "jobs")
}

fn deployments() -> Resource {
    Resource::namespaced("apps/v1", "Deployment", "deployments")
}

fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

fn of(things: &Resource, child: &Resource) -> Value {
    let mut spec = controller(things, "InPlace");
    spec["childResources"][0]["apiVersion"] = json!(child.gvk.api_version());
    spec["childResources"][0]["resource"] = json!(child.plural);
    spec
}

/// Breaks when the client deletes without saying how: the server leaves the pods of Jobs behind by default.
async fn acceptance_7_a_job_goes_with_its_pods(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        if request["parent"]["spec"]["value"] != "1" {
            return json!({"children": []});
        }
        let pod = json!({"schedulerName": "nobody", "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "example.com/image:1"}]});
        json!({"children": [{"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "work"}, "spec": {"template": {"spec": pod}}}]})
    });
    world.control("c", &of(&things, &jobs())).await;
    world.create(&things, thing("a", "1")).await;
    let pods = Resource::namespaced("v1", "Pod", "pods");
    let has_pod = || async { !world.list(&pods).await.is_empty() };
    world.eventually("the job has a pod", has_pod).await;
    world.patch(&things, "a", &json!({"spec": {"value": "2"}})).await;
    let is_gone = || async {
        world.get(&jobs(), "work").await.is_null() && world.list(&pods).await.is_empty()
    };
    world.eventually("the job and its pod are gone", is_gone).await;
}
story!(acceptance_7_a_job_goes_with_its_pods);

/// Breaks when `compare` forgets what was applied last.
async fn acceptance_14_what_others_added_to_lists_stays(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let value = request["parent"]["spec"]["value"].as_str().unwrap_or_default().to_owned();
        let mut env = vec![json!({"name": "A", "value": "a"})];
        if value != "3" {
            env.push(json!({"name": "B", "value": "b"}));
        }
        let container = json!({"name": "main", "image": format!("example.com/main:{value}"), "env": env});
        let labels = json!({"app": "web"});
        json!({"children": [{"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web"}, "spec": {"replicas": 0, "paused": true,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}]})
    });
    world.control("c", &of(&things, &deployments())).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    let theirs = json!([
        {"op": "add", "path": "/spec/template/spec/containers/-",
            "value": {"name": "sidecar", "image": "example.com/sidecar"}},
        {"op": "add", "path": "/spec/template/spec/containers/0/env/-",
            "value": {"name": "C", "value": "c"}},
        {"op": "add", "path": "/metadata/labels/theirs", "value": "1"}]);
    world.patch_json(&deployments(), "web", &theirs).await;
    for (value, env) in [("2", "ABC"), ("3", "AC")] {
        world.patch(&things, "a", &json!({"spec": {"value": value}})).await;
        world.settle().await;
        let web = world.get(&deployments(), "web").await;
        let containers = &web["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["image"], format!("example.com/main:{value}"));
        assert_eq!(containers[1]["name"], "sidecar");
        assert_eq!(web["metadata"]["labels"]["theirs"], "1");
        let names: String = containers[0]["env"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|item| item["name"].as_str())
            .collect();
        assert_eq!(names, env);
    }
}
story!(acceptance_14_what_others_added_to_lists_stays);

/// Breaks when `are_unique` lets a merge key count that is not unique in its list.
async fn acceptance_15_one_port_of_two_protocols_stays(world: &World) {
    let things = world.things().await;
    world.hook.answer(|request| {
        let port =
            |name: &str, protocol: &str| json!({"name": name, "port": 53, "protocol": protocol});
        let calls = request["parent"]["spec"]["value"].clone();
        json!({"status": {"value": calls}, "children": [{"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "dns"}, "spec": {"selector": {"app": "dns"},
                "ports": [port("tcp", "TCP"), port("udp", "UDP")]}}]})
    });
    let mut spec = of(&things, &services());
    // Less often than a real server must be quiet for.
    spec["resyncPeriodSeconds"] = json!(3);
    world.control("c", &spec).await;
    world.create(&things, thing("a", "1")).await;
    world.settle().await;
    // What somebody else changed is compared again.
    world.patch(&services(), "dns", &json!({"metadata": {"labels": {"theirs": "1"}}})).await;
    world.settle().await;
    let before = world.get(&services(), "dns").await;
    assert_eq!(before["spec"]["ports"].as_array().unwrap().len(), 2);
    let calls = world.hook.calls();
    for _ in 0..4 {
        world.pass(Duration::from_secs(3)).await;
    }
    assert!(calls + 3 <= world.hook.calls(), "it is resynced again and again");
    assert_eq!(world.get(&services(), "dns").await, before, "nothing was written");
}
story!(acceptance_15_one_port_of_two_protocols_stays);
