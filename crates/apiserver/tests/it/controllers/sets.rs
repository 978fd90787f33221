//! StatefulSets and Jobs, from the first pod to the last.

use super::*;

fn stateful_set(replicas: i64, spec: &Value) -> Value {
    let mut set = json!({
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec("Always")},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        set["spec"][field] = value.clone();
    }
    set
}

fn job(spec: &Value, annotations: &Value) -> Value {
    let mut job = json!({
        "metadata": {"name": "work", "namespace": "default"},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": pod_spec("Never")}},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

/// Returns pods as `NAME image`.
fn pods(server: &Server) -> Vec<String> {
    let pods = server.list(&kinds::PODS);
    let image = |pod: &Value| text(pod, "/spec/containers/0/image").to_owned();
    pods.iter().map(|pod| format!("{} {}", text(pod, "/metadata/name"), image(pod))).collect()
}

fn update_image(server: &Server) {
    server.change(&kinds::STATEFUL_SETS, "default/db", |it| {
        it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:2");
    });
}

/// Seen to fail with pods that were created without waiting for the one before.
#[tokio::test]
async fn acceptance_25_sets_fill_in_order_and_jobs_give_up() {
    let server = Server::start().await;
    server.create(&kinds::STATEFUL_SETS, stateful_set(3, &json!({})));
    server.settle().await;
    assert_eq!(server.names(&kinds::PODS), ["db-0", "db-1", "db-2"]);
    let created = server.list(&kinds::PODS);
    let births: Vec<u64> = created
        .iter()
        .map(|pod| text(pod, "/metadata/uid").to_owned())
        .map(|uid| {
            let mut events = server.api.backend().subscribe(1);
            let born = std::iter::from_fn(|| events.try_next());
            let mut born = born.filter(|event| event.object.meta().uid == uid);
            born.next().unwrap().revision
        })
        .collect();
    let ready = |uid: &str| {
        let mut events = server.api.backend().subscribe(1);
        let all = std::iter::from_fn(move || events.try_next());
        let mut ready = all.filter(|event| {
            event.object.meta().uid == uid
                && condition(&event.object.to_value(), "Ready") == "True/"
        });
        ready.next().unwrap().revision
    };
    for (before, after) in created.iter().zip(births.iter().skip(1)) {
        assert!(ready(text(before, "/metadata/uid")) < *after, "each waits for the one before");
    }
    let claims = server.list(&kinds::CLAIMS);
    let claims: Vec<_> =
        claims.iter().map(|it| (text(it, "/metadata/name"), text(it, "/status/phase"))).collect();
    // Nothing binds claims yet: they are stored, and the pods run all the same.
    let pending = ["data-db-0", "data-db-1", "data-db-2"].map(|name| (name, "Pending"));
    assert_eq!(claims, pending);
    let set = server.get(&kinds::STATEFUL_SETS, "default/db").unwrap();
    assert_eq!(
        (&set["status"]["readyReplicas"], &set["status"]["replicas"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);

    let exit = json!({"sim.windlass.dev/exit-code": "1"});
    server.create(&kinds::JOBS, job(&json!({"backoffLimit": 2}), &exit));
    server.settle_within(120).await;
    let job = server.get(&kinds::JOBS, "default/work").unwrap();
    assert_eq!(condition(&job, "Failed"), "True/BackoffLimitExceeded");
    assert_eq!(job["status"]["failed"], 3);
    assert_eq!(server.events("BackoffLimitExceeded").len(), 1);
}

#[tokio::test]
async fn a_set_rolls_from_the_top_to_its_partition_and_shrinks() {
    let server = Server::start().await;
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    server.create(&kinds::STATEFUL_SETS, stateful_set(3, &json!({"updateStrategy": partition})));
    server.settle().await;
    update_image(&server);
    server.settle().await;
    assert_eq!(pods(&server), ["db-0 nginx:1", "db-1 nginx:2", "db-2 nginx:2"]);
    server.delete(&kinds::PODS, "default/db-0", Propagation::Background);
    server.settle().await;
    assert_eq!(pods(&server)[0], "db-0 nginx:1", "below the partition the old template holds");
    server.change(&kinds::STATEFUL_SETS, "default/db", |it| {
        it["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
        it["spec"]["replicas"] = json!(1);
    });
    server.settle().await;
    assert_eq!(pods(&server), ["db-0 nginx:2"]);
    let set = server.get(&kinds::STATEFUL_SETS, "default/db").unwrap();
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    assert_eq!(server.names(&kinds::CLAIMS).len(), 3, "claims are retained");
    assert_eq!(server.names(&kinds::REVISIONS).len(), 2);
}

#[tokio::test]
async fn claims_that_are_not_retained_go_with_their_pods_and_their_set() {
    let server = Server::start().await;
    let retention = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let spec = json!({"persistentVolumeClaimRetentionPolicy": retention});
    server.create(&kinds::STATEFUL_SETS, stateful_set(2, &spec));
    server.settle().await;
    server.change(&kinds::STATEFUL_SETS, "default/db", |it| it["spec"]["replicas"] = json!(1));
    server.settle().await;
    assert_eq!(server.names(&kinds::CLAIMS), ["data-db-0"]);
    server.delete(&kinds::STATEFUL_SETS, "default/db", Propagation::Background);
    server.settle().await;
    for kind in [&kinds::CLAIMS, &kinds::PODS, &kinds::REVISIONS] {
        assert_eq!(server.names(kind), [""; 0]);
    }
}

#[tokio::test]
async fn an_indexed_job_completes_each_index_once() {
    let server = Server::start().await;
    let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 2});
    server.create(&kinds::JOBS, job(&spec, &json!({})));
    server.settle_within(30).await;
    let job = server.get(&kinds::JOBS, "default/work").unwrap();
    assert_eq!(condition(&job, "Complete"), "True/CompletionsReached");
    assert_eq!(condition(&job, "SuccessCriteriaMet"), "True/CompletionsReached");
    assert_eq!(
        (&job["status"]["completedIndexes"], &job["status"]["succeeded"]),
        (&json!("0-4"), &json!(5))
    );
    assert_eq!(server.names(&kinds::PODS).len(), 5);
}

#[tokio::test]
async fn a_suspended_job_starts_when_it_is_resumed() {
    let server = Server::start().await;
    server.create(&kinds::JOBS, job(&json!({"suspend": true}), &json!({})));
    server.settle_within(30).await;
    let work = server.get(&kinds::JOBS, "default/work").unwrap();
    assert_eq!(condition(&work, "Suspended"), "True/JobSuspended");
    assert_eq!((work["status"].get("startTime"), server.names(&kinds::PODS).len()), (None, 0));
    server.change(&kinds::JOBS, "default/work", |it| it["spec"]["suspend"] = json!(false));
    server.settle_within(30).await;
    let work = server.get(&kinds::JOBS, "default/work").unwrap();
    assert_eq!(condition(&work, "Suspended"), "False/JobResumed");
    assert_eq!(condition(&work, "Complete"), "True/CompletionsReached");
}

/// Seen to fail with a time to live that nobody looked at again.
#[tokio::test]
async fn acceptance_28_grace_and_time_to_live_follow_the_clock() {
    let server = Server::start().await;
    let stuck = json!({"sim.windlass.dev/fail": "Stuck"});
    server.create(&kinds::PODS, pod("stuck", "Always", &stuck));
    server.create(&kinds::JOBS, job(&json!({"ttlSecondsAfterFinished": 3600}), &json!({})));
    server.settle().await;
    server.delete(&kinds::PODS, "default/stuck", Propagation::Background);
    for (seconds, stuck, works) in [(0, true, true), (29, true, true), (1, false, true)] {
        server.advance(seconds);
        server.settle().await;
        let is_there = |kind, name| server.get(kind, name).is_some();
        assert_eq!(is_there(&kinds::PODS, "default/stuck"), stuck);
        assert_eq!(is_there(&kinds::JOBS, "default/work"), works);
    }
    server.advance(3600);
    server.settle().await;
    assert_eq!((server.names(&kinds::JOBS), server.names(&kinds::PODS)), (vec![], vec![]));
}

/// Seen to fail with addresses that are not ready taken for ready ones.
#[tokio::test]
async fn acceptance_24_endpoints_without_a_selector_are_mirrored() {
    let server = Server::start().await;
    let metadata = json!({"name": "out", "namespace": "default"});
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    server.create(&kinds::SERVICES, json!({"metadata": metadata, "spec": {"ports": ports}}));
    let subset = json!({"ports": ports, "addresses": [{"ip": "198.51.100.1"}],
        "notReadyAddresses": [{"ip": "198.51.100.2"}]});
    server.create(&kinds::ENDPOINTS, json!({"metadata": metadata, "subsets": [subset]}));
    server.settle().await;
    let mirrored = || {
        let slices = server.list(&kinds::ENDPOINT_SLICES).into_iter();
        let label = "/metadata/labels/kubernetes.io~1service-name";
        let slices: Vec<_> = slices.filter(|it| text(it, label) == "out").collect();
        let endpoints = slices.iter().flat_map(|slice| list(slice, "/endpoints").to_vec());
        let short =
            |it: Value| format!("{} {}", text(&it, "/addresses/0"), it["conditions"]["ready"]);
        (slices.len(), endpoints.map(short).collect::<Vec<_>>())
    };
    let both = ["198.51.100.1 true", "198.51.100.2 false"].map(ToOwned::to_owned);
    assert_eq!(mirrored(), (1, both.to_vec()));
    server.change(&kinds::ENDPOINTS, "default/out", |it| {
        it["subsets"][0] = json!({"ports": ports, "addresses": [{"ip": "198.51.100.3"}]});
    });
    server.settle().await;
    assert_eq!(mirrored(), (1, vec!["198.51.100.3 true".to_owned()]));
    server.delete(&kinds::ENDPOINTS, "default/out", Propagation::Background);
    server.settle().await;
    assert_eq!(mirrored(), (0, vec![]));
}
