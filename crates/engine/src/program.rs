//! Hooks that are programs: loads them, and loads them again when their text changes.

use std::sync::{Arc, Weak};

use api::{HookProgram, ProgramError, ProgramSource, names::reasons};
use k8s::{ObjectKey, Resource};
use runtime::{ApiError, Cache, Change, Subscription};
use thiserror::Error;
use tokio::sync::Notify;

use crate::{
    context::Means,
    hook::{Hooks, Program, Webhook},
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
    #[error("hook `{hook}`")]
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
        let program = read(hook, program, means).await?;
        sources.push(program.source.clone());
        if before.get(position) == Some(&program.source) {
            continue;
        }
        let result = means.hook.load(&webhook.url, program).await;
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
        let keys = programs(hooks).filter_map(|(_, _, program)| program.config_map());
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

/// Reads the text of a program.
async fn read(
    hook: &'static str,
    program: &Program,
    means: &Means,
) -> Result<HookProgram, LoadError> {
    let map = match program.config_map() {
        None => None,
        Some(key) => match means.client.get(&configmaps(), key).await {
            Ok(map) => Some(map),
            Err(error) if error.is_not_found() => None,
            Err(source) => return Err(LoadError::Read { hook, key: key.clone(), source }),
        },
    };
    let program = program.text_for(hook, map.as_ref());
    program.map_err(|source| LoadError::Program { hook, source })
}

fn configmaps() -> Resource {
    Resource::namespaced("v1", "ConfigMap", "configmaps")
}
