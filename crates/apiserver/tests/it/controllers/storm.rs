//! Controllers and clients that write at the same time.

use super::*;

/// Writers on other threads change, scale and delete what the controllers are at work on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_converge_while_others_write() {
    let server = Arc::new(Server::start().await);
    for name in ["one", "two", "three"] {
        server.create(&kinds::DEPLOYMENTS, deployment(name, 2, &json!({})));
    }
    let writers = ["one", "two", "three"].map(|name| {
        let server = server.clone();
        tokio::task::spawn_blocking(move || disturb(&server, name))
    });
    for writer in writers {
        writer.await.unwrap();
    }
    // A write that met another waits a moment before it is tried again.
    server.settle_within(60).await;
    for name in ["one", "two", "three"] {
        let found = server.get(&kinds::DEPLOYMENTS, &format!("default/{name}")).unwrap();
        let status = &found["status"];
        assert_eq!(status["availableReplicas"], 4, "{name}: {status:#}");
        assert_eq!(status["updatedReplicas"], 4, "{name}: {status:#}");
        assert_eq!(status["replicas"], 4, "{name}: {status:#}");
        assert_eq!(status["observedGeneration"], found["metadata"]["generation"]);
    }
    let pods = server.list(&kinds::PODS);
    assert_eq!(pods.len(), 12);
    assert!(pods.iter().all(|pod| condition(pod, "Ready") == "True/"));
}

fn disturb(server: &Server, name: &str) {
    let key = format!("default/{name}");
    for round in 0..20 {
        change_until_written(server, &key, |it| {
            it["spec"]["replicas"] = json!(round % 5);
            let image = format!("nginx:{}", round % 3);
            it["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
        let pods = server.list(&kinds::PODS);
        if let Some(pod) = pods.iter().find(|it| text(it, "/metadata/labels/app") == name) {
            let key = ObjectKey::new("default", text(pod, "/metadata/name"));
            let _ = server.api.backend().delete(&kinds::PODS, &key, &DeleteOptions::default());
        }
    }
    change_until_written(server, &key, |it| it["spec"]["replicas"] = json!(4));
}

fn change_until_written(server: &Server, key: &str, change: impl Fn(&mut Value)) {
    loop {
        let mut value = server.get(&kinds::DEPLOYMENTS, key).unwrap();
        change(&mut value);
        let written = server.api.backend().update(&kinds::DEPLOYMENTS, value, Part::Main);
        match written {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code(), 409, "{error}"),
        }
    }
}
