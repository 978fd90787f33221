//! Pure: the Endpoints and EndpointSlices of a Service, from the pods it selects.

mod mirror;
mod slices;
mod subsets;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use k8s::{Object, selector::Selector};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use self::slices::SERVICE_NAME;
use super::{
    action::{Action, Deletion, Plan, Target},
    kinds,
    parts::Parts,
    pod::Pod,
};
use crate::{fields, whereabouts};

/// The address that Services of type `LoadBalancer` get.
const LOAD_BALANCER: &str = "127.0.0.1";

/// A Service as the endpoint controllers read it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    object: Arc<Object>,
    selector: Selector,
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
    publish_not_ready_addresses: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    name: String,
    protocol: String,
    port: i64,
    app_protocol: Option<String>,
    target_port: Value,
}

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) service: &'a Service,
    /// All pods of its namespace.
    pub(crate) pods: Vec<&'a Pod>,
    pub(crate) endpoints: Option<&'a Object>,
    /// The slices that carry its name.
    pub(crate) slices: Vec<&'a Object>,
}

/// A pod behind the Service.
struct Backend<'a> {
    pod: &'a Pod,
    is_ready: bool,
    ports: Vec<Port>,
}

/// One port of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    name: String,
    protocol: String,
    number: i64,
    app_protocol: Option<String>,
}

impl Service {
    /// Reads a Service, unless its shape is unexpected.
    pub(crate) fn read(object: Arc<Object>) -> Option<Self> {
        let spec = Parts::<Spec>::read(&object)?.spec;
        let selector = Selector::from_labels(&spec.selector);
        Some(Self { object, selector, spec })
    }

    /// Returns whether pods with these labels are behind it.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.spec.r#type != "ExternalName"
            && !self.selector.is_empty()
            && self.selector.matches(labels)
    }

    fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }
}

/// Plans what makes the endpoints follow the pods. Of a Service without a selector the Endpoints are
/// what it was given, and slices mirror them.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let service = observed.service;
    if service.object.meta().is_deleting() {
        return plan;
    }
    balance(service, &mut plan);
    let is_mirrored = service.selector.is_empty();
    let endpoints = observed.endpoints.filter(|_| is_mirrored);
    mirror::plan(endpoints, &observed.slices, &mut plan);
    if is_mirrored || service.spec.r#type == "ExternalName" {
        return plan;
    }
    let pods = observed.pods.iter().filter(|pod| {
        service.selects(&pod.object.meta().labels) && !pod.is_terminal() && !pod.ip.is_empty()
    });
    let backends = pods.map(|pod| Backend {
        pod,
        is_ready: !pod.object.meta().is_deleting()
            && (pod.ready_since.is_some() || service.spec.publish_not_ready_addresses),
        ports: ports(service, pod),
    });
    let mut backends: Vec<_> = backends.collect();
    backends.sort_by(|one, two| (&one.ports, &one.pod.ip).cmp(&(&two.ports, &two.pod.ip)));
    subsets::plan(observed, &backends, &mut plan);
    slices::plan(observed, &backends, &mut plan);
    plan
}

/// Plans to bring the Endpoints and the slice of the server's own Service, to its address.
pub(crate) fn tell(address: SocketAddr, present: [Option<&Object>; 2], plan: &mut Plan) {
    let resources = [&kinds::ENDPOINTS, &kinds::ENDPOINT_SLICES];
    let wanted = whereabouts::objects(address).map(|(_, wanted)| wanted);
    for ((resource, present), wanted) in resources.into_iter().zip(present).zip(wanted) {
        bring_to(resource, present, wanted, plan);
    }
}

