//! Pure: what the two kinds of controllers have in common, as their users write it.
//!
//! The types are the wire form, field by field; the engine turns them into a checked form of its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is done to a child that differs from what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateMethod {
    /// Nothing, until somebody deletes it.
    #[default]
    OnDelete,
    /// It is deleted, and created in its new form.
    Recreate,
    /// It is changed where it is.
    InPlace,
    /// As `Recreate`, one child at a time.
    RollingRecreate,
    /// As `InPlace`, one child at a time.
    RollingInPlace,
}

impl UpdateMethod {
    /// Returns whether children are moved to their new form one at a time.
    pub fn is_rolling(self) -> bool {
        matches!(self, Self::RollingRecreate | Self::RollingInPlace)
    }

    /// Returns whether a child that differs is deleted and created again.
    pub fn recreates(self) -> bool {
        matches!(self, Self::Recreate | Self::RollingRecreate)
    }
}

/// A selector of labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with the values they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions that must hold as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<SelectorRequirement>,
}

/// One condition of a selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SelectorRequirement {
    /// The label or annotation.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// One hook: its version and one way of calling it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HookSpec {
    /// Which shape the request has.
    #[serde(default)]
    pub version: HookVersion,
    /// A hook behind HTTP.
    pub webhook: Option<Webhook>,
    /// A hook that is a Jsonnet program.
    pub jsonnet: Option<JsonnetHook>,
    /// A hook that is a Function.
    pub function: Option<FunctionHook>,
}

/// Which shape a hook's request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookVersion {
    /// Objects of the parent's namespace, by name.
    #[default]
    V1,
    /// All objects, by namespace and name.
    V2,
}

/// A hook behind HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The full URL; it wins over `service` and `path`.
    pub url: Option<String>,
    /// The Service that answers.
    pub service: Option<ServiceReference>,
    /// The path at that Service.
    pub path: Option<String>,
    /// How long the whole exchange may take, in Go's form; 10s if absent.
    pub timeout: Option<String>,
    /// Whether answers are kept by their ETag.
    pub etag: Option<EtagSpec>,
    /// How unknown keys of the answer are met; loose for v1, strict for v2 if absent.
    #[serde(rename = "responseUnMarshallMode")]
    pub response_unmarshall_mode: Option<UnmarshallMode>,
    /// What proves who is called, and who calls.
    #[serde(flatten)]
    pub credentials: CredentialsSpec,
}

/// A Service by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceReference {
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// The port, 80 if absent.
    pub port: Option<i32>,
    /// The protocol, `http` if absent.
    pub protocol: Option<String>,
}

/// Whether and how long answers are kept by their ETag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtagSpec {
    /// Whether they are kept.
    #[serde(default)]
    pub enabled: bool,
    /// After how many seconds an answer is forgotten; never if absent or below 1.
    pub cache_timeout_seconds: Option<i32>,
    /// How often forgotten answers are cleared away.
    pub cache_cleanup_seconds: Option<i32>,
}

/// How unknown keys of a hook's answer are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnmarshallMode {
    /// They are ignored.
    Loose,
    /// They fail the sync.
    Strict,
}

/// A hook that is a Jsonnet program, run without HTTP: one of `inline`, `configMapRef` and `path`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonnetHook {
    /// The text of the program.
    pub inline: Option<String>,
    /// The ConfigMap with the program and what it imports.
    pub config_map_ref: Option<ProgramReference>,
    /// A file under the engine's `--hooks-dir`.
    pub path: Option<String>,
    /// Further arguments of the program's function, by name.
    #[serde(default)]
    pub tlas: BTreeMap<String, Value>,
    /// External variables with texts.
    #[serde(default)]
    pub ext_vars: BTreeMap<String, String>,
    /// How long a call may take, in Go's form; 10s if absent, 10m at most.
    pub timeout: Option<String>,
}

/// A program in a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramReference {
    /// The ConfigMap's namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
    /// The key of the program; `HOOK.jsonnet` if absent.
    pub key: Option<String>,
}

/// A hook that is a Function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionHook {
    /// The Function's name.
    pub name: String,
    /// The Function's namespace.
    pub namespace: String,
    /// The port of its Service, 8080 if absent.
    pub port: Option<i32>,
    /// The path of the request, `/` if absent.
    pub path: Option<String>,
    /// How long the whole exchange may take, in Go's form; 10s if absent.
    pub timeout: Option<String>,
}

/// What proves who is called, and who calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsSpec {
    /// The certificates that the hook's is checked against.
    pub ca_bundle: Option<CaBundle>,
    /// The certificate that is shown to the hook.
    #[serde(rename = "clientTLS")]
    pub client_tls: Option<ClientTls>,
    /// A token that is shown to the hook.
    pub authorization: Option<Authorization>,
    /// A name and a password that are shown to the hook.
    pub basic_auth: Option<BasicAuth>,
}

/// TLS and credentials for all hooks at one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointConfig {
    /// The host, or host and port.
    pub host: String,
    /// What proves who is called, and who calls.
    #[serde(flatten)]
    pub credentials: CredentialsSpec,
}

/// Certificates: one of `inline`, `secretRef` and `configMapRef`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// The certificates as PEM.
    pub inline: Option<String>,
    /// A Secret with the PEM.
    pub secret_ref: Option<BundleReference>,
    /// A ConfigMap with the PEM.
    pub config_map_ref: Option<BundleReference>,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BundleReference {
    /// The object's name.
    pub name: String,
    /// The object's namespace.
    pub namespace: String,
    /// The key, `ca.crt` if absent.
    pub key: Option<String>,
}

/// A Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// The Secret's name.
    pub name: String,
    /// The Secret's namespace.
    pub namespace: String,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyReference {
    /// The Secret's name.
    pub name: String,
    /// The Secret's namespace.
    pub namespace: String,
    /// The key.
    pub key: String,
}

/// The certificate and key that are shown to the hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// The Secret with both.
    pub secret_ref: SecretReference,
    /// The key of the certificate, `tls.crt` if absent.
    pub cert_key: Option<String>,
    /// The key of the private key, `tls.key` if absent.
    pub private_key_key: Option<String>,
}

/// The header `Authorization`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The scheme, `Bearer` if absent.
    pub r#type: Option<String>,
    /// The credential.
    pub secret_ref: SecretKeyReference,
}

/// A name and a password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The Secret with both.
    pub secret_ref: SecretReference,
    /// The key of the name, `username` if absent.
    pub username_key: Option<String>,
    /// The key of the password, `password` if absent.
    pub password_key: Option<String>,
}

/// What the engine says about a controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    /// The generation of the controller that the conditions are about.
    pub observed_generation: Option<i64>,
    /// `Ready`, and `HooksReady` where a hook is a Jsonnet program.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A condition, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, for machines.
    pub reason: Option<String>,
    /// Why, for people.
    pub message: Option<String>,
    /// Since when the status is what it is.
    pub last_transition_time: Option<String>,
    /// The generation it is about.
    pub observed_generation: Option<i64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_capitals_are_read() {
        let webhook: Webhook = serde_json::from_value(json!({"url": "http://h",
            "responseUnMarshallMode": "strict", "caBundle": {"inline": "x"},
            "clientTLS": {"secretRef": {"name": "a", "namespace": "b"}}}))
        .unwrap();
        assert_eq!(webhook.response_unmarshall_mode, Some(UnmarshallMode::Strict));
        assert!(
            webhook.credentials.client_tls.is_some() && webhook.credentials.ca_bundle.is_some()
        );
    }
}
