//! Pure: the Function that flags ask for, and what they change of one that is there.

use api::function::{API_VERSION, CREATED_BY, LABEL};
use k8s::ObjectKey;
use serde_json::{Value, json};

use super::{pairs::Pair, source::Source};

/// How long a call may take unless something else is said, in seconds.
const TIMEOUT: u32 = 180;
/// The port of a function unless something else is said.
const PORT: u16 = 8080;
/// What the port of a Service is called, by which its metrics are found.
const PORT_NAME: &str = "http-function-port";
/// Where a Function describes its pods.
const POD: [&str; 5] = ["spec", "deployment", "spec", "template", "spec"];

/// What flags say of a Function; what is absent or empty was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// The runtime and its version.
    pub runtime: Option<String>,
    /// What is called, as `module.function`.
    pub handler: Option<String>,
    /// The program.
    pub source: Option<Source>,
    /// The text of the file of dependencies.
    pub deps: Option<String>,
    /// The variables.
    pub env: Vec<Pair>,
    /// The labels.
    pub labels: Vec<Pair>,
    /// The labels of nodes that may run it.
    pub node_selectors: Vec<Pair>,
    /// The Secrets that it can read.
    pub secrets: Vec<String>,
    /// The account that it has.
    pub service_account: Option<String>,
    /// The memory that it gets.
    pub memory: Option<String>,
    /// The computing power that it gets.
    pub cpu: Option<String>,
    /// The image that runs it.
    pub runtime_image: Option<String>,
    /// When images are pulled.
    pub image_pull_policy: Option<String>,
    /// How long a call may take, in seconds.
    pub timeout: Option<u32>,
    /// The port of the function.
    pub port: Option<u16>,
    /// The port of its Service.
    pub service_port: Option<u16>,
    /// Whether its Service has no address of its own.
    pub headless: Option<bool>,
}

/// Returns a Function as the flags want it.
pub fn create(key: &ObjectKey, wish: &Wish) -> Value {
    let mut function = json!({
        "apiVersion": API_VERSION, "kind": "Function",
        "metadata": {"name": key.name, "namespace": key.namespace,
            "labels": {CREATED_BY.0: CREATED_BY.1, LABEL: key.name}}});
    let mut whole = wish.clone();
    whole.timeout.get_or_insert(TIMEOUT);
    whole.port.get_or_insert(PORT);
    whole.image_pull_policy.get_or_insert_with(|| "Always".to_owned());
    update(&mut function, &whole);
    function
}

/// Changes in a Function what was given, and nothing else.
pub fn update(function: &mut Value, wish: &Wish) {
    for (name, value) in &wish.labels {
        at(function, &["metadata", "labels"])[name] = json!(value);
    }
    texts(function, wish);
    container(function, wish);
    pod(function, wish);
    service(function, wish);
}

fn texts(function: &mut Value, wish: &Wish) {
    let spec = at(function, &["spec"]);
    let timeout = wish.timeout.map(|seconds| seconds.to_string());
    let source = wish.source.as_ref();
    for (field, value) in [
        ("runtime", wish.runtime.as_ref()),
        ("handler", wish.handler.as_ref()),
        ("function", source.map(|source| &source.function)),
        ("function-content-type", source.map(|source| &source.content_type)),
        ("checksum", source.map(|source| &source.checksum)),
        ("deps", wish.deps.as_ref()),
        ("timeout", timeout.as_ref()),
    ] {
        if let Some(value) = value {
            spec[field] = json!(value);
        }
    }
}

fn container(function: &mut Value, wish: &Wish) {
    let containers = list(at(function, &POD), "containers");
    if containers.is_empty() {
        containers.push(json!({}));
    }
    let Some(container) = containers.first_mut() else { return };
    let container = at(container, &[]);
    for (field, value) in
        [("image", &wish.runtime_image), ("imagePullPolicy", &wish.image_pull_policy)]
    {
        if let Some(value) = value {
            container[field] = json!(value);
        }
    }
    if !wish.env.is_empty() {
        let variable = |(name, value): &Pair| json!({"name": name, "value": value});
        container["env"] = wish.env.iter().map(variable).collect();
    }
    for (name, amount) in [("memory", &wish.memory), ("cpu", &wish.cpu)] {
        let Some(amount) = amount else { continue };
        for bound in ["limits", "requests"] {
            at(container, &["resources", bound])[name] = json!(amount);
        }
    }
    for secret in &wish.secrets {
        let mount = json!({"name": volume(secret), "mountPath": format!("/{secret}")});
        put(list(container, "volumeMounts"), "mountPath", mount);
    }
}