/// Plans to show a load balancer where there is none: this machine, which is where its users are.
fn balance(service: &Service, plan: &mut Plan) {
    let mut object = service.object.to_value();
    let has_own = !fields::text(&object, "/spec/loadBalancerClass").is_empty();
    let is_shown = !fields::list(&object, "/status/loadBalancer/ingress").is_empty();
    if service.spec.r#type != "LoadBalancer" || has_own || is_shown {
        return;
    }
    let ingress = json!([{"ip": LOAD_BALANCER, "ipMode": "VIP"}]);
    fields::set(&mut object, &["status", "loadBalancer", "ingress"], ingress);
    plan.push(Action::Status { resource: kinds::SERVICES.clone(), object });
}

/// Plans what is to be done about the Endpoints of a Service that is gone, and about the slices that
/// mirror them; other slices go with their owner.
pub(crate) fn plan_gone(endpoints: Option<&Object>, slices: &[&Object]) -> Plan {
    let mut plan = Plan::default();
    if let Some(endpoints) = endpoints.filter(|it| subsets::is_own(it)) {
        let target = Target::of(&kinds::ENDPOINTS, endpoints);
        plan.push(Action::Delete { target, how: Deletion::Background });
    }
    mirror::plan(None, slices, &mut plan);
    plan
}

/// Finds the ports of a pod that the Service leads to.
fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let value = pod.object.to_value();
    let ports = service.spec.ports.iter().filter_map(|port| {
        let number = match &port.target_port {
            Value::Number(number) => number.as_i64()?,
            Value::String(name) => named_port(&value, name, &port.protocol)?,
            _ => port.port,
        };
        let (name, protocol) = (port.name.clone(), port.protocol.clone());
        Some(Port { name, protocol, number, app_protocol: port.app_protocol.clone() })
    });
    ports.collect()
}

fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let containers = fields::list(pod, "/spec/containers").iter();
    let mut ports = containers.flat_map(|container| fields::list(container, "/ports"));
    let found = ports.find(|port| {
        port["name"] == name && port["protocol"].as_str().unwrap_or("TCP") == protocol
    });
    found?.get("containerPort")?.as_i64()
}

impl Port {
    fn to_value(&self) -> Value {
        let mut port = json!({"port": self.number, "protocol": self.protocol});
        if let Some(app_protocol) = &self.app_protocol {
            port["appProtocol"] = json!(app_protocol);
        }
        port
    }
}

/// Returns the reference by which an endpoint names its pod.
fn reference(pod: &Pod) -> Value {
    let Target { key, uid, .. } = pod.target();
    json!({"kind": "Pod", "namespace": key.namespace, "name": key.name, "uid": uid})
}

/// Creates `wanted`, or brings the present object to it, leaving what others added.
fn bring_to(resource: &kinds::Shared, present: Option<&Object>, wanted: Value, plan: &mut Plan) {
    let Some(present) = present else {
        return plan.push(Action::Create { resource: resource.clone(), object: wanted });
    };
    let before = present.to_value();
    let mut object = before.clone();
    for (field, value) in wanted.as_object().into_iter().flatten() {
        match field.as_str() {
            "metadata" => fields::set(
                &mut object,
                &["metadata", "labels"],
                value.get("labels").cloned().unwrap_or_default(),
            ),
            // What is kept has no empty lists.
            _ if value.as_array().is_some_and(Vec::is_empty) => {
                fields::set(&mut object, &[field], Value::Null);
            }
            _ => fields::set(&mut object, &[field], value.clone()),
        }
    }
    for field in ["subsets", "endpoints", "ports"] {
        if wanted.get(field).is_none() {
            fields::remove(&mut object, &[field]);
        }
    }
    if !k8s::json::same(&object, &before) {
        let (resource, what) = (resource.clone(), "addresses".to_owned());
        plan.push(Action::Update { resource, object, what });
    }
}

/// Returns the labels of the Service, and those of the controller.
fn labels(service: &Service, own: &[(&str, &str)]) -> Value {
    let mut labels = json!(service.object.meta().labels);
    let headless = [("service.kubernetes.io/headless", "")];
    let headless = headless.iter().filter(|_| service.is_headless());
    for (name, value) in own.iter().chain(headless) {
        fields::set(&mut labels, &[name], *value);
    }
    labels
}
