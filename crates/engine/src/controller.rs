//! Pure: a CompositeController or DecoratorController in its checked form.

use std::{sync::Arc, time::Duration};

use api::{
    composite::{
        ChildResource, CompositeControllerSpec, ConditionCheck, ParentResource, UpdateStrategy,
    },
    controller::{EndpointConfig, HookSpec, LabelSelector, UpdateMethod},
    decorator::{AnnotationSelector, AttachmentResource, DecoratorControllerSpec, TargetResource},
    names::{self, reasons},
};
use k8s::{
    Object,
    selector::{Selector, SelectorError},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use thiserror::Error;

use crate::{
    hook::{self, Hooks},
    selector::{ChildSelector, ChildSelectorError, Ownership, child_selector},
};

/// The longest name of a controller whose finalizer still is a valid one.
const LONGEST_NAME: usize = 43;

/// A controller that can be run as soon as its types are found.
#[derive(Clone, Debug)]
pub struct Controller {
    /// The whole controller object, as hooks see it.
    pub object: Arc<Object>,
    /// Which kind it is of, with what only that kind says.
    pub form: Form,
    /// The types of the parents; a CompositeController has one.
    pub parents: Vec<ParentRule>,
    /// The types of the children.
    pub children: Vec<ChildRule>,
    /// What is called, and when.
    pub hooks: Hooks,
    /// How often all parents are synced again.
    pub resync: Option<Duration>,
    /// How many parents are synced at once, if it says so itself.
    pub workers: Option<usize>,
    /// The namespaces of the parents; all if there are none.
    pub namespaces: Vec<String>,
}

/// The two kinds of controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Owns the status of its parents, and finds their children by selector.
    Composite {
        /// Whether children are found by a label with the parent's UID.
        generate_selector: bool,
    },
    /// Adds to objects that are somebody else's, and finds attachments by its own annotation.
    Decorator,
}

/// Which objects are parents.
#[derive(Clone, Debug)]
pub struct ParentRule {
    /// The group and version.
    pub api_version: String,
    /// The lower-case plural.
    pub plural: String,
    /// The labels of parents.
    pub labels: Selector,
    /// The annotations of parents.
    pub annotations: Selector,
    /// Whether changes of status alone are ignored.
    pub ignore_status_changes: bool,
    /// The paths of the fields that make a new version of a parent.
    pub revision_fields: Vec<String>,
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
    /// What a child must show before the next one is rolled.
    pub status_checks: Arc<[ConditionCheck]>,
    /// How a parent owns its children of this type.
    pub ownership: Ownership,
}

/// Why a controller cannot be run as it is written.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The object is not a controller of its kind.
    #[error("invalid {kind}")]
    Decode {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
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
    /// A hook's program is not one that could run.
    #[error("hook `{hook}`: {cause}")]
    Program {
        /// The hook's name.
        hook: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// A hook's credentials are contradictory.
    #[error("hook `{hook}`: {cause}")]
    Credentials {
        /// The hook's name.
        hook: &'static str,
        /// What is wrong with them.
        cause: String,
    },
    /// The selector of parents does not parse.
    #[error("invalid selector of the resource {plural}")]
    Selector {
        /// The resource.
        plural: String,
        /// What is wrong with it.
        source: SelectorError,
    },
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
            Self::Decode { .. } | Self::Hook { .. } | Self::Program { .. } => {
                reasons::HOOK_CONFIG_INVALID
            }
            Self::HooksMissing => reasons::HOOKS_MISSING,
            Self::Credentials { .. } => reasons::CREDENTIALS_UNRESOLVED,
            Self::Selector { .. } => reasons::SELECTOR_INVALID,
            Self::NameTooLong => reasons::NAME_TOO_LONG,
            Self::NotSupported(_) => reasons::NOT_SUPPORTED,
        }
    }
}

impl Controller {
    /// Returns whether any children are moved to their new form one at a time.
    pub fn rolls(&self) -> bool {
        self.form != Form::Decorator && self.children.iter().any(|child| child.method.is_rolling())
    }

    /// Returns how the children of a parent are told.
    pub(crate) fn child_selector(
        &self,
        parent: &Object,
    ) -> Result<ChildSelector, ChildSelectorError> {
        match self.form {
            Form::Composite { generate_selector } => child_selector(generate_selector, parent),
            Form::Decorator => Ok(ChildSelector::Attached { controller: self.name().to_owned() }),
        }
    }

    /// Returns the controller's name.
    pub fn name(&self) -> &str {
        &self.object.meta().name
    }

    /// Returns the finalizer that the controller puts on its parents.
    pub fn finalizer(&self) -> String {
        names::finalizer(&self.kind(), self.name())
    }

