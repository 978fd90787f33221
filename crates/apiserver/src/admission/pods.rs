//! Pure: what every new pod is given before it is checked: an account with its token, a priority, tolerations.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::fields::{list, text};

/// The account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// The start of the names of volumes that hold a token.
pub(crate) const TOKEN_VOLUME: &str = "kube-api-access-";

/// Where containers look for their token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Marks a pod that a node made itself and only shows to the server.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// How long a token lives: an hour, and the seconds by which the reference knows its own volumes.
const TOKEN_SECONDS: i64 = 3607;

/// How long a pod stays on a node that is lost.
const PATIENCE_SECONDS: i64 = 300;

/// What is known around a new pod.
pub(crate) struct Facts<'a> {
    /// The account the pod runs as, if it exists.
    pub(crate) account: Option<&'a Value>,
    /// All classes of priority.
    pub(crate) classes: &'a [Value],
    /// A name for the volume of the token.
    pub(crate) volume: &'a str,
}

/// Gives a new pod what the reference gives it, or says why it is forbidden.
pub(crate) fn admit(pod: &mut Value, facts: &Facts<'_>) -> Result<(), String> {
    if !pod["spec"].is_object() {
        return Ok(());
    }
    // Its spec must stay what the node says, or the node takes it for another pod.
    if pod.pointer("/metadata/annotations").is_some_and(|it| it.get(MIRROR).is_some()) {
        check_mirror(&pod["spec"])?;
    } else {
        run_as(pod, facts)?;
    }
    if let Some(spec) = pod["spec"].as_object_mut() {
        prioritise(spec, facts.classes)?;
    }
    tolerate(pod);
    Ok(())
}

/// Gives a changed pod what no change may take from it.
pub(crate) fn readmit(pod: &mut Value, old: &Value) {
    for name in ["priority", "preemptionPolicy"] {
        let missing = pod["spec"].get(name).is_none();
        if let (true, Some(before)) = (missing, old["spec"].get(name)) {
            pod["spec"][name] = before.clone();
        }
    }
    tolerate(pod);
}

/// Returns the name of the account that a pod runs as.
pub(crate) fn account_name(pod: &Value) -> &str {
    match text(pod, "/spec/serviceAccountName") {
        "" => DEFAULT_ACCOUNT,
        name => name,
    }
}

fn run_as(pod: &mut Value, facts: &Facts<'_>) -> Result<(), String> {
    let name = account_name(pod).to_owned();
    let Some(account) = facts.account else {
        let namespace = text(pod, "/metadata/namespace");
        return Err(format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        ));
    };
    let Some(spec) = pod["spec"].as_object_mut() else { return Ok(()) };
    // The old name of the field is written beside the new one.
    for field in ["serviceAccountName", "serviceAccount"] {
        spec.insert(field.to_owned(), json!(name));
    }
    if wants_token(spec, account) {
        mount_token(spec, facts.volume);
    }
    let secrets = list(account, "/imagePullSecrets");
    if !secrets.is_empty() && spec.get("imagePullSecrets").is_none_or(is_empty) {
        let named = secrets.iter().map(|it| json!({"name": text(it, "/name")}));
        spec.insert("imagePullSecrets".to_owned(), named.collect());
    }
    Ok(())
}

/// Asks the pod, then the account.
fn wants_token(spec: &Map<String, Value>, account: &Value) -> bool {
    const FIELD: &str = "automountServiceAccountToken";
    let said = |value: Option<&Value>| value.and_then(Value::as_bool);
    said(spec.get(FIELD)).or(said(account.get(FIELD))).unwrap_or(true)
}

