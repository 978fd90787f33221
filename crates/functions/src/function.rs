//! Pure: a Function as the rest of this crate knows it, checked.

use std::collections::BTreeMap;

use api::function::FunctionSpec;
use k8s::{Meta, Object};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::{
    content::{self, ContentType, ContentTypeError, Digest, DigestError},
    handler::{Handler, HandlerError},
    runtimes::{Policy, RuntimeName},
};

/// The longest a call may be allowed to take, in seconds.
const LONGEST_TIMEOUT: u32 = 86_400;
/// How long a call may take if nothing is said, in seconds.
const USUAL_TIMEOUT: u32 = 180;
/// The longest name; that of the Service is the same.
const LONGEST_NAME: usize = 63;

/// A Function that can be made to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    /// The metadata.
    pub meta: Meta,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
    /// What is called; nothing if an image of its own does what it does.
    pub handler: Option<Handler>,
    /// What the source holds.
    pub content: ContentType,
    /// The digest that the program must have.
    pub checksum: Option<Digest>,
    /// The runtime that was asked for.
    pub runtime: Option<RuntimeName>,
    /// How many seconds a call may take.
    pub timeout: u32,
    /// The texts as they were written.
    pub texts: Texts,
    /// What the Deployment has besides; an object.
    pub deployment: Value,
    /// The spec of the Service; an object.
    pub service: Value,
    /// The HorizontalPodAutoscaler that is wanted; an object.
    pub autoscaler: Value,
    /// Whether another version of the runtime will do, if the function says so itself.
    pub policy: Option<Policy>,
}

/// The texts of a Function as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    /// `spec.runtime`.
    pub runtime: String,
    /// `spec.handler`.
    pub handler: String,
    /// `spec.function`.
    pub function: String,
    /// `spec.function-content-type`.
    pub content_type: String,
    /// `spec.checksum`.
    pub checksum: String,
    /// `spec.deps`.
    pub deps: String,
}

/// Why a Function cannot be made to run, whatever the cluster has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Its fields are of wrong types.
    #[error("the spec cannot be read: {0}")]
    Unreadable(String),
    /// Its Service could not have its name.
    #[error(
        "`{0}` cannot be the name of a Service: use at most 63 lower-case letters, digits and `-`, \
         beginning with a letter and not ending with `-`"
    )]
    Name(String),
    /// Its handler names nothing.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Its content type means nothing.
    #[error(transparent)]
    ContentType(#[from] ContentTypeError),
    /// Its checksum means nothing.
    #[error(transparent)]
    Checksum(#[from] DigestError),
    /// Its timeout means nothing.
    #[error("timeout `{0}` is no whole number of seconds from 1 to {LONGEST_TIMEOUT}")]
    Timeout(String),
    /// Nobody knows its runtime.
    #[error("runtime `{0}` is unknown")]
    Runtime(String),
    /// It has neither a program nor an image.
    #[error("there is nothing to run: give `runtime`, `handler` and `function`, or an image")]
    Nothing,
}

impl Refusal {
    /// Returns the reason of the condition that tells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::Nothing => "NothingToRun",
            Self::Name(_) => "InvalidName",
            Self::Handler(_) => "InvalidHandler",
            Self::ContentType(_) => "InvalidContentType",
            Self::Checksum(_) => "InvalidChecksum",
            Self::Timeout(_) => "InvalidTimeout",
            Self::Runtime(_) => "UnknownRuntime",
        }
    }
}

impl Function {
    /// Checks a Function.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it cannot run before it is changed.
    pub(crate) fn check(object: &Object) -> Result<Self, Refusal> {
        let spec = object.to_value()["spec"].take();
        let spec = FunctionSpec::deserialize(if spec.is_null() { Value::default() } else { spec })
            .map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let name = &object.meta().name;
        if !is_service_name(name) {
            return Err(Refusal::Name(name.clone()));
        }
        let annotations = object.annotations();
        let policy = annotations.get(api::function::RUNTIME_POLICY);
        let policy = policy.and_then(|policy| Policy::of(policy));
        let texts = Texts {
            runtime: spec.runtime.unwrap_or_default(),
            handler: spec.handler.unwrap_or_default(),
            function: spec.function.unwrap_or_default(),
            content_type: spec.function_content_type.unwrap_or_default(),
            checksum: spec.checksum.unwrap_or_default(),
            deps: spec.deps.unwrap_or_default(),
        };
        let given = |text: &str| !text.is_empty();
        let function = Self {
            handler: Some(&texts.handler)
                .filter(|it| given(it))
                .map(|it| Handler::parse(it))
                .transpose()?,
            content: ContentType::parse(&texts.content_type)?,
            checksum: Some(&texts.checksum)
                .filter(|it| given(it))
                .map(|it| Digest::parse(it))
                .transpose()?,
            runtime: Some(&texts.runtime)
                .filter(|it| given(it))
                .map(|it| RuntimeName::parse(it).ok_or_else(|| Refusal::Runtime(it.clone())))
                .transpose()?,
            timeout: timeout(&spec.timeout)?,
            meta: object.meta().clone(),
            annotations,
            texts,
            deployment: object_or_empty(spec.deployment),
            service: object_or_empty(spec.service),
            autoscaler: object_or_empty(spec.horizontal_pod_autoscaler),
            policy,
        };
        if function.image().is_none() && !function.has_program() {
            return Err(Refusal::Nothing);
        }
        Ok(function)
    }

