//! Sockets: listening, TLS, who is at the other end, and letting go of all of it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use k8s::{Clock as _, SystemClock};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch::Receiver,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::{
    error::ApiError,
    http::{Core, service::ApiService},
    kubeconfig,
    tls::{Authority, TlsError},
    user::User,
};

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address and port.
    pub bind: SocketAddr,
    /// Whether the next free port is taken instead of one that is in use.
    pub next_free_port: bool,
    /// Whether an address that other machines reach is allowed.
    pub allow_non_loopback: bool,
    /// Where the kubeconfig is written.
    pub kubeconfig: Option<PathBuf>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
            next_free_port: true,
            allow_non_loopback: false,
            kubeconfig: None,
        }
    }
}

/// Where the server listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address and port.
    pub address: SocketAddr,
    /// The kubeconfig of the administrator.
    pub kubeconfig: String,
}

/// Why the server does not listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Other machines would reach the server.
    #[error("`{0}` is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port is taken, and so are those after it if they were allowed.
    #[error("`{0}` is in use")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("failed to listen on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate to show.
    #[error("failed to prepare TLS")]
    Tls(#[from] TlsError),
    /// The address was not told in the cluster.
    #[error("failed to tell of the address")]
    Announce(#[from] ApiError),
    /// The kubeconfig was not written.
    #[error("failed to write `{path}`")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// How many ports are tried.
const PORTS: u16 = 100;

/// How long requests get to finish when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// Listens, and serves what comes until the server stops.
pub(crate) async fn listen(
    core: &Arc<Core>,
    authority: &Arc<Authority>,
    options: &Listen,
) -> Result<(Endpoint, JoinHandle<()>), ListenError> {
    if !options.bind.ip().is_loopback() && !options.allow_non_loopback {
        return Err(ListenError::NotLoopback(options.bind));
    }
    let listener = bind(options).await?;
    let refused = |source| ListenError::Bind { address: options.bind, source };
    let address = listener.local_addr().map_err(refused)?;
    let service = core.backend.settings().networks.services.address(1);
    let config = authority.server_config([address.ip(), service.into()])?;
    let admin = authority.issue(&User::admin())?;
    let text = kubeconfig::text(reachable(address), authority.pem(), &admin);
    if let Some(path) = &options.kubeconfig {
        kubeconfig::write(path, &text)
            .map_err(|source| ListenError::Kubeconfig { path: path.clone(), source })?;
    }
    let listening = Listening {
        core: core.clone(),
        authority: authority.clone(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    };
    core.backend.announce(reachable(address))?;
    let task = tokio::spawn(accept(listener, listening));
    Ok((Endpoint { address, kubeconfig: text }, task))
}

/// What every connection needs.
#[derive(Clone)]
struct Listening {
    core: Arc<Core>,
    authority: Arc<Authority>,
    acceptor: TlsAcceptor,
}

async fn bind(options: &Listen) -> Result<TcpListener, ListenError> {
    let mut address = options.bind;
    let tries = if options.next_free_port && address.port() != 0 { PORTS } else { 1 };
    for _ in 0..tries {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let Some(next) = address.port().checked_add(1) else { break };
                address.set_port(next);
            }
            Err(source) => return Err(ListenError::Bind { address, source }),
        }
    }
    Err(ListenError::InUse(options.bind))
}

/// Returns an address that clients on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}

async fn accept(listener: TcpListener, listening: Listening) {
    let mut stopping = listening.core.backend.stopping();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, listening.clone(), stopping.clone()));
                }
                Err(error) => debug!(%error, "refused a connection"),
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stopping) => break,
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all_done => {}
        () = SystemClock.sleep_until(SystemClock.after(GRACE)) => {}
    }
}

/// Serves one connection; when the server stops, it ends once the requests on it are answered.
async fn serve(stream: TcpStream, listening: Listening, mut stopping: Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let stream = match listening.acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%error, "failed a TLS handshake");
            return;
        }
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let user = certificate.and_then(|certificate| listening.authority.user(certificate));
    let service = TowerToHyperService::new(ApiService::new(listening.core, user));
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

/// Waits until the server stops, without keeping a look at the value.
async fn stopped(stopping: &mut Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
