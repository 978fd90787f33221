//! Pure: the hooks of a controller in their checked form.

use std::{collections::BTreeMap, time::Duration};

use api::{
    HookProgram, ProgramError, ProgramSource,
    controller::{
        EndpointConfig, HookSpec, HookVersion, JsonnetHook, UnmarshallMode, Webhook as WebhookSpec,
    },
    without_login,
};
use k8s::{Object, ObjectKey, parse_duration};
use serde_json::Value;

use crate::{
    controller::{ControllerError, not_supported},
    credentials::{self, Credentials},
};

/// How long a hook call may take if its controller does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call of a program may take at most.
const LONGEST_CALL: Duration = Duration::from_mins(10);
/// How long a program in a controller may be.
const LONGEST_TEXT: usize = 256 << 10;

/// What a controller calls, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Called for a living parent.
    pub sync: Option<Webhook>,
    /// Called for a parent that is going away, or no longer selected.
    pub finalize: Option<Webhook>,
    /// Asked before either which other objects matter.
    pub customize: Option<Webhook>,
}

/// A hook that is called by URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The full URL, without user and password.
    pub url: String,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// Whether it says a time that is none, for which the usual one stands.
    pub odd_timeout: bool,
    /// Which shape the request has.
    pub version: HookVersion,
    /// How unknown keys of the answer are met.
    pub mode: UnmarshallMode,
    /// Where its credentials are.
    pub credentials: Credentials,
    /// Whether answers are kept by their ETag.
    pub etag: Option<Lifetime>,
    /// The program that is called, if the hook is one; its URL is then only a name.
    pub program: Option<Program>,
}

/// A hook that is a Jsonnet program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where its text is.
    text: Text,
    /// External variables with texts.
    ext_vars: BTreeMap<String, String>,
    /// Further arguments of its function.
    tlas: BTreeMap<String, Value>,
}

/// Where the text of a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    /// In the controller itself.
    Inline(String),
    /// In a ConfigMap, whose other entries it may import.
    ConfigMap {
        /// The ConfigMap.
        key: ObjectKey,
        /// The entry that is the program.
        entry: String,
    },
    /// In a file below the engine's directory of hooks.
    File(String),
}

/// How long answers are kept by their ETag; for ever if there is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub Option<Duration>);

impl Hooks {
    /// Returns those that are set, with their names.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Webhook)> {
        let hooks =
            [("sync", &self.sync), ("finalize", &self.finalize), ("customize", &self.customize)];
        hooks.into_iter().filter_map(|(name, hook)| Some((name, hook.as_ref()?)))
    }
}

impl Program {
    /// Returns the ConfigMap that has the text, if it is in one.
    pub fn config_map(&self) -> Option<&ObjectKey> {
        match &self.text {
            Text::ConfigMap { key, .. } => Some(key),
            Text::Inline(_) | Text::File(_) => None,
        }
    }

    /// Returns what is to be loaded as the hook of a name; `map` is the ConfigMap, if it is there.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Missing`] if the ConfigMap is not there, or does not have the text.
    pub fn text_for(&self, hook: &str, map: Option<&Object>) -> Result<HookProgram, ProgramError> {
        let label = match &self.text {
            Text::Inline(_) => format!("inline-{hook}.jsonnet"),
            Text::ConfigMap { key, entry } => format!("ConfigMap {key}/{entry}"),
            Text::File(path) => path.clone(),
        };
        let source = match &self.text {
            Text::File(path) => ProgramSource::File(path.clone()),
            Text::Inline(text) => ProgramSource::Texts {
                main: label.clone(),
                texts: BTreeMap::from([(label.clone(), text.clone())]),
            },
            Text::ConfigMap { key, entry } => {
                let missing = |what: String| ProgramError::Missing(what);
                let map = map.ok_or_else(|| missing(format!("ConfigMap {key} is not there")))?;
                let (main, texts) = (entry.clone(), map.texts());
                if !texts.contains_key(&main) {
                    return Err(missing(format!("{label} has no text")));
                }
                ProgramSource::Texts { main, texts }
            }
        };
        Ok(HookProgram { label, source, ext_vars: self.ext_vars.clone(), tlas: self.tlas.clone() })
    }
}

