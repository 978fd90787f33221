//! Pure: which other objects a hook wants to see.

use std::collections::BTreeMap;

use api::controller::{HookVersion, LabelSelector};
use k8s::{
    Object, Resource,
    selector::{Selector, SelectorError},
};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

/// The keys that a rule may have.
pub(crate) const RULE_KEYS: [&str; 6] =
    ["apiVersion", "resource", "labelSelector", "namespaceSelector", "namespace", "names"];

/// A rule as a customize hook writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleSpec {
    /// The group and version.
    pub(crate) api_version: String,
    /// The lower-case plural.
    pub(crate) resource: String,
    label_selector: Option<LabelSelector>,
    namespace_selector: Option<LabelSelector>,
    namespace: Option<String>,
    names: Option<Vec<String>>,
}

/// A rule whose type is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// The type of the objects.
    pub(crate) resource: Resource,
    labels: Selector,
    names: Vec<String>,
    pub(crate) namespaces: Namespaces,
}

/// The namespaces that a rule reaches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Namespaces {
    /// All, or none where the type has none.
    All,
    /// One by its name.
    One(String),
    /// Those with these labels.
    Labelled(Selector),
}

/// The objects of one type that a hook is shown.
#[derive(Clone, Debug)]
pub(crate) struct RelatedType {
    /// The type.
    pub(crate) resource: Resource,
    /// The objects, in the order of their keys.
    pub(crate) objects: Vec<std::sync::Arc<Object>>,
}

/// Why a rule cannot be followed.
#[derive(Debug, Error)]
pub(crate) enum RuleError {
    /// Two ways of selecting exclude each other.
    #[error("related rule for {resource}: `{first}` and `{second}` exclude each other")]
    Exclusive {
        /// The rule's type.
        resource: String,
        /// One field.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A selector does not parse.
    #[error("related rule for {resource}: invalid selector")]
    Selector {
        /// The rule's type.
        resource: String,
        /// What is wrong with it.
        source: SelectorError,
    },
    /// Objects without a namespace are selected by namespace.
    #[error("related rule for {0}: `namespaceSelector` is for types with a namespace")]
    NoNamespaces(String),
    /// The first version of the hook reaches no further than the parent's namespace.
    #[error(
        "related rule for {resource}: namespace `{wanted}` is not the parent's namespace `{own}`, which needs a customize hook of version v2"
    )]
    OtherNamespace {
        /// The rule's type.
        resource: String,
        /// The namespace that the rule names.
        wanted: String,
        /// The parent's namespace.
        own: String,
    },
    /// As before, by labels.
    #[error(
        "related rule for {resource}: `namespaceSelector` needs a customize hook of version v2, the parent is in namespace `{own}`"
    )]
    OtherNamespaces {
        /// The rule's type.
        resource: String,
        /// The parent's namespace.
        own: String,
    },
}

impl Rule {
    /// Checks a rule whose type was found, for a parent in namespace `own`, empty if it has none.
    pub(crate) fn new(
        spec: &RuleSpec,
        resource: Resource,
        version: HookVersion,
        own: &str,
    ) -> Result<Self, RuleError> {
        let plural = || spec.resource.clone();
        let names = spec.names.clone().unwrap_or_default();
        let namespace = spec.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        for (first, is_first, second, is_second) in [
            ("names", !names.is_empty(), "labelSelector", spec.label_selector.is_some()),
            ("names", !names.is_empty(), "namespaceSelector", spec.namespace_selector.is_some()),
            (
                "namespace",
                namespace.is_some(),
                "namespaceSelector",
                spec.namespace_selector.is_some(),
            ),
        ] {
            if is_first && is_second {
                return Err(RuleError::Exclusive { resource: plural(), first, second });
            }
        }
        let parse = |selector: &LabelSelector| {
            Selector::from_label_selector(&json!(selector))
                .map_err(|source| RuleError::Selector { resource: plural(), source })
        };
        let labels = spec.label_selector.as_ref().map(parse).transpose()?.unwrap_or_default();
        let stays = version == HookVersion::V1 && !own.is_empty();
        let namespaces = match (&spec.namespace_selector, namespace) {
            (Some(_), _) if !resource.is_namespaced() => {
                return Err(RuleError::NoNamespaces(plural()));
            }
            (Some(_), _) if stays => {
                return Err(RuleError::OtherNamespaces { resource: plural(), own: own.to_owned() });
            }
            (Some(selector), _) => Namespaces::Labelled(parse(selector)?),
            _ if !resource.is_namespaced() => Namespaces::All,
            (None, Some(wanted)) if stays && wanted != own => {
                let (wanted, own) = (wanted.to_owned(), own.to_owned());
                return Err(RuleError::OtherNamespace { resource: plural(), wanted, own });
            }
            (None, Some(wanted)) => Namespaces::One(wanted.to_owned()),
            (None, None) if stays => Namespaces::One(own.to_owned()),
            (None, None) => Namespaces::All,
        };
        Ok(Self { resource, labels, names, namespaces })
    }

