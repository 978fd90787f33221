//! Pure: what the container of a pod gets from Secrets, from ConfigMaps and of its pod: variables and files.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use thiserror::Error;

use crate::objects::{HOME, OWN};

/// Where the credentials of the pod's account are in a cluster; there are none where no cluster is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An object whose data are wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The Secret of this name.
    Secret(String),
    /// The ConfigMap of this name.
    ConfigMap(String),
}

/// The data of the objects that were found.
pub(crate) type Found = BTreeMap<Source, BTreeMap<String, Vec<u8>>>;

/// What a path of the container leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The path in the container.
    pub path: String,
    /// What is there.
    pub content: Content,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Files by their paths below it; an empty path is the file itself.
    Files(BTreeMap<String, Vec<u8>>),
    /// A directory of the pod, by a path of its own; the same wherever it is mounted.
    Directory(String),
}

/// Why a container cannot have what it wants.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NeedError {
    /// An object is missing.
    #[error("{kind} `{name}` is not there")]
    NoObject {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An object has no such key.
    #[error("{kind} `{name}` has no key `{key}`")]
    NoKey {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// Only a container has it.
    #[error("{0} needs containers")]
    Container(String),
}

impl NeedError {
    /// Returns the reason of the condition that tells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoObject { .. } | Self::NoKey { .. } => "FetchFailed",
            Self::Container(_) => "ContainerRuntimeRequired",
        }
    }
}

impl Source {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Secret(name) => ("Secret", name),
            Self::ConfigMap(name) => ("ConfigMap", name),
        }
    }
}

/// Returns the data of a ConfigMap or a Secret.
pub(crate) fn data(object: &Value) -> BTreeMap<String, Vec<u8>> {
    let is_secret = object["kind"] == "Secret";
    let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
    let texts = object["data"].as_object().into_iter().flatten();
    let texts = texts.filter_map(|(key, value)| {
        let text = value.as_str()?;
        Some((key.clone(), if is_secret { decode(text)? } else { text.into() }))
    });
    let binary = object["binaryData"].as_object().into_iter().flatten();
    texts.chain(binary.filter_map(|(key, it)| Some((key.clone(), decode(it.as_str()?)?)))).collect()
}

/// Returns the objects whose data the first container of a pod wants.
pub(crate) fn sources(pod: &Value) -> BTreeSet<Source> {
    let container = &pod["spec"]["containers"][0];
    let from = items(&container["envFrom"]).filter_map(|from| source(from, "Ref"));
    let values = items(&container["env"]).filter_map(|it| source(&it["valueFrom"], "KeyRef"));
    let volumes = mounted(pod).flat_map(|(_, volume)| {
        let projected = items(&volume["projected"]["sources"]).chain([volume]);
        projected.filter_map(|it| source(it, "")).collect::<Vec<_>>()
    });
    from.chain(values).chain(volumes).collect()
}

/// Returns the variables of the first container.
///
/// # Errors
///
/// [`NeedError`] with the first that has no value and must have one.
pub(crate) fn variables(pod: &Value, found: &Found) -> Result<BTreeMap<String, String>, NeedError> {
    let container = &pod["spec"]["containers"][0];
    let mut all = BTreeMap::new();
    for from in items(&container["envFrom"]) {
        let prefix = from["prefix"].as_str().unwrap_or_default();
        let Some(wanted) = source(from, "Ref") else { continue };
        let is_optional =
            ["secretRef", "configMapRef"].iter().any(|it| from[it]["optional"] == true);
        let data = of(&wanted, is_optional, found)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), text(&value))));
    }
    for variable in items(&container["env"]) {
        let Some(name) = variable["name"].as_str() else { continue };
        let value = if variable["valueFrom"].is_object() {
            referred(name, &variable["valueFrom"], pod, found)?
        } else {
            Some(expand(variable["value"].as_str().unwrap_or_default(), &all))
        };
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    }
    Ok(all)
}