/// Mounts the token in each container that has nothing in its place.
fn mount_token(spec: &mut Map<String, Value>, fresh: &str) {
    let volumes = spec.get("volumes").and_then(Value::as_array);
    let mut names = volumes.into_iter().flatten().map(|it| text(it, "/name"));
    let there = names.find(|name| name.starts_with(TOKEN_VOLUME)).map(ToOwned::to_owned);
    let name = there.as_deref().unwrap_or(fresh);
    let mount = json!({"mountPath": TOKEN_PATH, "name": name, "readOnly": true});
    let mut mounted = false;
    for field in ["initContainers", "containers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if list(container, "/volumeMounts")
                .iter()
                .all(|it| text(it, "/mountPath") != TOKEN_PATH)
            {
                push(container, "volumeMounts", mount.clone());
                mounted = true;
            }
        }
    }
    if mounted && there.is_none() {
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(token_volume(fresh));
        }
    }
}

fn token_volume(name: &str) -> Value {
    let namespace = json!({"path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]}})
}

/// A pod of a node may not read what the server keeps, as the node itself could not.
fn check_mirror(spec: &Value) -> Result<(), String> {
    let volumes = list(spec, "/volumes");
    let mut sources = volumes.iter().flat_map(|it| list(it, "/projected/sources"));
    let why = if !text(spec, "/serviceAccountName").is_empty() {
        "a mirror pod may not reference service accounts"
    } else if names_secret(spec) {
        "a mirror pod may not reference secrets"
    } else if sources.any(|it| it.get("serviceAccountToken").is_some()) {
        "a mirror pod may not use ServiceAccountToken volume projections"
    } else {
        return Ok(());
    };
    Err(why.to_owned())
}

/// Returns whether a spec names a secret: every field that does says so in its own name.
fn names_secret(spec: &Value) -> bool {
    let parts = ["initContainers", "containers", "ephemeralContainers", "volumes"];
    !list(spec, "/imagePullSecrets").is_empty()
        || parts.iter().any(|part| mentions_secret(&spec[*part]))
}

fn mentions_secret(value: &Value) -> bool {
    const FIELDS: [&str; 5] =
        ["nodePublishSecretRef", "secret", "secretKeyRef", "secretName", "secretRef"];
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| FIELDS.contains(&name.as_str()) || mentions_secret(value)),
        Value::Array(items) => items.iter().any(mentions_secret),
        _ => false,
    }
}

/// Sets the priority that the pod's class has, or the class of pods that name none.
fn prioritise(spec: &mut Map<String, Value>, classes: &[Value]) -> Result<(), String> {
    let number = |class: &Value| class.get("value").and_then(Value::as_i64).unwrap_or(0);
    let named = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let class = if named.is_empty() {
        let general = classes.iter().filter(|it| it.get("globalDefault") == Some(&json!(true)));
        general.min_by_key(|it| number(it))
    } else {
        let found = classes.iter().find(|it| text(it, "/metadata/name") == named);
        Some(found.ok_or_else(|| format!("no PriorityClass with name {named} was found"))?)
    };
    if let Some(class) = class {
        let name = text(class, "/metadata/name");
        spec.insert("priorityClassName".to_owned(), json!(name));
    }
    let priority = class.map_or(0, number);
    if let Some(given) = spec.get("priority").and_then(Value::as_i64).filter(|it| *it != priority) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority \
             admission controller computed {priority} from the given PriorityClass name"
        ));
    }
    spec.insert("priority".to_owned(), json!(priority));
    let policy = class.map_or("PreemptLowerPriority", |it| text(it, "/preemptionPolicy"));
    let given = spec.get("preemptionPolicy").and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() && !policy.is_empty() && given != policy {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
             priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    if !policy.is_empty() {
        spec.insert("preemptionPolicy".to_owned(), json!(policy));
    }
    Ok(())
}

/// Lets a pod stay for a while on a node that is not ready or not reached.
fn tolerate(pod: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is_for = |it: &Value| {
            ["", key].contains(&text(it, "/key"))
                && ["", "NoExecute"].contains(&text(it, "/effect"))
        };
        if !list(pod, "/spec/tolerations").iter().any(is_for) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": PATIENCE_SECONDS});
            push(&mut pod["spec"], "tolerations", toleration);
        }
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// Adds an item to a list, made if it is missing.
fn push(value: &mut Value, name: &str, item: Value) {
    let Some(fields) = value.as_object_mut() else { return };
    let list = fields.entry(name).or_insert(Value::Null);
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}
