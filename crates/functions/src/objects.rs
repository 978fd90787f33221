//! Pure: the objects that serve a Function: ConfigMap, Service and Deployment, and what scales it.

use k8s::Meta;
use serde_json::{Map, Value, json};

use self::merge::fill;
pub(crate) use self::{
    autoscaler::is_by_calls,
    init::{COMPILE, INSTALL},
    merge::without_nulls,
    ports::{Ports, PortsError},
};
use crate::{config::Config, function::Function, table::Runtime};

pub(crate) use self::deployment::{HOME, OWN, SOURCES};
mod autoscaler;
mod container;
mod deployment;
mod init;
mod merge;
mod ports;

/// Where pods run, and what they run beside the function's own image.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The image with windlass itself.
    pub image: String,
    /// The executor that runs the pods, if it is not the cluster's nodes.
    pub executor: Option<&'static str>,
}

/// What the objects of a Function depend on besides the Function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// What runs it; if it brings an image of its own, what its files are called as.
    pub runtime: Option<&'a Runtime>,
    /// What applies to all Functions.
    pub config: &'a Config,
    /// Where pods run.
    pub surroundings: &'a Surroundings,
    /// The `matchLabels` of the Deployment that is there already, if one is: they cannot be changed.
    pub selector: Option<&'a Value>,
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
    /// Scales it, if that is wanted.
    pub autoscaler: Option<Value>,
    /// Has its calls counted for that, if need be.
    pub monitor: Option<Value>,
    /// Where it is reached.
    pub ports: Ports,
}

/// Returns the objects of a Function. What runs it is chosen already, unless it brings an image of its own.
///
/// # Errors
///
/// [`PortsError`] if its Service leads nowhere.
pub(crate) fn objects(function: &Function, context: Context<'_>) -> Result<Objects, PortsError> {
    let ports = Ports::of(function)?;
    Ok(Objects {
        config_map: config_map(function, context.runtime),
        service: service(function),
        deployment: deployment::deployment(function, context, ports),
        autoscaler: autoscaler::autoscaler(function),
        monitor: autoscaler::monitor(function),
        ports,
    })
}

/// Returns the name of the file that a program without an archive is written to, and of the file of its
/// dependencies.
pub(crate) fn file_names<'a>(
    function: &Function,
    runtime: Option<&'a Runtime>,
) -> (String, Option<&'a str>) {
    let module = function.handler.as_ref().map_or("", |handler| &handler.module);
    let suffix = runtime.map_or("", |runtime| &runtime.suffix);
    (format!("{module}{suffix}"), runtime.and_then(|runtime| runtime.deps.as_deref()))
}

/// Returns the key of the ConfigMap under which the source stands.
pub(crate) fn source_key(function: &Function, runtime: Option<&Runtime>) -> String {
    let (file, _) = file_names(function, runtime);
    let file = match (&function.content.archive, &function.handler) {
        // What is packed has no name of its own: its files come out of it.
        (Some(_), Some(handler)) => handler.module.clone(),
        _ => file,
    };
    // A key of a ConfigMap has no directories, and one of them is taken.
    match file.replace('/', ".").as_str() {
        "handler" => "handler.program".to_owned(),
        key => key.to_owned(),
    }
}

/// Returns the labels that a Function's own objects are found by.
pub(crate) fn selector(function: &Function) -> Value {
    let (key, value) = api::function::CREATED_BY;
    json!({key: value, api::function::LABEL: function.meta.name})
}

fn config_map(function: &Function, runtime: Option<&Runtime>) -> Value {
    let mut data = Map::new();
    if function.handler.is_some() {
        let (_, deps) = file_names(function, runtime);
        data.insert("handler".to_owned(), json!(function.texts.handler));
        data.insert(source_key(function, runtime), json!(function.texts.function));
        data.extend(deps.map(|deps| (deps.to_owned(), json!(function.texts.deps))));
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(function), "data": data})
}

fn service(function: &Function) -> Value {
    let mut spec = without_nulls(&function.service);
    let selects_itself = spec["selector"]["function"] == json!(function.meta.name);
    // Labels may change; the selector must not follow them, or calls would find no pod meanwhile.
    if selects_itself || spec["selector"].as_object().is_none_or(Map::is_empty) {
        spec["selector"] = selector(function);
    }
    match spec["ports"].as_array_mut().filter(|ports| !ports.is_empty()) {
        None => {
            spec["ports"] = json!([{
                "name": "http-function-port", "protocol": "TCP", "port": 8080, "targetPort": 8080}]);
        }
        Some(ports) => {
            for port in ports {
                // What tools of old write for "no target".
                if port["targetPort"] == 0 || port["targetPort"] == "" {
                    port["targetPort"] = Value::Null;
                }
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

/// Returns the reference to a Function or a trigger that owns an object.
pub(crate) fn owner(kind: &str, meta: &Meta) -> Value {
    json!({
        "apiVersion": api::function::API_VERSION, "kind": kind, "name": meta.name,
        "uid": meta.uid, "controller": true, "blockOwnerDeletion": true})
}

#[cfg(test)]
mod tests;
