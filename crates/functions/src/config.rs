//! Pure: what `kubeless-config` says about all Functions.

mod images;

use std::collections::BTreeMap;

use k8s::{Object, ObjectKey, yaml};
use k8s_openapi::api::apps::v1::Deployment;
use serde::Deserialize as _;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{function::Function, objects::without_nulls, runtimes::Policy, table::Runtime};

/// The keys of the ConfigMap that mean something here.
const DEPLOYMENT: &str = "deployment";
const RUNTIMES: &str = "runtime-images";
const POLICY: &str = "runtime-policy";

/// What applies to all Functions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// What every Deployment has unless its Function says otherwise; an object, or nothing.
    pub deployment: Value,
    /// Runtimes besides those that windlass knows, or instead of them.
    pub runtimes: Vec<Runtime>,
    /// The only namespace whose Functions are worked on, if not all are.
    pub namespace: Option<String>,
    /// The secrets that all images are pulled with.
    pub pull_secrets: Vec<String>,
    /// Whether other versions than those asked for will do.
    pub policy: Policy,
    /// Whether images are to be built, which is not done.
    pub builds: bool,
}

/// Why a value means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ConfigError {
    /// It does not parse.
    #[error("it cannot be read: {0}")]
    Syntax(String),
    /// A key stands twice in one place.
    #[error("`{0}` stands twice in one place")]
    Twice(String),
    /// Nothing has such a field.
    #[error("`{0}` is unknown")]
    Unknown(String),
    /// Something is of another form.
    #[error("{0}")]
    Form(String),
    /// It is none of the words there are.
    #[error("`{0}` is neither `Nearest` nor `Exact`")]
    Policy(String),
}

/// A value of the ConfigMap that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its key.
    pub key: &'static str,
    /// Why.
    pub error: ConfigError,
    /// Whether an earlier value applies meanwhile; without one nobody knows what Functions should be like.
    pub has_good: bool,
}

/// The configuration as it was last seen, and what of it was good last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Watched {
    config: Config,
    faults: Vec<Fault>,
    /// The keys that had a good value since the start.
    good: Vec<&'static str>,
    /// The ConfigMap it was read from.
    seen: Option<(String, String)>,
    is_read: bool,
}

impl Watched {
    /// Returns whether a ConfigMap, or that there is none, was read last.
    pub(crate) fn is_of(&self, object: Option<&Object>) -> bool {
        self.is_read && self.seen == seen(object)
    }

    /// Reads the ConfigMap.
    pub(crate) fn read(&mut self, object: Option<&Object>) {
        (self.is_read, self.seen) = (true, seen(object));
        let texts = object.map(Object::texts).unwrap_or_default();
        let text = |key: &str| texts.get(key).map_or("", |text| text.trim());
        self.faults.clear();
        let before = std::mem::take(&mut self.config);
        let deployment = deployment(text(DEPLOYMENT));
        self.config.deployment = self.kept(DEPLOYMENT, deployment, before.deployment);
        let runtimes = images::runtimes(text(RUNTIMES));
        self.config.runtimes = self.kept(RUNTIMES, runtimes, before.runtimes);
        self.config.policy = self.kept(POLICY, policy(text(POLICY)), before.policy);
        let secrets = ["provision-image-secret", "builder-image-secret"].into_iter().map(text);
        let secrets = secrets.filter(|name| !name.is_empty());
        self.config.pull_secrets = secrets.map(ToOwned::to_owned).collect();
        let only = text("functions-namespace").to_owned();
        self.config.namespace = Some(only).filter(|only| !only.is_empty());
        self.config.builds = text("enable-build-step") == "true";
    }

    /// Returns what applies: of what means nothing, what was good last.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what means nothing.
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns the fault that a Function suffers from.
    pub(crate) fn fault_of(&self, function: &Function) -> Option<&Fault> {
        // An image of its own needs no runtime.
        let matters = |fault: &&Fault| fault.key == DEPLOYMENT || function.image().is_none();
        self.faults.iter().find(matters)
    }

