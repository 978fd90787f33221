//! Pure: what objects of built-in kinds must and may not say, once their defaults are filled in.

mod access;
mod address;
mod config;
mod container;
mod endpoint;
mod event;
mod ingress;
mod job;
mod namespace;
mod node;
mod pod;
mod selector;
mod service;
#[cfg(test)]
mod tests;
mod volume;
mod warnings;
mod workload;

use k8s::GroupVersionKind;
use serde_json::{Map, Value};

pub(crate) use self::warnings::warnings;
use crate::field::{FieldError, FieldPath};

/// Returns what is wrong with an object, and with turning `old` into it.
pub(crate) fn validate(
    gvk: &GroupVersionKind,
    new: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = FieldPath::new("spec");
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::pod(new, old, &mut errors),
        ("", "PodTemplate") => {
            pod::template(&FieldPath::new("template"), new.get("template"), &mut errors);
        }
        ("", "Service") => service::service(new, old, &mut errors),
        ("", "Endpoints") => endpoint::endpoints(new, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => endpoint::slice(new, old, &mut errors),
        ("", "ConfigMap") => config::config_map(new, old, &mut errors),
        ("", "Secret") => config::secret(new, old, &mut errors),
        ("" | "events.k8s.io", "Event") => event::event(&gvk.group, new, old, &mut errors),
        ("apps", "Deployment") => workload::deployment(&spec, new, old, &mut errors),
        ("apps", "ReplicaSet") => workload::replica_set(&spec, new, old, &mut errors),
        ("apps", "DaemonSet") => workload::daemon_set(&spec, new, old, &mut errors),
        ("apps", "StatefulSet") => workload::stateful_set(&spec, new, old, &mut errors),
        ("apps", "ControllerRevision") => workload::controller_revision(new, old, &mut errors),
        ("batch", "Job") => job::job(&spec, new, old, &mut errors),
        ("networking.k8s.io", "Ingress") => ingress::ingress(new, old, &mut errors),
        ("networking.k8s.io", "IngressClass") => ingress::class(new, old, &mut errors),
        ("coordination.k8s.io", "Lease") => config::lease(new, &mut errors),
        ("rbac.authorization.k8s.io", kind) => access(kind, new, old, &mut errors),
        ("", "Namespace") => namespace::namespace(new, old, &mut errors),
        ("", "Node") => node::node(new, old, &mut errors),
        ("", "PersistentVolume") => volume::volume(new, old, &mut errors),
        ("", "PersistentVolumeClaim") => volume::claim(new, old, &mut errors),
        ("policy", "PodDisruptionBudget") => config::disruption_budget(new, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => config::priority_class(new, old, &mut errors),
        _ => {}
    }
    errors.0
}

/// Returns what is wrong with turning the status of `old` into that of an object.
pub(crate) fn validate_status(gvk: &GroupVersionKind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::default();
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod::status(new, old, &mut errors),
        ("apps", "Deployment" | "DaemonSet" | "StatefulSet") => {
            workload::status(new, old, &mut errors);
        }
        _ => {}
    }
    errors.0
}

fn access(kind: &str, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    use access::Scope::{Cluster, Namespace};
    match kind {
        "Role" => access::role(Namespace, new, errors),
        "ClusterRole" => access::role(Cluster, new, errors),
        "RoleBinding" => access::binding(Namespace, new, old, errors),
        "ClusterRoleBinding" => access::binding(Cluster, new, old, errors),
        _ => {}
    }
}

/// Returns whether all that is wrong is that an endpoint is on this machine.
pub(crate) fn is_about_loopback(error: &FieldError) -> bool {
    error.message.ends_with(address::LOOPBACK)
}

/// The errors found so far.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    fn invalid(&mut self, path: &FieldPath, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::invalid(path, value, detail));
    }

    fn required(&mut self, path: &FieldPath) {
        self.push(FieldError::required(path, ""));
    }

    /// Checks a name against a rule that returns what is wrong with it.
    fn name(&mut self, path: &FieldPath, name: &str, rule: fn(&str) -> Vec<String>) {
        if name.is_empty() {
            self.required(path);
            return;
        }
        for why in rule(name) {
            self.invalid(path, name, why);
        }
    }

    /// Checks a text, which may be empty, against a rule that returns what is wrong with it.
    fn checked(&mut self, path: &FieldPath, text: &str, rule: fn(&str) -> Vec<String>) {
        for why in rule(text) {
            self.invalid(path, text, why);
        }
    }

    fn one_of(&mut self, path: &FieldPath, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            self.push(FieldError::not_supported(path, value, supported));
        }
    }

    fn not_negative(&mut self, path: &FieldPath, fields: &Value, name: &str) {
        if let Some(number) = fields.get(name).and_then(Value::as_i64).filter(|number| *number < 0)
        {
            self.invalid(&path.child(name), number, "must be greater than or equal to 0");
        }
    }

    fn port(&mut self, path: &FieldPath, number: i64) {
        if !(1..=65535).contains(&number) {
            self.invalid(path, number, "must be between 1 and 65535, inclusive");
        }
    }

    /// Refuses a new value where the old one may not change.
    fn immutable(&mut self, path: &FieldPath, new: Option<&Value>, old: Option<&Value>) {
        if new != old {
            self.invalid(path, new.cloned().unwrap_or_default(), "field is immutable");
        }
    }
}

fn entries<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// Writes a value with the names its fields have in Go, as the reference shows values of its internal types.
///
/// It shows all fields of the type there, which no client knows; here are those that are given.
fn go_shown(value: &Value) -> String {
    fn renamed(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (go_name(name), renamed(value))).collect()
            }
            Value::Array(items) => items.iter().map(renamed).collect(),
            scalar => scalar.clone(),
        }
    }
    renamed(value).to_string()
}

fn go_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// Returns whether a field is given: there and not null.
fn given<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null())
}