fn pod(function: &mut Value, wish: &Wish) {
    let pod = at(function, &POD);
    for secret in &wish.secrets {
        let volume = json!({"name": volume(secret), "secret": {"secretName": secret}});
        put(list(pod, "volumes"), "name", volume);
    }
    if let Some(account) = &wish.service_account {
        pod["serviceAccountName"] = json!(account);
    }
    if !wish.node_selectors.is_empty() {
        let pair = |(name, value): &Pair| (name.clone(), json!(value));
        pod["nodeSelector"] = wish.node_selectors.iter().map(pair).collect();
    }
}

fn service(function: &mut Value, wish: &Wish) {
    let Wish { port, service_port, headless, .. } = wish;
    if port.is_none() && service_port.is_none() && headless.is_none() {
        return;
    }
    let labels = function["metadata"]["labels"].clone();
    let service = at(function, &["spec", "service"]);
    match headless {
        Some(true) => service["clusterIP"] = json!("None"),
        Some(false) if service["clusterIP"] == "None" => {
            if let Some(fields) = service.as_object_mut() {
                fields.remove("clusterIP");
            }
        }
        _ => {}
    }
    for (field, usual) in [("type", json!("ClusterIP")), ("selector", labels)] {
        if service[field].is_null() {
            service[field] = usual;
        }
    }
    let ports = list(service, "ports");
    if ports.is_empty() {
        ports.push(json!({"name": PORT_NAME, "protocol": "TCP", "port": PORT, "targetPort": PORT}));
    }
    let Some(first) = ports.first_mut() else { return };
    // Who gave the Service a port of its own wants it to stay.
    let is_one = first["targetPort"].is_null() || first["targetPort"] == first["port"];
    if let Some(port) = port {
        first["targetPort"] = json!(port);
        if is_one {
            first["port"] = json!(port);
        }
    }
    if let Some(port) = service_port {
        if first["targetPort"].is_null() {
            first["targetPort"] = first["port"].clone();
        }
        first["port"] = json!(port);
    }
}

/// Returns what the volume of a Secret is called.
fn volume(secret: &str) -> String {
    format!("{secret}-vol")
}

/// Returns what is at a path, made an object where it is none: old tools write null for what is not there.
fn at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut place = value;
    for name in path {
        place = &mut object(place)[*name];
    }
    object(place)
}

fn object(value: &mut Value) -> &mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    value
}

/// Returns a list of an object, made one where it is none.
fn list<'a>(value: &'a mut Value, field: &str) -> &'a mut Vec<Value> {
    let place = &mut object(value)[field];
    if !place.is_array() {
        *place = json!([]);
    }
    place.as_array_mut().expect("it was made a list")
}

