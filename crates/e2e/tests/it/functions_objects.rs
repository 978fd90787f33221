//! What becomes of a Function in a cluster: its objects, as far as no node is needed for them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{definition, function};
use e2e::{World, embedded_story, story};
use functions::{Functions, Offer, Options, Surroundings};
use k8s::{ObjectKey, Resource};
use runtime::{Client, Part, PatchType};
use serde_json::{Value, json};

story!(acceptance_6_a_function_that_cannot_run_disturbs_no_other);
story!(acceptance_16_what_others_made_is_not_touched);
story!(acceptance_17_applying_twice_changes_nothing);
story!(acceptance_27_old_finalizers_hold_nothing_up);
story!(what_is_made_is_kept_as_it_is_wanted);
story!(what_kubeless_made_is_taken_over);

mod acceptance_18_an_autoscaler_comes_in_the_form_of_today_and_goes {
    e2e::story!(@on real acceptance_18_an_autoscaler_comes_in_the_form_of_today_and_goes);
}

fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

fn deployments() -> Resource {
    Resource::namespaced("apps/v1", "Deployment", "deployments")
}

fn autoscalers() -> Resource {
    let version = "autoscaling/v2";
    Resource::namespaced(version, "HorizontalPodAutoscaler", "horizontalpodautoscalers")
}

/// Installs the types of functions.
pub(crate) async fn define(world: &World) {
    for definition in definition::of_functions() {
        let key = ObjectKey::new("", definition["metadata"]["name"].as_str().unwrap());
        let resource = definition::definitions();
        // It may be there from another story.
        world.client.apply(&resource, &key, "windlass-test", definition.to_string()).await.unwrap();
    }
    let collection = function::resource().collection_path("");
    world
        .eventually("Functions are served", || async {
            world.client.get_raw(&collection).await.is_ok()
        })
        .await;
}

/// Works on the Functions of this world alone, with the account that functions have in production.
async fn started(world: &World) -> Functions {
    started_with(world, &world.functions_client().await).await
}

