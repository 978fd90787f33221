//! Deployments and ReplicaSets, from the first pod to the last.

use super::*;

/// Returns `replicas/updated/ready/available` of a Deployment.
fn counts(server: &Server, name: &str) -> String {
    let deployment = server.get(&kinds::DEPLOYMENTS, &format!("default/{name}")).unwrap();
    let status = &deployment["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    format!(
        "{}/{}/{}/{}",
        count("replicas"),
        count("updatedReplicas"),
        count("readyReplicas"),
        count("availableReplicas")
    )
}

async fn with_deployment(replicas: i64) -> Server {
    let server = Server::start().await;
    server.create(&kinds::DEPLOYMENTS, deployment("web", replicas, &json!({})));
    server.settle().await;
    server
}

fn change_template(server: &Server, version: &str) {
    server.change(&kinds::DEPLOYMENTS, "default/web", |it| {
        it["spec"]["template"]["spec"]["containers"][0]["image"] =
            json!(format!("nginx:{version}"));
    });
}

#[tokio::test]
async fn a_deployment_becomes_available_in_few_writes() {
    let server = Server::start().await;
    let before = server.api.backend().revision();
    server.create(&kinds::DEPLOYMENTS, deployment("web", 3, &json!({})));
    server.settle().await;
    let writes = server.api.backend().revision() - before;
    assert_eq!(counts(&server, "web"), "3/3/3/3");
    let web = server.get(&kinds::DEPLOYMENTS, "default/web").unwrap();
    assert_eq!(condition(&web, "Available"), "True/MinimumReplicasAvailable");
    assert_eq!(condition(&web, "Progressing"), "True/NewReplicaSetAvailable");
    assert_eq!(web["status"]["observedGeneration"], 1);
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert!(writes <= 25, "{writes} writes");
    let set = &server.list(&kinds::REPLICA_SETS)[0];
    let name = text(set, "/metadata/name");
    assert_eq!(
        server.events("ScalingReplicaSet"),
        [format!("Scaled up replica set {name} from 0 to 3")]
    );
    assert_eq!(server.events("SuccessfulCreate").len(), 3);
}

#[tokio::test]
async fn a_manifest_that_leaves_out_all_it_can_becomes_available() {
    let server = Server::start().await;
    let template = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]},
    });
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    });
    server.create(&kinds::DEPLOYMENTS, manifest);
    server.settle().await;
    assert_eq!(counts(&server, "web"), "1/1/1/1");
    let pod = &server.list(&kinds::PODS)[0];
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["qosClass"], "BestEffort");
}

#[tokio::test]
async fn nothing_is_written_in_quiet() {
    let server = with_deployment(3).await;
    // Events go after an hour.
    server.advance(7200);
    server.settle().await;
    let before = server.api.backend().revision();
    server.advance(86_400);
    server.settle_within(86_400).await;
    assert_eq!(server.api.backend().revision(), before);
}

#[tokio::test]
async fn a_changed_template_rolls_to_new_pods() {
    let server = with_deployment(3).await;
    let old = server.names(&kinds::PODS);
    change_template(&server, "2");
    server.settle().await;
    assert_eq!(counts(&server, "web"), "3/3/3/3");
    let new = server.list(&kinds::PODS);
    assert_eq!(new.len(), 3);
    for pod in &new {
        assert_eq!(pod["spec"]["containers"][0]["image"], "nginx:2");
        assert!(!old.contains(&text(pod, "/metadata/name").to_owned()));
    }
    let sets = server.list(&kinds::REPLICA_SETS);
    let mut sizes: Vec<_> = sets.iter().map(|it| it["spec"]["replicas"].as_i64()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [Some(0), Some(3)]);
}

#[tokio::test]
async fn a_rollout_stays_within_its_bounds_until_pods_are_ready() {
    let server = with_deployment(4).await;
    server.change(&kinds::DEPLOYMENTS, "default/web", |it| {
        it["spec"]["template"]["metadata"]["annotations"] =
            json!({"sim.windlass.dev/ready-after": "10s"});
    });
    server.settle().await;
    // One pod may be unavailable and one too many: 3 old ones stay, 2 new ones start.
    assert_eq!(counts(&server, "web"), "5/2/3/3");
    server.settle_within(60).await;
    assert_eq!(counts(&server, "web"), "4/4/4/4");
}