/// Checks the hook of a name; `configs` are the credentials by host, `of` names the controller.
pub(crate) fn check(
    name: &'static str,
    spec: HookSpec,
    configs: &[EndpointConfig],
    of: &str,
) -> Result<Webhook, ControllerError> {
    let invalid = |cause: &str| ControllerError::Hook { hook: name, cause: cause.to_owned() };
    if spec.function.is_some() {
        return Err(not_supported(&format!("the `function` form of hook `{name}`")));
    }
    let mode = spec.webhook.as_ref().and_then(|webhook| webhook.response_unmarshall_mode);
    let mode = mode.unwrap_or(match spec.version {
        HookVersion::V1 => UnmarshallMode::Loose,
        HookVersion::V2 => UnmarshallMode::Strict,
    });
    let webhook = match (spec.webhook, spec.jsonnet) {
        (Some(webhook), None) => webhook,
        (None, Some(jsonnet)) => {
            let (program, timeout) = program(name, jsonnet)
                .map_err(|cause| ControllerError::Program { hook: name, cause })?;
            return Ok(Webhook {
                url: format!("jsonnet:{of}/{name}"),
                timeout,
                odd_timeout: false,
                version: spec.version,
                mode,
                credentials: Credentials::default(),
                etag: None,
                program: Some(program),
            });
        }
        (Some(_), Some(_)) => return Err(invalid("give one of `webhook` and `jsonnet`")),
        (None, None) => return Err(invalid("no `webhook`")),
    };
    let timeout = match webhook.timeout.as_deref().filter(|timeout| !timeout.is_empty()) {
        Some(text) => parse_duration(text).map_err(|error| invalid(&error.to_string()))?,
        None => TIMEOUT,
    };
    let odd_timeout = timeout.is_zero();
    let timeout = if odd_timeout { TIMEOUT } else { timeout };
    let etag = webhook.etag.as_ref().filter(|etag| etag.enabled).map(|etag| {
        let seconds = etag.cache_timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Lifetime(seconds.filter(|seconds| 0 < *seconds).map(Duration::from_secs))
    });
    let own = webhook.credentials.clone();
    let (url, login) = without_login(&url(webhook).map_err(invalid)?);
    let credentials = credentials::check((&url, login), own, configs)
        .map_err(|cause| ControllerError::Credentials { hook: name, cause })?;
    let (version, program) = (spec.version, None);
    Ok(Webhook { url, timeout, odd_timeout, version, mode, credentials, etag, program })
}

/// Checks a program, and returns how long a call of it may take.
fn program(hook: &str, spec: JsonnetHook) -> Result<(Program, Duration), String> {
    let text = match (spec.inline, spec.config_map_ref, spec.path) {
        (Some(text), None, None) if LONGEST_TEXT < text.len() => {
            return Err(format!("`inline` is longer than {LONGEST_TEXT} bytes: use a ConfigMap"));
        }
        (Some(text), None, None) => Text::Inline(text),
        (None, Some(reference), None) => Text::ConfigMap {
            key: ObjectKey::new(&reference.namespace, &reference.name),
            entry: reference.key.unwrap_or_else(|| format!("{hook}.jsonnet")),
        },
        (None, None, Some(path)) if path.split('/').any(|part| part == "..") => {
            return Err(format!("`path` `{path}` leads upwards"));
        }
        (None, None, Some(path)) => Text::File(path),
        _ => return Err("give one of `inline`, `configMapRef` and `path`".to_owned()),
    };
    if spec.tlas.contains_key("request") {
        return Err(
            "`tlas` may not have `request`, which is what the hook is called with".to_owned()
        );
    }
    let timeout = spec.timeout.as_deref().map_or(Ok(TIMEOUT), parse_duration);
    let timeout = timeout.map_err(|error| error.to_string())?;
    if timeout.is_zero() || LONGEST_CALL < timeout {
        return Err("`timeout` must be more than 0 and at most 10m".to_owned());
    }
    Ok((Program { text, ext_vars: spec.ext_vars, tlas: spec.tlas }, timeout))
}

/// Returns where a webhook is: its own URL, or that of its Service.
fn url(webhook: WebhookSpec) -> Result<String, &'static str> {
    if let Some(url) = webhook.url.filter(|url| !url.is_empty()) {
        return Ok(url);
    }
    let (Some(service), Some(path)) = (webhook.service, webhook.path) else {
        return Err("give `url`, or `service` and `path`");
    };
    if service.name.is_empty() || service.namespace.is_empty() {
        return Err("`service` needs `name` and `namespace`");
    }
    let protocol = service.protocol.as_deref().unwrap_or("http");
    let port = service.port.unwrap_or(80);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{protocol}://{}.{}:{port}{slash}{path}", service.name, service.namespace))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn url(webhook: &Value) -> Result<String, String> {
        let spec = serde_json::from_value(json!({"webhook": webhook})).unwrap();
        check("sync", spec, &[], "c").map(|hook| hook.url).map_err(|error| error.to_string())
    }

    #[test]
    fn a_timeout_that_is_none_is_the_usual_one() {
        for (text, seconds, odd) in [("1m30s", 90, false), ("0s", 10, true), ("-5s", 10, true)] {
            let webhook = json!({"url": "http://h", "timeout": text});
            let spec = serde_json::from_value(json!({"webhook": webhook})).unwrap();
            let hook = check("sync", spec, &[], "c").unwrap();
            assert_eq!((hook.timeout.as_secs(), hook.odd_timeout), (seconds, odd), "{text}");
        }
    }

    #[test]
    fn a_hook_is_reached_by_url_or_by_service_and_path() {
        assert_eq!(url(&json!({"url": "http://h/p", "path": "x"})).unwrap(), "http://h/p");
        let service = json!({"service": {"name": "a", "namespace": "b"}, "path": "sync"});
        assert_eq!(url(&service).unwrap(), "http://a.b:80/sync");
        let error = url(&json!({"path": "/sync"})).unwrap_err();
        assert_eq!(
            error,
            "invalid webhook config: hook `sync`: give `url`, or `service` and `path`"
        );
    }
}
