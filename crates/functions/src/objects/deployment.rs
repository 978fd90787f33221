//! Pure: the Deployment that runs a Function.

use serde_json::{Map, Value, json};

use super::{
    Context, Ports, annotations, autoscaler,
    container::container,
    init, labels,
    merge::{fill, without_nulls, without_repeated},
    metadata, selector,
};
use crate::{content, function::Function};

/// Where a program lies in its pod.
pub(crate) const HOME: &str = "/kubeless";
/// Where windlass lies in a pod whose image is another.
pub(crate) const OWN: &str = "/windlass";
/// The name of that volume.
pub(super) const OWN_VOLUME: &str = "windlass-host";
/// Where a preparation finds the ConfigMap.
pub(crate) const SOURCES: &str = "/src";
/// The name of that volume.
pub(super) const SOURCES_VOLUME: &str = "windlass-source";
/// The longest name of a volume.
const LONGEST_NAME: usize = 63;

pub(super) fn deployment(function: &Function, context: Context<'_>, ports: Ports) -> Value {
    let given = without_nulls(&function.deployment);
    let mut spec = given["spec"].clone();
    if !spec.is_object() {
        spec = json!({});
    }
    let defaults = &context.config.deployment;
    fill(&mut spec, &defaults["spec"]);
    without_repeated(&mut spec);
    let matched = context.selector.cloned().unwrap_or_else(|| selector(function));
    spec["selector"] = json!({"matchLabels": matched});
    let strategy = &spec["strategy"];
    if strategy.as_object().is_none_or(Map::is_empty) {
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}});
    }
    if autoscaler::autoscaler(function).is_some() {
        // Two would set it in turns.
        spec.as_object_mut().map(|fields| fields.remove("replicas"));
    }
    template(&mut spec["template"], function, context, ports);
    let mut notes = annotations(function, &given["metadata"]["annotations"]);
    fill(&mut notes, &defaults["metadata"]["annotations"]);
    let mut metadata = metadata(function);
    metadata["annotations"] = notes;
    fill(&mut metadata["labels"], &given["metadata"]["labels"]);
    fill(&mut metadata["labels"], &defaults["metadata"]["labels"]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

fn template(template: &mut Value, function: &Function, context: Context<'_>, ports: Ports) {
    let given = template["metadata"].take();
    let mut all_labels = labels(function);
    if let (Some(all), Some(Value::Object(matched))) =
        (all_labels.as_object_mut(), context.selector)
    {
        // Pods that a selector of old does not find are refused.
        all.extend(matched.clone());
    }
    fill(&mut all_labels, &given["labels"]);
    let mut notes = annotations(function, &given["annotations"]);
    let port = ports.function.to_string();
    let scraped = json!({
        "prometheus.io/scrape": "true", "prometheus.io/path": "/metrics", "prometheus.io/port": port});
    fill(&mut notes, &scraped);
    if function.image().is_none() {
        notes[api::function::HASH] = json!(function.hash());
    }
    if let Some(executor) = context.surroundings.executor {
        notes["windlass.dev/executor"] = json!(executor);
    }
    template["metadata"] = json!({"labels": all_labels, "annotations": notes});
    pod(&mut template["spec"], function, context, ports);
}

fn pod(spec: &mut Value, function: &Function, context: Context<'_>, ports: Ports) {
    let volume = volume_name(&function.meta.name);
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        spec["containers"] = json!([{}]);
    }
    let own = init::Pod {
        volume: &volume,
        // Whoever says as whom a pod runs may need more than is usually left to it.
        is_confined: spec["securityContext"].is_null(),
        has_known_runtime: context.runtime.is_some(),
    };
    let is_prepared = function.image().is_none() && function.has_program();
    let context = Context { runtime: context.runtime.filter(|_| is_prepared), ..context };
    let given: Vec<_> = spec["initContainers"].as_array().cloned().unwrap_or_default();
    if let Some(first) = spec["containers"].get_mut(0) {
        let variables = first["env"].as_array().cloned().unwrap_or_default();
        container(first, function, context, ports, own);
        let made = init::containers(function, context, own, (first, &variables, given.first()));
        let own =
            given.into_iter().filter(|own| own["image"].as_str().is_some_and(|it| !it.is_empty()));
        let all: Vec<_> = made.into_iter().chain(own).collect();
        if all.is_empty() {
            spec.as_object_mut().map(|fields| fields.remove("initContainers"));
        } else {
            spec["initContainers"] = all.into();
        }
    }
    fill(spec, &json!({"volumes": volumes(function, context, &volume)}));
    let config = context.config.pull_secrets.iter();
    let runtime = context.runtime.map(|runtime| &runtime.pull_secrets).into_iter().flatten();
    let secrets: Vec<_> = runtime.chain(config).map(|name| json!({"name": name})).collect();
    if !secrets.is_empty() {
        fill(spec, &json!({"imagePullSecrets": secrets}));
    }
    let security = json!({
        "runAsUser": 1000, "fsGroup": 1000, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}});
    fill_absent(spec, "securityContext", security);
    let apart = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100, "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": selector(function)}}}]}});
    fill_absent(spec, "affinity", apart);
    without_repeated(spec);
}

fn volumes(function: &Function, context: Context<'_>, volume: &str) -> Vec<Value> {
    let mut volumes = vec![json!({"name": volume, "emptyDir": {}})];
    let Some(runtime) = context.runtime else { return volumes };
    volumes.push(json!({"name": OWN_VOLUME, "emptyDir": {}}));
    volumes.push(json!({"name": SOURCES_VOLUME, "configMap": {"name": function.meta.name}}));
    let images = [Some(&runtime.runs), runtime.installs.as_ref(), runtime.compiles.as_ref()];
    for secret in images.into_iter().flatten().flat_map(|image| &image.secrets) {
        let own = json!({"name": init::secret_volume(secret), "secret": {"secretName": secret}});
        if !volumes.contains(&own) {
            volumes.push(own);
        }
    }
    volumes
}

/// Sets a field that is not there; one that is, even if empty, was meant so.
pub(super) fn fill_absent(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Returns a name for a volume that is unique to what it is named after and not too long.
pub(super) fn volume_name(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let hash = content::hash(&[name]);
    let (head, tail) = (name.get(..52).unwrap_or_default(), hash.get(..10).unwrap_or_default());
    format!("{head}-{tail}")
}
