//! Pure: the fields that lists can be selected by, which differ from kind to kind.

use k8s::{
    Object,
    selector::{FieldRequirement, FieldSelector},
};
use serde_json::Value;

use crate::{error::ApiError, list::refused, registry::Registered};

/// What the fields of an object must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldFilter {
    requirements: Vec<FieldRequirement>,
    /// Whether the metadata alone decides, so that the object need not be parsed.
    metadata_only: bool,
}

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

impl FieldFilter {
    /// Reads a field selector; a path that the resource cannot be selected by is an error.
    pub(crate) fn parse(registered: &Registered, text: &str) -> Result<Self, ApiError> {
        let selector = FieldSelector::parse(text)
            .map_err(|error| ApiError::bad_request(refused::fields(text, &error)))?;
        let requirements = selector.requirements().to_vec();
        if let Some(odd) = requirements.iter().find(|it| !is_known(registered, &it.path)) {
            return Err(unknown(registered, &odd.path));
        }
        Ok(Self::new(requirements))
    }

    /// Requires a name besides what is required already.
    pub(crate) fn require_name(&mut self, name: &str) {
        let (path, value) = (NAME.to_owned(), name.to_owned());
        self.requirements.push(FieldRequirement { path, value, negated: false });
        *self = Self::new(std::mem::take(&mut self.requirements));
    }

    /// Returns whether nothing is required.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns whether an object meets every requirement.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        if self.requirements.is_empty() {
            return true;
        }
        let value = if self.metadata_only { Value::Null } else { object.to_value() };
        self.requirements.iter().all(|requirement| {
            let field = match requirement.path.as_str() {
                NAME => object.meta().name.clone(),
                NAMESPACE => object.meta().namespace.clone(),
                path => field(&value, path),
            };
            requirement.is_met(&field)
        })
    }

    fn new(requirements: Vec<FieldRequirement>) -> Self {
        let metadata_only = requirements.iter().all(|it| it.path == NAME || it.path == NAMESPACE);
        Self { requirements, metadata_only }
    }
}

fn is_known(registered: &Registered, path: &str) -> bool {
    path == NAME || path == NAMESPACE || own_fields(registered).any(|field| field == path)
}

/// Returns the fields a resource can be selected by besides name and namespace.
fn own_fields(registered: &Registered) -> impl Iterator<Item = &str> {
    let gvk = &registered.resource.gvk;
    let built_in: &[&str] = match (gvk.group.as_str(), registered.resource.plural.as_str()) {
        _ if registered.is_custom() => &[],
        ("", "pods") => POD_FIELDS,
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "events") => EVENT_FIELDS,
        ("events.k8s.io", "events") => NEW_EVENT_FIELDS,
        ("batch", "jobs") => &["status.successful"],
        _ => &[],
    };
    let custom = registered.custom.iter().flat_map(|it| &it.selectable_fields);
    built_in.iter().copied().chain(custom.map(|path| path.trim_start_matches('.')))
}

fn unknown(registered: &Registered, path: &str) -> ApiError {
    ApiError::bad_request(if registered.is_custom() || own_fields(registered).next().is_some() {
        format!("field label not supported: {path}")
    } else {
        format!(
            "\"{path}\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
        )
    })
}

/// Returns a field as text, as selectors compare it.
fn field(value: &Value, path: &str) -> String {
    let path = match path {
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        "status.podIPs" => "status.podIP",
        path => path,
    };
    let found = path.split('.').try_fold(value, |at, name| at.get(name));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => missing(path).to_owned(),
        Some(other) => other.to_string(),
    }
}

fn missing(path: &str) -> &'static str {
    match path {
        "spec.hostNetwork" | "spec.unschedulable" => "false",
        "status.succeeded" => "0",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use k8s::GroupVersion;
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn matches(plural: &str, selector: &str, value: &Value) -> Result<bool, String> {
        let registry = Registry::new(vec![]);
        let registered = registry.by_path(&GroupVersion::new("", "v1"), plural).unwrap();
        let filter = FieldFilter::parse(registered, selector).map_err(|error| error.to_string())?;
        Ok(filter.matches(&Object::from_value(value).unwrap()))
    }

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}});
        for (selector, expected) in [
            ("metadata.name=a", true),
            ("spec.nodeName=n,metadata.name!=b", true),
            ("spec.nodeName=", false),
            ("spec.hostNetwork=false", true),
            ("status.phase!=Running", true),
        ] {
            assert_eq!(matches("pods", selector, &pod), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn other_fields_are_refused() {
        let object = json!({});
        assert_eq!(
            matches("pods", "spec.x=1", &object),
            Err("field label not supported: spec.x".to_owned())
        );
        assert_eq!(
            matches("configmaps", "data=1", &object),
            Err("\"data\" is not a known field selector: only \"metadata.name\", \
                 \"metadata.namespace\""
                .to_owned())
        );
    }
}
