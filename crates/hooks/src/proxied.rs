//! Connections that go through a proxy where the environment names one.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::{
    client::conn::http1,
    rt::{Read, ReadBufCursor, Write},
    upgrade,
};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::{
    proxies::{Proxies, Proxy},
    webhook::BoxError,
};

/// A connector that asks first whether a proxy stands between.
#[derive(Clone, Debug)]
pub(crate) struct Proxied<C> {
    connector: C,
    proxies: Arc<Proxies>,
}

/// A connection, to a host or to what stands in its place.
pub(crate) struct Stream {
    io: Pin<Box<dyn Io>>,
    /// Whether it leads to a proxy that reads the requests, and must be told their whole URL.
    is_read_on_the_way: bool,
}

trait Io: Read + Write + Send {}

impl<T: Read + Write + Send> Io for T {}

impl<C> Proxied<C> {
    pub(crate) fn new(connector: C, proxies: Arc<Proxies>) -> Self {
        Self { connector, proxies }
    }
}

impl<C> Service<Uri> for Proxied<C>
where
    C: Service<Uri>,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Stream, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let proxy = self.proxies.of(&url).cloned();
        let to = proxy.as_ref().map_or_else(|| url.clone(), |proxy| proxy.url.clone());
        let connected = self.connector.call(to);
        async move {
            let io = connected.await.map_err(Into::into)?;
            let is_read_on_the_way = proxy.is_some() && url.scheme_str() != Some("https");
            let io: Pin<Box<dyn Io>> = match &proxy {
                Some(proxy) if !is_read_on_the_way => tunnel(io, &url, proxy).await?,
                _ => Box::pin(io),
            };
            Ok(Stream { io, is_read_on_the_way })
        }
        .boxed()
    }
}

/// Asks a proxy for a connection to a host, of which it sees no more than bytes.
async fn tunnel<T>(io: T, url: &Uri, proxy: &Proxy) -> Result<Pin<Box<dyn Io>>, BoxError>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let host = url.host().ok_or("the URL has no host")?;
    let place = format!("{host}:{}", url.port_u16().unwrap_or(443));
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(io).await?;
    // It ends with the tunnel, or with the sender if there is none.
    tokio::spawn(connection.with_upgrades());
    let mut ask = Request::builder().method(Method::CONNECT).uri(place.parse::<Uri>()?);
    ask = ask.header(header::HOST, &place);
    if let Some(login) = &proxy.login {
        ask = ask.header(header::PROXY_AUTHORIZATION, login);
    }
    let answer = sender.send_request(ask.body(Empty::new())?).await?;
    let status = answer.status();
    if status != StatusCode::OK {
        return Err(format!("the proxy {} answered {status}", proxy.url).into());
    }
    Ok(Box::pin(upgrade::on(answer).await?))
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_read_on_the_way)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.as_mut().poll_write_vectored(context, bytes)
    }
}
