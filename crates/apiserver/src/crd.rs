//! Pure: what CustomResourceDefinitions say about the resources they add.

mod conditions;
mod internal;
mod rules;
pub(crate) mod scale;
mod schemas;
#[cfg(test)]
mod tests;

use k8s::{Resource, ResourceScope};
use serde_json::{Value, json};

pub(crate) use crate::crd::conditions::{TakenNames, set_conditions};
use crate::{
    discovery,
    field::{FieldError, FieldPath},
    fields::{list, text},
    registry::ScalePaths,
    schema::Schema,
};

/// The annotation that lets a definition stand in a group of the Kubernetes project.
pub(crate) const APPROVED: &str = "api-approved.kubernetes.io";

/// What is special about custom resources of one version.
#[derive(Clone, Debug)]
pub(crate) struct CustomVersion {
    /// What stands in its paths and what its objects are called.
    pub(crate) resource: Resource,
    pub(crate) singular: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Whether requests of this version are answered.
    pub(crate) served: bool,
    /// Whether objects are kept in this version.
    pub(crate) storage: bool,
    /// Whether `/status` is served and the main resource leaves status alone.
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// What tables show; empty if nothing was declared.
    pub(crate) columns: Vec<Column>,
    pub(crate) schema: Schema,
    /// The schema as it was sent, with its descriptions.
    pub(crate) raw_schema: Value,
    /// The JSON paths that field selectors may name.
    pub(crate) selectable_fields: Vec<String>,
    /// What clients of a deprecated version are warned with.
    pub(crate) warning: Option<String>,
}

/// A column that tables of a custom resource show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `integer`, `number`, `string`, `boolean` or `date`.
    pub(crate) data_type: String,
    pub(crate) format: String,
    pub(crate) description: String,
    /// 0 for columns that are always shown.
    pub(crate) priority: i64,
    pub(crate) json_path: String,
}

/// Fills in what a definition may leave out.
pub(crate) fn apply_defaults(crd: &mut Value) {
    if let Some(names) = crd.pointer_mut("/spec/names").filter(|names| names.is_object()) {
        let kind = text(names, "/kind").to_owned();
        if text(names, "/singular").is_empty() {
            names["singular"] = json!(kind.to_lowercase());
        }
        if text(names, "/listKind").is_empty() && !kind.is_empty() {
            names["listKind"] = json!(format!("{kind}List"));
        }
    }
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let conversion = spec.entry("conversion").or_insert(Value::Null);
    if conversion.is_null() {
        *conversion = json!({"strategy": "None"});
    }
    if let Some(Value::Object(service)) = conversion.pointer_mut("/webhook/clientConfig/service") {
        service.entry("port").or_insert(json!(443));
    }
}

/// Returns what is wrong with a definition, after its defaults were filled in.
///
/// `old` is what it replaces.
pub(crate) fn validate(crd: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = if old.is_none() { rules::check_name(crd) } else { vec![] };
    errors.extend(rules::check(crd));
    if let Some(old) = old {
        errors.extend(rules::check_update(crd, old));
    }
    errors.extend(rules::check_approval(crd, old));
    errors
}

/// Returns the versions that a definition adds, in its own order.
pub(crate) fn versions(crd: &Value) -> Result<Vec<CustomVersion>, Vec<FieldError>> {
    let group = text(crd, "/spec/group");
    let (kind, plural) = (text(crd, "/spec/names/kind"), text(crd, "/spec/names/plural"));
    let scope = match text(crd, "/spec/scope") {
        "Cluster" => ResourceScope::Cluster,
        _ => ResourceScope::Namespaced,
    };
    let mut versions = Vec::new();
    for (index, version) in list(crd, "/spec/versions").iter().enumerate() {
        let api_version = format!("{group}/{}", text(version, "/name"));
        let resource = Resource { scope, ..Resource::namespaced(&api_version, kind, plural) };
        versions.push(custom_version(crd, resource, version, &schemas::path(crd, index))?);
    }
    Ok(versions)
}

fn custom_version(
    crd: &Value,
    resource: Resource,
    version: &Value,
    schema_path: &FieldPath,
) -> Result<CustomVersion, Vec<FieldError>> {
    let raw_schema = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    let subresource = |name| version.pointer(&format!("/subresources/{name}"));
    Ok(CustomVersion {
        singular: text(crd, "/spec/names/singular").to_owned(),
        list_kind: text(crd, "/spec/names/listKind").to_owned(),
        short_names: texts(crd.pointer("/spec/names/shortNames")),
        categories: texts(crd.pointer("/spec/names/categories")),
        served: version.get("served") == Some(&Value::Bool(true)),
        storage: version.get("storage") == Some(&Value::Bool(true)),
        status: subresource("status").is_some_and(|status| !status.is_null()),
        scale: subresource("scale").filter(|scale| !scale.is_null()).map(|scale| ScalePaths {
            spec_replicas: text(scale, "/specReplicasPath").to_owned(),
            status_replicas: text(scale, "/statusReplicasPath").to_owned(),
            label_selector: text(scale, "/labelSelectorPath").to_owned(),
        }),
        columns: list(version, "/additionalPrinterColumns").iter().map(column).collect(),
        schema: Schema::parse(schema_path, &raw_schema)?,
        raw_schema,
        selectable_fields: list(version, "/selectableFields")
            .iter()
            .map(|field| text(field, "/jsonPath").to_owned())
            .collect(),
        warning: deprecation(crd, version, &resource),
        resource,
    })
}

fn column(column: &Value) -> Column {
    Column {
        name: text(column, "/name").to_owned(),
        data_type: text(column, "/type").to_owned(),
        format: text(column, "/format").to_owned(),
        description: text(column, "/description").to_owned(),
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
        json_path: text(column, "/jsonPath").to_owned(),
    }
}

fn deprecation(crd: &Value, version: &Value, resource: &Resource) -> Option<String> {
    let is_deprecated = |version: &Value| version.get("deprecated") == Some(&Value::Bool(true));
    if !is_deprecated(version) {
        return None;
    }
    if let Some(given) = version.get("deprecationWarning").and_then(Value::as_str) {
        return Some(given.to_owned());
    }
    let gvk = &resource.gvk;
    let warning = format!("{} {} is deprecated", gvk.api_version(), gvk.kind);
    let is_served = |it: &&Value| it.get("served") == Some(&Value::Bool(true));
    let newer =
        list(crd, "/spec/versions").iter().filter(is_served).filter(|it| !is_deprecated(it));
    let newer = newer.map(|it| text(it, "/name")).filter(|name| precedes(name, &gvk.version));
    let best = newer.reduce(|best, next| if precedes(next, best) { next } else { best });
    Some(match best {
        Some(best) => format!("{warning}; use {}/{best} {}", gvk.group, gvk.kind),
        None => warning,
    })
}

/// Returns whether a version is preferred over another.
fn precedes(version: &str, other: &str) -> bool {
    discovery::rank(other) < discovery::rank(version)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
