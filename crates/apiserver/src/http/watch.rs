//! Watches: an answer that does not end while the client listens.

use std::{sync::Arc, vec};

use bytes::Bytes;
use futures::{future::BoxFuture, stream};
use http::header;
use k8s::{Object, SignedDuration, TimerKind, Timestamp};
use serde_json::json;
use tokio::sync::watch::Receiver;
use uuid::Uuid;

use crate::{
    backend::Backend,
    convert,
    error::ApiError,
    http::{
        Call,
        media::Encoding,
        respond::{self, Answer},
        shape::Shaper,
    },
    list::Filter,
    registry::Registered,
    store::{Behind, Event, Follow},
    watch::{self, Start},
};

/// How many bytes of events are sent at once.
const CHUNK: usize = 64 * 1024;

/// How often a bookmark is sent, and how long before the end the last one is.
const BOOKMARK_EVERY: SignedDuration = SignedDuration::from_secs(60);
const LAST_BOOKMARK: SignedDuration = SignedDuration::from_secs(2);

/// Watches without a timeout of their own end after this many seconds, and up to as many more.
const LIFETIME: u64 = 1800;

/// One watch, as far as it has come.
struct Watch {
    backend: Backend,
    registered: Arc<Registered>,
    filter: Filter,
    shaper: Shaper,
    bookmarks: bool,
    initial: vec::IntoIter<Arc<Object>>,
    /// The revision of the bookmark that ends the initial events.
    initial_end: Option<u64>,
    follow: Result<Follow, Behind>,
    stopping: Receiver<bool>,
    timer: BoxFuture<'static, ()>,
    ends: Timestamp,
}

/// What a watch waited for.
enum Woken {
    Events(Vec<Arc<Event>>),
    Behind(Behind),
    Timer,
    Stopping,
}

pub(crate) fn watch(
    call: &Call,
    registered: &Arc<Registered>,
    filter: Filter,
) -> Result<Answer, ApiError> {
    if call.header(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        let why = "watching over a WebSocket is not available: leave the `Upgrade` header out";
        return Err(ApiError::not_implemented(why));
    }
    let plan = watch::plan(&call.query)?;
    let backend = call.backend();
    let store = backend.store();
    let storage = &registered.storage;
    let (initial, from) = match plan.start {
        Start::Now => (vec![], store.revision()),
        Start::After(revision) => (vec![], revision),
        Start::Current => {
            let snapshot = store.list(storage, &filter.namespace);
            (snapshot.objects, snapshot.revision)
        }
    };
    // A client that is ahead has seen another store, such as this one before it was emptied: what it
    // knows does not fit, so it must list again.
    let follow = if from <= store.revision() {
        store.follow(storage, from)
    } else {
        Err(Behind::HistoryGone)
    };
    // Watches that began together, after a restart say, are not to end together.
    let lifetime = plan.timeout.unwrap_or_else(|| LIFETIME + random_below(LIFETIME));
    let lifetime = SignedDuration::from_secs(i64::try_from(lifetime).unwrap_or(i64::MAX));
    let now = backend.clock().now();
    let ends = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let state = Watch {
        backend: backend.clone(),
        registered: registered.clone(),
        filter,
        shaper: Shaper::new(call, registered)?,
        bookmarks: plan.bookmarks,
        initial: initial.into_iter(),
        initial_end: (plan.bookmarks && plan.start == Start::Current).then_some(from),
        follow,
        stopping: backend.stopping(),
        timer: timer(backend, next_due(now, ends)),
        ends,
    };
    let pieces = stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let (piece, goes_on) = state.piece().await?;
        Some((piece, goes_on.then_some(state)))
    });
    Ok(respond::stream(Encoding::Json.media_type(), pieces))
}

impl Watch {
    /// Returns the next bytes to send and whether more follow; nothing at the end.
    async fn piece(&mut self) -> Option<(Bytes, bool)> {
        if let Some(piece) = self.initial_events() {
            return Some((piece, true));
        }
        if let Some(revision) = self.initial_end.take() {
            return Some((self.bookmark(revision, true), true));
        }
        loop {
            match self.wait().await {
                Woken::Events(events) if events.is_empty() => return None,
                Woken::Events(events) => {
                    let piece = self.events(&events);
                    if !piece.is_empty() {
                        return Some((piece, true));
                    }
                }
                Woken::Behind(Behind::HistoryGone) => return Some((expired(), false)),
                // Without a word, as in the reference: the client comes back with what it has seen last.
                Woken::Behind(Behind::TooSlow) | Woken::Stopping => return None,
                Woken::Timer => {
                    let now = self.backend.clock().now();
                    if self.ends <= now {
                        return None;
                    }
                    self.timer = timer(&self.backend, next_due(now, self.ends));
                    if let (true, Ok(follow)) = (self.bookmarks, &self.follow) {
                        let revision = follow.caught_up();
                        return Some((self.bookmark(revision, false), true));
                    }
                }
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let follow = match &mut self.follow {
            Ok(follow) => follow,
            Err(behind) => return Woken::Behind(*behind),
        };
        tokio::select! {
            // Events come last: when they come all the time, the watch must still end.
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
            () = &mut self.timer => Woken::Timer,
            events = follow.next() => events.map_or_else(Woken::Behind, Woken::Events),
        }
    }

    fn initial_events(&mut self) -> Option<Bytes> {
        let mut piece = vec![];
        while piece.len() < CHUNK
            && let Some(object) = self.initial.next()
        {
            let object = convert::served(&self.registered, &object);
            if self.filter.matches(&object) {
                self.shaper.event(&mut piece, "ADDED", &object);
            }
        }
        (!piece.is_empty()).then(|| piece.into())
    }

    fn events(&mut self, events: &[Arc<Event>]) -> Bytes {
        let mut piece = vec![];
        for event in events {
            let event = self.served(event);
            if let Some((change, object)) = watch::change(&self.filter, &event) {
                self.shaper.event(&mut piece, change.text(), &object);
            }
        }
        piece.into()
    }

    /// Returns an event in the version that is watched.
    fn served(&self, event: &Arc<Event>) -> Arc<Event> {
        if event.object.gvk() == &self.registered.resource.gvk {
            return event.clone();
        }
        let object = convert::served(&self.registered, &event.object);
        let old = event.old.as_ref().map(|old| convert::served(&self.registered, old));
        Arc::new(Event { object, old, ..Event::clone(event) })
    }

    fn bookmark(&mut self, revision: u64, ends_initial: bool) -> Bytes {
        let mut piece = vec![];
        self.shaper.bookmark(&mut piece, revision, ends_initial);
        piece.into()
    }
}

/// A watch that asks for history that is gone is told so in its stream.
fn expired() -> Bytes {
    let error = ApiError::expired("The resourceVersion for the provided watch is too old.", None);
    let mut line = json!({"type": "ERROR", "object": error.status()}).to_string();
    line.push('\n');
    line.into()
}

fn next_due(now: Timestamp, ends: Timestamp) -> Timestamp {
    let soon = now.checked_add(BOOKMARK_EVERY).unwrap_or(ends);
    let last = ends.checked_sub(LAST_BOOKMARK).unwrap_or(ends);
    if now < last { soon.min(last) } else { ends }
}

fn timer(backend: &Backend, due: Timestamp) -> BoxFuture<'static, ()> {
    let (activity, clock) = (backend.activity().clone(), backend.clock().clone());
    Box::pin(async move {
        drop(activity.sleep_until(&*clock, due, TimerKind::Periodic, "bookmark").await);
    })
}

fn random_below(bound: u64) -> u64 {
    Uuid::new_v4().as_u64_pair().0 % bound.max(1)
}
