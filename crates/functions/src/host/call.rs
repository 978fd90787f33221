//! One call: it waits for a worker, is answered within its time, and is written down when it is over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    ext::ReasonPhrase,
};
use k8s::{Timestamp, Token};
use runtime::{Labels, Metrics};
use tokio::runtime::Handle;

use super::{
    BodyError, ResponseBody, Shared,
    contract::{self, FAILED},
    pool::WorkerId,
    record::{CALLS, DURATION, FAILURES, Record},
    whole,
    worker::{Answer, Connection, Worker},
};

/// A call from its arrival to the last byte of its answer. It is written down when this is dropped.
pub(super) struct Call {
    shared: Arc<Shared>,
    record: Record,
    /// When a worker got it; calls that none gets are not counted.
    dispatched: Option<Timestamp>,
    status: StatusCode,
    bytes: u64,
    has_failed: bool,
    _token: Token,
}

/// The right to have one call served by a worker; the next is served when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: Arc<Worker>,
    pub(super) id: WorkerId,
}

/// The body of an answer. What the caller does not take is read all the same, because a caller that goes away
/// does not stop the function in the middle of what it does.
struct Streamed(Option<Flow>);

/// The body of an answer while the worker still writes it.
struct Flow {
    body: Incoming,
    deadline: BoxFuture<'static, ()>,
    connection: Option<Connection>,
    lease: Option<Lease>,
    call: Call,
}

impl Call {
    pub(super) fn new(shared: &Arc<Shared>, head: &request::Parts) -> Self {
        Self {
            shared: Arc::clone(shared),
            record: Record::of(head),
            dispatched: None,
            status: StatusCode::BAD_GATEWAY,
            bytes: 0,
            has_failed: false,
            _token: shared.means.activity.hold("call of a function"),
        }
    }

    /// Has a worker answer within the time a call may take.
    pub(super) async fn run(mut self, head: request::Parts, body: Bytes) -> Response<ResponseBody> {
        let shared = Arc::clone(&self.shared);
        let lease = match shared.lease().await {
            Ok(lease) => lease,
            Err(refusal) => {
                let failure = shared.health.borrow().failure.clone();
                let failure = failure.filter(|_| shared.settings.exposes_errors);
                return self.end(contract::refused(refusal, failure.as_deref()));
            }
        };
        let clock = &shared.means.clock;
        self.dispatched = Some(clock.now());
        let mut deadline = clock.sleep_until(clock.after(shared.settings.timeout));
        let answer = tokio::select! {
            biased;
            answer = lease.worker.send(worker_request(head, body)) => answer,
            () = &mut deadline => {
                self.has_failed = true;
                lease.give_up().await;
                return self.end(contract::plain(StatusCode::REQUEST_TIMEOUT, "Timeout exceeded"));
            }
        };
        match answer {
            Ok(answer) => self.hand_on(answer, deadline, lease),
            Err(error) => {
                self.has_failed = true;
                let what =
                    if error.is_parse() { "Invalid answer" } else { "Function process exited" };
                self.end(contract::plain(StatusCode::BAD_GATEWAY, what))
            }
        }
    }

    /// Ends the call with an answer that is not the function's.
    pub(super) fn end(mut self, response: Response<Bytes>) -> Response<ResponseBody> {
        self.status = response.status();
        let response =
            if self.record.is_head() { response.map(|_| Bytes::new()) } else { response };
        self.bytes = response.body().len() as u64;
        whole(response)
    }

