//! Pure: the rows of services and of what lies behind and before them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    fields::{list, number, text},
    table::{
        Layout,
        row::{Row, first_three, joined},
    },
};

pub(super) const SERVICES: Layout = Layout {
    columns: "Name, Type, Cluster-IP, External-IP, Port(s), Age, +Selector",
    cells: |row| {
        vec![
            row.name(),
            json!(row.text("/spec/type")),
            row.text_or("/spec/clusterIPs/0", "<none>"),
            json!(external_address(row)),
            json!(service_ports(row)),
            row.age(),
            json!(row.labels("/spec/selector")),
        ]
    },
};

pub(super) const ENDPOINTS: Layout = Layout {
    columns: "Name, Endpoints, Age",
    cells: |row| vec![row.name(), json!(first_three(&addresses(row), "<none>")), row.age()],
};

pub(super) const ENDPOINT_SLICES: Layout = Layout {
    columns: "Name, AddressType, Ports, Endpoints, Age",
    cells: |row| {
        let ports: Vec<String> = row.list("/ports").iter().map(slice_port).collect();
        let addresses: Vec<String> = row
            .list("/endpoints")
            .iter()
            .flat_map(|endpoint| list(endpoint, "/addresses"))
            .map(|address| address.as_str().unwrap_or_default().to_owned())
            .collect();
        vec![
            row.name(),
            json!(row.text("/addressType")),
            json!(first_three(&ports, "<unset>")),
            json!(first_three(&addresses, "<unset>")),
            row.age(),
        ]
    },
};

pub(super) const INGRESSES: Layout = Layout {
    columns: "Name, Class, Hosts, Address, Ports, Age",
    cells: |row| {
        let hosts: Vec<String> = row
            .list("/spec/rules")
            .iter()
            .map(|rule| text(rule, "/host").to_owned())
            .filter(|host| !host.is_empty())
            .collect();
        let ports = if row.list("/spec/tls").is_empty() { "80" } else { "80, 443" };
        vec![
            row.name(),
            row.text_or("/spec/ingressClassName", "<none>"),
            json!(first_three(&hosts, "*")),
            json!(balancer_addresses(row)),
            json!(ports),
            row.age(),
        ]
    },
};

pub(super) const INGRESS_CLASSES: Layout = Layout {
    columns: "Name, Controller, Parameters, Age",
    cells: |row| {
        let parameters = row.at("/spec/parameters").map_or("<none>".to_owned(), |parameters| {
            let group = text(parameters, "/apiGroup");
            let dot = if group.is_empty() { "" } else { "." };
            format!("{}{dot}{group}/{}", text(parameters, "/kind"), text(parameters, "/name"))
        });
        vec![row.name(), json!(row.text("/spec/controller")), json!(parameters), row.age()]
    },
};

pub(super) const NETWORK_POLICIES: Layout = Layout {
    columns: "Name, Pod-Selector, Age",
    cells: |row| vec![row.name(), json!(row.selector("/spec/podSelector")), row.age()],
};

fn external_address(row: Row<'_>) -> String {
    let external = joined(row.list("/spec/externalIPs").iter().filter_map(Value::as_str), ",");
    match row.text("/spec/type") {
        "ExternalName" => row.text("/spec/externalName").to_owned(),
        "LoadBalancer" => match (balancer_addresses(row), external) {
            (balancer, external) if balancer.is_empty() && external.is_empty() => {
                "<pending>".to_owned()
            }
            (balancer, external) => {
                joined([&*balancer, &*external].into_iter().filter(|each| !each.is_empty()), ",")
            }
        },
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external,
        _ => "<unknown>".to_owned(),
    }
}

fn balancer_addresses(row: Row<'_>) -> String {
    let addresses: BTreeSet<&str> = row
        .list("/status/loadBalancer/ingress")
        .iter()
        .map(|ingress| match text(ingress, "/ip") {
            "" => text(ingress, "/hostname"),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    joined(addresses.into_iter(), ",")
}

fn service_ports(row: Row<'_>) -> String {
    let ports: Vec<String> = row
        .list("/spec/ports")
        .iter()
        .map(|port| {
            let (own, protocol) = (number(port, "/port"), text(port, "/protocol"));
            match number(port, "/nodePort") {
                0 => format!("{own}/{protocol}"),
                node => format!("{own}:{node}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn addresses(row: Row<'_>) -> Vec<String> {
    let mut addresses = Vec::new();
    for subset in row.list("/subsets") {
        let ips: Vec<&str> =
            list(subset, "/addresses").iter().map(|each| text(each, "/ip")).collect();
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            addresses.extend(ips.iter().map(|&ip| ip.to_owned()));
        }
        for port in ports {
            let port = number(port, "/port");
            addresses.extend(ips.iter().map(|ip| {
                if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
            }));
        }
    }
    addresses
}

fn slice_port(port: &Value) -> String {
    match (port.get("port").and_then(Value::as_i64), port.get("name").and_then(Value::as_str)) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}
