//! `windlass apiserver`: the embedded server alone, for tests in any language.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use apiserver::{ApiServer, Listen, ListenError, StartError};
use thiserror::Error;

/// How the server runs.
pub struct ServerOptions {
    /// Where it listens; absent means the default port, or the next one that is free.
    pub bind: Option<SocketAddr>,
    /// Where the kubeconfig is written.
    pub kubeconfig: PathBuf,
}

/// Why the server does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// It could not start.
    #[error("failed to start the API server")]
    Start(#[from] StartError),
    /// It cannot be reached from outside.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        source: ListenError,
    },
}

impl ServerError {
    /// Returns whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Listen { source: ListenError::NotLoopback(_), .. })
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen { source: ListenError::InUse(_), .. } => {
                Some("leave the address out to take the next free port")
            }
            Self::Listen { source: ListenError::NotLoopback(_), .. } => {
                Some("this server trusts everybody who reaches it: give a loopback address")
            }
            Self::Start(_) | Self::Listen { .. } => None,
        }
    }
}

/// Opens a started server to the outside and writes its kubeconfig.
pub(crate) async fn listen(
    server: &ApiServer,
    options: &ServerOptions,
) -> Result<SocketAddr, ServerError> {
    let listen = Listen {
        bind: options.bind.unwrap_or(Listen::default().bind),
        next_free_port: options.bind.is_none(),
        kubeconfig: Some(options.kubeconfig.clone()),
        ..Listen::default()
    };
    let endpoint = server.listen(&listen).await;
    let address = listen.bind;
    Ok(endpoint.map_err(|source| ServerError::Listen { address, source })?.address)
}

/// Runs the server until `ended` resolves.
pub async fn run(
    options: ServerOptions,
    mut out: impl Write,
    ended: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let server = ApiServer::builder().start().await?;
    let address = listen(&server, &options).await?;
    // Whoever closed the other end of a pipe wants to read no more.
    let _ = writeln!(
        out,
        "windlass {}   api https://{address}   kubeconfig {}",
        env!("CARGO_PKG_VERSION"),
        options.kubeconfig.display()
    );
    ended.await;
    server.shutdown().await;
    Ok(())
}
