//! Namespaces.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn the_first_objects_are_there() {
    let world = World::new().await;
    let names = ["default", "kube-node-lease", "kube-public", "kube-system"];
    assert_eq!(world.get("/api/v1/namespaces").await.names(), names);
    let service = world.get("/api/v1/namespaces/default/services/kubernetes").await;
    assert_eq!(service.body["spec"]["clusterIP"], "10.96.0.1");
}

#[tokio::test]
async fn a_namespace_is_furnished_when_it_is_answered() {
    let world = World::new().await;
    let created = world.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    assert_eq!(created.code, 201);
    assert_eq!(created.body["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(created.body["status"], json!({"phase": "Active"}));
    assert_eq!(created.body["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    assert_eq!(world.get("/api/v1/namespaces/n/serviceaccounts/default").await.code, 200);
    assert_eq!(world.get("/api/v1/namespaces/n/configmaps/kube-root-ca.crt").await.code, 200);
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_goes() {
    let world = World::new().await;
    world.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await;
    let marked = world.delete("/api/v1/namespaces/n").await;
    assert_eq!((marked.code, &marked.body["status"]["phase"]), (200, &json!("Terminating")));
    let map = json!({"metadata": {"name": "a"}});
    let refused = world.post("/api/v1/namespaces/n/configmaps", map).await;
    let text = "configmaps \"a\" is forbidden: unable to create new content in namespace n because it \
                is being terminated";
    assert_eq!(refused.error(), (403, "Forbidden", text));
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut namespace = world.get("/api/v1/namespaces/n").await.body;
    namespace["spec"]["finalizers"] = json!([]);
    assert_eq!(world.put("/api/v1/namespaces/n/finalize", namespace).await.code, 200);
    assert_eq!(world.get("/api/v1/namespaces/n").await.code, 404);
}

#[tokio::test]
async fn some_namespaces_stay() {
    let world = World::new().await;
    for name in ["default", "kube-system", "kube-public"] {
        let refused = world.delete(&format!("/api/v1/namespaces/{name}")).await;
        let text = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!(refused.error(), (403, "Forbidden", text.as_str()));
    }
}