/// Puts an entry in a list in place of the one with the same value of a field.
fn put(list: &mut Vec<Value>, field: &str, entry: Value) {
    match list.iter_mut().find(|other| other[field] == entry[field]) {
        Some(other) => *other = entry,
        None => list.push(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Pair {
        (name.to_owned(), value.to_owned())
    }

    fn key() -> ObjectKey {
        ObjectKey::new("ops", "f")
    }

    fn pod_of(function: &Value) -> &Value {
        &function["spec"]["deployment"]["spec"]["template"]["spec"]
    }

    #[test]
    fn a_new_function_has_what_is_usual() {
        let wish = Wish { runtime: Some("python3.11".to_owned()), ..Wish::default() };
        let labels = json!({"created-by": "kubeless", "function": "f"});
        assert_eq!(
            create(&key(), &wish),
            json!({
                "apiVersion": "kubeless.io/v1beta1", "kind": "Function",
                "metadata": {"name": "f", "namespace": "ops", "labels": labels},
                "spec": {
                    "runtime": "python3.11", "timeout": "180",
                    "deployment": {"spec": {"template": {"spec": {
                        "containers": [{"imagePullPolicy": "Always"}]}}}},
                    "service": {"type": "ClusterIP", "selector": labels, "ports": [
                        {"name": PORT_NAME, "protocol": "TCP", "port": 8080, "targetPort": 8080}]}}})
        );
    }

    #[test]
    fn flags_find_their_places() {
        let wish = Wish {
            env: vec![pair("A", "b")],
            labels: vec![pair("team", "a")],
            node_selectors: vec![pair("disk", "ssd")],
            secrets: vec!["s".to_owned()],
            service_account: Some("robot".to_owned()),
            memory: Some("128Mi".to_owned()),
            runtime_image: Some("web".to_owned()),
            port: Some(9000),
            service_port: Some(80),
            headless: Some(true),
            ..Wish::default()
        };
        let function = create(&key(), &wish);
        assert_eq!(
            pod_of(&function),
            &json!({
                "serviceAccountName": "robot", "nodeSelector": {"disk": "ssd"},
                "volumes": [{"name": "s-vol", "secret": {"secretName": "s"}}],
                "containers": [{"image": "web", "imagePullPolicy": "Always",
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "128Mi"}},
                    "volumeMounts": [{"name": "s-vol", "mountPath": "/s"}]}]})
        );
        let service = &function["spec"]["service"];
        assert_eq!(service["clusterIP"], "None");
        assert_eq!(service["selector"]["team"], "a");
        assert_eq!(
            (&service["ports"][0]["port"], &service["ports"][0]["targetPort"]),
            (&json!(80), &json!(9000))
        );
    }

    #[test]
    fn an_update_changes_only_what_is_given() {
        let first = Wish {
            port: Some(9000),
            timeout: Some(5),
            secrets: vec!["s".to_owned()],
            ..Wish::default()
        };
        let before = create(&key(), &first);
        let mut after = before.clone();
        update(&mut after, &Wish::default());
        assert_eq!(after, before);
        update(&mut after, &Wish { env: vec![pair("A", "b")], ..Wish::default() });
        assert_eq!(pod_of(&after)["containers"][0]["env"], json!([{"name": "A", "value": "b"}]));
        assert_eq!(
            (&after["spec"]["service"], &after["spec"]["timeout"]),
            (&before["spec"]["service"], &json!("5"))
        );
        update(
            &mut after,
            &Wish { secrets: vec!["s".to_owned(), "t".to_owned()], ..Wish::default() },
        );
        assert_eq!(pod_of(&after)["volumes"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_port_moves_the_service_only_where_both_are_one() {
        let ports = |first: &Wish, then: &Wish| {
            let mut function = create(&key(), first);
            update(&mut function, then);
            let port = &function["spec"]["service"]["ports"][0];
            format!("{}->{}", port["port"], port["targetPort"])
        };
        let port = |port| Wish { port: Some(port), ..Wish::default() };
        let service_port = |port| Wish { service_port: Some(port), ..Wish::default() };
        assert_eq!(ports(&port(9000), &port(9001)), "9001->9001");
        assert_eq!(ports(&service_port(80), &port(9001)), "80->9001");
        assert_eq!(ports(&port(9000), &service_port(80)), "80->9000");
    }

    #[test]
    fn what_old_tools_wrote_can_be_changed() {
        let mut function = json!({"metadata": {"name": "f", "labels": null},
            "spec": {"service": null, "deployment": {"spec": {"template": {"spec": {"containers": null}}}}}});
        let wish = Wish {
            labels: vec![pair("a", "b")],
            port: Some(1),
            cpu: Some("1".to_owned()),
            ..Wish::default()
        };
        update(&mut function, &wish);
        assert_eq!(pod_of(&function)["containers"][0]["resources"]["limits"]["cpu"], "1");
        assert_eq!(function["spec"]["service"]["ports"][0]["port"], 1);
    }
}