    /// Returns the image of its own, if it has one.
    pub(crate) fn image(&self) -> Option<&str> {
        let image = self.deployment.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
        Some(image).filter(|image| !image.is_empty())
    }

    /// Returns whether it has all that windlass needs to serve it.
    pub(crate) fn has_program(&self) -> bool {
        self.handler.is_some() && self.runtime.is_some() && !self.texts.function.is_empty()
    }

    /// Returns what tells this version of its program from others.
    ///
    /// It is over all that makes a program, so that any change of it is rolled out.
    pub(crate) fn hash(&self) -> String {
        let Texts { runtime, handler, function, content_type, checksum, deps } = &self.texts;
        content::hash(&[runtime, handler, content_type, function, checksum, deps])
    }
}

/// Returns whether a name is a label of RFC 1035, which is what the name of a Service must be.
fn is_service_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= LONGEST_NAME
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_inner)
}

fn timeout(value: &Value) -> Result<u32, Refusal> {
    let text = match value {
        Value::Null => return Ok(USUAL_TIMEOUT),
        Value::String(text) if text.is_empty() => return Ok(USUAL_TIMEOUT),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_decimal = text.bytes().all(|digit| digit.is_ascii_digit());
    let seconds =
        text.parse().ok().filter(|seconds| is_decimal && (1..=LONGEST_TIMEOUT).contains(seconds));
    seconds.ok_or(Refusal::Timeout(text))
}

fn object_or_empty(value: Value) -> Value {
    if value.is_object() { value } else { Value::Object(serde_json::Map::new()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(name: &str, spec: &Value) -> Result<Function, Refusal> {
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
            "metadata": {"name": name, "namespace": "ops"}, "spec": spec});
        Function::check(&Object::from_value(&object).unwrap())
    }

    fn with(field: &str, value: &Value) -> Value {
        let mut spec = json!({"runtime": "python3.11", "handler": "a.b", "function": "x"});
        spec[field] = value.clone();
        spec
    }

    #[test]
    fn what_can_never_run_has_a_reason() {
        for (field, value, reason) in [
            ("handler", json!("a"), "InvalidHandler"),
            ("function-content-type", json!("zip+rar"), "InvalidContentType"),
            ("checksum", json!("md5:1"), "InvalidChecksum"),
            ("timeout", json!("soon"), "InvalidTimeout"),
            ("timeout", json!(0), "InvalidTimeout"),
            ("timeout", json!("+5"), "InvalidTimeout"),
            ("timeout", json!(1.5), "InvalidTimeout"),
            ("runtime", json!("3.11"), "UnknownRuntime"),
            ("function", json!(""), "NothingToRun"),
            ("deps", json!(7), "NothingToRun"),
        ] {
            let refusal = check("f", &with(field, &value)).unwrap_err();
            assert_eq!(refusal.reason(), reason, "{field}: {value}");
        }
        assert_eq!(check("F", &with("deps", &Value::Null)), Err(Refusal::Name("F".to_owned())));
    }

    #[test]
    fn what_old_tools_write_is_taken() {
        let mut spec = with("timeout", &json!(""));
        spec["deployment"] = json!({"metadata": {"creationTimestamp": null}, "status": {},
            "spec": {"strategy": {}, "template": {"spec": {"containers": null}}}});
        spec["service"] = Value::Null;
        let function = check("get-python", &spec).unwrap();
        assert_eq!((function.timeout, function.service), (USUAL_TIMEOUT, json!({})));
        assert_eq!(check("f", &with("timeout", &json!(5))).unwrap().timeout, 5);
    }

    #[test]
    fn an_image_of_its_own_is_enough() {
        let spec = json!({"deployment": {"spec": {"template": {"spec": {"containers": [{"image": "web"}]}}}}});
        assert_eq!(check("f", &spec).unwrap().image(), Some("web"));
        assert_eq!(check("f", &json!({})), Err(Refusal::Nothing));
    }

    #[test]
    fn every_text_of_a_program_counts_for_its_hash() {
        let first = check("f", &with("timeout", &json!(5))).unwrap().hash();
        assert_eq!(check("f", &with("timeout", &json!(6))).unwrap().hash(), first);
        for field in ["runtime", "handler", "function", "deps"] {
            let value = json!(if field == "handler" { "a.c" } else { "go1" });
            assert_ne!(check("f", &with(field, &value)).unwrap().hash(), first, "{field}");
        }
    }
}
