//! Counts what a watch shows: how many objects there are in each state.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use anyhow::ensure;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::{server::Server, timing::patiently};

/// How often a watch that ended is opened again.
const WATCHES: usize = 10;

/// The objects of one path, counted. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// What each object is counted as.
    known: HashMap<String, [String; 2]>,
    counts: HashMap<String, usize>,
    ended: bool,
}

/// What matters of an event.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Seen,
}

/// What matters of an object: of a child its data, of a parent its status.
#[derive(Deserialize)]
struct Seen {
    metadata: Metadata,
    data: Option<Told>,
    status: Option<Told>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

/// What an object says of itself.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    value: String,
    /// How many children the hook saw.
    observed: Option<usize>,
}

impl Census {
    /// Counts the objects of a path from now on.
    pub(crate) async fn follow(server: &Server, path: &str) -> anyhow::Result<Self> {
        let path = format!("{path}?watch=1");
        let mut connection = server.connect().await?;
        let mut lines = connection.watch(&path).await?;
        let census = Self::default();
        let (following, server) = (census.clone(), server.endpoint.clone());
        tokio::spawn(async move {
            for _ in 0..WATCHES {
                while lines.next(|line| following.see(line)).await.unwrap_or_default() {}
                // API servers close watches of a custom resource when its definition changes, and those that
                // do not keep up. A new one begins with all objects that there are.
                let Ok(mut other) = server.connect().await else { break };
                let Ok(more) = other.watch(&path).await else { break };
                (connection, lines) = (other, more);
            }
            drop(connection);
            following.state().ended = true;
            following.0.changed.notify_waiters();
        });
        Ok(census)
    }

    /// Waits until so many objects are in a state: `p=a` means that the value of one of the parents `p…`
    /// or of its child is `a`; `p=a/3` that its status counts 3 children too; `p7` that it is of parent 7.
    pub(crate) async fn reach(&self, state: &str, count: usize) -> anyhow::Result<()> {
        let reached = async {
            loop {
                let changed = self.0.changed.notified();
                if count <= self.count(state) {
                    return Ok(());
                }
                ensure!(!self.state().ended, "the watch ended");
                changed.await;
            }
        };
        let result = patiently(&format!("{count} of `{state}`"), reached).await;
        result.map_err(|error| error.context(format!("there are {}", self.count(state))))
    }

    fn count(&self, state: &str) -> usize {
        self.state().counts.get(state).copied().unwrap_or_default()
    }

    fn see(&self, line: &[u8]) {
        let Ok(Event { r#type, object }) = serde_json::from_slice(line) else { return };
        if object.metadata.name.is_empty() {
            return;
        }
        let states = states(&object);
        let mut state = self.state();
        let State { known, counts, .. } = &mut *state;
        let old = if r#type == "DELETED" {
            known.remove(&object.metadata.name)
        } else {
            for state in &states {
                *counts.entry(state.clone()).or_default() += 1;
            }
            known.insert(object.metadata.name, states)
        };
        for state in old.iter().flatten() {
            if let Some(count) = counts.get_mut(state) {
                *count = count.saturating_sub(1);
            }
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Returns what an object is counted as.
fn states(object: &Seen) -> [String; 2] {
    let parent = object.metadata.name.split('-').next().unwrap_or_default();
    let group = parent.get(..1).unwrap_or_default();
    let state = match object.data.as_ref().or(object.status.as_ref()) {
        Some(Told { value, observed: Some(observed) }) => format!("{group}={value}/{observed}"),
        Some(Told { value, observed: None }) => format!("{group}={value}"),
        None => format!("{group}="),
    };
    [state, parent.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_count_as_what_they_were_last() {
        let census = Census::default();
        let see = |kind: &str, object: &str| {
            census.see(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes());
        };
        see("ADDED", r#"{"metadata":{"name":"p1-0"},"data":{"value":"a"}}"#);
        see("ADDED", r#"{"metadata":{"name":"p1-1"},"data":{"value":"a"}}"#);
        see("MODIFIED", r#"{"metadata":{"name":"p1-1"},"data":{"value":"b"}}"#);
        see("ADDED", r#"{"metadata":{"name":"s2"},"status":{"value":"a","observed":3}}"#);
        see("DELETED", r#"{"metadata":{"name":"p1-0"},"data":{"value":"a"}}"#);
        see("BOOKMARK", r#"{"metadata":{"resourceVersion":"7"}}"#);
        let counts = ["p=a", "p=b", "p1", "s=a/3", "s2"].map(|state| census.count(state));
        assert_eq!(counts, [0, 1, 1, 1, 1]);
    }
}
