//! Pure: the simulated node, and nodes as the scheduler reads them.

use std::sync::Arc;

use k8s::{Object, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    condition::{self, Condition},
    parts::Parts,
    requests::Amounts,
};
use crate::{lifecycle::rfc3339, network::Cidr, quantity};

/// Before the number of a simulated node.
const PREFIX: &str = "windlass-";

/// A node as the scheduler reads it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) object: Arc<Object>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) is_ready: bool,
    pub(crate) is_cordoned: bool,
    /// How many pods fit on it.
    pub(crate) pods: usize,
    /// What it has to give.
    pub(crate) allocatable: Amounts,
}

/// What keeps pods off a node that do not tolerate it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Taint {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    taints: Vec<Taint>,
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    conditions: Vec<Condition>,
    allocatable: Value,
}

impl Node {
    /// Reads a node, unless its shape is unexpected.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let Parts { spec, status, .. } = Parts::<WireSpec, WireStatus>::read(&object)?;
        let ready = condition::find(&status.conditions, "Ready");
        // The server writes a thousand as `1k`.
        let pods = status.allocatable["pods"].as_str().and_then(quantity::nanos);
        let pods = pods.and_then(|nanos| usize::try_from(nanos / 1_000_000_000).ok());
        Some(Self {
            taints: spec.taints,
            is_ready: ready.is_some_and(Condition::is_true),
            is_cordoned: spec.unschedulable,
            pods: pods.unwrap_or(0),
            allocatable: serde_json::from_value(status.allocatable).unwrap_or_default(),
            object,
        })
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.object.meta().name
    }
}

/// Returns the name of the simulated node of this number.
pub(crate) fn name(number: u16) -> String {
    format!("{PREFIX}{number}")
}

/// Returns the name of the node of an executor.
pub(crate) fn of_executor(executor: &str) -> String {
    format!("{PREFIX}{executor}")
}

/// Returns the address of a simulated node, nothing of others.
pub(crate) fn address(name: &str) -> Option<String> {
    let number: u16 = name.strip_prefix(PREFIX)?.parse().ok()?;
    // The first address of the network is a router's.
    let [high, low] = number.checked_add(2)?.to_be_bytes();
    Some(format!("172.18.{high}.{low}"))
}

/// Returns a simulated node, with its status.
pub(crate) fn simulated(name: &str, pods: Cidr, now: Timestamp) -> Value {
    // What an executor runs is on this machine.
    let address = address(name).unwrap_or_else(|| "127.0.0.1".to_owned());
    let size = json!({
        "cpu": "32", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti",
        "hugepages-1Gi": "0", "hugepages-2Mi": "0",
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
            "kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": "simulated",
        }},
        "spec": {"podCIDR": pods.to_string(), "podCIDRs": [pods.to_string()],
            "providerID": format!("windlass://{name}")},
        "status": {
            "capacity": size, "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name}],
            "conditions": conditions(now),
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "bootID": "", "machineID": "",
                "systemUUID": "", "kernelVersion": "simulated", "osImage": "simulated",
                "containerRuntimeVersion": "windlass://simulated",
                "kubeletVersion": "v1.36.3", "kubeProxyVersion": "",
            },
        },
    })
}

fn conditions(now: Timestamp) -> Vec<Value> {
    let conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "memory is sufficient"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "disk space is sufficient"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "process IDs are sufficient"),
        ("Ready", "True", "KubeletReady", "the simulated node is always ready"),
    ];
    let conditions = conditions.map(|(kind, status, reason, message)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(now),
        })
    });
    conditions.into()
}
