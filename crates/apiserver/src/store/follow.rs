//! Following the store: cursors into its history that wake when there is more.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use k8s::{Activity, Lag, Resource};
use tokio::sync::watch;

use crate::store::{Behind, Event, HistoryGone, Store};

/// How many events a subscription takes out of the store at once.
const BATCH: usize = 256;

/// Every committed write after a revision, in order, for followers inside the process.
///
/// As long as it lives, the process is not settled until it has delivered all events and was asked for the
/// one after the last: asking again means that the previous event was dealt with.
pub struct Subscription {
    store: Arc<Store>,
    newest: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    pending: VecDeque<Arc<Event>>,
    cursor: u64,
    delivered: u64,
    position: Arc<Position>,
}

struct Position {
    store: Arc<Store>,
    done: AtomicU64,
}

/// The writes to one resource after a revision.
pub(crate) struct Follow {
    store: Arc<Store>,
    resource: Resource,
    changed: watch::Receiver<u64>,
    cursor: u64,
    /// The newest revision when it began: up to there it reads what was there before.
    present: u64,
}

impl Subscription {
    pub(crate) fn new(
        store: &Arc<Store>,
        activity: &Activity,
        stopping: watch::Receiver<bool>,
        from: u64,
    ) -> Self {
        let position = Arc::new(Position { store: store.clone(), done: AtomicU64::new(from) });
        activity.follow(&position);
        Self {
            store: store.clone(),
            newest: store.newest.subscribe(),
            stopping,
            pending: VecDeque::new(),
            cursor: from,
            delivered: from,
            position,
        }
    }

    /// Waits for the next event; nothing once the server stops or the history in between is gone.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            self.newest.borrow_and_update();
            match self.take() {
                Err(HistoryGone) => return None,
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
            }
            if *self.stopping.borrow() {
                return None;
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                _ = self.stopping.changed() => {}
            }
        }
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        self.take().ok().flatten()
    }

    fn take(&mut self) -> Result<Option<Arc<Event>>, HistoryGone> {
        self.position.done.store(self.delivered, Ordering::Release);
        if self.pending.is_empty() {
            self.pending = self.store.all_after(self.cursor, BATCH)?.into();
        }
        let Some(event) = self.pending.pop_front() else { return Ok(None) };
        self.cursor = event.revision;
        self.delivered = event.revision;
        Ok(Some(event))
    }
}

impl Lag for Position {
    fn lag(&self) -> Option<String> {
        let (done, newest) = (self.done.load(Ordering::Acquire), self.store.revision());
        (done < newest).then(|| format!("a follower at revision {done} of {newest}"))
    }
}

impl Follow {
    /// Returns the events that are there, or waits until there are some; none once the resource is gone.
    ///
    /// Nothing is kept for a follower, so one that does not ask holds nobody up.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Event>>, Behind> {
        loop {
            if self.changed.has_changed().is_err() {
                return Ok(vec![]);
            }
            self.changed.borrow_and_update();
            let events = self.store.after(&self.resource, self.cursor, self.present)?;
            if let Some(last) = events.last() {
                self.cursor = last.revision;
                return Ok(events);
            }
            if self.changed.changed().await.is_err() {
                return Ok(vec![]);
            }
        }
    }

    /// Returns a revision up to which everything was delivered.
    pub(crate) fn caught_up(&self) -> u64 {
        let newest = self.store.revision();
        let latest = self.store.latest(&self.resource);
        if latest <= self.cursor { newest.max(self.cursor) } else { self.cursor }
    }
}

impl Store {
    /// Follows one resource from a revision on.
    pub(crate) fn follow(
        self: &Arc<Self>,
        resource: &Resource,
        cursor: u64,
    ) -> Result<Follow, Behind> {
        let mut state = self.write();
        let present = state.revision;
        let changed = state.collection_mut(resource).changed().subscribe();
        drop(state);
        self.after(resource, cursor, present)?;
        Ok(Follow { store: self.clone(), resource: resource.clone(), changed, cursor, present })
    }

    /// Waits until a revision exists.
    pub(crate) async fn reached(&self, revision: u64) {
        let mut newest = self.newest.subscribe();
        // The sender lives as long as the store.
        let _ = newest.wait_for(|newest| revision <= *newest).await;
    }

    fn after(
        &self,
        resource: &Resource,
        cursor: u64,
        present: u64,
    ) -> Result<Vec<Arc<Event>>, Behind> {
        let state = self.read();
        match state.collection(resource) {
            Some(collection) => collection.after(cursor, present),
            None => Ok(vec![]),
        }
    }

    fn all_after(&self, cursor: u64, limit: usize) -> Result<Vec<Arc<Event>>, HistoryGone> {
        let state = self.read();
        if cursor < state.evicted {
            return Err(HistoryGone);
        }
        let start = state.log.partition_point(|(_, event)| event.revision <= cursor);
        Ok(state.log.range(start..).take(limit).map(|(_, event)| event.clone()).collect())
    }
}