async fn started_with(world: &World, client: &Client) -> Functions {
    configure(world, &json!({})).await;
    let environment =
        [("KUBELESS_NAMESPACE", world.id.clone()), ("KUBELESS_CONFIG", "config".into())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let options = Options {
        surroundings: Surroundings { image: "windlass:test".to_owned(), executor: None },
        offer: Offer::Images,
        environment: BTreeMap::from(environment),
        served: Arc::new(|_| {}),
    };
    Functions::start(client, options)
}

/// Says what applies to all Functions of this world.
async fn configure(world: &World, more: &Value) {
    let mut data = json!({"functions-namespace": world.id});
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": world.id}, "data": data});
    let (resource, key) = (super::configmaps(), ObjectKey::new(&world.id, "config"));
    world.client.apply(&resource, &key, "windlass-test", map.to_string()).await.unwrap();
}

/// Returns a Function as the tools of Kubeless dump it.
fn dumped() -> Value {
    json!({"metadata": {"name": "f", "labels": {"team": "a"}}, "spec": {
        "runtime": "python3.11", "handler": "a.b", "function": "def b(event, context): pass",
        "deps": null, "timeout": "60", "horizontalPodAutoscaler": null,
        "service": {"ports": [{"name": "http-function-port", "port": 80, "targetPort": 9000}]},
        "deployment": {"metadata": {"creationTimestamp": null}, "status": {}, "spec": {"strategy": {},
            "template": {"metadata": {"creationTimestamp": null}, "spec": {"containers": [{
                "name": "", "resources": {}, "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                "volumeMounts": [{"name": "mine", "mountPath": "/data"}]}],
                "volumes": [{"name": "mine", "emptyDir": {}}]}}}}}})
}

async fn condition(world: &World, kind: &str) -> String {
    let function = world.get(&function::resource(), "f").await;
    let all = function["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == kind);
    found.map_or_else(String::new, |it| {
        format!("{} {}", it["status"], it["reason"]).replace('"', "")
    })
}

async fn until_condition(world: &World, kind: &str, expected: &str) {
    let is_told = || async { condition(world, kind).await == expected };
    world.eventually(&format!("{kind} is {expected}"), is_told).await;
}

/// Breaks when a number is no timeout.
async fn acceptance_6_a_function_that_cannot_run_disturbs_no_other(world: &World) {
    let functions = started(world).await;
    for (name, field, value, reason) in [
        ("module-only", "handler", json!("a"), "InvalidHandler"),
        ("function-only", "handler", json!(".b"), "InvalidHandler"),
        ("late", "timeout", json!("soon"), "InvalidTimeout"),
    ] {
        let mut bad = dumped();
        bad["metadata"]["name"] = json!(name);
        bad["spec"][field] = value;
        world.create(&function::resource(), bad).await;
        let is_told = || async {
            let status = world.get(&function::resource(), name).await["status"].take();
            status.pointer("/conditions/0/type") == Some(&json!("Accepted"))
                && status.pointer("/conditions/0/reason") == Some(&json!(reason))
        };
        world.eventually(&format!("{name} is refused"), is_told).await;
        assert_eq!(world.get(&deployments(), name).await, Value::Null);
    }
    let mut good = dumped();
    good["spec"]["timeout"] = json!(5);
    world.create(&function::resource(), good).await;
    until_condition(world, "Accepted", "True Accepted").await;
    let is_made = || async { !world.get(&deployments(), "f").await.is_null() };
    world.eventually("it has a Deployment", is_made).await;
    let made = world.get(&deployments(), "f").await;
    let env = made["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap();
    assert!(env.contains(&json!({"name": "FUNC_TIMEOUT", "value": "5"})), "{env:?}");
    drop(functions);
}

/// Breaks when a Service is not looked at for what stands in the way.
async fn acceptance_16_what_others_made_is_not_touched(world: &World) {
    let service = json!({"metadata": {"name": "f"}, "spec": {"ports": [{"port": 1}]}});
    let before = world.create(&services(), service).await;
    let functions = started(world).await;
    world.create(&function::resource(), dumped()).await;
    until_condition(world, "Accepted", "False Conflict").await;
    let told = world.events("Conflict").await;
    let message = format!("Found a conflicting Service object {}/f", world.id);
    world
        .eventually("an event tells it", || async { !world.events("Conflict").await.is_empty() })
        .await;
    assert!(told.iter().all(|told| *told == message), "{told:?}");
    assert_eq!(world.get(&services(), "f").await, before);
    assert_eq!(world.get(&deployments(), "f").await, Value::Null);
    world.delete(&services(), "f").await;
    until_condition(world, "Accepted", "True Accepted").await;
    drop(functions);
}

/// Breaks when mounts are not told apart by their paths.
async fn acceptance_17_applying_twice_changes_nothing(world: &World) {
    let functions = started(world).await;
    let defaults = "spec: {template: {spec: {containers: [{volumeMounts: [{name: theirs, mountPath: /data}]}]}}}";
    configure(world, &json!({"deployment": defaults})).await;
    world.create(&function::resource(), dumped()).await;
    until_condition(world, "Accepted", "True Accepted").await;
    world.settle().await;
    has_one_mount_each_and_variables_in_order(&world.get(&deployments(), "f").await);
    let versions = || async {
        let mut all = vec![];
        for resource in [super::configmaps(), services()] {
            all.push(world.get(&resource, "f").await["metadata"]["resourceVersion"].take());
        }
        all.push(world.get(&deployments(), "f").await["metadata"]["generation"].take());
        all
    };
    let before = versions().await;
    // Another process knows nothing of what was applied, and applies it all again.
    drop(functions);
    let functions = started(world).await;
    configure(world, &json!({"deployment": defaults})).await;
    world
        .patch(&function::resource(), "f", &json!({"metadata": {"labels": {"later": "yes"}}}))
        .await;
    let is_labelled =
        || async { world.get(&services(), "f").await["metadata"]["labels"]["later"] == "yes" };
    world.eventually("the label arrives", is_labelled).await;
    world
        .patch(&function::resource(), "f", &json!({"metadata": {"labels": {"later": null}}}))
        .await;
    let is_gone =
        || async { world.get(&services(), "f").await["metadata"]["labels"]["later"].is_null() };
    world.eventually("the label goes", is_gone).await;
    world.settle().await;
    let between = versions().await;
    assert_ne!(before, between);
    drop(functions);
    let functions = started(world).await;
    configure(world, &json!({"deployment": defaults})).await;
    world.delete(&services(), "f").await;
    let is_back = || async { !world.get(&services(), "f").await.is_null() };
    world.eventually("the Service is back", is_back).await;
    world.settle().await;
    let after = versions().await;
    assert_eq!(
        (&after[0], &after[2]),
        (&between[0], &between[2]),
        "applied again, nothing changed"
    );
    // A value that means nothing changes nothing; a good one is followed.
    configure(world, &json!({"deployment": "spec: {replica: 2}"})).await;
    until_condition(world, "Accepted", "False ConfigInvalid").await;
    assert_eq!(versions().await, after);
    configure(world, &json!({"deployment": "metadata: {annotations: {by: config}}"})).await;
    let is_followed = || async {
        world.get(&deployments(), "f").await["metadata"]["annotations"]["by"] == "config"
    };
    world.eventually("the configuration is followed", is_followed).await;
    until_condition(world, "Accepted", "True Accepted").await;
    drop(functions);
}

fn has_one_mount_each_and_variables_in_order(deployment: &Value) {
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let names = |list: &Value| -> Vec<String> {
        let all = list.as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect()
    };
    assert_eq!(names(&container["volumeMounts"]), ["mine", "windlass-host", "f"]);
    assert_eq!(
        names(&container["env"]),
        [
            "A",
            "FUNC_HANDLER",
            "MOD_NAME",
            "FUNC_TIMEOUT",
            "FUNC_RUNTIME",
            "FUNC_MEMORY_LIMIT",
            "FUNC_PORT",
            "KUBELESS_INSTALL_VOLUME",
            "WINDLASS_RUNTIME",
            "PYTHONPATH"
        ]
    );
    assert_eq!(names(&pod["initContainers"]), ["prepare"]);
    assert_eq!(pod["securityContext"]["runAsUser"], 1000);
    assert_eq!(deployment["metadata"]["labels"]["team"], "a");
}

/// Breaks when workloads of versions that are gone stay so.
async fn acceptance_18_an_autoscaler_comes_in_the_form_of_today_and_goes(world: &World) {
    let functions = started(world).await;
    let mut wanted = dumped();
    wanted["spec"]["deployment"]["spec"]["replicas"] = json!(2);
    wanted["spec"]["horizontalPodAutoscaler"] = json!({"apiVersion": "autoscaling/v2beta1",
        "metadata": {"name": "f", "creationTimestamp": null}, "status": {"conditions": null},
        "spec": {"minReplicas": 1, "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "f"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 70}}]}});
    world.create(&function::resource(), wanted).await;
    let is_there = || async { !world.get(&autoscalers(), "f").await.is_null() };
    world.eventually("it is there", is_there).await;
    let made = world.get(&autoscalers(), "f").await;
    assert_eq!(made["spec"]["scaleTargetRef"]["apiVersion"], "apps/v1");
    let target = json!({"type": "Utilization", "averageUtilization": 70});
    assert_eq!(made["spec"]["metrics"][0]["resource"]["target"], target);
    let monitors = monitors(world).await;
    let change = |autoscaler: Value| async move {
        let patch = json!({"spec": {"horizontalPodAutoscaler": autoscaler}});
        world.patch(&function::resource(), "f", &patch).await;
    };
    change(by_calls()).await;
    let is_counted = || async { !world.get(&monitors, "f").await.is_null() };
    world.eventually("calls are counted for it", is_counted).await;
    let metrics = &world.get(&autoscalers(), "f").await["spec"]["metrics"];
    assert_eq!(metrics[0]["object"]["target"], json!({"type": "Value", "value": "5"}));
    change(Value::Null).await;
    let is_gone = || async {
        world.get(&autoscalers(), "f").await.is_null() && world.get(&monitors, "f").await.is_null()
    };
    world.eventually("both are gone", is_gone).await;
    drop(functions);
}

/// Breaks when what others put there is not taken over although the server refuses what is wanted beside it.
async fn what_is_made_is_kept_as_it_is_wanted(world: &World) {
    let client = world.functions_client().await;
    let functions = started_with(world, &client).await;
    configure(world, &json!({"enable-build-step": "true"})).await;
    world.create(&function::resource(), dumped()).await;
    let port = || async { world.get(&services(), "f").await["spec"]["ports"][0]["port"].clone() };
    world.eventually("the Service is there", || async { port().await == 80 }).await;
    let other = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]);
    world.patch_json(&services(), "f", &other).await;
    world.eventually("its port is as before", || async { port().await == 80 }).await;
    world.delete(&deployments(), "f").await;
    let is_back = || async { !world.get(&deployments(), "f").await.is_null() };
    world.eventually("the Deployment is back", is_back).await;
    // Addresses cannot be changed; all else still is.
    let service = json!({"clusterIP": "None", "ports": [{"port": 82, "targetPort": 9000}]});
    world.patch(&function::resource(), "f", &json!({"spec": {"service": service}})).await;
    world.eventually("the port has changed", || async { port().await == 82 }).await;
    let told = || async { world.events("BuildStepUnsupported").await.len() == 1 };
    world.eventually("an event tells of builds", told).await;
    let variable = json!([{"env": [{"name": "A=", "value": "1"}]}]);
    let deployment = json!({"spec": {"template": {"spec": {"containers": variable}}}});
    world.patch(&function::resource(), "f", &json!({"spec": {"deployment": deployment}})).await;
    let told = || async {
        world.events("WriteFailed").await.iter().any(|it| it.contains("containers[0].env[0].name"))
    };
    world.eventually("an event tells what the server refuses", told).await;
    let metrics = client.metrics().text();
    for part in [
        r#"windlass_functions_sync_total{result="success"}"#,
        "windlass_functions_sync_duration_seconds_count",
    ] {
        assert!(metrics.contains(part), "{metrics}");
    }
    drop(functions);
}

/// Breaks when a Function rests for longer than ten minutes.
async fn what_nobody_watches_is_put_right_after_ten_minutes(world: &World) {
    let monitors = monitors(world).await;
    let functions = started(world).await;
    let mut wanted = dumped();
    wanted["spec"]["horizontalPodAutoscaler"] = by_calls();
    world.create(&function::resource(), wanted).await;
    let is_there = || async { !world.get(&monitors, "f").await.is_null() };
    world.eventually("the monitor is there", is_there).await;
    world.delete(&monitors, "f").await;
    world.settle().await;
    assert_eq!(world.get(&monitors, "f").await, Value::Null);
    world.pass(Duration::from_mins(11)).await;
    assert!(is_there().await, "it is back");
    drop(functions);
}
embedded_story!(what_nobody_watches_is_put_right_after_ten_minutes);

/// Returns what scales by calls, as Kubeless wrote it.
fn by_calls() -> Value {
    json!({"apiVersion": "autoscaling/v2beta1", "metadata": {"name": "f"},
        "spec": {"minReplicas": 1, "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "f"},
            "metrics": [{"type": "Object", "object": {"metricName": "function_calls", "targetValue": "5",
                "target": {"apiVersion": "v1", "kind": "Service", "name": "f"}}}]}})
}

/// Serves what counts calls in a cluster that has it.
async fn monitors(world: &World) -> Resource {
    let names = json!({"plural": "servicemonitors", "singular": "servicemonitor",
        "kind": "ServiceMonitor", "listKind": "ServiceMonitorList"});
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": any}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}});
    let key = ObjectKey::new("", "servicemonitors.monitoring.coreos.com");
    // It may be there from another story.
    let definitions = definition::definitions();
    world.client.apply(&definitions, &key, "windlass-test", definition.to_string()).await.unwrap();
    let group = "monitoring.coreos.com/v1";
    let monitors = Resource::namespaced(group, "ServiceMonitor", "servicemonitors");
    let path = monitors.collection_path(&world.id);
    let is_served = || async { world.client.get_raw(&path).await.is_ok() };
    world.eventually("monitors are served", is_served).await;
    monitors
}

/// Breaks when the finalizer is not taken off.
async fn acceptance_27_old_finalizers_hold_nothing_up(world: &World) {
    let functions = started(world).await;
    let mut old = dumped();
    old["metadata"]["finalizers"] = json!(["kubeless.io/function"]);
    world.create(&function::resource(), old).await;
    until_condition(world, "Accepted", "True Accepted").await;
    world.delete(&function::resource(), "f").await;
    let is_gone = || async { world.get(&function::resource(), "f").await.is_null() };
    world.eventually("it is gone", is_gone).await;
    world
        .eventually("so is its Deployment", || async {
            world.get(&deployments(), "f").await.is_null()
        })
        .await;
    let new = world.create(&function::resource(), dumped()).await;
    until_condition(world, "Accepted", "True Accepted").await;
    assert_eq!(new["metadata"]["finalizers"], Value::Null);
    // Nobody is there to let go of it.
    drop(functions);
    world.delete(&function::resource(), "f").await;
    world.eventually("it is gone, too", is_gone).await;
}

async fn what_kubeless_made_is_taken_over(world: &World) {
    let labels = json!({"created-by": "kubeless", "function": "f", "team": "a"});
    let old = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "f", "namespace": world.id, "labels": labels, "annotations": {"stale": "yes"}},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": {"prometheus.io/scrape": "true",
                "prometheus.io/path": "/metrics", "prometheus.io/port": "8080"}},
            "spec": {"securityContext": {}, "affinity": {}, "volumes": [{"name": "f", "emptyDir": {}}],
                "containers": [{"name": "f", "image": "web",
                    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                    "env": [{"name": "FUNC_PORT", "value": "8080"}],
                    "volumeMounts": [{"name": "f", "mountPath": "/kubeless"}],
                    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080},
                        "initialDelaySeconds": 3, "periodSeconds": 30}}]}}}});
    let before = world.create(&deployments(), old).await;
    let functions = started(world).await;
    let image = json!({"metadata": {"name": "f", "labels": {"team": "a"}}, "spec": {"deployment": {"spec": {
        "template": {"spec": {"containers": [{"image": "web"}], "securityContext": {}, "affinity": {}}}}}}});
    world.create(&function::resource(), image).await;
    let is_owned =
        || async { !world.get(&deployments(), "f").await["metadata"]["ownerReferences"].is_null() };
    world.eventually("it has an owner", is_owned).await;
    let after = world.get(&deployments(), "f").await;
    assert_eq!(after["spec"]["template"], before["spec"]["template"], "no pod starts anew");
    assert_eq!(after["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(after["metadata"]["annotations"]["stale"], Value::Null, "nobody wants it any more");
    let (key, how) = (ObjectKey::new(&world.id, "f"), (Part::Main, PatchType::Merge));
    let patch = json!({"metadata": {"labels": {"team": "b"}}}).to_string();
    world.client.patch(&function::resource(), &key, how, patch).await.unwrap();
    let is_labelled =
        || async { world.get(&deployments(), "f").await["metadata"]["labels"]["team"] == "b" };
    world.eventually("the labels follow", is_labelled).await;
    assert_eq!(world.get(&deployments(), "f").await["spec"]["selector"]["matchLabels"], labels);
    drop(functions);
}