    /// Returns the finalizer that it would have put on them in releases before the project's move.
    pub fn legacy_finalizer(&self) -> String {
        names::legacy_finalizer(&self.kind(), self.name())
    }

    /// Returns whether the controller's finalizer holds an object, in its present or its former form.
    pub fn holds(&self, object: &Object) -> bool {
        let meta = object.meta();
        // Most objects have none, and to look costs nothing then.
        !meta.finalizers.is_empty()
            && (meta.has_finalizer(&self.finalizer())
                || meta.has_finalizer(&self.legacy_finalizer()))
    }

    fn kind(&self) -> String {
        self.object.gvk().kind.to_lowercase()
    }
}

impl ParentRule {
    /// Returns whether an object is selected by its labels and annotations.
    pub fn selects(&self, object: &Object) -> bool {
        self.labels.matches(&object.meta().labels)
            && (self.annotations.is_empty() || self.annotations.matches(&object.annotations()))
    }
}

#[derive(Deserialize)]
struct Envelope<S> {
    spec: S,
}

/// Checks a CompositeController or DecoratorController object.
pub fn check(object: &Arc<Object>) -> Result<Controller, ControllerError> {
    let controller = match object.gvk().kind.as_str() {
        "DecoratorController" => decorator(object, spec(object)?)?,
        _ => composite(object, spec(object)?)?,
    };
    if controller.hooks.finalize.is_some() && LONGEST_NAME < controller.name().len() {
        return Err(ControllerError::NameTooLong);
    }
    Ok(controller)
}

fn spec<S: DeserializeOwned>(object: &Object) -> Result<S, ControllerError> {
    let kind = || object.gvk().kind.clone();
    let read = serde_json::from_slice::<Envelope<S>>(object.json());
    Ok(read.map_err(|source| ControllerError::Decode { kind: kind(), source })?.spec)
}

fn composite(
    object: &Arc<Object>,
    spec: CompositeControllerSpec,
) -> Result<Controller, ControllerError> {
    let given = spec.hooks.ok_or(ControllerError::HooksMissing)?;
    let given = [given.sync, given.finalize, given.customize];
    let hooks = hooks(given, &spec.endpoint_configs, object)?;
    Ok(Controller {
        object: Arc::clone(object),
        form: Form::Composite { generate_selector: spec.generate_selector },
        parents: vec![parent(spec.parent_resource)?],
        children: spec.child_resources.into_iter().map(child).collect(),
        hooks,
        resync: spec.resync_period_seconds.map(resync),
        workers: spec.workers.map(workers),
        namespaces: spec.namespaces,
    })
}

fn decorator(
    object: &Arc<Object>,
    spec: DecoratorControllerSpec,
) -> Result<Controller, ControllerError> {
    let given = spec.hooks.ok_or(ControllerError::HooksMissing)?;
    let given = [given.sync, given.finalize, given.customize];
    let hooks = hooks(given, &spec.endpoint_configs, object)?;
    Ok(Controller {
        object: Arc::clone(object),
        form: Form::Decorator,
        parents: spec.resources.into_iter().map(target).collect::<Result<_, _>>()?,
        children: spec.attachments.into_iter().map(attachment).collect(),
        hooks,
        resync: spec.resync_period_seconds.map(resync),
        workers: spec.workers.map(workers),
        namespaces: spec.namespaces,
    })
}

fn hooks(
    given: [Option<HookSpec>; 3],
    configs: &[EndpointConfig],
    object: &Object,
) -> Result<Hooks, ControllerError> {
    let of = format!("{}/{}", object.gvk().kind, object.meta().name);
    let [sync, finalize, customize] = given;
    let sync = sync.map(|hook| hook::check("sync", hook, configs, &of)).transpose()?;
    let finalize = finalize.map(|hook| hook::check("finalize", hook, configs, &of)).transpose()?;
    let customize =
        customize.map(|hook| hook::check("customize", hook, configs, &of)).transpose()?;
    if sync.is_none() && finalize.is_none() && customize.is_none() {
        return Err(ControllerError::HooksMissing);
    }
    Ok(Hooks { sync, finalize, customize })
}

fn parent(rule: ParentResource) -> Result<ParentRule, ControllerError> {
    let fields = rule.revision_history.unwrap_or_default().field_paths;
    let revision_fields = if fields.is_empty() { vec!["spec".to_owned()] } else { fields };
    Ok(ParentRule {
        labels: labels(&rule.resource, rule.label_selector)?,
        api_version: rule.api_version,
        plural: rule.resource,
        annotations: Selector::default(),
        ignore_status_changes: rule.ignore_status_changes,
        revision_fields,
    })
}

