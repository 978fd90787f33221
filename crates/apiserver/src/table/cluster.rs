//! Pure: the rows of configuration, nodes, events, storage and access.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    fields::text,
    table::{
        Layout,
        row::{Row, joined},
    },
};

pub(super) const CONFIG_MAPS: Layout = Layout {
    columns: "Name, Data, Age",
    cells: |row| vec![row.name(), json!(row.size("/data") + row.size("/binaryData")), row.age()],
};

pub(super) const SECRETS: Layout = Layout {
    columns: "Name, Type, Data, Age",
    cells: |row| vec![row.name(), json!(row.text("/type")), json!(row.size("/data")), row.age()],
};

pub(super) const SERVICE_ACCOUNTS: Layout =
    Layout { columns: "Name, Age", cells: |row| vec![row.name(), row.age()] };

pub(super) const NAMESPACES: Layout = Layout {
    columns: "Name, Status, Age",
    cells: |row| vec![row.name(), json!(row.text("/status/phase")), row.age()],
};

pub(super) const NODES: Layout = Layout {
    columns: "Name, Status, Roles, Age, Version, +Internal-IP, +External-IP, +OS-Image, \
        +Kernel-Version, +Container-Runtime",
    cells: |row| {
        let info = |name: &str| row.text_or(&format!("/status/nodeInfo/{name}"), "<unknown>");
        let mut kernel = info("kernelVersion");
        let architecture = row.text("/status/nodeInfo/architecture");
        if let (Some(version), false) = (kernel.as_str(), architecture.is_empty()) {
            kernel = json!(format!("{version} ({architecture})"));
        }
        vec![
            row.name(),
            json!(node_status(row)),
            json!(node_roles(row)),
            row.age(),
            json!(row.text("/status/nodeInfo/kubeletVersion")),
            json!(node_address(row, "InternalIP")),
            json!(node_address(row, "ExternalIP")),
            info("osImage"),
            kernel,
            info("containerRuntimeVersion"),
        ]
    },
};

pub(super) const EVENTS: Layout = Layout {
    columns: "Last Seen, Type, Reason, Object, +Subobject, +Source, Message, +First Seen, +Count, \
        +Name",
    cells: event,
};

pub(super) const LEASES: Layout = Layout {
    columns: "Name, Holder, Age",
    cells: |row| vec![row.name(), json!(row.text("/spec/holderIdentity")), row.age()],
};

pub(super) const VOLUMES: Layout = Layout {
    columns: "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, \
        VolumeAttributesClass, Reason, Age, +VolumeMode",
    cells: |row| {
        let claim = row.at("/spec/claimRef").map_or(String::new(), |claim| {
            format!("{}/{}", text(claim, "/namespace"), text(claim, "/name"))
        });
        vec![
            row.name(),
            row.text_or("/spec/capacity/storage", "0"),
            json!(access_modes(row, "/spec/accessModes")),
            json!(row.text("/spec/persistentVolumeReclaimPolicy")),
            json!(phase(row)),
            json!(claim),
            json!(row.text("/spec/storageClassName")),
            row.text_or("/spec/volumeAttributesClassName", "<unset>"),
            json!(row.text("/status/reason")),
            row.age(),
            row.text_or("/spec/volumeMode", "<unset>"),
        ]
    },
};

pub(super) const CLAIMS: Layout = Layout {
    columns: "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, \
        Age, +VolumeMode",
    cells: |row| {
        let volume = row.text("/spec/volumeName");
        let (capacity, modes) = if volume.is_empty() {
            (json!(""), String::new())
        } else {
            (row.text_or("/status/capacity/storage", "0"), access_modes(row, "/status/accessModes"))
        };
        vec![
            row.name(),
            json!(phase(row)),
            json!(volume),
            capacity,
            json!(modes),
            json!(row.text("/spec/storageClassName")),
            row.text_or("/spec/volumeAttributesClassName", "<unset>"),
            row.age(),
            row.text_or("/spec/volumeMode", "<unset>"),
        ]
    },
};

pub(super) const STORAGE_CLASSES: Layout = Layout {
    columns: "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
    cells: |row| {
        const DEFAULT: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
        let mark = if row.text(DEFAULT) == "true" { " (default)" } else { "" };
        vec![
            json!(format!("{}{mark}", row.text("/metadata/name"))),
            json!(row.text("/provisioner")),
            row.text_or("/reclaimPolicy", "Delete"),
            row.text_or("/volumeBindingMode", "Immediate"),
            json!(row.flag("/allowVolumeExpansion")),
            row.age(),
        ]
    },
};

