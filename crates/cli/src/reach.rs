//! Which cluster a command acts on: the one that is named, the `dev` of this directory, or the usual one.

use std::{
    env,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::names;
use http::Uri;
use k8s::{Activity, SystemClock};
use kube::config::{Kubeconfig, KubeconfigError};
use runtime::{Client, ClientOptions, ConnectError};

use crate::control::Control;

/// The directory of the files of a running `dev`.
pub const DEV: &str = ".windlass";

/// How long a server on this machine may take to accept a connection.
const WAIT: Duration = Duration::from_secs(1);

/// What was said about the cluster.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub context: Option<String>,
}

impl Reach {
    /// Returns the kubeconfig, unless it is found by the usual rules.
    fn file(&self) -> Option<PathBuf> {
        match &self.kubeconfig {
            None if env::var_os("KUBECONFIG").is_none() => dev(),
            file => file.clone(),
        }
    }

    /// Returns the namespace that is meant where none is named: that of the context, else `default`.
    pub fn namespace(&self) -> String {
        let config = read(self.file().as_deref()).ok();
        let namespace = config.and_then(|config| {
            let context = self.context.clone().or(config.current_context)?;
            let named = config.contexts.into_iter().find(|each| each.name == context);
            named?.context?.namespace
        });
        namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
    }

    /// Connects, and says in a line where to.
    pub async fn connect(&self) -> Result<(Client, String), ConnectError> {
        let file = self.file();
        let place = place(file.as_deref(), self.context.as_deref());
        let options = ClientOptions {
            clock: Arc::new(SystemClock),
            activity: Activity::default(),
            agent: names::COMPONENT,
            revisions: None,
        };
        Ok((Client::connect(file, self.context.clone(), options).await?, place))
    }
}

/// Returns the kubeconfig of the `dev` that runs in this directory, or of a server alone.
fn dev() -> Option<PathBuf> {
    let dir = Path::new(DEV);
    let of_dev = Control::open(dir).ok().map(|control| control.kubeconfig().to_owned());
    let usual = dir.join("kubeconfig");
    // The file stays when the server ends, so that a cluster may be meant.
    of_dev.into_iter().chain([usual]).find(|file| is_up(file))
}

/// Tells whether anybody listens where a kubeconfig leads to.
fn is_up(file: &Path) -> bool {
    let Ok(config) = Kubeconfig::read_from(file) else { return false };
    let servers = config.clusters.iter().filter_map(|each| each.cluster.as_ref()?.server.as_ref());
    let mut addresses =
        servers.filter_map(|url| url.parse::<Uri>().ok()?.authority()?.as_str().parse().ok());
    addresses.any(|address: SocketAddr| TcpStream::connect_timeout(&address, WAIT).is_ok())
}

fn read(file: Option<&Path>) -> Result<Kubeconfig, KubeconfigError> {
    match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
}

/// Says which context of which file is used, and where its server is.
fn place(file: Option<&Path>, context: Option<&str>) -> String {
    let from = file.map_or_else(String::new, |file| format!(" of {}", file.display()));
    // Without a file it is the cluster of this pod, or connecting says what is wrong.
    let Ok(config) = read(file) else { return "the cluster of this pod".to_owned() };
    let context = context.or(config.current_context.as_deref()).unwrap_or_default().to_owned();
    let named = config.contexts.iter().find(|each| each.name == context);
    let cluster = named.and_then(|each| each.context.as_ref()).map(|each| each.cluster.as_str());
    let cluster = config.clusters.iter().find(|each| Some(each.name.as_str()) == cluster);
    let server = cluster.and_then(|each| each.cluster.as_ref()?.server.clone()).unwrap_or_default();
    format!("context {context}{from}, server {server}")
}