    /// Returns whether an object of the rule's type is selected; `labels_of` knows the labels of namespaces.
    pub(crate) fn selects(
        &self,
        object: &Object,
        labels_of: impl FnOnce(&str) -> Option<BTreeMap<String, String>>,
    ) -> bool {
        let meta = object.meta();
        self.labels.matches(&meta.labels)
            && (self.names.is_empty() || self.names.contains(&meta.name))
            && match &self.namespaces {
                Namespaces::All => true,
                Namespaces::One(namespace) => meta.namespace == *namespace,
                Namespaces::Labelled(selector) => {
                    labels_of(&meta.namespace).is_some_and(|labels| selector.matches(&labels))
                }
            }
    }

    /// Returns the only namespace that the rule reaches; an empty one stands for all.
    pub(crate) fn namespace(&self) -> &str {
        match &self.namespaces {
            Namespaces::One(namespace) => namespace,
            Namespaces::All | Namespaces::Labelled(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Returns the selected ones of a few ConfigMaps, or why there are none.
    fn selected(rule: &Value, version: HookVersion, own: &str) -> String {
        let mut rule = rule.clone();
        rule["apiVersion"] = json!("v1");
        rule["resource"] = json!("configmaps");
        let spec: RuleSpec = serde_json::from_value(rule).unwrap();
        let resource = Resource::namespaced("v1", "ConfigMap", "configmaps");
        let rule = match Rule::new(&spec, resource, version, own) {
            Ok(rule) => rule,
            Err(error) => return error.to_string(),
        };
        let labels_of = |namespace: &str| Some([("team".to_owned(), namespace.to_owned())].into());
        let object = |(namespace, name): &(&str, &str)| {
            let labels = json!({"name": name});
            let metadata = json!({"namespace": namespace, "name": name, "labels": labels});
            Object::from_value(&json!({"metadata": metadata})).unwrap()
        };
        let objects = [("n", "a"), ("n", "b"), ("m", "a")];
        let found = objects.iter().map(object).filter(|object| rule.selects(object, labels_of));
        found.map(|object| object.key().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_combination_of_fields_selects_its_own() {
        let by = |labels: &str| json!({"matchLabels": {"name": labels}});
        for (rule, objects) in [
            (json!({}), "n/a n/b m/a"),
            (json!({"labelSelector": {}}), "n/a n/b m/a"),
            (json!({"labelSelector": by("a")}), "n/a m/a"),
            (json!({"labelSelector": by("a"), "namespace": "m"}), "m/a"),
            (json!({"namespace": "n"}), "n/a n/b"),
            (json!({"names": ["a"]}), "n/a m/a"),
            (json!({"namespace": "n", "names": ["b", "c"]}), "n/b"),
            (json!({"namespaceSelector": {"matchLabels": {"team": "m"}}}), "m/a"),
        ] {
            assert_eq!(selected(&rule, HookVersion::V2, "n"), objects, "{rule}");
        }
        assert_eq!(selected(&json!({}), HookVersion::V1, "n"), "n/a n/b");
        assert_eq!(selected(&json!({}), HookVersion::V1, ""), "n/a n/b m/a");
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let selector = json!({"matchLabels": {}});
        for (rule, version, error) in [
            (
                json!({"names": ["a"], "labelSelector": selector}),
                HookVersion::V2,
                "`names` and `labelSelector` exclude each other",
            ),
            (
                json!({"names": ["a"], "namespaceSelector": selector}),
                HookVersion::V2,
                "`names` and `namespaceSelector` exclude each other",
            ),
            (
                json!({"namespace": "n", "namespaceSelector": selector}),
                HookVersion::V2,
                "`namespace` and `namespaceSelector` exclude each other",
            ),
            (
                json!({"namespace": "m"}),
                HookVersion::V1,
                "namespace `m` is not the parent's namespace `n`, which needs a customize hook of version v2",
            ),
            (
                json!({"namespaceSelector": selector}),
                HookVersion::V1,
                "`namespaceSelector` needs a customize hook of version v2, the parent is in namespace `n`",
            ),
        ] {
            assert_eq!(
                selected(&rule, version, "n"),
                format!("related rule for configmaps: {error}"),
                "{rule}"
            );
        }
    }
    #[test]
    fn types_without_a_namespace_are_not_selected_by_one() {
        let node = || Resource::cluster("v1", "Node", "nodes");
        let rule = |rule: &Value, version| {
            let mut rule = rule.clone();
            rule["apiVersion"] = json!("v1");
            rule["resource"] = json!("nodes");
            let spec: RuleSpec = serde_json::from_value(rule).unwrap();
            Rule::new(&spec, node(), version, "n").map_err(|error| error.to_string())
        };
        for version in [HookVersion::V1, HookVersion::V2] {
            let found = rule(&json!({"namespace": "m", "names": ["a"]}), version).unwrap();
            let metadata = json!({"metadata": {"name": "a"}});
            assert!(found.selects(&Object::from_value(&metadata).unwrap(), |_| None));
            let error = rule(&json!({"namespaceSelector": {}}), version).unwrap_err();
            assert!(error.ends_with("`namespaceSelector` is for types with a namespace"));
        }
    }
}
