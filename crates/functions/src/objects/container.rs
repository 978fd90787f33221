//! Pure: the container of a Function.

use serde_json::{Value, json};

use super::{
    Context, Ports,
    deployment::{HOME, OWN, OWN_VOLUME, fill_absent},
    init::{Pod, mounted_secrets},
    merge::fill,
};
use crate::{function::Function, host::IDLE_TIMEOUT, runtimes::Language, table::Runtime};

/// Makes what was given the container of a Function.
pub(super) fn container(
    container: &mut Value,
    function: &Function,
    context: Context<'_>,
    ports: Ports,
    pod: Pod<'_>,
) {
    container["name"] = json!(function.meta.name);
    let health = json!({"path": "/healthz", "port": ports.function});
    if let Some(runtime) = context.runtime {
        let image = runtime.runs.name.as_ref().unwrap_or(&context.surroundings.image);
        container["image"] = json!(image);
        fill(container, &json!({"volumeMounts": mounted_secrets(&runtime.runs)}));
        if runtime.language.is_some() {
            container["command"] = json!([format!("{OWN}/windlass"), "function-host"]);
            let own = json!([{"name": OWN_VOLUME, "mountPath": OWN, "readOnly": true}]);
            fill(container, &json!({"volumeMounts": own}));
            let probe = json!({"httpGet": health, "periodSeconds": 2});
            fill_absent(container, "readinessProbe", probe);
        } else if let Some(command) = &runtime.runs.command {
            container["command"] = json!(["sh", "-c", command]);
        }
        if pod.is_confined {
            fill_absent(container, "securityContext", confined());
        }
    }
    let usual = json!({"httpGet": health, "initialDelaySeconds": 3, "periodSeconds": 30});
    let liveness = context.runtime.and_then(|runtime| runtime.liveness.clone()).unwrap_or(usual);
    fill_absent(container, "livenessProbe", liveness);
    let is_port = |port: &Value| port["containerPort"] == ports.function;
    let has_port = container["ports"].as_array().is_some_and(|all| all.iter().any(is_port));
    if !has_port {
        let own = json!([{"containerPort": ports.function, "protocol": "TCP"}]);
        fill(container, &json!({"ports": own}));
    }
    fill(container, &json!({"volumeMounts": [{"name": pod.volume, "mountPath": HOME}]}));
    let limit = container.pointer("/resources/limits/memory").cloned();
    let known = (context.runtime, pod.has_known_runtime);
    let own = environment(function, known, ports, limit.as_ref());
    container["env"] =
        overlaid(container["env"].as_array().map_or(&[], Vec::as_slice), &own).into();
}

/// Returns what a container may not do.
pub(super) fn confined() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

/// Returns variables with others after them, which stand for those of their names.
pub(super) fn overlaid(given: &[Value], own: &[Value]) -> Vec<Value> {
    let is_ours = |variable: &&Value| own.iter().any(|own| own["name"] == variable["name"]);
    let kept = given.iter().filter(|variable| !is_ours(variable));
    kept.chain(own).cloned().collect()
}

/// Returns one variable.
pub(super) fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// Returns what the program learns of itself, in the order that Kubeless wrote it.
pub(super) fn environment(
    function: &Function,
    (runtime, is_known): (Option<&Runtime>, bool),
    ports: Ports,
    limit: Option<&Value>,
) -> Vec<Value> {
    let mut all = Vec::new();
    if let (Some(handler), false) = (&function.handler, function.texts.function.is_empty()) {
        all.extend([
            variable("FUNC_HANDLER", &handler.function),
            variable("MOD_NAME", &handler.module),
            variable("FUNC_TIMEOUT", &function.timeout.to_string()),
            variable("FUNC_RUNTIME", &function.texts.runtime),
            variable("FUNC_MEMORY_LIMIT", &limit.map_or_else(|| "0".to_owned(), text)),
        ]);
    }
    all.push(variable("FUNC_PORT", &ports.function.to_string()));
    if is_known {
        all.push(variable("KUBELESS_INSTALL_VOLUME", HOME));
    }
    if let Some(runtime) = runtime {
        let pairs = runtime.runs.env.iter();
        let given: Vec<_> = pairs.map(|(name, value)| variable(name, value)).collect();
        all = overlaid(&all, &given);
        all.extend(of_runtime(runtime));
        if let Some(idle) = function.annotations.get(api::function::IDLE_TIMEOUT) {
            all.push(variable(IDLE_TIMEOUT, idle));
        }
    }
    all
}

/// Returns where a language finds what was installed, and how the host knows the language.
fn of_runtime(runtime: &Runtime) -> Vec<Value> {
    let version = &runtime.version;
    let mut all = Vec::new();
    if runtime.language.is_some() {
        all.push(variable("WINDLASS_RUNTIME", &runtime.name()));
    }
    match Language::of_id(&runtime.id) {
        Some(Language::Python) => {
            let path = format!("{HOME}/lib/python{version}/site-packages:{HOME}");
            all.push(variable("PYTHONPATH", &path));
        }
        Some(Language::Nodejs) => all.push(variable("NODE_PATH", &format!("{HOME}/node_modules"))),
        Some(Language::Go | Language::Jsonnet) | None => {}
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
