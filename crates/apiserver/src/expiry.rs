//! Deletes Events that have grown old, by the server's clock.

use std::time::Duration;

use k8s::{Object, Resource, SignedDuration, TimerKind, Timestamp};
use serde_json::Value;

use crate::backend::{Backend, DeleteOptions};

/// Deletes Events until the server stops.
pub(crate) async fn run(backend: Backend, ttl: Duration) {
    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    let mut stopping = backend.stopping();
    loop {
        let due = expire(&backend, ttl);
        let (activity, clock) = (backend.activity().clone(), backend.clock().clone());
        // Whoever waits for quiet does not wait for an hour to pass.
        let timer = activity.sleep_until(&*clock, due, TimerKind::Periodic, "expiry of events");
        tokio::select! {
            _ = timer => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Deletes what is older than `ttl` and returns when to look again: no later Event can be due before.
fn expire(backend: &Backend, ttl: SignedDuration) -> Timestamp {
    let events = Resource::namespaced("v1", "Event", "events");
    let now = backend.clock().now();
    let after = |moment: Timestamp| moment.checked_add(ttl).unwrap_or(Timestamp::MAX);
    let mut next = after(now);
    for event in backend.list(&events, "") {
        let due = after(last_seen(&event).unwrap_or(now));
        if now < due {
            next = next.min(due);
            continue;
        }
        // It may be gone already.
        let _ = backend.delete(&events, &event.key(), &DeleteOptions::default());
    }
    next
}

/// Returns when an Event was last written, as far as it tells.
fn last_seen(event: &Object) -> Option<Timestamp> {
    let event = event.to_value();
    let moments = ["/metadata/creationTimestamp", "/lastTimestamp", "/series/lastObservedTime"];
    let moment = |pointer| event.pointer(pointer).and_then(Value::as_str)?.parse().ok();
    moments.into_iter().filter_map(moment).max()
}
