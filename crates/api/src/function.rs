//! Pure: the Function resource, as its users write it.
//!
//! The schema refuses nothing that Kubeless took; what cannot work is told by conditions.

use k8s::Resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::definition;

/// The API group of functions and their triggers.
pub const GROUP: &str = "kubeless.io";
/// The `apiVersion` of functions and their triggers.
pub const API_VERSION: &str = "kubeless.io/v1beta1";
/// The label of every object made for a function; it holds the function's name.
pub const LABEL: &str = "function";
/// The label that says who made an object, and the value that Kubeless and windlass write.
pub const CREATED_BY: (&str, &str) = ("created-by", "kubeless");
/// The annotation of a pod that tells one version of a function's program from another.
pub const HASH: &str = "windlass.dev/function-hash";
/// The annotation of a function that says whether another version of its runtime will do.
pub const RUNTIME_POLICY: &str = "windlass.dev/runtime-policy";
/// The annotation of a function that says how long its last worker may have nothing to do before it ends, too.
pub const IDLE_TIMEOUT: &str = "windlass.dev/idle-timeout";

/// Returns the resource under which Functions are served.
pub fn resource() -> Resource {
    Resource::namespaced(API_VERSION, "Function", "functions")
}

/// Returns the custom resource definition of Functions.
pub fn definition() -> Value {
    let mut definition = definition::of_resource::<FunctionSpec, FunctionStatus>(&resource());
    let column =
        |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let mut url = column("URL", "string", ".status.url");
    url["priority"] = json!(1);
    definition["spec"]["names"]["shortNames"] = json!(["fn"]);
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    if let Some(spec) = definition.pointer_mut(spec) {
        // Tools of old write `null` for what is not given.
        spec["nullable"] = json!(true);
        let fields =
            spec["properties"].as_object_mut().into_iter().flat_map(|all| all.values_mut());
        fields.for_each(|field| field["nullable"] = json!(true));
    }
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        column("Handler", "string", ".spec.handler"),
        column("Runtime", "string", ".spec.runtime"),
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Replicas", "integer", ".status.readyReplicas"),
        url,
        column("Age", "date", ".metadata.creationTimestamp")
    ]);
    definition
}

/// What a Function asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FunctionSpec {
    /// The runtime and its version, such as `python3.11`.
    pub runtime: Option<String>,
    /// The module and the function in it, as `module.function`.
    pub handler: Option<String>,
    /// The source: text, base64 or a URL, as the content type says.
    pub function: Option<String>,
    /// What `function` holds: tokens joined by `+`; `text` if empty.
    #[serde(rename = "function-content-type")]
    pub function_content_type: Option<String>,
    /// The digest of the source, as `sha256:` and 64 hexadecimal digits; not checked if empty.
    pub checksum: Option<String>,
    /// The text of the runtime's file of dependencies.
    pub deps: Option<String>,
    /// How many seconds a call may take; 180 if empty.
    #[schemars(schema_with = "int_or_string")]
    pub timeout: Value,
    /// What the Deployment of the function has besides.
    #[schemars(schema_with = "definition::any_object")]
    pub deployment: Value,
    /// The spec of the function's Service.
    #[schemars(schema_with = "definition::any_object")]
    pub service: Value,
    /// The HorizontalPodAutoscaler of the function.
    #[serde(rename = "horizontalPodAutoscaler")]
    #[schemars(schema_with = "definition::any_object")]
    pub horizontal_pod_autoscaler: Value,
}

/// How a Function fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionStatus {
    /// The generation that the rest is about.
    pub observed_generation: Option<i64>,
    /// Where the function is called within the cluster.
    pub url: Option<String>,
    /// The runtime that was asked for, and what is used.
    #[schemars(schema_with = "definition::any_object")]
    pub runtime: Value,
    /// The digest of the program that is deployed.
    pub checksum: Option<String>,
    /// How many replicas are wanted.
    pub replicas: Option<i32>,
    /// How many of them answer calls.
    pub ready_replicas: Option<i32>,
    /// What went wrong last.
    #[schemars(schema_with = "definition::any_object")]
    pub last_error: Value,
    /// What is true of it now.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Value>,
}

fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type", "status"],
            "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": true}})
}