fn target(rule: TargetResource) -> Result<ParentRule, ControllerError> {
    // Annotations are selected by the rules of labels, under another name.
    let annotations = rule.annotation_selector.map(|selector| {
        let AnnotationSelector { match_annotations, match_expressions } = selector;
        LabelSelector { match_labels: match_annotations, match_expressions }
    });
    Ok(ParentRule {
        labels: labels(&rule.resource, rule.label_selector)?,
        annotations: labels(&rule.resource, annotations)?,
        api_version: rule.api_version,
        plural: rule.resource,
        ignore_status_changes: rule.ignore_status_changes,
        revision_fields: Vec::new(),
    })
}

fn labels(plural: &str, selector: Option<LabelSelector>) -> Result<Selector, ControllerError> {
    let Some(selector) = selector else { return Ok(Selector::default()) };
    Selector::from_label_selector(&json!(selector))
        .map_err(|source| ControllerError::Selector { plural: plural.to_owned(), source })
}

fn child(rule: ChildResource) -> ChildRule {
    let UpdateStrategy { method, status_checks } = rule.update_strategy.unwrap_or_default();
    let (status_checks, ownership) =
        (status_checks.conditions.into(), ownership(rule.controller_ref));
    let (api_version, plural) = (rule.api_version, rule.resource);
    ChildRule { api_version, plural, method, status_checks, ownership }
}

fn attachment(rule: AttachmentResource) -> ChildRule {
    // There are no revisions of targets, so that nothing can be rolled.
    let method = match rule.update_strategy.unwrap_or_default().method {
        UpdateMethod::RollingRecreate => UpdateMethod::Recreate,
        UpdateMethod::RollingInPlace => UpdateMethod::InPlace,
        method => method,
    };
    let (status_checks, ownership) = (Arc::default(), ownership(rule.controller_ref));
    let (api_version, plural) = (rule.api_version, rule.resource);
    ChildRule { api_version, plural, method, status_checks, ownership }
}

fn ownership(controller_ref: Option<bool>) -> Ownership {
    if controller_ref == Some(false) { Ownership::Owner } else { Ownership::Controller }
}

fn resync(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1))
}

fn workers(count: i32) -> usize {
    usize::try_from(count).unwrap_or(1).max(1)
}

pub(crate) fn not_supported(what: &str) -> ControllerError {
    ControllerError::NotSupported(what.to_owned())
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

    #[test]
    fn what_cannot_be_run_is_named() {
        let finalize = json!({"finalize": {"webhook": {"url": "http://h"}}});
        for (name, hooks, error) in [
            ("c", json!({}), "no hooks defined"),
            (
                "c",
                json!({"customize": {}}),
                "invalid webhook config: hook `customize`: no `webhook`",
            ),
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

    #[test]
    fn what_is_said_first_is_wrong_with_the_hooks() {
        let value = json!({"metadata": {"name": "c"}, "spec": {"hooks": {"sync": {"webhook": {}}},
            "parentResource": {"apiVersion": "v1", "resource": "pods", "labelSelector": {
                "matchExpressions": [{"key": "a", "operator": "Almost"}]}}}});
        let error = |value: &Value| {
            check(&Arc::new(Object::from_value(value).unwrap())).map(|_| ()).unwrap_err().reason()
        };
        assert_eq!(error(&value), "HookConfigInvalid");
        let mut value = value;
        value["spec"]["hooks"]["sync"]["webhook"]["url"] = json!("http://h");
        assert_eq!(error(&value), "SelectorInvalid");
    }

    #[test]
    fn a_resync_comes_once_a_second_at_most() {
        assert_eq!([-1, 0, 1, 90].map(|seconds| resync(seconds).as_secs()), [1, 1, 1, 90]);
    }

    #[test]
    fn targets_are_selected_by_labels_and_annotations() {
        let rule = target(TargetResource {
            api_version: "v1".to_owned(),
            resource: "pods".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: [("a".to_owned(), "1".to_owned())].into(),
                ..LabelSelector::default()
            }),
            annotation_selector: Some(AnnotationSelector {
                match_annotations: [("b".to_owned(), "2".to_owned())].into(),
                ..AnnotationSelector::default()
            }),
            ignore_status_changes: false,
        })
        .unwrap();
        for (labels, annotations, selected) in [
            (json!({"a": "1"}), json!({"b": "2"}), true),
            (json!({"a": "1"}), json!({}), false),
            (json!({}), json!({"b": "2"}), false),
        ] {
            let metadata = json!({"labels": labels, "annotations": annotations});
            let object = Object::from_value(&json!({"metadata": metadata})).unwrap();
            assert_eq!(rule.selects(&object), selected, "{labels} {annotations}");
        }
    }
}