/// Returns what is mounted in the first container, but for what windlass itself mounts.
///
/// # Errors
///
/// [`NeedError`] with the first volume that cannot be had.
pub(crate) fn mounts(pod: &Value, found: &Found) -> Result<Vec<Mount>, NeedError> {
    mounted(pod).map(|(mount, volume)| self::mount(mount, volume, pod, found)).collect()
}

fn mount(mount: &Value, volume: &Value, pod: &Value, found: &Found) -> Result<Mount, NeedError> {
    let path = mount["mountPath"].as_str().unwrap_or_default().to_owned();
    let below = mount["subPath"].as_str().unwrap_or_default().trim_matches('/');
    let name = volume["name"].as_str().unwrap_or_default();
    let is_empty = volume.as_object().is_none_or(|volume| volume.len() < 2);
    if is_empty || volume["emptyDir"].is_object() {
        let directory = if below.is_empty() { name.to_owned() } else { format!("{name}/{below}") };
        return Ok(Mount { path, content: Content::Directory(directory) });
    }
    let mut files = BTreeMap::new();
    let projected = volume["projected"].is_object();
    for part in items(&volume["projected"]["sources"]).chain((!projected).then_some(volume)) {
        files.extend(part_of_volume(part, name, pod, found)?);
    }
    if !below.is_empty() {
        let inside = |path: &String| {
            path.strip_prefix(below)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(|rest| rest.trim_start_matches('/').to_owned())
        };
        files = files.into_iter().filter_map(|(path, it)| Some((inside(&path)?, it))).collect();
    }
    Ok(Mount { path, content: Content::Files(files) })
}

/// Returns the files of a volume, or of one of several sources that it is projected from.
fn part_of_volume(
    part: &Value,
    volume: &str,
    pod: &Value,
    found: &Found,
) -> Result<BTreeMap<String, Vec<u8>>, NeedError> {
    if part["downwardAPI"].is_object() {
        let entries = items(&part["downwardAPI"]["items"]).map(|item| {
            let path = item["path"].as_str().unwrap_or_default().to_owned();
            let text = field(item["fieldRef"]["fieldPath"].as_str().unwrap_or_default(), pod);
            text.map(|text| (path, text.into_bytes()))
                .ok_or_else(|| NeedError::Container(format!("volume `{volume}`")))
        });
        return entries.collect();
    }
    let Some(wanted) = source(part, "") else {
        return Err(NeedError::Container(format!("volume `{volume}`")));
    };
    let how = if part["secret"].is_object() { &part["secret"] } else { &part["configMap"] };
    let is_optional = how["optional"] == true;
    let data = of(&wanted, is_optional, found)?;
    if items(&how["items"]).next().is_none() {
        return Ok(data);
    }
    let mut files = BTreeMap::new();
    for item in items(&how["items"]) {
        let text = |field: &str| item[field].as_str().unwrap_or_default();
        match data.get(text("key")) {
            Some(bytes) => drop(files.insert(text("path").to_owned(), bytes.clone())),
            None if is_optional => {}
            None => return Err(no_key(&wanted, text("key"))),
        }
    }
    Ok(files)
}

fn referred(
    name: &str,
    from: &Value,
    pod: &Value,
    found: &Found,
) -> Result<Option<String>, NeedError> {
    let unknown = || NeedError::Container(format!("variable `{name}`"));
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(path, pod).map(Some).ok_or_else(unknown);
    }
    let wanted = source(from, "KeyRef").ok_or_else(unknown)?;
    let how = if from["secretKeyRef"].is_object() {
        &from["secretKeyRef"]
    } else {
        &from["configMapKeyRef"]
    };
    let (key, is_optional) = (how["key"].as_str().unwrap_or_default(), how["optional"] == true);
    match of(&wanted, is_optional, found)?.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if is_optional => Ok(None),
        None => Err(no_key(&wanted, key)),
    }
}

