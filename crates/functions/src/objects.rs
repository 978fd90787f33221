//! Pure: the objects that serve a Function: ConfigMap, Service and Deployment.

use k8s::Meta;
use serde_json::{Map, Value, json};

use self::merge::{fill, without_nulls};
pub(crate) use self::ports::{Ports, PortsError};
use crate::{
    function::Function,
    runtimes::{Language, Version},
};

pub(crate) use self::deployment::{HOME, OWN, SOURCES};
mod deployment;
mod merge;
mod ports;

/// Where pods run, and what they run beside the function's own image.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The image with windlass itself.
    pub image: String,
    /// What every Deployment has unless its Function says otherwise; an object.
    pub defaults: Value,
    /// The executor that runs the pods, if it is not the cluster's nodes.
    pub executor: Option<&'static str>,
}

/// The language and version that serve a Function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The language.
    pub language: Language,
    /// The version.
    pub version: Version,
}

/// The objects of one Function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objects {
    /// Holds the texts of the program.
    pub config_map: Value,
    /// Makes it reachable under its name.
    pub service: Value,
    /// Runs it.
    pub deployment: Value,
    /// Where it is reached.
    pub ports: Ports,
}

/// Returns the objects of a Function. What runs it is chosen already, unless it brings an image of its own.
///
/// # Errors
///
/// [`PortsError`] if its Service leads nowhere.
pub(crate) fn objects(
    function: &Function,
    choice: Option<&Choice>,
    surroundings: &Surroundings,
) -> Result<Objects, PortsError> {
    let ports = Ports::of(function)?;
    Ok(Objects {
        config_map: config_map(function, choice),
        service: service(function),
        deployment: deployment::deployment(function, choice, surroundings, ports),
        ports,
    })
}

/// Returns the name of the file that a program without an archive is written to, and of the file of its
/// dependencies.
pub(crate) fn file_names(
    function: &Function,
    choice: Option<&Choice>,
) -> (String, Option<&'static str>) {
    let facts = choice.map(|choice| choice.language.facts());
    let module = function.handler.as_ref().map_or("", |handler| &handler.module);
    let suffix = facts.map_or("", |facts| facts.suffix);
    (format!("{module}{suffix}"), facts.and_then(|facts| facts.deps))
}

/// Returns the key of a ConfigMap under which a file stands.
pub(crate) fn config_key(file: &str) -> String {
    file.replace('/', ".")
}

/// Returns the labels that a Function's own objects are found by.
pub(crate) fn selector(function: &Function) -> Value {
    let (key, value) = api::function::CREATED_BY;
    json!({key: value, api::function::LABEL: function.meta.name})
}

fn config_map(function: &Function, choice: Option<&Choice>) -> Value {
    let mut data = Map::new();
    if function.handler.is_some() {
        let (file, deps) = file_names(function, choice);
        // What is packed has no name of its own: its files come out of it.
        let file = match (&function.content.archive, &function.handler) {
            (Some(_), Some(handler)) => handler.module.clone(),
            _ => file,
        };
        data.insert("handler".to_owned(), json!(function.texts.handler));
        data.insert(config_key(&file), json!(function.texts.function));
        data.extend(deps.map(|deps| (deps.to_owned(), json!(function.texts.deps))));
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(function), "data": data})
}

fn service(function: &Function) -> Value {
    let mut spec = without_nulls(&function.service);
    let selects_itself = spec["selector"]["function"] == json!(function.meta.name);
    // Labels may change; the selector must not follow them, or calls would find no pod meanwhile.
    if selects_itself || spec["selector"].is_null() {
        spec["selector"] = selector(function);
    }
    match spec["ports"].as_array_mut().filter(|ports| !ports.is_empty()) {
        None => {
            spec["ports"] = json!([{
                "name": "http-function-port", "protocol": "TCP", "port": 8080, "targetPort": 8080}]);
        }
        Some(ports) => {
            for port in ports {
                fill(port, &json!({"protocol": "TCP", "targetPort": port["port"]}));
            }
        }
    }
    fill(&mut spec, &json!({"type": "ClusterIP"}));
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(function), "spec": spec})
}

/// Returns what all objects of a Function have in common.
fn metadata(function: &Function) -> Value {
    json!({
        "name": function.meta.name, "namespace": function.meta.namespace,
        "labels": labels(function), "ownerReferences": [owner("Function", &function.meta)]})
}

/// Returns the labels of a Function with those of its objects.
fn labels(function: &Function) -> Value {
    let mut labels = json!(function.meta.labels);
    if let (Some(labels), Value::Object(own)) = (labels.as_object_mut(), selector(function)) {
        labels.extend(own);
    }
    labels
}

/// Returns the reference to a Function or a trigger that owns an object.
pub(crate) fn owner(kind: &str, meta: &Meta) -> Value {
    json!({
        "apiVersion": api::function::API_VERSION, "kind": kind, "name": meta.name,
        "uid": meta.uid, "controller": true, "blockOwnerDeletion": true})
}
