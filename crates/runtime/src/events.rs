//! Events: what controllers tell people about objects.
//!
//! They are written one after another in the background, so that telling never delays doing. Repeats
//! raise the count of the event that is there; per object a burst is let through, then one in a while.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use k8s::{GroupVersionKind, Object, ObjectKey, Resource, SharedClock, Timestamp, Token};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::debug;

use crate::{ApiError, Client, Part, PatchType, bucket::Bucket};

/// How many objects and events are remembered.
const REMEMBERED: usize = 4096;
/// How many events may wait to be written; where the server is too slow for more, they are dropped.
const WAITING: usize = 1024;
/// How much of an object's name an event's has, so that it is no longer than a name may be.
const LONGEST_NAME: usize = 236;
/// How long a message may be; the API server refuses longer ones.
const LONGEST_MESSAGE: usize = 1024;

/// Whether an event is a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// All is well.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What is told about an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Whether it is a warning.
    pub kind: EventKind,
    /// The machine-readable reason, such as `SyncError`.
    pub reason: String,
    /// What a person reads.
    pub message: String,
}

/// How many events an object may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventLimits {
    /// How many at once.
    pub burst: u32,
    /// How many a second from then on.
    pub per_second: f64,
}

impl Default for EventLimits {
    /// Lets 25 through, then one every five minutes.
    fn default() -> Self {
        Self { burst: 25, per_second: 1.0 / 300.0 }
    }
}

/// Writes events on behalf of a component. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<(Token, Told)>,
    client: Client,
}

/// An event and the object it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Told {
    gvk: GroupVersionKind,
    key: ObjectKey,
    uid: String,
    event: Event,
}

impl Events {
    /// Starts to write events for `component`.
    pub fn start(client: &Client, component: &'static str, limits: EventLimits) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Writer {
            client: client.clone(),
            component,
            told: HashMap::new(),
            budget: Budget { clock: client.clock().clone(), limits, left: HashMap::new() },
        };
        tokio::spawn(writer.run(receiver));
        Self { sender, client: client.clone() }
    }

    /// Tells something about an object.
    pub fn tell(&self, object: &Object, kind: EventKind, reason: &str, message: impl Into<String>) {
        let event = Event { kind, reason: reason.to_owned(), message: message.into() };
        let told = Told {
            gvk: object.gvk().clone(),
            key: object.key(),
            uid: object.meta().uid.clone(),
            event,
        };
        let token = self.client.activity().hold(format!("event of {}", told.key));
        if let Err(error) = self.sender.try_send((token, told)) {
            debug!(%error, reason, "dropped an event");
        }
    }
}

/// The background side: remembers what was told, to count repeats.
struct Writer {
    client: Client,
    component: &'static str,
    told: HashMap<u64, (ObjectKey, u64)>,
    budget: Budget,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<(Token, Told)>) {
        while let Some((_token, told)) = receiver.recv().await {
            if !self.budget.take(&told.uid) {
                continue;
            }
            if let Err(error) = self.write(&told).await {
                debug!(object = %told.key, reason = told.event.reason, %error, "failed to write an event");
            }
        }
    }

    async fn write(&mut self, told: &Told) -> Result<(), ApiError> {
        let now = self.client.clock().now();
        let hash = hash_of(told);
        if let Some((key, count)) = self.told.get_mut(&hash) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": seconds(now)}).to_string();
            let how = (Part::Main, PatchType::Merge);
            match self.client.patch(&resource(), key, how, patch).await {
                Err(error) if error.is_not_found() => {}
                result => return result.map(|_| ()),
            }
        }
        let about: String = told.key.name.chars().take(LONGEST_NAME).collect();
        let name = format!("{about}.{:x}", unique(now, hash));
        let body = body(told, self.component, &name, now);
        let namespace = event_namespace(&told.key);
        self.client.create(&resource(), namespace, body.to_string()).await?;
        if REMEMBERED <= self.told.len() {
            self.told.clear();
        }
        self.told.insert(hash, (ObjectKey::new(namespace, &name), 1));
        Ok(())
    }
}

/// How many more events each object may have.
struct Budget {
    clock: SharedClock,
    limits: EventLimits,
    left: HashMap<String, Bucket>,
}

impl Budget {
    fn take(&mut self, uid: &str) -> bool {
        let now = self.clock.now();
        if REMEMBERED <= self.left.len() {
            self.left.clear();
        }
        let EventLimits { burst, per_second } = self.limits;
        let left = self.left.entry(uid.to_owned());
        left.or_insert_with(|| Bucket::new(burst, per_second, now)).take(now)
    }
}

fn resource() -> Resource {
    Resource::namespaced("v1", "Event", "events")
}

/// Events of cluster-scoped objects land in `default`.
fn event_namespace(key: &ObjectKey) -> &str {
    if key.namespace.is_empty() { "default" } else { &key.namespace }
}

fn hash_of(told: &Told) -> u64 {
    let mut hasher = DefaultHasher::new();
    told.hash(&mut hasher);
    hasher.finish()
}

/// Tells apart events of one object that begin at different moments.
fn unique(now: Timestamp, hash: u64) -> u64 {
    u64::try_from(now.as_nanosecond() & i128::from(u64::MAX >> 1)).unwrap_or(hash)
        ^ (hash << 1 >> 1)
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn body(told: &Told, component: &str, name: &str, now: Timestamp) -> Value {
    let kind = match told.event.kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    };
    let message: String = told.event.message.chars().take(LONGEST_MESSAGE).collect();
    let mut involved = json!({
        "apiVersion": told.gvk.api_version(), "kind": told.gvk.kind,
        "name": told.key.name, "uid": told.uid});
    if !told.key.namespace.is_empty() {
        involved["namespace"] = json!(told.key.namespace);
    }
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": event_namespace(&told.key)},
        "involvedObject": involved,
        "type": kind, "reason": told.event.reason, "message": message,
        "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
        "count": 1, "firstTimestamp": seconds(now), "lastTimestamp": seconds(now),
        "eventTime": null})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s::{SignedDuration, VirtualClock};

    use super::*;

    #[test]
    fn a_burst_is_let_through_then_one_in_five_minutes() {
        let clock = VirtualClock::default();
        let limits = EventLimits::default();
        let mut budget = Budget { clock: Arc::new(clock.clone()), limits, left: HashMap::new() };
        let let_through = |budget: &mut Budget| (0..40).filter(|_| budget.take("u")).count();
        assert_eq!(let_through(&mut budget), 25);
        clock.advance(SignedDuration::from_mins(5));
        assert_eq!(let_through(&mut budget), 1);
    }
}
