//! Pure: the Deployment that runs a Function.

use serde_json::{Map, Value, json};

use super::{
    Choice, Ports, Surroundings, config_key, file_names, labels,
    merge::{fill, without_nulls},
    metadata, selector,
};
use crate::{
    content,
    function::Function,
    host::IDLE_TIMEOUT,
    preparation::{PREPARE, Preparation},
    runtimes::Language,
};

/// Where a program lies in its pod.
pub(crate) const HOME: &str = "/kubeless";
/// Where windlass lies in a pod whose image is another.
pub(crate) const OWN: &str = "/windlass";
/// The name of that volume.
const OWN_VOLUME: &str = "windlass-host";
/// Where a preparation finds the ConfigMap.
pub(crate) const SOURCES: &str = "/src";
/// The name of that volume.
const SOURCES_VOLUME: &str = "windlass-source";
/// The longest name of a volume.
const LONGEST_NAME: usize = 63;

pub(super) fn deployment(
    function: &Function,
    choice: Option<&Choice>,
    surroundings: &Surroundings,
    ports: Ports,
) -> Value {
    let choice = choice.filter(|_| function.image().is_none() && function.has_program());
    let mut spec = without_nulls(&function.deployment)["spec"].take();
    if spec.is_null() {
        spec = json!({});
    }
    fill(&mut spec, &surroundings.defaults["spec"]);
    spec["selector"] = json!({"matchLabels": selector(function)});
    if spec["strategy"].as_object().is_none_or(Map::is_empty) {
        spec["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}});
    }
    template(&mut spec["template"], function, choice, surroundings, ports);
    let mut metadata = metadata(function);
    metadata["annotations"] =
        annotations(function, &function.deployment["metadata"]["annotations"]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

fn template(
    template: &mut Value,
    function: &Function,
    choice: Option<&Choice>,
    surroundings: &Surroundings,
    ports: Ports,
) {
    let given = template["metadata"].take();
    let mut all_labels = labels(function);
    fill(&mut all_labels, &given["labels"]);
    let mut notes = annotations(function, &given["annotations"]);
    notes[api::function::HASH] = json!(function.hash());
    fill(
        &mut notes,
        &json!({
        "prometheus.io/scrape": "true", "prometheus.io/path": "/metrics",
        "prometheus.io/port": ports.function.to_string()}),
    );
    if let Some(executor) = surroundings.executor {
        notes["windlass.dev/executor"] = json!(executor);
    }
    template["metadata"] = json!({"labels": all_labels, "annotations": notes});
    pod(&mut template["spec"], function, choice, surroundings, ports);
}

fn pod(
    spec: &mut Value,
    function: &Function,
    choice: Option<&Choice>,
    surroundings: &Surroundings,
    ports: Ports,
) {
    let volume = volume_name(&function.meta.name);
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        spec["containers"] = json!([{}]);
    }
    if let Some(first) = spec["containers"].get_mut(0) {
        container(first, (function, choice, surroundings), ports, &volume);
    }
    let mut volumes = vec![json!({"name": volume, "emptyDir": {}})];
    if let Some(choice) = choice {
        volumes.push(json!({"name": OWN_VOLUME, "emptyDir": {}}));
        volumes.push(json!({"name": SOURCES_VOLUME, "configMap": {"name": function.meta.name}}));
        let given = spec["initContainers"].as_array().cloned().unwrap_or_default();
        let mut all = vec![prepare(function, choice, surroundings, &volume, given.first())];
        all.extend(given.into_iter().filter(|own| own["image"].is_string()));
        spec["initContainers"] = all.into();
    }
    fill(spec, &json!({"volumes": volumes}));
    let security = json!({
        "runAsUser": 1000, "fsGroup": 1000, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}});
    fill_absent(spec, "securityContext", security);
    let apart = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100, "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": selector(function)}}}]}});
    fill_absent(spec, "affinity", apart);
}

fn container(
    container: &mut Value,
    (function, choice, surroundings): (&Function, Option<&Choice>, &Surroundings),
    ports: Ports,
    volume: &str,
) {
    container["name"] = json!(function.meta.name);
    if let Some(choice) = choice {
        container["image"] = json!(image(choice, surroundings));
        container["command"] = json!([format!("{OWN}/windlass"), "function-host"]);
        fill(
            container,
            &json!({"volumeMounts": [{"name": OWN_VOLUME, "mountPath": OWN, "readOnly": true}]}),
        );
        let health = json!({"path": "/healthz", "port": ports.function});
        fill_absent(container, "readinessProbe", json!({"httpGet": health, "periodSeconds": 2}));
        fill_absent(
            container,
            "securityContext",
            json!({
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}),
        );
    }
    let health = json!({"path": "/healthz", "port": ports.function});
    fill_absent(
        container,
        "livenessProbe",
        json!({
        "httpGet": health, "initialDelaySeconds": 3, "periodSeconds": 30}),
    );
    fill(
        container,
        &json!({
        "ports": [{"containerPort": ports.function, "protocol": "TCP"}],
        "volumeMounts": [{"name": volume, "mountPath": HOME}]}),
    );
    let own = environment(function, choice, ports);
    let given = container["env"].as_array().cloned().unwrap_or_default();
    let is_ours = |variable: &Value| own.iter().any(|own| own["name"] == variable["name"]);
    let kept = given.into_iter().filter(|variable| !is_ours(variable));
    container["env"] = kept.chain(own.iter().cloned()).collect();
}

