//! `windlass apiserver`: the embedded server alone, for tests in any language.

use std::{
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use api::names;
use apiserver::{ApiServer, Builder, Listen, ListenError, Settings, StartError};
use runtime::{Client, ClientOptions};
use thiserror::Error;

pub use crate::loader::LoadError;
use crate::{
    loader::Loader,
    manifest::{self, Manifest, ManifestError},
};

/// How the server runs.
pub struct ServerOptions {
    /// Where it listens; absent means the default port, or the next one that is free.
    pub bind: Option<SocketAddr>,
    /// Whether other machines are let in.
    pub allow_non_loopback: bool,
    /// Where the kubeconfig is written.
    pub kubeconfig: PathBuf,
    /// How the server is set up.
    pub settings: Settings,
    /// Where each request is noted; `-` is standard error.
    pub audit_log: Option<PathBuf>,
    /// The files and directories of manifests that are there from the start.
    pub load: Vec<PathBuf>,
}

/// Why the server does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// It could not start.
    #[error("failed to start the API server")]
    Start(#[from] StartError),
    /// Requests cannot be noted.
    #[error("failed to open `{}`", path.display())]
    AuditLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest cannot be read.
    #[error("failed to load a manifest")]
    Manifest(#[from] ManifestError),
    /// A manifest was not applied.
    #[error("failed to apply the manifest in {place}")]
    Load {
        /// Where it stands.
        place: String,
        /// What the server said.
        source: Box<LoadError>,
    },
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
        match self {
            Self::Manifest(error) => error.is_missing(),
            Self::Listen { source: ListenError::NotLoopback(_), .. } => true,
            _ => false,
        }
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
            Self::Start(_)
            | Self::AuditLog { .. }
            | Self::Manifest(_)
            | Self::Load { .. }
            | Self::Listen { .. } => None,
        }
    }
}

/// Returns the set-up of a server.
pub(crate) fn builder(options: &ServerOptions) -> Result<Builder, ServerError> {
    let builder = ApiServer::builder().settings(options.settings.clone());
    let Some(path) = &options.audit_log else { return Ok(builder) };
    if path == Path::new("-") {
        return Ok(builder.audit_log(io::stderr()));
    }
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(|source| ServerError::AuditLog { path: path.clone(), source })?;
    Ok(builder.audit_log(file))
}

/// Applies what is to be there from the start; the first failure ends it.
async fn load(server: &ApiServer, paths: &[PathBuf]) -> Result<(), ServerError> {
    let (manifests, errors) = manifest::load(paths, None);
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let options = ClientOptions {
        clock: server.backend().clock().clone(),
        activity: server.backend().activity().clone(),
        agent: names::COMPONENT,
        revisions: None,
    };
    let client = Client::new(kube::Client::new(server.service(), "default"), options);
    let loader = Loader::new(client);
    for Manifest { source: place, gvk, key, value } in &manifest::order(manifests) {
        let key = loader.place(gvk, key).await;
        let applied = loader.apply(gvk, &key, &Loader::placed(&key, value)).await;
        applied.map_err(|error| ServerError::Load {
            place: place.to_string(),
            source: Box::new(error),
        })?;
    }
    Ok(())
}

/// Opens a started server to the outside and writes its kubeconfig.
pub(crate) async fn listen(
    server: &ApiServer,
    options: &ServerOptions,
) -> Result<SocketAddr, ServerError> {
    let listen = Listen {
        bind: options.bind.unwrap_or(Listen::default().bind),
        next_free_port: options.bind.is_none(),
        allow_non_loopback: options.allow_non_loopback,
        kubeconfig: Some(options.kubeconfig.clone()),
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
    let server = builder(&options)?.start().await?;
    load(&server, &options.load).await?;
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