    /// Hands on the answer of a worker while it is written.
    fn hand_on(
        mut self,
        answer: Answer,
        deadline: BoxFuture<'static, ()>,
        lease: Lease,
    ) -> Response<ResponseBody> {
        let Answer { response, connection } = answer;
        let (mut head, body) = response.into_parts();
        self.has_failed = head.headers.remove(FAILED).is_some();
        self.status = head.status;
        drop_hops(&mut head.headers);
        let phrase = head.extensions.remove::<ReasonPhrase>();
        head.extensions.clear();
        if let Some(phrase) = phrase {
            head.extensions.insert(phrase);
        }
        let is_head = self.record.is_head();
        let (connection, lease) = (Some(connection), Some(lease));
        let mut flow = Flow { body, deadline, connection, lease, call: self };
        let body = Streamed(if flow.is_over() { None } else { Some(flow) });
        if is_head {
            // Dropped, it is read to its end.
            let none = Empty::new().map_err(|never| match never {});
            return Response::from_parts(head, none.boxed_unsync());
        }
        Response::from_parts(head, body.boxed_unsync())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Shared { means, metrics, .. } = &*self.shared;
        let now = means.clock.now();
        if let Some(since) = self.dispatched {
            let took = now.duration_since(since).unsigned_abs();
            let own = vec![("method", self.record.label().to_owned())];
            count(metrics, &own, self.has_failed, took);
            if let Some(totals) = &means.totals {
                let code = ("code", self.status.as_str().to_owned());
                let labels = [totals.labels(), own, vec![code]].concat();
                count(&totals.metrics, &labels, self.has_failed, took);
            }
        }
        means.log.line(&self.record.line(now, self.status, self.bytes));
    }
}

fn count(metrics: &Metrics, labels: &Labels, has_failed: bool, took: Duration) {
    metrics.count(&CALLS, labels.clone());
    // A series that is there from the first call on tells `none` from `unknown`.
    metrics.add(&FAILURES, labels.clone(), f64::from(u8::from(has_failed)));
    metrics.observe(&DURATION, labels.clone(), took);
}

impl Lease {
    /// Ends a worker that takes too long; one that still serves other calls well may end these.
    async fn give_up(self) {
        let is_shared = 1 < self.shared.state().pool.calls_of(self.id);
        if is_shared && self.worker.is_responsive(&self.shared.means.clock).await {
            self.shared.act(|pool, now| pool.drain(self.id, now));
        } else {
            self.worker.kill();
            self.shared.state().workers.remove(&self.id);
            self.shared.act(|pool, now| pool.killed(self.id, now));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.act(|pool, now| pool.ended(self.id, now));
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(flow) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(flow.poll_frame(context));
        if let Some(Ok(data)) = &frame {
            flow.call.bytes += data.data_ref().map_or(0, Bytes::len) as u64;
        }
        if !matches!(frame, Some(Ok(_))) || flow.is_over() {
            // The call is over before its caller can know, whose next one finds the worker free.
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| hyper::body::SizeHint::with_exact(0), |it| it.body.size_hint())
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let (Some(mut flow), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                while let Some(Ok(_)) = std::future::poll_fn(|it| flow.poll_frame(it)).await {}
            });
        }
    }
}

impl Flow {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            match &frame {
                None => self.give_back(),
                Some(Err(_)) => self.call.has_failed = true,
                Some(Ok(_)) => {}
            }
            // Not as the transport has it: callers must not take it for the end of an answer without a length.
            let broken = |error| format!("the function's answer broke off: {error}").into();
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        ready!(self.deadline.as_mut().poll(context));
        self.call.has_failed = true;
        if let Some(lease) = self.lease.take() {
            tokio::spawn(lease.give_up());
        }
        // Too late for another status: the caller's connection is reset.
        Poll::Ready(Some(Err("the function took too long".into())))
    }

    /// Returns whether all of a body was read whose length was known.
    fn is_over(&mut self) -> bool {
        let is_over = self.body.is_end_stream();
        if is_over {
            self.give_back();
        }
        is_over
    }

    /// Keeps the connection for the next call.
    fn give_back(&mut self) {
        if let (Some(lease), Some(connection)) = (&self.lease, self.connection.take()) {
            lease.worker.give_back(connection);
        }
    }
}

/// Returns a request as a worker gets it.
fn worker_request(mut head: request::Parts, body: Bytes) -> Request<Full<Bytes>> {
    drop_hops(&mut head.headers);
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    if head.method == Method::HEAD {
        // Programs need not know it: the answer's body is left out on the way back.
        head.method = Method::GET;
    }
    // A worker knows itself by path alone.
    head.uri = head.uri.path_and_query().map_or("/", |it| it.as_str()).parse().unwrap_or_default();
    head.headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    head.version = http::Version::HTTP_11;
    Request::from_parts(head, Full::new(body))
}

/// Removes the headers that are about one connection only.
fn drop_hops(headers: &mut HeaderMap) {
    for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE] {
        headers.remove(hop);
    }
    headers.remove("keep-alive");
}
