//! What only a broken server does: one that is played here.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use k8s::{Activity, SignedDuration, VirtualClock};
use runtime::{Caches, Client, ClientOptions};

use crate::world::configmaps;

/// Returns a client of a server with an empty list and watches that say nothing: those that stay open, or
/// those that end at once. The count is of watches.
fn client(stay_open: bool) -> (Client, VirtualClock, Arc<AtomicUsize>) {
    let watches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&watches);
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let body: UnsyncBoxBody<Bytes, Infallible> = match is_watch {
            true if stay_open => BodyExt::boxed_unsync(StreamBody::new(
                stream::pending::<Result<Frame<Bytes>, Infallible>>().boxed(),
            )),
            true => BodyExt::boxed_unsync(Full::new(Bytes::new())),
            false => {
                let list = r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#;
                BodyExt::boxed_unsync(Full::new(Bytes::from_static(list.as_bytes())))
            }
        };
        counted.fetch_add(usize::from(is_watch), Ordering::Relaxed);
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let clock = VirtualClock::default();
    let options = ClientOptions {
        agent: "test",
        clock: Arc::new(clock.clone()),
        activity: Activity::default(),
        revisions: None,
    };
    (Client::new(kube::Client::new(service, "default"), options), clock, watches)
}

/// Lets all tasks run as far as they get without time passing.
async fn run_on() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_watch_that_says_nothing_for_long_is_opened_again() {
    let (client, clock, watches) = client(true);
    let cache = Caches::new(client).get(&configmaps());
    cache.filled().await.unwrap();
    let mut counts = Vec::new();
    for _ in 0..12 {
        run_on().await;
        counts.push(watches.load(Ordering::Relaxed));
        clock.advance(SignedDuration::from_mins(1));
    }
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

#[tokio::test]
async fn watches_that_end_at_once_are_not_opened_at_full_speed() {
    let (client, clock, watches) = client(false);
    let cache = Caches::new(client).get(&configmaps());
    cache.filled().await.unwrap();
    for _ in 0..16 {
        run_on().await;
        clock.advance(SignedDuration::from_secs(1));
    }
    assert_eq!(watches.load(Ordering::Relaxed), 4 + 1);
}