#[tokio::test]
async fn an_earlier_template_is_taken_up_again() {
    let server = with_deployment(1).await;
    let first = server.names(&kinds::REPLICA_SETS);
    change_template(&server, "2");
    server.settle().await;
    change_template(&server, "1");
    server.settle().await;
    let key = format!("default/{}", first[0]);
    let set = server.get(&kinds::REPLICA_SETS, &key).unwrap();
    assert_eq!(set["spec"]["replicas"], 1);
    let annotations = &set["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    let web = server.get(&kinds::DEPLOYMENTS, "default/web").unwrap();
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(server.names(&kinds::REPLICA_SETS).len(), 2);
}

#[tokio::test]
async fn old_sets_beyond_the_history_are_deleted() {
    let server = with_deployment(1).await;
    server.change(&kinds::DEPLOYMENTS, "default/web", |it| {
        it["spec"]["revisionHistoryLimit"] = json!(1);
    });
    for version in ["2", "3", "4"] {
        change_template(&server, version);
        server.settle().await;
    }
    assert_eq!(server.names(&kinds::REPLICA_SETS).len(), 2);
}

#[tokio::test]
async fn scaling_keeps_the_pods_there_are() {
    let server = with_deployment(2).await;
    let old = server.names(&kinds::PODS);
    for (replicas, counted) in [(5, "5/5/5/5"), (1, "1/1/1/1"), (0, "0/0/0/0")] {
        server.change(&kinds::DEPLOYMENTS, "default/web", |it| {
            it["spec"]["replicas"] = json!(replicas);
        });
        server.settle().await;
        assert_eq!(counts(&server, "web"), counted);
        let pods = server.names(&kinds::PODS);
        assert_eq!(pods.len(), replicas);
        assert!(replicas < 2 || old.iter().all(|name| pods.contains(name)));
    }
    assert_eq!(server.events("SuccessfulDelete").len(), 5);
}

#[tokio::test]
async fn recreate_deletes_all_pods_first() {
    let server = Server::start().await;
    let mut value = deployment("web", 2, &json!({"sim.windlass.dev/fail": "Stuck"}));
    value["spec"]["strategy"] = json!({"type": "Recreate"});
    server.create(&kinds::DEPLOYMENTS, value);
    server.settle().await;
    change_template(&server, "2");
    server.settle().await;
    // Stuck pods take their grace; until then no new one may start.
    assert_eq!(server.names(&kinds::PODS).len(), 2);
    assert_eq!(server.names(&kinds::REPLICA_SETS).len(), 1);
    server.settle_within(31).await;
    assert_eq!(server.names(&kinds::REPLICA_SETS).len(), 2);
    for pod in server.list(&kinds::PODS) {
        assert_eq!(pod["spec"]["containers"][0]["image"], "nginx:2");
    }
}

#[tokio::test]
async fn a_paused_deployment_only_scales() {
    let server = with_deployment(1).await;
    server.change(&kinds::DEPLOYMENTS, "default/web", |it| {
        it["spec"]["paused"] = json!(true);
        it["spec"]["replicas"] = json!(2);
        it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:2");
    });
    server.settle().await;
    let web = server.get(&kinds::DEPLOYMENTS, "default/web").unwrap();
    assert_eq!(condition(&web, "Progressing"), "Unknown/DeploymentPaused");
    assert_eq!(server.names(&kinds::PODS).len(), 2);
    assert_eq!(server.names(&kinds::REPLICA_SETS).len(), 1);
    server.change(&kinds::DEPLOYMENTS, "default/web", |it| it["spec"]["paused"] = json!(false));
    server.settle().await;
    let web = server.get(&kinds::DEPLOYMENTS, "default/web").unwrap();
    assert_eq!(condition(&web, "Progressing"), "True/NewReplicaSetAvailable");
    assert_eq!(counts(&server, "web"), "2/2/2/2");
}

#[tokio::test]
async fn a_rollout_without_progress_fails_at_its_deadline() {
    let server = Server::start().await;
    let template = json!({"sim.windlass.dev/fail": "ImagePullBackOff"});
    server.create(&kinds::DEPLOYMENTS, deployment("web", 1, &template));
    server.settle_within(700).await;
    let web = server.get(&kinds::DEPLOYMENTS, "default/web").unwrap();
    assert_eq!(condition(&web, "Progressing"), "False/ProgressDeadlineExceeded");
    assert_eq!(condition(&web, "Available"), "False/MinimumReplicasUnavailable");
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let server = with_deployment(2).await;
    let old = server.names(&kinds::PODS);
    server.delete(&kinds::PODS, &format!("default/{}", old[0]), Propagation::Background);
    server.settle().await;
    let new = server.names(&kinds::PODS);
    assert_eq!(new.len(), 2);
    assert!(!new.contains(&old[0]) && new.contains(&old[1]));
    assert_eq!(counts(&server, "web"), "2/2/2/2");
}

#[tokio::test]
async fn a_relabelled_pod_is_released_and_a_fitting_one_adopted() {
    let server = with_deployment(1).await;
    let name = server.names(&kinds::PODS)[0].clone();
    server.change(&kinds::PODS, &format!("default/{name}"), |it| {
        it["metadata"]["labels"]["app"] = json!("other");
    });
    server.settle().await;
    let released = server.get(&kinds::PODS, &format!("default/{name}")).unwrap();
    assert!(list(&released, "/metadata/ownerReferences").is_empty());
    assert_eq!(server.names(&kinds::PODS).len(), 2);
    server.change(&kinds::PODS, &format!("default/{name}"), |it| {
        it["metadata"]["labels"]["app"] = json!("web");
    });
    server.settle().await;
    assert_eq!(server.names(&kinds::PODS).len(), 1);
}

#[tokio::test]
async fn what_has_an_executor_is_left_alone() {
    let server = Server::start().await;
    let mut value = deployment("web", 1, &json!({}));
    value["metadata"]["annotations"] = json!({"windlass.dev/executor": "functions"});
    server.create(&kinds::DEPLOYMENTS, value);
    server.settle().await;
    assert!(server.names(&kinds::REPLICA_SETS).is_empty());
    assert_eq!(server.events("ExecutorUnknown").len(), 1);
}
