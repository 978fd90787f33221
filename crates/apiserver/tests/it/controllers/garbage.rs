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

/// Breaks when an owner that is absent counts as one that lives.
#[tokio::test]
async fn acceptance_19_dependents_follow_their_owner() {
    let server = family().await;
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Background);
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

/// Breaks when an owner does not wait for the dependents that block it, or waits for the others too.
#[tokio::test]
async fn acceptance_19_foreground_waits_for_dependents() {
    let server = family().await;
    hold(&server, "b", &["example.com/hold"]);
    hold(&server, "c", &["example.com/hold"]);
    server.change(&kinds::CONFIG_MAPS, "default/c", |it| {
        it["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(false);
    });
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Foreground);
    server.settle().await;
    assert_eq!(own_maps(&server), ["a", "b", "c"]);
    hold(&server, "b", &[]);
    server.settle().await;
    assert_eq!(own_maps(&server), ["c"]);
    hold(&server, "c", &[]);
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

/// Breaks when the references to an owner that orphans are left.
#[tokio::test]
async fn acceptance_19_orphans_lose_their_references() {
    let server = family().await;
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Orphan);
    server.settle().await;
    assert_eq!(own_maps(&server), ["b", "c"]);
    for name in ["default/b", "default/c"] {
        let left = server.get(&kinds::CONFIG_MAPS, name).unwrap();
        assert!(list(&left, "/metadata/ownerReferences").is_empty(), "{name}");
    }
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

/// Breaks when the finalizers of what is left are not counted, or a namespace that goes takes new objects.
#[tokio::test]
async fn acceptance_20_a_namespace_waits_for_its_content() {
    let server = Server::start().await;
    let aliens = Resource::namespaced("example.com/v1", "Alien", "aliens");
    server.create(&kinds::DEFINITIONS, definition("Alien"));
    server.create(&kinds::NAMESPACES, json!({"metadata": {"name": "team"}}));
    let within = |mut value: Value| {
        value["metadata"]["namespace"] = json!("team");
        value
    };
    let mut held = config_map("held", &[]);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.create(&kinds::CONFIG_MAPS, within(held));
    server.create(&kinds::DEPLOYMENTS, within(deployment("web", 2, &json!({}))));
    server.create(&aliens, within(alien("a", &[])));
    server.settle().await;
    assert_eq!((server.names(&kinds::PODS).len(), server.names(&aliens).len()), (2, 1));
    server.delete(&kinds::NAMESPACES, "team", Propagation::Background);
    server.settle().await;
    let namespace = server.get(&kinds::NAMESPACES, "team").unwrap();
    assert_eq!(namespace["status"]["phase"], "Terminating");
    assert_eq!(condition(&namespace, "NamespaceFinalizersRemaining"), "True/SomeFinalizersRemain");
    assert_eq!(condition(&namespace, "NamespaceContentRemaining"), "True/SomeResourcesRemain");
    assert_eq!((server.names(&kinds::PODS), server.names(&aliens)), (vec![], vec![]));
    let late = server.api.backend().create(&kinds::CONFIG_MAPS, within(config_map("late", &[])));
    let status = late.unwrap_err().status();
    assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "configmaps \"late\" is forbidden: unable to create new content in namespace team because it is \
         being terminated"
    );
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
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

fn definition(kind: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

fn alien(name: &str, finalizers: &[&str]) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Alien",
        "metadata": {"name": name, "namespace": "default", "finalizers": finalizers}})
}

#[tokio::test]
async fn acceptance_16_a_definition_waits_for_its_objects() {
    let server = Server::start().await;
    let aliens = Resource::namespaced("example.com/v1", "Alien", "aliens");
    server.create(&kinds::DEFINITIONS, definition("Alien"));
    server.create(&aliens, alien("held", &["example.com/hold"]));
    for number in 0..99 {
        server.create(&aliens, alien(&format!("a{number}"), &[]));
    }
    let owner = server.get(&aliens, "default/a0").unwrap();
    server.create(&kinds::CONFIG_MAPS, config_map("dependent", &[&owner]));
    server.settle().await;
    server.delete(&kinds::DEFINITIONS, "aliens.example.com", Propagation::Background);
    server.settle().await;
    assert_eq!(server.names(&aliens), ["held"]);
    let waiting = server.get(&kinds::DEFINITIONS, "aliens.example.com").unwrap();
    assert_eq!(condition(&waiting, "Terminating"), "True/InstanceDeletionInProgress");
    server.change(&aliens, "default/held", |it| it["metadata"]["finalizers"] = json!([]));
    server.settle().await;
    assert_eq!(server.get(&kinds::DEFINITIONS, "aliens.example.com"), None);
    // What an object of the definition owned goes as well, though the kind is unknown by now.
    assert_eq!(own_maps(&server), [""; 0]);
}

#[tokio::test]
async fn an_owner_of_an_unknown_kind_is_looked_for_when_the_kind_appears() {
    let server = Server::start().await;
    let owner = json!({"apiVersion": "example.com/v1", "kind": "Alien",
        "metadata": {"name": "x", "uid": "gone"}});
    server.create(&kinds::CONFIG_MAPS, config_map("a", &[&owner]));
    server.settle().await;
    assert_eq!(own_maps(&server), ["a"]);
    server.create(&kinds::DEFINITIONS, definition("Alien"));
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

#[tokio::test]
async fn an_owner_in_another_namespace_counts_as_absent() {
    let server = Server::start().await;
    let owner = server.create(&kinds::CONFIG_MAPS, config_map("owner", &[]));
    let mut dependent = config_map("dependent", &[&owner]);
    dependent["metadata"]["namespace"] = json!("kube-public");
    server.create(&kinds::CONFIG_MAPS, dependent);
    server.settle().await;
    assert_eq!(own_maps(&server), ["owner"]);
    assert_eq!(server.events("OwnerRefInvalidNamespace").len(), 1);
}

#[tokio::test]
async fn a_namespace_of_a_thousand_objects_goes_in_a_moment() {
    let server = Server::start().await;
    server.create(&kinds::NAMESPACES, json!({"metadata": {"name": "team"}}));
    for number in 0..1000 {
        let mut value = config_map(&format!("n{number}"), &[]);
        value["metadata"]["namespace"] = json!("team");
        server.create(&kinds::CONFIG_MAPS, value);
    }
    let before = server.api.backend().revision();
    server.delete(&kinds::NAMESPACES, "team", Propagation::Background);
    server.settle().await;
    assert_eq!(server.get(&kinds::NAMESPACES, "team"), None);
    // The deletion, each object, the ServiceAccount, the certificate of the root, the namespace.
    assert_eq!(server.api.backend().revision() - before, 1004);
}

#[tokio::test]
async fn controllers_go_on_after_history_was_lost() {
    let server = family().await;
    server.delete(&kinds::CONFIG_MAPS, "default/a", Propagation::Background);
    server.api.backend().expire_history();
    server.settle().await;
    assert_eq!(own_maps(&server), [""; 0]);
}

#[tokio::test]
async fn controllers_stop_with_the_server() {
    let server = Server::start().await;
    server.api.shutdown().await;
    server.create(&kinds::DEPLOYMENTS, deployment("web", 1, &json!({})));
    tokio::task::yield_now().await;
    assert!(server.names(&kinds::REPLICA_SETS).is_empty());
}
