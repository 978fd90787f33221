//! Pure: a CompositeController in its checked form.

use std::{sync::Arc, time::Duration};

use api::{
    composite::{
        ChildResource, CompositeControllerSpec, HookSpec, HookVersion, UnmarshallMode, UpdateMethod,
    },
    names::{self, reasons},
};
use k8s::{
    Object, parse_duration,
    selector::{Selector, SelectorError},
};
use serde::Deserialize;
use thiserror::Error;

/// How long a hook call may take if its controller does not say.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of a controller whose finalizer still is a valid one.
const LONGEST_NAME: usize = 43;

/// A controller that can be run as soon as its types are found.
#[derive(Clone, Debug)]
pub struct Controller {
    /// The whole controller object, as hooks see it.
    pub object: Arc<Object>,
    /// The type of the parents.
    pub parent: ParentRule,
    /// The types of the children.
    pub children: Vec<ChildRule>,
    /// What is called for a living parent.
    pub sync: Option<Webhook>,
    /// What is called for a parent that is going away.
    pub finalize: Option<Webhook>,
    /// Whether children are found by a label with the parent's UID.
    pub generate_selector: bool,
    /// How often all parents are synced again.
    pub resync: Option<Duration>,
}

/// Which objects are parents.
#[derive(Clone, Debug)]
pub struct ParentRule {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub plural: String,
    /// The labels of parents.
    pub selector: Selector,
    /// Whether changes of status alone are ignored.
    pub ignore_status_changes: bool,
}

/// A type of children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRule {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub plural: String,
    /// What is done to a child that differs from what is wanted.
    pub method: UpdateMethod,
}

/// A hook that is called by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The full URL.
    pub url: String,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// Which shape the request has.
    pub version: HookVersion,
    /// How unknown keys of the answer are met.
    pub mode: UnmarshallMode,
}

/// Why a controller cannot be run as it is written.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The object is not a CompositeController.
    #[error("invalid CompositeController")]
    Decode(#[source] serde_json::Error),
    /// There is nothing to call.
    #[error("no hooks defined")]
    HooksMissing,
    /// A hook cannot be called as it is written.
    #[error("invalid webhook config: hook `{hook}`: {cause}")]
    Hook {
        /// The hook's name.
        hook: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The selector of parents does not parse.
    #[error("invalid label selector of the parent resource")]
    Selector(#[source] SelectorError),
    /// The finalizer would be longer than a finalizer may be.
    #[error(
        "name is longer than {LONGEST_NAME} characters, which a controller with a finalize hook may not be"
    )]
    NameTooLong,
    /// The controller asks for something that this release does not have.
    #[error("{0} is not supported yet")]
    NotSupported(String),
}

impl ControllerError {
    /// Returns the reason of the condition that says so.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Decode(_) | Self::Hook { .. } => reasons::HOOK_CONFIG_INVALID,
            Self::HooksMissing => reasons::HOOKS_MISSING,
            Self::Selector(_) => reasons::SELECTOR_INVALID,
            Self::NameTooLong => reasons::NAME_TOO_LONG,
            Self::NotSupported(_) => reasons::NOT_SUPPORTED,
        }
    }
}

impl Controller {
    /// Returns the controller's name.
    pub fn name(&self) -> &str {
        &self.object.meta().name
    }

    /// Returns the finalizer that the controller puts on its parents.
    pub fn finalizer(&self) -> String {
        names::composite_finalizer(self.name())
    }

    /// Returns whether the controller's finalizer holds an object, in its present or its former form.
    pub fn holds(&self, object: &Object) -> bool {
        let meta = object.meta();
        meta.has_finalizer(&self.finalizer())
            || meta.has_finalizer(&names::legacy_composite_finalizer(self.name()))
    }
}

#[derive(Deserialize)]
struct Envelope {
    spec: CompositeControllerSpec,
}

/// Checks a CompositeController object.
pub fn check(object: &Arc<Object>) -> Result<Controller, ControllerError> {
    let Envelope { spec } =
        serde_json::from_slice(object.json()).map_err(ControllerError::Decode)?;
    let hooks = spec.hooks.ok_or(ControllerError::HooksMissing)?;
    if hooks.sync.is_none() && hooks.finalize.is_none() && hooks.customize.is_none() {
        return Err(ControllerError::HooksMissing);
    }
    if hooks.customize.is_some() {
        return Err(not_supported("the hook `customize`"));
    }
    if !spec.endpoint_configs.is_empty() {
        return Err(not_supported("`endpointConfigs`"));
    }
    let sync = hooks.sync.map(|hook| webhook("sync", hook)).transpose()?;
    let finalize = hooks.finalize.map(|hook| webhook("finalize", hook)).transpose()?;
    if finalize.is_some() && LONGEST_NAME < object.meta().name.len() {
        return Err(ControllerError::NameTooLong);
    }
    let selector = spec.parent_resource.label_selector.as_ref().map(Selector::from_label_selector);
    let selector = selector.transpose().map_err(ControllerError::Selector)?;
    let resync = |seconds: i32| Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1));
    Ok(Controller {
        object: Arc::clone(object),
        parent: ParentRule {
            api_version: spec.parent_resource.api_version,
            plural: spec.parent_resource.resource,
            selector: selector.unwrap_or_default(),
            ignore_status_changes: spec.parent_resource.ignore_status_changes,
        },
        children: spec.child_resources.into_iter().map(child).collect::<Result<_, _>>()?,
        sync,
        finalize,
        generate_selector: spec.generate_selector,
        resync: spec.resync_period_seconds.map(resync),
    })
}

