//! Decides by URL how a hook is called, and calls it.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use api::{Hook, HookError, HookReply, HookRequest};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Uri};
use jsonnet::{CallError, ErrorKind, Form, Runtime};
use tracing::debug;

use crate::Webhooks;

/// Jsonnet programs that answer the URLs whose paths are their routes.
#[derive(Clone, Debug)]
pub struct JsonnetHooks {
    /// The runtime that has the routes.
    pub runtime: Runtime,
    /// The routes, without a leading slash, and their files.
    pub routes: BTreeMap<String, PathBuf>,
}

/// Calls each hook the way its URL asks for.
///
/// A URL whose path is a route of the Jsonnet hooks is run in a worker, whatever its host, so that
/// manifests written for a cluster work with no Service or DNS; hosts that are IP literals or `localhost`
/// are still called.
#[derive(Clone, Debug)]
pub struct Router {
    webhooks: Webhooks,
    jsonnet: Option<JsonnetHooks>,
}

impl Router {
    /// Returns a router that knows webhooks, and Jsonnet hooks if there are any.
    pub fn new(webhooks: Webhooks, jsonnet: Option<JsonnetHooks>) -> Self {
        Self { webhooks, jsonnet }
    }

    /// Returns the Jsonnet route that answers a URL, and its file.
    pub fn route(&self, url: &str) -> Option<(&str, &PathBuf)> {
        let routes = &self.jsonnet.as_ref()?.routes;
        let (route, file) = routes.get_key_value(&local_route(url)?)?;
        Some((route, file))
    }
}

impl Hook for Router {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        match (self.route(&request.url), &self.jsonnet) {
            (Some((route, _)), Some(jsonnet)) => evaluate(&jsonnet.runtime, route, request).boxed(),
            _ => self.webhooks.call(request),
        }
    }

    fn describe(&self, url: &str) -> String {
        self.route(url).map_or_else(
            || self.webhooks.describe(url),
            |(_, file)| format!("jsonnet {}", file.display()),
        )
    }
}

async fn evaluate(
    runtime: &Runtime,
    route: &str,
    request: HookRequest,
) -> Result<HookReply, HookError> {
    debug!(route, transport = "inprocess", "calling a hook");
    let timeout = request.timeout;
    match runtime.call_in(route, request.body, Some(timeout), Form::Compact).await {
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
