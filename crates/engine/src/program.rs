//! Hooks that are programs: loads them, and loads them again when their text changes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use api::{HookProgram, ProgramError, ProgramSource, names::reasons};
use k8s::{ObjectKey, Resource};
use runtime::{ApiError, Cache, Change, Subscription};
use thiserror::Error;
use tokio::sync::Notify;

use crate::{
    context::Means,
    hook::{Hooks, Program, Text, Webhook},
};

/// Why a hook's program does not run.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    /// Its ConfigMap could not be read.
    #[error("hook `{hook}`: failed to read ConfigMap {key}")]
    Read {
        /// The hook.
        hook: &'static str,
        /// The ConfigMap.
        key: ObjectKey,
        /// What the API server said.
        source: ApiError,
    },
    /// It is not there, or does not load.
    #[error("hook `{hook}`: {source}")]
    Program {
        /// The hook.
        hook: &'static str,
        /// What is wrong with it.
        source: ProgramError,
    },
}

impl LoadError {
    /// Returns the reason of the condition `HooksReady`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Program { source: ProgramError::Invalid(_), .. } => reasons::PROGRAM_INVALID,
            Self::Program { source: ProgramError::Missing(_), .. } | Self::Read { .. } => {
                reasons::PROGRAM_MISSING
            }
        }
    }
}

/// Loads all programs among the hooks that are not as they were `before`, and returns what they are now.
pub(crate) async fn load(
    hooks: &Hooks,
    means: &Means,
    before: &[ProgramSource],
) -> Result<Vec<ProgramSource>, LoadError> {
    let mut sources = Vec::new();
    for (position, (hook, webhook, program)) in programs(hooks).enumerate() {
        let source = source(hook, &program.text, means).await?;
        sources.push(source.clone());
        if before.get(position) == Some(&source) {
            continue;
        }
        let loaded = HookProgram {
            label: label(hook, &program.text),
            source,
            ext_vars: program.ext_vars.clone(),
            tlas: program.tlas.clone(),
        };
        let result = means.hook.load(&webhook.url, loaded).await;
        result.map_err(|source| LoadError::Program { hook, source })?;
    }
    Ok(sources)
}

/// Forgets the programs of a controller that stopped.
pub(crate) fn unload(hooks: &Hooks, means: &Means) {
    for (_, webhook, _) in programs(hooks) {
        means.hook.unload(&webhook.url);
    }
}

/// What tells that a text of a controller's programs changed.
pub(crate) struct Watched {
    changed: Arc<Notify>,
    /// They are followed as long as they are kept.
    _texts: Vec<(Arc<Cache>, Subscription)>,
}

impl Watched {
    /// Follows the ConfigMaps of a controller's programs; nothing if there are none.
    pub(crate) fn new(hooks: &Hooks, means: &Means) -> Option<Self> {
        let changed = Arc::new(Notify::new());
        let follow = |key: &ObjectKey| {
            let cache = means.caches.get_one(&configmaps(), key);
            let changed = Arc::downgrade(&changed);
            let subscription = cache.subscribe(move |change: &Change| {
                // The first one is what was loaded, or newer.
                if let Some(changed) = Weak::upgrade(&changed).filter(|_| is_news(change)) {
                    changed.notify_one();
                }
            });
            (cache, subscription)
        };
        let keys = programs(hooks).filter_map(|(_, _, program)| match &program.text {
            Text::ConfigMap { key, .. } => Some(key),
            Text::Inline(_) | Text::File(_) => None,
        });
        let texts: Vec<_> = keys.map(follow).collect();
        (!texts.is_empty()).then_some(Self { changed, _texts: texts })
    }

    /// Waits for a change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn is_news(change: &Change) -> bool {
    change
        .old
        .as_ref()
        .zip(change.new.as_ref())
        .is_none_or(|(old, new)| old.meta().resource_version != new.meta().resource_version)
}

fn programs(hooks: &Hooks) -> impl Iterator<Item = (&'static str, &Webhook, &Program)> {
    hooks.all().filter_map(|(hook, webhook)| Some((hook, webhook, webhook.program.as_ref()?)))
}

async fn source(
    hook: &'static str,
    text: &Text,
    means: &Means,
) -> Result<ProgramSource, LoadError> {
    let texts = match text {
        Text::File(path) => return Ok(ProgramSource::File(path.clone())),
        Text::Inline(text) => {
            BTreeMap::from([(label(hook, &Text::Inline(String::new())), text.clone())])
        }
        Text::ConfigMap { key, .. } => match means.client.get(&configmaps(), key).await {
            Ok(map) => map.texts(),
            Err(error) if error.is_not_found() => {
                let source = ProgramError::Missing(format!("ConfigMap {key} is not there"));
                return Err(LoadError::Program { hook, source });
            }
            Err(source) => return Err(LoadError::Read { hook, key: key.clone(), source }),
        },
    };
    let main = match text {
        Text::ConfigMap { entry, .. } => entry.clone(),
        Text::Inline(_) | Text::File(_) => label(hook, text),
    };
    if !texts.contains_key(&main) {
        let source = ProgramError::Missing(format!("{} has no text", label(hook, text)));
        return Err(LoadError::Program { hook, source });
    }
    Ok(ProgramSource::Texts { main, texts })
}

fn label(hook: &str, text: &Text) -> String {
    match text {
        Text::Inline(_) => format!("inline-{hook}.jsonnet"),
        Text::ConfigMap { key, entry } => format!("ConfigMap {key}/{entry}"),
        Text::File(path) => path.clone(),
    }
}

fn configmaps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}
