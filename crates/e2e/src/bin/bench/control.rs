//! The engine in a process of its own, as `windlass engine` runs it.

use std::{path::PathBuf, sync::Arc};

use api::{SharedHook, names};
use engine::{Engine, EngineOptions};
use hooks::{Router, Webhooks};
use k8s::{Activity, SharedClock, SystemClock, selector::Selector};
use runtime::{Client, ClientOptions};

/// Runs the engine until the process is killed.
pub(crate) async fn run(kubeconfig: PathBuf, targets: &str) -> anyhow::Result<()> {
    let (clock, activity): (SharedClock, _) = (Arc::new(SystemClock), Activity::default());
    let webhooks = Webhooks::new(Arc::clone(&clock), activity.clone())?;
    let options = ClientOptions { clock, activity, agent: names::COMPONENT, revisions: None };
    let client = Client::connect(Some(kubeconfig), None, options).await?;
    let options = self::options(Arc::new(Router::new(webhooks, None)), Selector::parse(targets)?);
    let _engine = Engine::start(&client, options).await?;
    std::future::pending().await
}

/// Returns how an engine works by default.
pub(crate) fn options(hook: SharedHook, targets: Selector) -> EngineOptions {
    EngineOptions { targets, ..EngineOptions::new(hook) }
}
