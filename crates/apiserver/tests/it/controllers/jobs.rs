//! Jobs count each of their pods, once, before it may go.

use super::*;

const TRACKING: &str = "batch.kubernetes.io/job-tracking";

fn job(spec: &Value, annotations: &Value) -> Value {
    let mut value = json!({
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": pod_spec("Never")}},
    });
    for (field, each) in spec.as_object().into_iter().flatten() {
        value["spec"][field] = each.clone();
    }
    value
}

async fn running(spec: &Value) -> Server {
    let server = Server::start().await;
    let stays = json!({"sim.windlass.dev/complete-after": "1h"});
    server.create(&kinds::JOBS, job(spec, &stays));
    server.settle().await;
    server
}

fn work(server: &Server) -> Value {
    server.get(&kinds::JOBS, "default/work").unwrap()
}

#[tokio::test]
async fn pods_are_kept_until_they_are_counted() {
    let server = Server::start().await;
    server.create(&kinds::JOBS, job(&json!({"completions": 2}), &json!({})));
    server.settle().await;
    let pod = server.list(&kinds::PODS).pop().unwrap();
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    server.settle_within(10).await;
    for pod in server.list(&kinds::PODS) {
        assert_eq!(
            (text(&pod, "/status/phase"), pod["metadata"].get("finalizers")),
            ("Succeeded", None)
        );
    }
    let status = &work(&server)["status"];
    assert_eq!((&status["succeeded"], &status["uncountedTerminatedPods"]), (&json!(2), &json!({})));
}

#[tokio::test]
async fn a_deleted_pod_counts_as_failed_and_is_replaced() {
    let server = running(&json!({})).await;
    let name = server.names(&kinds::PODS).pop().unwrap();
    server.delete(&kinds::PODS, &format!("default/{name}"), Propagation::Background);
    server.settle_within(60).await;
    assert_eq!(work(&server)["status"]["failed"], 1);
    let names = server.names(&kinds::PODS);
    assert!(names.len() == 1 && !names.contains(&name), "{names:?}");
}

#[tokio::test]
async fn pods_that_are_not_wanted_any_more_did_not_fail() {
    let server = running(&json!({"parallelism": 2, "completions": 2})).await;
    server.change(&kinds::JOBS, "default/work", |it| it["spec"]["suspend"] = json!(true));
    server.settle().await;
    assert_eq!(server.names(&kinds::PODS), [""; 0]);
    assert_eq!(work(&server)["status"].get("failed"), None);
}

#[tokio::test]
async fn pods_do_not_outlive_who_counts_them() {
    for (propagation, left) in
        [(Propagation::Background, 0), (Propagation::Foreground, 0), (Propagation::Orphan, 1)]
    {
        let server = running(&json!({})).await;
        server.delete(&kinds::JOBS, "default/work", propagation);
        server.settle().await;
        assert_eq!(server.names(&kinds::JOBS), [""; 0]);
        let pods = server.list(&kinds::PODS);
        assert_eq!(pods.len(), left, "{propagation:?}");
        assert!(pods.iter().all(|pod| pod["metadata"].get("finalizers").is_none()));
    }
}

#[tokio::test]
async fn a_namespace_goes_although_a_job_counts_in_it() {
    let server = Server::start().await;
    server.create(&kinds::NAMESPACES, json!({"metadata": {"name": "team"}}));
    let mut work = job(&json!({}), &json!({}));
    work["metadata"]["namespace"] = json!("team");
    server.create(&kinds::JOBS, work);
    server.settle().await;
    server.delete(&kinds::NAMESPACES, "team", Propagation::Background);
    server.settle().await;
    assert_eq!(server.get(&kinds::NAMESPACES, "team"), None);
}

#[tokio::test]
async fn a_node_is_no_change_of_the_pod() {
    let server = Server::start().await;
    server.create(&kinds::PODS, pod("a", "Always", &json!({})));
    server.settle().await;
    let pod = server.get(&kinds::PODS, "default/a").unwrap();
    assert_eq!(pod["metadata"]["generation"], 1);
    let owners = list(&pod, "/metadata/managedFields").iter();
    let owners: Vec<_> = owners.map(|it| text(it, "/subresource")).collect();
    assert_eq!(owners, ["", "status"]);
    let kinds = list(&pod, "/status/conditions").iter().map(|it| text(it, "/type"));
    let order =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    assert_eq!(kinds.collect::<Vec<_>>(), order);
}
