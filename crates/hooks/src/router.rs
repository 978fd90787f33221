//! Decides by URL how a hook is called, and calls it.

use std::net::IpAddr;

use api::{Hook, HookError, HookReply, HookRequest, HookTls};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Uri};
use jsonnet::{CallError, ErrorKind, Form, Runtime};
use tracing::debug;

use crate::Webhooks;

/// Calls each hook the way its URL asks for.
///
/// A URL whose path is a route of the Jsonnet hooks is run in a worker, whatever its host, so that
/// manifests written for a cluster work with no Service or DNS; hosts that are IP literals or `localhost`
/// are still called.
#[derive(Clone, Debug)]
pub struct Router {
    webhooks: Webhooks,
    jsonnet: Option<Runtime>,
}

impl Router {
    /// Returns a router that knows webhooks, and Jsonnet hooks if there are any.
    pub fn new(webhooks: Webhooks, jsonnet: Option<Runtime>) -> Self {
        Self { webhooks, jsonnet }
    }

    /// Returns the Jsonnet route that answers a URL, if there is one.
    pub fn route(&self, url: &str) -> Option<String> {
        let route = local_route(url)?;
        self.jsonnet.as_ref()?.revision(&route).map(|_| route)
    }
}

impl Hook for Router {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        match (self.route(&request.url), &self.jsonnet) {
            (Some(route), Some(runtime)) => evaluate(runtime, route, request).boxed(),
            _ => self.webhooks.call(request),
        }
    }

    fn check_tls(&self, tls: &HookTls) -> Result<(), String> {
        self.webhooks.check_tls(tls)
    }

    fn describe(&self, url: &str) -> String {
        let status = self.jsonnet.as_ref().zip(self.route(url));
        let status = status.and_then(|(runtime, route)| runtime.status(&route));
        status.map_or_else(
            || self.webhooks.describe(url),
            |status| format!("jsonnet {}", status.file.display()),
        )
    }
}

async fn evaluate(
    runtime: &Runtime,
    route: String,
    request: HookRequest,
) -> Result<HookReply, HookError> {
    debug!(%route, transport = "inprocess", "calling a hook");
    let timeout = request.timeout;
    match runtime.call_in(&route, request.body, Some(timeout), Form::Compact).await {
        Ok(evaluated) => {
            Ok(HookReply { status: 200, headers: HeaderMap::new(), body: evaluated.json })
        }
        Err(error) => Err(match error.kind {
            ErrorKind::Timeout => HookError::TimedOut(timeout),
            ErrorKind::Overload => HookError::Overloaded,
            _ => failed(&error),
        }),
    }
}

/// Returns what a person needs of a program's failure: the first line, and where it happened.
fn failed(error: &CallError) -> HookError {
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let place = error.trace().next().and_then(|line| line.split('\t').next()).map(short_place);
    HookError::Program { message, place }
}

/// Shortens `dir/file:line:column-column` to `file:line:column`.
fn short_place(place: &str) -> String {
    let place = place.rsplit_once('/').map_or(place, |(_, file)| file);
    place.split('-').next().unwrap_or(place).to_owned()
}

/// Returns the route a URL asks for, unless its host must be called as it is.
fn local_route(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    Some(uri.path().strip_prefix('/')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_addresses_are_called() {
        for (url, route) in [
            ("http://useless-controller.metacontroller/sync", Some("sync")),
            ("http://h.n:8080/a/b?x=1", Some("a/b")),
            ("http://127.0.0.1:8080/sync", None),
            ("http://[::1]/sync", None),
            ("http://localhost/sync", None),
            ("not a url", None),
        ] {
            assert_eq!(local_route(url).as_deref(), route, "{url}");
        }
    }

    #[test]
    fn a_failure_is_one_line_with_its_place() {
        let text = "RUNTIME ERROR: boom\n\t/tmp/x/sync.jsonnet:4:35-39\tfunction <a>\n\t...";
        let error = failed(&CallError::new(ErrorKind::Runtime, text));
        assert_eq!(error.to_string(), "RUNTIME ERROR: boom (sync.jsonnet:4:35)");
    }
}
