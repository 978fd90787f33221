//! Hooks over HTTP/1.1, as simple servers can read them: a `Content-Length`, never chunked.

use std::{env, error::Error, io, iter, sync::Arc};

use api::{Hook, HookError, HookReply, HookRequest, HookTls};
use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header, request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use k8s::{Activity, Reached, ServicePort, Services, SharedClock, Unreachable};

use crate::{
    proxies::Proxies,
    tls::{Clients, config},
    trace::traced,
};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The largest answer that is read.
const LARGEST: usize = 32 << 20;
/// How often a call is sent elsewhere.
const REDIRECTS: usize = 5;

/// Calls hooks over HTTP. Connections are kept and shared.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub(crate) clients: Clients,
    pub(crate) clock: SharedClock,
    pub(crate) activity: Activity,
    services: Option<Arc<dyn Services>>,
}

impl Webhooks {
    /// Returns a caller of webhooks. HTTPS is checked against the system's certificates, unless a call
    /// brings its own; the proxies are those of the environment.
    ///
    /// # Errors
    ///
    /// An [`io::Error`] if the system has no certificates, or a variable names no proxy.
    pub fn new(clock: SharedClock, activity: Activity) -> io::Result<Self> {
        Self::with_variables(clock, activity, |name| env::var(name).ok())
    }

    /// Returns the same with proxies that other variables name.
    ///
    /// # Errors
    ///
    /// As [`Webhooks::new`].
    pub fn with_variables(
        clock: SharedClock,
        activity: Activity,
        variable: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let clients = Clients::new(Proxies::read(variable).map_err(io::Error::other)?)?;
        Ok(Self { clients, clock, activity, services: None })
    }

    /// Has hosts in the form of a Service's name looked up here: without a cluster's DNS they mean nothing.
    #[must_use]
    pub fn with_services(self, services: Arc<dyn Services>) -> Self {
        Self { services: Some(services), ..self }
    }

    async fn exchange(&self, request: &HookRequest) -> Result<HookReply, HookError> {
        let unreachable = |source| HookError::Unreachable { url: request.url.clone(), source };
        let mut url: Uri = request.url.parse().map_err(|error| unreachable(Box::new(error)))?;
        let home = url.clone();
        for _ in 0..=REDIRECTS {
            let reached = self.find(&url).map_err(|error| unreachable(Box::new(error)))?;
            let mut call = call(&url, reached.as_ref(), &request.body)
                .map_err(|error| unreachable(Box::new(error)))?;
            // Credentials are meant for the host that the controller names, not for where it sends us.
            let is_home = url.authority() == home.authority() && url.scheme() == home.scheme();
            let tls = request.tls.as_ref().filter(|_| is_home);
            if is_home {
                call.headers_mut().extend(request.headers.clone());
            }
            if let Some(Reached::Handler(handler)) = reached {
                return reply(request, handler.handle(call).await).await;
            }
            let login = self.clients.proxy_login(call.uri());
            call.headers_mut().extend(login.map(|login| (header::PROXY_AUTHORIZATION, login)));
            let client = self.clients.get(tls).map_err(|error| unreachable(error.into()))?;
            let response = traced(request.trace.clone(), client.request(call.map(Full::new))).await;
            let response = response.map_err(|error| unreachable(Box::new(error)))?;
            let keeps_method = matches!(
                response.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            match elsewhere(&url, response.headers()).filter(|_| keeps_method) {
                Some(other) => url = other,
                None => return reply(request, response).await,
            }
        }
        Err(unreachable(format!("more than {REDIRECTS} redirects").into()))
    }

    /// Returns where the Service is reached that a URL names, nothing if it names none.
    pub(crate) fn find(&self, url: &Uri) -> Result<Option<Reached>, Unreachable> {
        match (&self.services, ServicePort::of_url(url)) {
            (Some(services), Some(port)) => services.find(&port),
            _ => Ok(None),
        }
    }
}

impl Hook for Webhooks {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        async move {
            let _token = self.activity.hold(format!("call of {}", request.url));
            let deadline = self.clock.after(request.timeout);
            let deadline = self.clock.sleep_until(deadline);
            match select(self.exchange(&request).boxed(), deadline).await {
                Either::Left((reply, _)) => reply,
                Either::Right(((), _)) => Err(HookError::TimedOut(request.timeout)),
            }
        }
        .boxed()
    }

