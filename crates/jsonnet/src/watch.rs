//! Reloads programs when their files change.
//!
//! Events of the file system are debounced; a poll backs them up, for file systems without events.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s::{Activity, TimerKind, Token};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::warn;

use crate::{
    bundle::Revision,
    failure::LoadError,
    routes::{RouteError, Routes},
    runtime::Runtime,
};

/// How long events are collected before they are acted on.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How often files are looked at without any event.
const POLL: Duration = Duration::from_secs(2);

/// What has become of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Calls run on this revision from now on.
    Loaded {
        /// The route, without a leading slash.
        route: String,
        /// The new revision.
        revision: Revision,
    },
    /// The files are broken; calls run on the last good revision, if there is one.
    Failed {
        /// The route, without a leading slash.
        route: String,
        /// What is wrong.
        error: LoadError,
    },
    /// The program has vanished from its directory.
    Removed {
        /// The route, without a leading slash.
        route: String,
    },
}

impl Runtime {
    /// Loads the programs of `routes` and returns what became of each.
    ///
    /// # Errors
    ///
    /// As [`Routes::files`], and [`RouteError::EmptyDir`].
    pub async fn load_all(&self, routes: &Routes) -> Result<Vec<Change>, RouteError> {
        let files = self.files(routes).await?;
        for dir in routes.dirs() {
            if !files.values().any(|file| file.parent() == Some(dir)) {
                return Err(RouteError::EmptyDir(dir.display().to_string()));
            }
        }
        let mut changes = Vec::new();
        for (route, file) in files {
            changes.extend(self.reload(&route, &file).await);
            self.list(&route);
        }
        Ok(changes)
    }

    /// Reloads what changes on disk until the receiver is dropped, and says what became of it.
    pub fn watch(&self, routes: Routes) -> UnboundedReceiver<Change> {
        let (changes, receiver) = mpsc::unbounded_channel();
        tokio::spawn(follow(self.clone(), routes, changes));
        receiver
    }

    async fn files(
        &self,
        routes: &Routes,
    ) -> Result<std::collections::BTreeMap<String, PathBuf>, RouteError> {
        let base = self.options().programs.working_dir.clone();
        let routes = routes.clone();
        let files = tokio::task::spawn_blocking(move || routes.files(|dir| list(&base, dir)));
        files.await.expect("listing directories does not panic")
    }

    /// Loads a program and says what that changed.
    async fn reload(&self, route: &str, file: &Path) -> Option<Change> {
        let before = self.status(route).map(|status| (status.revision, status.error));
        let (revision, error) = before.unwrap_or_default();
        match self.load(route, file).await {
            Ok(now) if revision.as_ref() == Some(&now) && error.is_none() => None,
            Ok(revision) => Some(Change::Loaded { route: route.to_owned(), revision }),
            Err(now) if error.as_ref() == Some(&now) => None,
            Err(error) => Some(Change::Failed { route: route.to_owned(), error }),
        }
    }

    /// Brings all routes up to date with the disk.
    async fn refresh(&self, routes: &Routes, changes: &UnboundedSender<Change>) {
        match self.files(routes).await {
            Ok(files) => self.refresh_members(&files, changes).await,
            Err(error) => warn!(%error, "failed to list hooks"),
        }
        for (route, file) in self.changed().await {
            if let Some(change) = self.reload(&route, &file).await {
                let _ = changes.send(change);
            }
        }
    }

    async fn refresh_members(
        &self,
        files: &std::collections::BTreeMap<String, PathBuf>,
        changes: &UnboundedSender<Change>,
    ) {
        // Programs that controllers brought along are in no directory, and stay.
        let known = self.listed();
        for route in known.iter().filter(|route| !files.contains_key(*route)) {
            self.remove(route);
            let _ = changes.send(Change::Removed { route: route.clone() });
        }
        for (route, file) in files.iter().filter(|(route, _)| !known.contains(*route)) {
            if let Some(change) = self.reload(route, file).await {
                let _ = changes.send(change);
            }
            self.list(route);
        }
    }
}

async fn follow(runtime: Runtime, routes: Routes, changes: UnboundedSender<Change>) {
    let (clock, activity) =
        (Arc::clone(&runtime.options().clock), runtime.options().activity.clone());
    let mut events = Events::new(&activity);
    loop {
        events.cover(&directories(&runtime, &routes));
        let poll =
            activity.sleep_until(&*clock, clock.after(POLL), TimerKind::Periodic, "poll of hooks");
        let _token = tokio::select! {
            Some(seen) = events.receiver.recv() => {
                let debounced = activity.sleep_until(
                    &*clock,
                    clock.after(DEBOUNCE),
                    TimerKind::Progress,
                    "reload of hooks",
                );
                let token = hand_over(seen, debounced).await;
                while events.receiver.try_recv().is_ok() {}
                token
            }
            token = poll => token,
            () = changes.closed() => return,
        };
        runtime.refresh(&routes, &changes).await;
    }
}

/// Gives back `token` once the timer that replaces it runs: a virtual clock moves only when nothing
/// is at work.
async fn hand_over(token: Token, timer: impl Future<Output = Token>) -> Token {
    tokio::pin!(timer);
    if let std::task::Poll::Ready(next) = futures::poll!(&mut timer) {
        return next;
    }
    drop(token);
    timer.await
}

/// Returns the directories whose events matter.
fn directories(runtime: &Runtime, routes: &Routes) -> BTreeSet<PathBuf> {
    let base = &runtime.options().programs.working_dir;
    let seen = runtime.seen();
    let parents = seen.iter().filter_map(|path| path.parent()).map(Path::to_owned);
    parents.chain(routes.dirs().map(|dir| base.join(dir))).collect()
}

/// Returns the files in a directory, named as the directory is.
fn list(base: &Path, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(base.join(dir))? {
        let name = entry?.file_name();
        if base.join(dir).join(&name).is_file() {
            files.push(dir.join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// The events of a growing set of directories. Each holds the process from being settled.
struct Events {
    watcher: Option<RecommendedWatcher>,
    covered: BTreeSet<PathBuf>,
    receiver: UnboundedReceiver<Token>,
}

impl Events {
    fn new(activity: &Activity) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let activity = activity.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the files is an event too.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.send(activity.hold("a changed hook file"));
            }
        });
        if let Err(error) = &watcher {
            warn!(%error, "file events are not available, hooks are polled");
        }
        Self { watcher: watcher.ok(), covered: BTreeSet::new(), receiver }
    }

    /// Watches directories that were not watched before, as far as they exist.
    fn cover(&mut self, directories: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for directory in directories.difference(&self.covered.clone()) {
            if watcher.watch(directory, RecursiveMode::NonRecursive).is_ok() {
                self.covered.insert(directory.clone());
            }
        }
    }
}
