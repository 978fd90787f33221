//! Pure: lists as tables, as `kubectl get` shows them.

mod age;
mod cluster;
mod custom;
mod network;
mod pod;
mod row;
#[cfg(test)]
mod tests;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{lifecycle::template_generation, registry::Registered, table::row::Row};

/// What of each object comes along with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// Returns the table of some objects.
///
/// `version` is the one of `meta.k8s.io` that was asked for, `v1` or `v1beta1`.
pub(crate) fn table<'a>(
    registered: &Registered,
    objects: impl IntoIterator<Item = &'a Value>,
    list_metadata: Value,
    version: &str,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> =
        objects.into_iter().map(|object| row(registered, object, version, include, now)).collect();
    let mut table = json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
        "columnDefinitions": columns(registered), "rows": rows});
    table["metadata"] = list_metadata;
    table
}

/// Returns the definitions of the columns.
pub(crate) fn columns(registered: &Registered) -> Value {
    if let Some(custom) = &registered.custom {
        return custom::columns(&custom.columns);
    }
    layout(registered).definitions()
}

/// Returns the row of one object.
pub(crate) fn row(
    registered: &Registered,
    object: &Value,
    version: &str,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let row = Row { object, now };
    let cells = match &registered.custom {
        Some(custom) => custom::cells(&custom.columns, row),
        None => (layout(registered).cells)(row),
    };
    let mut shown = json!({"cells": cells});
    match include {
        IncludeObject::None => shown["object"] = Value::Null,
        IncludeObject::Metadata => {
            let mut object = json!({"kind": object["kind"], "metadata": object["metadata"]});
            template_generation::hide(&mut object);
            shown["object"] = json!({"kind": "PartialObjectMetadata",
                "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"]});
        }
        IncludeObject::Object => shown["object"] = object.clone(),
    }
    if registered.is("", "pods")
        && let Some(condition) = pod::completed(row)
    {
        shown["conditions"] = json!([condition]);
    }
    shown
}

/// The columns of a kind and how they are filled.
struct Layout {
    /// Their names: a `+` before one says that only wide tables show it, a type behind it that it is no text.
    columns: &'static str,
    cells: fn(Row<'_>) -> Vec<Value>,
}

impl Layout {
    fn definitions(&self) -> Value {
        self.columns.split(", ").map(definition).collect()
    }
}

fn definition(column: &str) -> Value {
    let (column, data_type) = column.split_once(": ").unwrap_or((column, "string"));
    let (name, priority) = column.strip_prefix('+').map_or((column, 0), |name| (name, 1));
    let format = if name == "Name" { "name" } else { "" };
    json!({"name": name, "type": data_type, "format": format, "description": "", "priority": priority})
}

const DEFAULT: Layout = Layout {
    columns: "Name, Created At: date",
    cells: |row| vec![row.name(), json!(row.text("/metadata/creationTimestamp"))],
};

fn layout(registered: &Registered) -> &'static Layout {
    let gvk = &registered.resource.gvk;
    match (gvk.group.as_str(), registered.resource.plural.as_str()) {
        ("", "pods") => &pod::LAYOUT,
        ("apps", "deployments") => &workload::DEPLOYMENTS,
        ("apps", "replicasets") | ("", "replicationcontrollers") => &workload::REPLICA_SETS,
        ("apps", "statefulsets") => &workload::STATEFUL_SETS,
        ("apps", "daemonsets") => &workload::DAEMON_SETS,
        ("apps", "controllerrevisions") => &workload::CONTROLLER_REVISIONS,
        ("batch", "jobs") => &workload::JOBS,
        ("batch", "cronjobs") => &workload::CRON_JOBS,
        ("", "services") => &network::SERVICES,
        ("", "endpoints") => &network::ENDPOINTS,
        ("discovery.k8s.io", "endpointslices") => &network::ENDPOINT_SLICES,
        ("networking.k8s.io", "ingresses") => &network::INGRESSES,
        ("networking.k8s.io", "ingressclasses") => &network::INGRESS_CLASSES,
        ("networking.k8s.io", "networkpolicies") => &network::NETWORK_POLICIES,
        ("", "configmaps") => &cluster::CONFIG_MAPS,
        ("", "secrets") => &cluster::SECRETS,
        ("", "serviceaccounts") => &cluster::SERVICE_ACCOUNTS,
        ("", "namespaces") => &cluster::NAMESPACES,
        ("", "nodes") => &cluster::NODES,
        ("" | "events.k8s.io", "events") => &cluster::EVENTS,
        ("coordination.k8s.io", "leases") => &cluster::LEASES,
        ("", "persistentvolumes") => &cluster::VOLUMES,
        ("", "persistentvolumeclaims") => &cluster::CLAIMS,
        ("storage.k8s.io", "storageclasses") => &cluster::STORAGE_CLASSES,
        ("scheduling.k8s.io", "priorityclasses") => &cluster::PRIORITY_CLASSES,
        ("policy", "poddisruptionbudgets") => &cluster::DISRUPTION_BUDGETS,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            &cluster::ROLE_BINDINGS
        }
        _ => &DEFAULT,
    }
}