/// Returns a field of a pod, as far as there are values for them where no kubelet is.
fn field(path: &str, pod: &Value) -> Option<String> {
    let metadata = &pod["metadata"];
    let text = |value: &Value| Some(value.as_str().unwrap_or_default().to_owned());
    let of_map = |map: &str, rest: &str| {
        let key = rest.strip_prefix("['")?.strip_suffix("']")?;
        text(&metadata[map][key])
    };
    match path {
        "metadata.name" => text(&metadata["name"]),
        "metadata.namespace" => text(&metadata["namespace"]),
        "metadata.uid" => text(&metadata["uid"]),
        "metadata.labels" => Some(lines(&metadata["labels"])),
        "metadata.annotations" => Some(lines(&metadata["annotations"])),
        "spec.nodeName" => text(&pod["spec"]["nodeName"]),
        "spec.serviceAccountName" => text(&pod["spec"]["serviceAccountName"]),
        "status.hostIP" | "status.podIP" | "status.hostIPs" | "status.podIPs" => {
            Some("127.0.0.1".to_owned())
        }
        _ => match path.strip_prefix("metadata.labels") {
            Some(rest) => of_map("labels", rest),
            None => of_map("annotations", path.strip_prefix("metadata.annotations")?),
        },
    }
}

fn lines(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    let lines: Vec<_> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    lines.join("\n")
}

/// Puts the values of variables in the places of `$(NAME)`; what names none stays, and `$$` is one `$`.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let named = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = match named {
            Some((name, after)) if variables.contains_key(name) => {
                expanded.push_str(variables.get(name).map_or("", String::as_str));
                after
            }
            _ => {
                expanded.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    expanded + rest
}

/// Returns the mounts of the first container with their volumes, but for windlass's own.
fn mounted(pod: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let is_own = |mount: &Value| [HOME, OWN, ACCOUNT].iter().any(|own| mount["mountPath"] == *own);
    let mounts = items(&pod["spec"]["containers"][0]["volumeMounts"]);
    mounts.filter(move |mount| !is_own(mount)).filter_map(|mount| {
        let volume = items(&pod["spec"]["volumes"]).find(|it| it["name"] == mount["name"])?;
        Some((mount, volume))
    })
}

/// Returns the object that something refers to, in fields whose names end with `suffix`.
fn source(from: &Value, suffix: &str) -> Option<Source> {
    let secret = &from[format!("secret{suffix}")];
    // Of all that refer to Secrets, volumes alone call it so.
    let name = secret["name"].as_str().or(secret["secretName"].as_str());
    let map = from[format!("configMap{suffix}")]["name"].as_str();
    let secret = name.map(|name| Source::Secret(name.to_owned()));
    secret.or(map.map(|name| Source::ConfigMap(name.to_owned())))
}

fn of(
    wanted: &Source,
    is_optional: bool,
    found: &Found,
) -> Result<BTreeMap<String, Vec<u8>>, NeedError> {
    let (kind, name) = wanted.parts();
    match found.get(wanted) {
        Some(data) => Ok(data.clone()),
        None if is_optional => Ok(BTreeMap::new()),
        None => Err(NeedError::NoObject { kind, name: name.to_owned() }),
    }
}

