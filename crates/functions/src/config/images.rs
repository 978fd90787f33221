//! Pure: the runtimes that the configuration adds.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ConfigError, parsed};
use crate::{
    objects::without_nulls,
    runtimes::{Language, Version},
    table::{Image, Runtime},
};

/// A runtime as it is written; its keys are in small letters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    id: String,
    depname: String,
    filenamesuffix: String,
    livenessprobeinfo: Value,
    versions: Vec<VersionEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VersionEntry {
    version: Value,
    images: Vec<ImageEntry>,
    imagepullsecrets: Vec<PullSecretEntry>,
    windlasshost: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageEntry {
    phase: String,
    image: String,
    command: String,
    env: Value,
    secrets: Vec<SecretEntry>,
    windlasshost: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecretEntry {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PullSecretEntry {
    imagesecret: String,
}

/// Reads the runtimes of a text; an empty one has none.
pub(super) fn runtimes(text: &str) -> Result<Vec<Runtime>, ConfigError> {
    let value = without_nulls(&parsed(text)?);
    if value.is_null() {
        return Ok(Vec::new());
    }
    let entries = Vec::<Entry>::deserialize(in_small_letters(value, ""));
    let entries = entries.map_err(|error| ConfigError::Form(error.to_string()))?;
    let all = entries.iter().flat_map(|entry| entry.versions.iter().map(move |it| (entry, it)));
    all.map(|(entry, version)| runtime(entry, version)).collect()
}

fn runtime(entry: &Entry, of: &VersionEntry) -> Result<Runtime, ConfigError> {
    let (id, text) = (&entry.id, said(&of.version));
    let version = Version::parse(&text)
        .filter(|_| !id.is_empty())
        .ok_or_else(|| ConfigError::Form(format!("`{id}{text}` is no runtime with a version")))?;
    let phase = |name: &str| of.images.iter().find(|it| it.phase == name);
    let Some(runs) = phase("runtime") else {
        return Err(ConfigError::Form(format!("`{id}{text}` has no image of phase `runtime`")));
    };
    let is_served = of.windlasshost || runs.windlasshost;
    // Without a command nobody but windlass knows what is to be done.
    let does = |name: &str| phase(name).filter(|it| is_served || !it.command.is_empty()).map(image);
    Ok(Runtime {
        id: id.clone(),
        version,
        language: Language::of_id(id).filter(|_| is_served),
        suffix: entry.filenamesuffix.clone(),
        deps: Some(entry.depname.clone()).filter(|name| !name.is_empty()),
        liveness: Some(entry.livenessprobeinfo.clone()).filter(Value::is_object),
        runs: image(runs),
        installs: does("installation"),
        compiles: does("compilation"),
        pull_secrets: of.imagepullsecrets.iter().map(|it| it.imagesecret.clone()).collect(),
    })
}

fn image(entry: &ImageEntry) -> Image {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let pairs = match &entry.env {
        Value::Object(all) => all.iter().map(|(name, value)| (name.clone(), said(value))).collect(),
        Value::Array(all) => all.iter().map(|it| (said(&it["name"]), said(&it["value"]))).collect(),
        _ => Vec::new(),
    };
    Image {
        name: given(&entry.image),
        command: given(&entry.command),
        env: pairs,
        secrets: entry.secrets.iter().map(|secret| secret.name.clone()).collect(),
    }
}

fn said(value: &Value) -> String {
    value.as_str().map_or_else(
        || if value.is_null() { String::new() } else { value.to_string() },
        ToOwned::to_owned,
    )
}

/// Returns a value whose keys are in small letters, but for names of variables and fields of probes.
fn in_small_letters(value: Value, under: &str) -> Value {
    match value {
        Value::Object(fields) if under != "livenessprobeinfo" => {
            let keep = under == "env";
            let small = |(key, value): (String, Value)| {
                let key = if keep { key } else { key.to_lowercase() };
                let value = in_small_letters(value, &key);
                (key, value)
            };
            Value::Object(fields.into_iter().map(small).collect::<Map<_, _>>())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| in_small_letters(item, if under == "env" { "" } else { under }))
            .collect(),
        other => other,
    }
}
