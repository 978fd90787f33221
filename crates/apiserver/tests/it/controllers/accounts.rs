//! The accounts of pods, and what every namespace holds.

use super::*;

#[tokio::test]
async fn what_every_namespace_holds_comes_back() {
    let server = Server::start().await;
    let certificate = server.get(&kinds::CONFIG_MAPS, "default/kube-root-ca.crt").unwrap();
    server.delete(&kinds::ACCOUNTS, "default/default", Propagation::Background);
    server.delete(&kinds::CONFIG_MAPS, "default/kube-root-ca.crt", Propagation::Background);
    server.settle().await;
    assert!(server.get(&kinds::ACCOUNTS, "default/default").is_some());
    let again = server.get(&kinds::CONFIG_MAPS, "default/kube-root-ca.crt").unwrap();
    assert_eq!(again["data"], certificate["data"]);
    assert_ne!(again["metadata"]["uid"], certificate["metadata"]["uid"]);
    server.change(&kinds::CONFIG_MAPS, "default/kube-root-ca.crt", |it| {
        it["data"] = json!({"ca.crt": "mine"});
    });
    server.settle().await;
    let again = server.get(&kinds::CONFIG_MAPS, "default/kube-root-ca.crt").unwrap();
    assert_eq!(again["data"], certificate["data"]);
}

#[tokio::test]
async fn pods_wait_for_their_account() {
    let server = Server::start().await;
    let mut web = deployment("web", 1, &json!({}));
    web["spec"]["template"]["spec"]["serviceAccountName"] = json!("late");
    server.create(&kinds::DEPLOYMENTS, web);
    server.settle().await;
    assert_eq!(server.names(&kinds::PODS), [""; 0]);
    let set = server.list(&kinds::REPLICA_SETS).pop().unwrap();
    let why = format!(
        "Error creating: pods \"{}-\" is forbidden: error looking up service account default/late: \
         serviceaccount \"late\" not found",
        text(&set, "/metadata/name")
    );
    assert_eq!(server.events("FailedCreate"), [why]);
    let account = json!({"metadata": {"name": "late", "namespace": "default"},
        "imagePullSecrets": [{"name": "key"}]});
    server.create(&kinds::ACCOUNTS, account);
    server.settle_within(60).await;
    let pod = server.list(&kinds::PODS).pop().unwrap();
    assert_eq!(text(&pod, "/spec/serviceAccount"), "late");
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "key"}]));
    let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["name"], pod["spec"]["volumes"][0]["name"]);
}

#[tokio::test]
async fn a_pod_gets_the_priority_of_its_class() {
    let server = Server::start().await;
    let mut urgent = pod("urgent", "Always", &json!({}));
    urgent["spec"]["priorityClassName"] = json!("system-node-critical");
    assert_eq!(server.create(&kinds::PODS, urgent)["spec"]["priority"], 2_000_001_000);
    let plain = server.create(&kinds::PODS, pod("plain", "Always", &json!({})));
    assert_eq!(plain["spec"]["priority"], 0);
    let mut lost = pod("lost", "Always", &json!({}));
    lost["spec"]["priorityClassName"] = json!("lost");
    let error = server.api.backend().create(&kinds::PODS, lost).unwrap_err();
    let why = "pods \"lost\" is forbidden: no PriorityClass with name lost was found";
    assert_eq!((error.code(), error.to_string().as_str()), (403, why));
}
