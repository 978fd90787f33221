//! Tells when files change.

use std::{path::PathBuf, time::Duration};

use k8s::TimerKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use runtime::Client;
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// How long events are collected before they are acted on.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Watches files and directories, as long as it lives.
pub(crate) struct Files {
    events: UnboundedReceiver<()>,
    _watcher: RecommendedWatcher,
}

impl Files {
    /// Starts to watch paths; a file is watched by its directory, since editors replace files.
    pub(crate) fn watch(paths: &[PathBuf]) -> Result<Self, notify::Error> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                    // The receiver is dropped when watching ends.
                    let _ = sender.send(());
                }
            })?;
        for path in paths {
            let (path, mode) = match path.parent() {
                Some(parent) if path.is_file() => {
                    let here = parent.as_os_str().is_empty();
                    (
                        if here { PathBuf::from(".") } else { parent.to_owned() },
                        RecursiveMode::NonRecursive,
                    )
                }
                _ => (path.clone(), RecursiveMode::Recursive),
            };
            watcher.watch(&path, mode)?;
        }
        Ok(Self { events, _watcher: watcher })
    }

    /// Waits until something has changed and calmed down, for ever if nothing is watched.
    pub(crate) async fn next(files: Option<&mut Self>, client: &Client) {
        let Some(files) = files else { return std::future::pending().await };
        if files.events.recv().await.is_none() {
            return std::future::pending().await;
        }
        let at = client.clock().after(DEBOUNCE);
        let clock = client.clock().as_ref();
        drop(client.activity().sleep_until(clock, at, TimerKind::Progress, "reload").await);
        while files.events.try_recv().is_ok() {}
    }
}
