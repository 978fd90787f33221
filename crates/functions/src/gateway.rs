//! The way in for HTTP from outside: each request goes to the function that a trigger's rule, or the name of a
//! Service, says.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, RwLock},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use k8s::ObjectKey;
use tokio::{net::TcpListener, task::AbortHandle};

use self::table::{Destination, Table};
pub(crate) use self::{htpasswd::Users, table::Rule};
use crate::{
    fleet::Fleet,
    host::{ResponseBody, contract, down, whole},
};

mod htpasswd;
mod table;

/// What the gateway goes by. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Routes(Arc<RwLock<Table>>);

/// Answers what comes to a socket, until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    task: AbortHandle,
}

/// What each connection needs.
#[derive(Clone)]
struct Way {
    fleet: Fleet,
    routes: Routes,
    address: SocketAddr,
}

impl Routes {
    pub(crate) fn set_rule(&self, trigger: &ObjectKey, rule: Option<Rule>) {
        self.0.write().expect("the lock of routes is never poisoned").set_rule(trigger, rule);
    }

    pub(crate) fn set_port(&self, function: &ObjectKey, port: Option<u16>) {
        self.0.write().expect("the lock of routes is never poisoned").set_port(function, port);
    }

    fn find(&self, host: &str, uri: &Uri, own: u16) -> Option<Destination> {
        self.0.read().expect("the lock of routes is never poisoned").find(host, uri, own)
    }
}

impl Gateway {
    /// Starts to answer.
    ///
    /// # Errors
    ///
    /// What the system said if the socket has no address.
    pub fn start(listener: TcpListener, fleet: Fleet, routes: Routes) -> io::Result<Self> {
        let way = Way { fleet, routes, address: listener.local_addr()? };
        let task = tokio::spawn(async move {
            loop {
                // A connection that was gone before it was taken concerns nobody.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let way = way.clone();
                let answer = service_fn(move |request| {
                    let way = way.clone();
                    async move { Ok::<_, Infallible>(way.answer(request).await) }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // Who hung up knows it.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self { task: task.abort_handle() })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Way {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let named = request.uri().authority().map(ToString::to_string);
        let header =
            |name| request.headers().get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        let host = named.as_deref().or(header(header::HOST)).unwrap_or_default();
        let Some(found) = self.routes.find(host, request.uri(), self.address.port()) else {
            let text = format!("No trigger and no function answers `{host}`\n");
            return whole(contract::plain(StatusCode::NOT_FOUND, text));
        };
        let is_asking = request.method() == Method::OPTIONS
            && header(header::ACCESS_CONTROL_REQUEST_METHOD).is_some();
        // Browsers ask without the password.
        if found.cors && is_asking {
            return whole(contract::preflight(request.headers(), "*"));
        }
        let authorization = header(header::AUTHORIZATION).unwrap_or_default().to_owned();
        let mut response = if is_let_in(&found, authorization).await {
            *request.uri_mut() = found.path.into();
            match self.fleet.host(&found.function) {
                Some(host) => host.handle(request).await,
                None => down(),
            }
        } else {
            whole(unauthorized())
        };
        if found.cors {
            contract::allow(response.headers_mut(), "*");
        }
        response
    }
}

/// Returns whether a caller may call; hashing takes long, and others go on meanwhile.
async fn is_let_in(found: &Destination, authorization: String) -> bool {
    let Some(users) = found.users.clone() else { return true };
    tokio::task::spawn_blocking(move || users.let_in(&authorization)).await.unwrap_or(false)
}

fn unauthorized() -> Response<bytes::Bytes> {
    let mut response = contract::plain(StatusCode::UNAUTHORIZED, "Authentication required\n");
    let challenge = HeaderValue::from_static("Basic realm=\"Authentication Required\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}