/// Returns what the program learns of itself, in the order that Kubeless wrote it.
fn environment(function: &Function, choice: Option<&Choice>, ports: Ports) -> Vec<Value> {
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut all = Vec::new();
    if let (Some(handler), false) = (&function.handler, function.texts.function.is_empty()) {
        let limit =
            function.deployment.pointer("/spec/template/spec/containers/0/resources/limits/memory");
        let limit = limit.map_or_else(|| "0".to_owned(), text);
        all.extend([
            variable("FUNC_HANDLER", &handler.function),
            variable("MOD_NAME", &handler.module),
            variable("FUNC_TIMEOUT", &function.timeout.to_string()),
            variable("FUNC_RUNTIME", &function.texts.runtime),
            variable("FUNC_MEMORY_LIMIT", &limit),
        ]);
    }
    all.push(variable("FUNC_PORT", &ports.function.to_string()));
    if function.runtime.is_some() {
        all.push(variable("KUBELESS_INSTALL_VOLUME", HOME));
    }
    if let Some(choice) = choice {
        all.push(variable(
            "WINDLASS_RUNTIME",
            &format!("{}{}", choice.language.facts().id, choice.version),
        ));
        let version = &choice.version;
        match choice.language {
            Language::Python => {
                let path = format!("{HOME}/lib/python{version}/site-packages:{HOME}");
                all.push(variable("PYTHONPATH", &path));
            }
            Language::Nodejs => all.push(variable("NODE_PATH", &format!("{HOME}/node_modules"))),
            Language::Go | Language::Jsonnet => {}
        }
        if let Some(idle) = function.annotations.get(api::function::IDLE_TIMEOUT) {
            all.push(variable(IDLE_TIMEOUT, idle));
        }
    }
    all
}

/// Returns the container that puts the program in its place before the function's own starts.
fn prepare(
    function: &Function,
    choice: &Choice,
    surroundings: &Surroundings,
    volume: &str,
    given: Option<&Value>,
) -> Value {
    let (file, deps) = file_names(function, Some(choice));
    let key = if function.content.archive.is_some() {
        function.handler.as_ref().map_or(String::new(), |handler| handler.module.clone())
    } else {
        file.clone()
    };
    let preparation = Preparation {
        hash: function.hash(),
        runtime: function.texts.runtime.clone(),
        content_type: function.texts.content_type.clone(),
        checksum: function.texts.checksum.clone(),
        key: config_key(&key),
        file,
        deps: deps.map(ToOwned::to_owned),
    };
    let mut container = json!({
        "name": PREPARE, "image": surroundings.image, "args": ["function-prepare"],
        "env": [
            {"name": Preparation::VARIABLE, "value": preparation.to_string()},
            {"name": "KUBELESS_INSTALL_VOLUME", "value": HOME}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": volume, "mountPath": HOME}, {"name": OWN_VOLUME, "mountPath": OWN},
            {"name": SOURCES_VOLUME, "mountPath": SOURCES, "readOnly": true}]});
    if let Some(resources) = given.map(|given| &given["resources"]).filter(|it| it.is_object()) {
        container["resources"] = resources.clone();
    }
    container
}

/// Returns the image that has the language and nothing of ours; windlass itself interprets the rest.
fn image(choice: &Choice, surroundings: &Surroundings) -> String {
    let version = &choice.version;
    match choice.language {
        Language::Python => format!("python:{version}-slim"),
        Language::Nodejs => format!("node:{version}-slim"),
        Language::Go | Language::Jsonnet => surroundings.image.clone(),
    }
}

/// Returns the annotations that were given with those of the Function; kubectl's note is about the Function
/// alone.
fn annotations(function: &Function, given: &Value) -> Value {
    let own = function.annotations.iter();
    let own = own.filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration");
    let mut all = Value::Object(own.map(|(key, value)| (key.clone(), json!(value))).collect());
    if given.is_object() {
        fill(&mut all, &without_nulls(given));
    }
    all
}

/// Sets a field that is not there; one that is, even if empty, was meant so.
fn fill_absent(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Returns a name for a volume that is unique to the Function and not too long.
fn volume_name(function: &str) -> String {
    if function.len() <= LONGEST_NAME {
        return function.to_owned();
    }
    let hash = content::hash(&[function]);
    let (head, tail) = (function.get(..52).unwrap_or_default(), hash.get(..10).unwrap_or_default());
    format!("{head}-{tail}")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