fn no_key(wanted: &Source, key: &str) -> NeedError {
    let (kind, name) = wanted.parts();
    NeedError::NoKey { kind, name: name.to_owned(), key: key.to_owned() }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found() -> Found {
        let secret = json!({"kind": "Secret", "data": {"password": "c2VzYW1l"}});
        let map =
            json!({"kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AP8="}});
        BTreeMap::from([
            (Source::Secret("s".to_owned()), data(&secret)),
            (Source::ConfigMap("m".to_owned()), data(&map)),
        ])
    }

    fn pod(container: &Value, volumes: &Value) -> Value {
        json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"x": "y"}},
            "spec": {"containers": [container], "volumes": volumes}})
    }

    fn env(container: &Value) -> Result<Vec<String>, String> {
        let pod = pod(container, &json!([]));
        let variables = variables(&pod, &found()).map_err(|error| error.to_string())?;
        Ok(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn variables_come_from_objects_and_from_the_pod() {
        let from = |from: Value| json!({"env": [{"name": "X", "valueFrom": from}]});
        for (container, expected) in [
            (from(json!({"secretKeyRef": {"name": "s", "key": "password"}})), vec!["X=sesame"]),
            (from(json!({"configMapKeyRef": {"name": "m", "key": "b"}})), vec!["X=2"]),
            (from(json!({"configMapKeyRef": {"name": "m", "key": "z", "optional": true}})), vec![]),
            (from(json!({"secretKeyRef": {"name": "z", "key": "z", "optional": true}})), vec![]),
            (from(json!({"fieldRef": {"fieldPath": "metadata.namespace"}})), vec!["X=n"]),
            (from(json!({"fieldRef": {"fieldPath": "metadata.labels['x']"}})), vec!["X=y"]),
            (
                json!({
                    "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}],
                    "env": [{"name": "U", "value": "$(P_password)/$(NONE)/$$(P_password)"}]}),
                vec!["P_password=sesame", "U=sesame/$(NONE)/$(P_password)"],
            ),
        ] {
            assert_eq!(env(&container).unwrap(), expected, "{container}");
        }
        for (container, message) in [
            (from(json!({"secretKeyRef": {"name": "z", "key": "z"}})), "Secret `z` is not there"),
            (
                from(json!({"configMapKeyRef": {"name": "m", "key": "z"}})),
                "ConfigMap `m` has no key `z`",
            ),
            (
                from(json!({"resourceFieldRef": {"resource": "limits.cpu"}})),
                "variable `X` needs containers",
            ),
        ] {
            assert_eq!(env(&container).unwrap_err(), message);
        }
    }

    fn files(mount: &Value, volume: &Value) -> Result<Vec<String>, String> {
        let (mut mount, mut volume) = (mount.clone(), volume.clone());
        (mount["name"], volume["name"]) = (json!("v"), json!("v"));
        let pod = pod(&json!({"volumeMounts": [mount]}), &json!([volume]));
        let mounts = mounts(&pod, &found()).map_err(|error| error.to_string())?;
        let shown = |mount: Mount| match mount.content {
            Content::Directory(of) => vec![format!("{} -> {of}", mount.path)],
            Content::Files(files) => {
                files.into_keys().map(|file| format!("{}:{file}", mount.path)).collect()
            }
        };
        Ok(mounts.into_iter().flat_map(shown).collect())
    }

    #[test]
    fn volumes_become_files() {
        let at = |path: &str| json!({"mountPath": path});
        let items = json!([{"key": "a", "path": "deep/a.txt"}]);
        let projected = json!({"projected": {"sources": [
            {"secret": {"name": "s"}}, {"configMap": {"name": "m", "items": items}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}});
        for (mount, volume, expected) in [
            (at("/s"), json!({"secret": {"secretName": "s"}}), vec!["/s:password"]),
            (at("/m"), json!({"configMap": {"name": "m"}}), vec!["/m:a", "/m:b", "/m:c"]),
            (at("/p"), projected, vec!["/p:deep/a.txt", "/p:name", "/p:password"]),
            (at("/e"), json!({"emptyDir": {}}), vec!["/e -> v"]),
            (at("/e"), json!({}), vec!["/e -> v"]),
            (
                json!({"mountPath": "/f", "subPath": "a"}),
                json!({"configMap": {"name": "m"}}),
                vec!["/f:"],
            ),
            (at(ACCOUNT), json!({"projected": {"sources": [{"serviceAccountToken": {}}]}}), vec![]),
            (at(HOME), json!({"hostPath": {"path": "/"}}), vec![]),
        ] {
            assert_eq!(files(&mount, &volume).unwrap(), expected, "{volume}");
        }
        let error = files(&at("/h"), &json!({"hostPath": {"path": "/"}})).unwrap_err();
        assert_eq!(error, "volume `v` needs containers");
    }

    #[test]
    fn what_is_wanted_is_named() {
        let pod = pod(
            &json!({
                "envFrom": [{"configMapRef": {"name": "one"}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "two", "key": "k"}}}],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
            &json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "three"}}]}},
                {"name": "w", "secret": {"secretName": "never mounted"}}]),
        );
        let wanted = [
            Source::Secret("three".to_owned()),
            Source::Secret("two".to_owned()),
            Source::ConfigMap("one".to_owned()),
        ];
        assert_eq!(sources(&pod), wanted.into());
    }
}
