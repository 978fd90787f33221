//! Hooks over HTTP/1.1, as simple servers can read them: a `Content-Length`, never chunked.

use api::{Hook, HookError, HookReply, HookRequest};
use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s::{Activity, SharedClock, SignedDuration, Timestamp};

/// The largest answer that is read.
const LARGEST: usize = 32 << 20;
/// How often a call is sent elsewhere.
const REDIRECTS: usize = 5;

/// Calls hooks over HTTP. Connections are kept and shared.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: SharedClock,
    activity: Activity,
}

impl Webhooks {
    /// Returns a caller of webhooks. HTTPS is checked against the system's certificates.
    pub fn new(clock: SharedClock, activity: Activity) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?;
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, clock, activity })
    }

    async fn exchange(&self, request: &HookRequest) -> Result<HookReply, HookError> {
        let unreachable = |source| HookError::Unreachable { url: request.url.clone(), source };
        let mut url: Uri = request.url.parse().map_err(|error| unreachable(Box::new(error)))?;
        for _ in 0..=REDIRECTS {
            let call = Request::builder()
                .method(Method::POST)
                .uri(url.clone())
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(request.body.clone()))
                .map_err(|error| unreachable(Box::new(error)))?;
            let response =
                self.client.request(call).await.map_err(|error| unreachable(Box::new(error)))?;
            match elsewhere(&url, &response) {
                Some(other) => url = other,
                None => return read(request, response).await,
            }
        }
        Err(unreachable(format!("more than {REDIRECTS} redirects").into()))
    }
}

impl Hook for Webhooks {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        async move {
            let _token = self.activity.hold(format!("call of {}", request.url));
            let wait = SignedDuration::try_from(request.timeout).unwrap_or(SignedDuration::MAX);
            let deadline = self.clock.now().checked_add(wait).unwrap_or(Timestamp::MAX);
            let deadline = self.clock.sleep_until(deadline);
            match select(self.exchange(&request).boxed(), deadline).await {
                Either::Left((reply, _)) => reply,
                Either::Right(((), _)) => Err(HookError::TimedOut(request.timeout)),
            }
        }
        .boxed()
    }
}

/// Returns where a call is to be sent instead: only the redirects that keep the method count.
fn elsewhere(url: &Uri, response: &Response<Incoming>) -> Option<Uri> {
    let status = response.status();
    if status != StatusCode::TEMPORARY_REDIRECT && status != StatusCode::PERMANENT_REDIRECT {
        return None;
    }
    let location: Uri = response.headers().get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    if location.host().is_some() {
        return Some(location);
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = location.into_parts().path_and_query;
    Uri::from_parts(parts).ok()
}

async fn read(request: &HookRequest, response: Response<Incoming>) -> Result<HookReply, HookError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map_err(|source| {
        if source.is::<LengthLimitError>() {
            return HookError::TooLarge { url: request.url.clone(), limit: LARGEST };
        }
        HookError::Unreachable { url: request.url.clone(), source }
    })?;
    Ok(HookReply { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
}
