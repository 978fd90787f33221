//! Pure: what calls functions, as its users write it: by HTTP, by the clock, by messages.
//!
//! As with Functions, the schemas refuse nothing that Kubeless took.

use k8s::Resource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    definition,
    function::{API_VERSION, conditions},
};

/// The annotation of an HTTPTrigger that names the Gateway which routes to it: `NAMESPACE/NAME[/SECTION]`.
pub const GATEWAY_REF: &str = "windlass.dev/gateway-ref";
/// The annotation of a CronJobTrigger that says who calls: `direct` is windlass itself, without pods.
pub const CRON_MODE: &str = "windlass.dev/cron-mode";

/// Returns the resource under which HTTPTriggers are served.
pub fn http() -> Resource {
    Resource::namespaced(API_VERSION, "HTTPTrigger", "httptriggers")
}

/// Returns the resource under which CronJobTriggers are served.
pub fn cron_job() -> Resource {
    Resource::namespaced(API_VERSION, "CronJobTrigger", "cronjobtriggers")
}

/// Returns the resource under which KafkaTriggers are served.
pub fn kafka() -> Resource {
    Resource::namespaced(API_VERSION, "KafkaTrigger", "kafkatriggers")
}

/// Returns the resource under which NATSTriggers are served.
pub fn nats() -> Resource {
    Resource::namespaced(API_VERSION, "NATSTrigger", "natstriggers")
}

/// Returns the resource under which KinesisTriggers are served.
pub fn kinesis() -> Resource {
    Resource::namespaced(API_VERSION, "KinesisTrigger", "kinesistriggers")
}

/// Returns the custom resource definitions of all triggers.
pub fn definitions() -> [Value; 5] {
    let function = column("Function", "string", ".spec.function-name");
    let topic = column("Topic", "string", ".spec.topic");
    [
        with_columns(
            definition::of_resource::<HttpTriggerSpec, HttpTriggerStatus>(&http()),
            vec![
                function.clone(),
                column("Host", "string", ".spec.host-name"),
                column("Path", "string", ".spec.path"),
            ],
        ),
        with_columns(
            definition::of_resource::<CronJobTriggerSpec, CronJobTriggerStatus>(&cron_job()),
            vec![
                function,
                column("Schedule", "string", ".spec.schedule"),
                column("Last", "date", ".status.lastScheduleTime"),
                column("Status", "string", ".status.lastStatus"),
            ],
        ),
        with_columns(
            definition::of_resource::<MessageTriggerSpec, TriggerStatus>(&kafka()),
            vec![topic.clone()],
        ),
        with_columns(
            definition::of_resource::<MessageTriggerSpec, TriggerStatus>(&nats()),
            vec![topic],
        ),
        with_columns(definition::of_resource::<AnySpec, TriggerStatus>(&kinesis()), vec![]),
    ]
}

/// What an HTTPTrigger asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct HttpTriggerSpec {
    /// The name of the Function in the same namespace.
    pub function_name: Option<String>,
    /// The host that callers name; any if empty.
    pub host_name: Option<String>,
    /// The path below which calls go to the function; all if empty.
    pub path: Option<String>,
    /// The kind of gateway that routes, which is its IngressClass.
    pub gateway: Option<String>,
    /// Whether a certificate is fetched by ACME.
    pub tls: Option<bool>,
    /// The name of the Secret with the certificate.
    pub tls_secret: Option<String>,
    /// The name of the Secret whose key `auth` lists who may call, as htpasswd writes it.
    pub basic_auth_secret: Option<String>,
    /// Whether pages of other origins may call.
    pub cors_enable: Option<bool>,
}

/// How an HTTPTrigger fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpTriggerStatus {
    /// The generation that the rest is about.
    pub observed_generation: Option<i64>,
    /// The kind of the object that routes calls: `Ingress` or `HTTPRoute`.
    pub routed_by: Option<String>,
    /// What is true of it now.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Value>,
}

/// What a CronJobTrigger asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJobTriggerSpec {
    /// The name of the Function in the same namespace.
    #[serde(rename = "function-name")]
    pub function_name: Option<String>,
    /// When it is called: five fields of cron, a name such as `@hourly`, or `@every` and a duration.
    pub schedule: Option<String>,
    /// What it is called with; nothing if absent.
    #[schemars(schema_with = "anything")]
    pub payload: Value,
    /// The time zone of the schedule, by its name in the IANA database; UTC if empty.
    pub time_zone: Option<String>,
    /// What happens when a call is due while one is under way: `Allow`, `Forbid` or `Replace`.
    pub concurrency_policy: Option<String>,
    /// Whether no calls are made.
    pub suspend: Option<bool>,
    /// How many seconds late a call may be made.
    pub starting_deadline_seconds: Option<i64>,
}

/// How a CronJobTrigger fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobTriggerStatus {
    /// The generation that the rest is about.
    pub observed_generation: Option<i64>,
    /// The moment of the schedule for which a call was made last.
    pub last_schedule_time: Option<String>,
    /// How the last call ended: `Succeeded` or `Failed`.
    pub last_status: Option<String>,
    /// Why the last call failed.
    pub last_message: Option<String>,
    /// The next moment of the schedule.
    pub next_schedule_time: Option<String>,
    /// What is true of it now.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Value>,
}

/// What a KafkaTrigger or a NATSTrigger asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageTriggerSpec {
    /// The topic, or the subject, whose messages are taken.
    pub topic: Option<String>,
    /// Selects the Functions that are called; all of the namespace if empty.
    #[schemars(schema_with = "definition::any_object")]
    pub function_selector: Value,
}

/// What a trigger asks for that is only kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct AnySpec {}

/// How a trigger of messages fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerStatus {
    /// The generation that the rest is about.
    pub observed_generation: Option<i64>,
    /// What is true of it now.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Value>,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

/// Gives a definition its columns, and those that all triggers have.
fn with_columns(mut definition: Value, mut columns: Vec<Value>) -> Value {
    let ready = ".status.conditions[?(@.type==\"Ready\")].status";
    columns.push(column("Ready", "string", ready));
    columns.push(column("Age", "date", ".metadata.creationTimestamp"));
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = json!(columns);
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_definition() {
        let plurals = definitions().map(|it| it["metadata"]["name"].clone());
        let expected =
            ["httptriggers", "cronjobtriggers", "kafkatriggers", "natstriggers", "kinesistriggers"];
        assert_eq!(plurals, expected.map(|plural| json!(format!("{plural}.kubeless.io"))));
    }

    #[test]
    fn fields_are_called_as_kubeless_called_them() {
        let [http, cron, ..] = definitions();
        let fields = |definition: &Value| {
            let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
            let fields = definition.pointer(spec).unwrap().as_object().unwrap().clone();
            fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            fields(&http),
            "basic-auth-secret cors-enable function-name gateway host-name path tls tls-secret"
        );
        assert_eq!(
            fields(&cron),
            "concurrencyPolicy function-name payload schedule startingDeadlineSeconds suspend timeZone"
        );
    }
}