pub(super) const PRIORITY_CLASSES: Layout = Layout {
    columns: "Name, Value: integer, Global-Default: boolean, Age, PreemptionPolicy",
    cells: |row| {
        vec![
            row.name(),
            json!(row.number("/value")),
            json!(row.flag("/globalDefault")),
            row.age(),
            json!(row.text("/preemptionPolicy")),
        ]
    },
};

pub(super) const DISRUPTION_BUDGETS: Layout = Layout {
    columns: "Name, Min Available, Max Unavailable, Allowed Disruptions: integer, Age",
    cells: |row| {
        let amount = |pointer: &str| match row.at(pointer) {
            None => json!("N/A"),
            Some(Value::String(text)) => json!(text),
            Some(number) => json!(number.to_string()),
        };
        vec![
            row.name(),
            amount("/spec/minAvailable"),
            amount("/spec/maxUnavailable"),
            json!(row.number("/status/disruptionsAllowed")),
            row.age(),
        ]
    },
};

pub(super) const ROLE_BINDINGS: Layout = Layout {
    columns: "Name, Role, Age, +Users, +Groups, +ServiceAccounts",
    cells: |row| {
        let subjects = |kind: &str| {
            let names: Vec<String> = row
                .list("/subjects")
                .iter()
                .filter(|subject| text(subject, "/kind") == kind)
                .map(|subject| match (kind, text(subject, "/namespace")) {
                    ("ServiceAccount", namespace) => {
                        format!("{namespace}/{}", text(subject, "/name"))
                    }
                    _ => text(subject, "/name").to_owned(),
                })
                .collect();
            json!(names.join(", "))
        };
        vec![
            row.name(),
            json!(format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name"))),
            row.age(),
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ]
    },
};

fn phase(row: Row<'_>) -> &str {
    if row.is_deleting() { "Terminating" } else { row.text("/status/phase") }
}

fn access_modes(row: Row<'_>, pointer: &str) -> String {
    let given = row.list(pointer);
    let modes = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    joined(
        modes
            .iter()
            .filter(|(mode, _)| given.iter().any(|each| each == mode))
            .map(|(_, short)| *short),
        ",",
    )
}

fn node_status(row: Row<'_>) -> String {
    let known = row.list("/status/conditions").iter().any(|each| text(each, "/type") == "Ready");
    let ready = match (known, row.has_condition("Ready")) {
        (false, _) => "Unknown",
        (true, true) => "Ready",
        (true, false) => "NotReady",
    };
    let cordoned = if row.flag("/spec/unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{ready}{cordoned}")
}

fn node_roles(row: Row<'_>) -> String {
    let labels = row.at("/metadata/labels").and_then(Value::as_object);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { "<none>".to_owned() } else { joined(roles.into_iter(), ",") }
}

fn node_address<'a>(row: Row<'a>, kind: &str) -> &'a str {
    row.list("/status/addresses")
        .iter()
        .find(|address| text(address, "/type") == kind)
        .map_or("<none>", |address| text(address, "/address"))
}

/// Returns the row of an event, which may have the names of either API group.
fn event(row: Row<'_>) -> Vec<Value> {
    let either = |core: &str, new: &str| {
        if row.at(core).is_some() { row.text(core) } else { row.text(new) }
    };
    let time = |pointers: [&str; 3]| {
        let found = pointers.into_iter().find(|pointer| row.at(pointer).is_some());
        found.map_or(json!("<unknown>"), |pointer| row.since(pointer))
    };
    let first = ["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"];
    let last = match row.at("/series/lastObservedTime") {
        Some(_) => row.since("/series/lastObservedTime"),
        None if row.at("/lastTimestamp").is_some() => row.since("/lastTimestamp"),
        None if row.at("/deprecatedLastTimestamp").is_some() => {
            row.since("/deprecatedLastTimestamp")
        }
        None => time(first),
    };
    let count = ["/series/count", "/count", "/deprecatedCount"].map(|pointer| row.number(pointer));
    let kind = either("/involvedObject/kind", "/regarding/kind").to_lowercase();
    let object = match either("/involvedObject/name", "/regarding/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let or =
        |first, second| if row.text(first).is_empty() { row.text(second) } else { row.text(first) };
    let component = match or("/source/component", "/reportingComponent") {
        "" => or("/deprecatedSource/component", "/reportingController"),
        component => component,
    };
    let host = or("/source/host", "/reportingInstance");
    let source =
        if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        last,
        json!(row.text("/type")),
        json!(row.text("/reason")),
        json!(object),
        json!(either("/involvedObject/fieldPath", "/regarding/fieldPath")),
        json!(source),
        json!(either("/message", "/note").trim()),
        time(first),
        json!(count.into_iter().find(|count| *count != 0).unwrap_or(1)),
        row.name(),
    ]
}
