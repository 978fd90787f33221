//! Tells who wants to know of the steps that a new connection takes.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use api::{Connecting, HookTrace};
use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tokio::task_local;
use tower_service::Service;

task_local! {
    // Connections are shared, and know nothing of the call that they are opened for.
    static TRACE: Arc<dyn HookTrace>;
}

/// Does something during which new connections are opened for one call.
pub(crate) async fn traced<F: Future>(trace: Option<Arc<dyn HookTrace>>, call: F) -> F::Output {
    match trace {
        Some(trace) => TRACE.scope(trace, call).await,
        None => call.await,
    }
}

fn current() -> Option<Arc<dyn HookTrace>> {
    TRACE.try_with(Arc::clone).ok()
}

/// Looks hosts up as the system does.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(GaiResolver);

impl Resolver {
    pub(crate) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Resolver {
    type Response = std::iter::Map<GaiAddrs, fn(SocketAddr) -> SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (trace, found) = (current(), self.0.call(name));
        async move {
            trace.as_ref().inspect(|trace| trace.note(Connecting::DnsStart));
            let found = found.await;
            trace.as_ref().inspect(|trace| trace.note(Connecting::DnsDone));
            found.map(|addresses| addresses.map(std::convert::identity as fn(_) -> _))
        }
        .boxed()
    }
}

/// A connector whose success is a step of connections with TLS.
#[derive(Clone, Debug)]
pub(crate) struct Step<C> {
    connector: C,
    step: Connecting,
}

impl<C> Step<C> {
    pub(crate) fn new(connector: C, step: Connecting) -> Self {
        Self { connector, step }
    }
}

impl<C: Service<Uri>> Service<Uri> for Step<C>
where
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<C::Response, C::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let trace = current().filter(|_| url.scheme_str() == Some("https"));
        let (connected, step) = (self.connector.call(url), self.step);
        async move {
            let connected = connected.await?;
            trace.as_ref().inspect(|trace| trace.note(step));
            Ok(connected)
        }
        .boxed()
    }
}