    fn kept<T>(&mut self, key: &'static str, read: Result<T, ConfigError>, before: T) -> T {
        let has_good = self.good.contains(&key);
        match read {
            Ok(value) => {
                if !has_good {
                    self.good.push(key);
                }
                value
            }
            Err(error) => {
                self.faults.push(Fault { key, error, has_good });
                before
            }
        }
    }
}

/// Returns what tells a version of an object from others.
fn seen(object: Option<&Object>) -> Option<(String, String)> {
    object.map(|it| (it.meta().uid.clone(), it.meta().resource_version.clone()))
}

/// Returns where the configuration is: the environment says so, or annotations of the definition of Functions.
pub(crate) fn place(
    environment: &BTreeMap<String, String>,
    definition: Option<&Object>,
) -> ObjectKey {
    let annotations = definition.map(Object::annotations).unwrap_or_default();
    let of = |variable: &str, annotation: &str, usual: &str| {
        let said = environment.get(variable).or_else(|| annotations.get(annotation));
        said.filter(|said| !said.is_empty()).cloned().unwrap_or_else(|| usual.to_owned())
    };
    ObjectKey::new(
        &of("KUBELESS_NAMESPACE", "kubeless.io/namespace", "kubeless"),
        &of("KUBELESS_CONFIG", "kubeless.io/config", "kubeless-config"),
    )
}

fn policy(text: &str) -> Result<Policy, ConfigError> {
    match Policy::of(text) {
        None if !text.is_empty() => Err(ConfigError::Policy(text.to_owned())),
        policy => Ok(policy.unwrap_or_default()),
    }
}

fn deployment(text: &str) -> Result<Value, ConfigError> {
    let value = without_nulls(&parsed(text)?);
    if value.is_null() {
        return Ok(value);
    }
    if !value.is_object() {
        return Err(ConfigError::Form("it is no object".to_owned()));
    }
    let typed = Deployment::deserialize(with_textual_quantities(&value));
    let typed = typed.map_err(|error| ConfigError::Form(error.to_string()))?;
    // What the type has no field for is lost on the way through it.
    let known = json!(typed);
    match unknown(&value, &known, "") {
        Some(field) => Err(ConfigError::Unknown(field)),
        None => Ok(value),
    }
}

/// Reads YAML, of which JSON is a part; an empty text is nothing.
fn parsed(text: &str) -> Result<Value, ConfigError> {
    let documents =
        yaml::documents(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    let Some(document) = documents.into_iter().next() else { return Ok(Value::Null) };
    match document.repeated.first() {
        Some(repeated) => Err(ConfigError::Twice(repeated.key.clone())),
        None => Ok(document.value),
    }
}

/// Returns a value whose quantities are texts: `cpu: 1` is as good as `cpu: "1"`.
fn with_textual_quantities(value: &Value) -> Value {
    let text =
        |value: &Value| if value.is_number() { json!(value.to_string()) } else { value.clone() };
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value.as_object()) {
                    ("limits" | "requests", Some(all)) => Value::Object(
                        all.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
                    ),
                    ("sizeLimit", _) => text(value),
                    _ => with_textual_quantities(value),
                };
                (key.clone(), value)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => items.iter().map(with_textual_quantities).collect(),
        other => other.clone(),
    }
}

/// Returns the path of a field that is not known; empty parts may be left out of what is known.
fn unknown(value: &Value, known: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match known.get(key) {
                Some(known) => unknown(value, known, &path),
                None => Some(path),
            }
        }),
        Value::Array(items) => {
            let known = known.as_array().map_or(&[][..], Vec::as_slice);
            let pairs = items.iter().zip(known).enumerate();
            pairs.into_iter().find_map(|(place, (value, known))| {
                unknown(value, known, &format!("{path}[{place}]"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
