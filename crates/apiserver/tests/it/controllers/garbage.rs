//! Owners and dependents, namespaces and definitions.

use super::*;

async fn family() -> Server {
    let server = Server::start().await;
    let owner = server.create(&kinds::CONFIG_MAPS, config_map("a", &[]));
    for name in ["b", "c"] {
        server.create(&kinds::CONFIG_MAPS, config_map(name, &[&owner]));
    }
    server.settle().await;
    server
}

fn own_maps(server: &Server) -> Vec<String> {
    let names = server.names(&kinds::CONFIG_MAPS).into_iter();
    names.filter(|name| name != "kube-root-ca.crt").collect()
}

fn hold(server: &Server, name: &str, finalizers: &[&str]) {
    server.change(&kinds::CONFIG_MAPS, &format!("default/{name}"), |it| {
        it["metadata"]["finalizers"] = json!(finalizers);
    });
}

#[tokio::test]
async fn acceptance_19_dependents_follow_their_owner() {
    let server = family().await;
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Background);
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

#[tokio::test]
async fn acceptance_19_foreground_waits_for_dependents() {
    let server = family().await;
    hold(&server, "b", &["example.com/hold"]);
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Foreground);
    server.settle().await;
    assert_eq!(own_maps(&server), ["a", "b"]);
    hold(&server, "b", &[]);
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

#[tokio::test]
async fn acceptance_19_orphans_lose_their_references() {
    let server = family().await;
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Orphan);
    server.settle().await;
    assert_eq!(own_maps(&server), ["b", "c"]);
    let left = server.get(&kinds::CONFIG_MAPS, "default/b").unwrap();
    assert!(list(&left, "/metadata/ownerReferences").is_empty());
}

#[tokio::test]
async fn owners_that_own_each_other_go_together() {
    for propagation in [Propagation::Background, Propagation::Foreground] {
        let server = Server::start().await;
        let a = server.create(&kinds::CONFIG_MAPS, config_map("a", &[]));
        let b = server.create(&kinds::CONFIG_MAPS, config_map("b", &[&a]));
        server.change(&kinds::CONFIG_MAPS, "default/a", |it| {
            it["metadata"]["ownerReferences"] =
                config_map("a", &[&b])["metadata"]["ownerReferences"].clone();
        });
        server.settle().await;
        server.delete(&kinds::CONFIG_MAPS, "default/a", propagation);
        server.settle().await;
        assert_eq!(own_maps(&server), [""; 0], "{propagation:?}");
    }
}

#[tokio::test]
async fn a_dependent_of_nobody_is_deleted_and_one_of_an_unknown_kind_kept() {
    let server = Server::start().await;
    let owner = |kind: &str, api_version: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "uid": "gone"}});
    server.create(&kinds::CONFIG_MAPS, config_map("a", &[&owner("ConfigMap", "v1")]));
    server.create(&kinds::CONFIG_MAPS, config_map("b", &[&owner("Alien", "example.com/v1")]));
    server.settle().await;
    assert_eq!(own_maps(&server), ["b"]);
}

#[tokio::test]
async fn a_deployment_takes_its_sets_and_pods_with_it() {
    for propagation in [Propagation::Background, Propagation::Foreground] {
        let server = Server::start().await;
        server.create(&kinds::DEPLOYMENTS, deployment("web", 3, &json!({})));
        server.settle().await;
        server.delete(&kinds::DEPLOYMENTS, "default/web", propagation);
        server.settle().await;
        assert_eq!(server.names(&kinds::DEPLOYMENTS), [""; 0]);
        assert_eq!(server.names(&kinds::REPLICA_SETS), [""; 0]);
        assert_eq!(server.names(&kinds::PODS), [""; 0], "{propagation:?}");
    }
}

#[tokio::test]
async fn acceptance_20_a_namespace_waits_for_its_content() {
    let server = Server::start().await;
    server.create(&kinds::NAMESPACES, json!({"metadata": {"name": "team"}}));
    let mut held = config_map("held", &[]);
    let mut web = deployment("web", 2, &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    for value in [&mut held, &mut web] {
        value["metadata"]["namespace"] = json!("team");
    }
    server.create(&kinds::CONFIG_MAPS, held);
    server.create(&kinds::DEPLOYMENTS, web);
    server.settle().await;
    server.delete(&kinds::NAMESPACES, "team", Propagation::Background);
    server.settle().await;
    let namespace = server.get(&kinds::NAMESPACES, "team").unwrap();
    assert_eq!(namespace["status"]["phase"], "Terminating");
    assert_eq!(condition(&namespace, "NamespaceFinalizersRemaining"), "True/SomeFinalizersRemain");
    assert_eq!(condition(&namespace, "NamespaceContentRemaining"), "True/SomeResourcesRemain");
    assert!(server.names(&kinds::PODS).is_empty());
    server.change(&kinds::CONFIG_MAPS, "team/held", |it| it["metadata"]["finalizers"] = json!([]));
    server.settle().await;
    assert_eq!(server.get(&kinds::NAMESPACES, "team"), None);
}

#[tokio::test]
async fn a_thousand_dependents_go_in_a_moment() {
    let server = Server::start().await;
    let owner = server.create(&kinds::CONFIG_MAPS, config_map("owner", &[]));
    for number in 0..1000 {
        server.create(&kinds::CONFIG_MAPS, config_map(&format!("n{number}"), &[&owner]));
    }
    server.settle().await;
    let before = server.api.backend().revision();
    server.delete(&kinds::CONFIG_MAPS, "default/owner", Propagation::Background);
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
    assert_eq!(server.api.backend().revision() - before, 1001);
}

#[tokio::test]
async fn controllers_stop_with_the_server() {
    let server = Server::start().await;
    server.api.shutdown().await;
    server.create(&kinds::DEPLOYMENTS, deployment("web", 1, &json!({})));
    tokio::task::yield_now().await;
    assert!(server.names(&kinds::REPLICA_SETS).is_empty());
}