    fn check_tls(&self, tls: &HookTls) -> Result<(), String> {
        config(tls).map(|_| ())
    }
}

/// Returns the request of a hook, sent to where its Service is reached but still in its name.
fn call(url: &Uri, reached: Option<&Reached>, body: &Bytes) -> http::Result<Request<Bytes>> {
    addressed(url, reached)
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.clone())
}

/// Returns a request to where a URL's Service is reached, in the name that the URL has.
pub(crate) fn addressed(url: &Uri, reached: Option<&Reached>) -> request::Builder {
    let to = reached.and_then(|reached| reached.url(url)).unwrap_or_else(|| url.clone());
    // What a person mapped a Service to is called by its own name.
    let named = if matches!(reached, Some(Reached::Url(_))) { &to } else { url };
    let host = named.authority().map_or("", http::uri::Authority::as_str).to_owned();
    Request::builder().uri(to).header(header::HOST, host)
}

/// Returns where an answer sends its caller.
pub(crate) fn elsewhere(url: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let location: Uri = headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    if location.host().is_some() {
        return Some(location);
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = location.into_parts().path_and_query;
    Uri::from_parts(parts).ok()
}

async fn reply<B>(request: &HookRequest, response: Response<B>) -> Result<HookReply, HookError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let body = read(&head.headers, body, LARGEST).await.map_err(|source| {
        let url = request.url.clone();
        if source.is::<LengthLimitError>() {
            HookError::TooLarge { url, limit: LARGEST }
        } else {
            HookError::Unreachable { url, source }
        }
    })?;
    Ok(HookReply { status: head.status.as_u16(), headers: head.headers, body })
}

/// Reads the body of an answer; an error may be a [`LengthLimitError`].
pub(crate) async fn read<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let ends_by_close = ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|length| headers.contains_key(length));
    let (mut body, mut read) = (Limited::new(body, limit), BytesMut::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            // Python's servers close without the farewell of TLS.
            Err(error) if ends_by_close && is_close(&*error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read.freeze())
}

/// Returns whether the other side just closed the connection.
fn is_close(error: &(dyn Error + 'static)) -> bool {
    let errors = iter::successors(Some(error), |error| (*error).source());
    errors
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn a_call_keeps_the_name_of_its_service() {
        let url: Uri = "http://hook.web:81/sync?a=b".parse().unwrap();
        let reached = Reached::Authority("127.0.0.1:9".to_owned());
        let call = call(&url, Some(&reached), &Bytes::new()).unwrap();
        assert_eq!(call.uri(), "http://127.0.0.1:9/sync?a=b");
        assert_eq!(call.headers()["host"], "hook.web:81");
    }

    /// Breaks when `read` takes every close of a connection for a failure, or for an end.
    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let request = HookRequest::new("http://hook.test/", Bytes::new(), Duration::ZERO);
        let answer = |length: Option<&str>| {
            let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "no farewell");
            let frames = [Ok(Frame::data(Bytes::from_static(b"{}"))), Err(cut)];
            let mut response = Response::new(StreamBody::new(stream::iter(frames)));
            let length = length.map(|length| length.parse().unwrap());
            response.headers_mut().extend(length.map(|length| (header::CONTENT_LENGTH, length)));
            reply(&request, response).now_or_never().unwrap()
        };
        assert_eq!(answer(None).unwrap().body, "{}");
        assert!(answer(Some("9")).is_err());
    }
}