fn not_supported(what: &str) -> ControllerError {
    ControllerError::NotSupported(what.to_owned())
}

fn child(rule: ChildResource) -> Result<ChildRule, ControllerError> {
    let method = rule.update_strategy.map(|strategy| strategy.method).unwrap_or_default();
    match method {
        UpdateMethod::RollingRecreate | UpdateMethod::RollingInPlace => {
            Err(not_supported(&format!("the update method `{method:?}`")))
        }
        UpdateMethod::OnDelete | UpdateMethod::Recreate | UpdateMethod::InPlace => {
            Ok(ChildRule { api_version: rule.api_version, plural: rule.resource, method })
        }
    }
}

fn webhook(hook: &'static str, spec: HookSpec) -> Result<Webhook, ControllerError> {
    let invalid = |cause: &str| ControllerError::Hook { hook, cause: cause.to_owned() };
    for (form, given) in
        [("jsonnet", spec.jsonnet.is_some()), ("function", spec.function.is_some())]
    {
        if given {
            return Err(not_supported(&format!("the `{form}` form of hook `{hook}`")));
        }
    }
    let webhook = spec.webhook.ok_or_else(|| invalid("no `webhook`"))?;
    let later = [
        ("etag", webhook.etag.as_ref().is_some_and(|etag| etag["enabled"] == true)),
        ("caBundle", webhook.ca_bundle.is_some()),
        ("clientTLS", webhook.client_tls.is_some()),
        ("authorization", webhook.authorization.is_some()),
        ("basicAuth", webhook.basic_auth.is_some()),
    ];
    if let Some((field, _)) = later.iter().find(|(_, given)| *given) {
        return Err(not_supported(&format!("`{field}` of hook `{hook}`")));
    }
    let url = match (webhook.url.filter(|url| !url.is_empty()), webhook.service, webhook.path) {
        (Some(url), ..) => url,
        (None, Some(service), Some(path))
            if !service.name.is_empty() && !service.namespace.is_empty() =>
        {
            let protocol = service.protocol.as_deref().unwrap_or("http");
            let port = service.port.unwrap_or(80);
            let slash = if path.starts_with('/') { "" } else { "/" };
            format!("{protocol}://{}.{}:{port}{slash}{path}", service.name, service.namespace)
        }
        (None, Some(_), Some(_)) => return Err(invalid("`service` needs `name` and `namespace`")),
        (None, ..) => return Err(invalid("give `url`, or `service` and `path`")),
    };
    let timeout = match webhook.timeout.as_deref().filter(|timeout| !timeout.is_empty()) {
        Some(text) => parse_duration(text).map_err(|error| invalid(&error.to_string()))?,
        None => HOOK_TIMEOUT,
    };
    let mode = webhook.response_unmarshall_mode.unwrap_or(match spec.version {
        HookVersion::V1 => UnmarshallMode::Loose,
        HookVersion::V2 => UnmarshallMode::Strict,
    });
    let timeout = if timeout.is_zero() { HOOK_TIMEOUT } else { timeout };
    Ok(Webhook { url, timeout, version: spec.version, mode })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(name: &str, hooks: &Value) -> Result<Controller, String> {
        let value = json!({"apiVersion": names::API_VERSION, "kind": "CompositeController",
            "metadata": {"name": name}, "spec": {"hooks": hooks,
            "parentResource": {"apiVersion": "example.com/v1", "resource": "things"}}});
        check(&Arc::new(Object::from_value(&value).unwrap())).map_err(|error| error.to_string())
    }

    fn url(webhook: &Value) -> Result<String, String> {
        checked("c", &json!({"sync": {"webhook": webhook}}))
            .map(|checked| checked.sync.unwrap().url)
    }

    #[test]
    fn a_hook_is_reached_by_url_or_by_service_and_path() {
        assert_eq!(url(&json!({"url": "http://h/p", "path": "x"})).unwrap(), "http://h/p");
        let service = json!({"service": {"name": "a", "namespace": "b"}, "path": "sync"});
        assert_eq!(url(&service).unwrap(), "http://a.b:80/sync");
        let error = url(&json!({"path": "/sync"})).unwrap_err();
        assert_eq!(
            error,
            "invalid webhook config: hook `sync`: give `url`, or `service` and `path`"
        );
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        let finalize = json!({"finalize": {"webhook": {"url": "http://h"}}});
        for (name, hooks, error) in [
            ("c", json!({}), "no hooks defined"),
            ("c", json!({"customize": {}}), "the hook `customize` is not supported yet"),
            (
                "c",
                json!({"sync": {"webhook": {"url": "http://h", "timeout": "soon"}}}),
                "invalid webhook config: hook `sync`: invalid duration `soon`: give numbers with units, such as `10s` or `1m30s`",
            ),
            (
                &"n".repeat(44),
                finalize,
                "name is longer than 43 characters, which a controller with a finalize hook may not be",
            ),
        ] {
            assert_eq!(checked(name, &hooks).unwrap_err(), error);
        }
    }
}
