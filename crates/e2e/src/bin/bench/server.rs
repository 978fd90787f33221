//! The servers that are measured: ours, started for each measurement, and the real one, which is there.

use std::{
    cell::Cell,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use apiserver::{ApiServer, Listen};
use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::{
    process::{self, Own},
    timing::{Stopwatch, patiently, pause},
    wire::{Connection, Endpoint},
};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    /// Where it and its credentials are.
    pub(crate) kubeconfig: PathBuf,
    /// The processes it consists of.
    processes: Vec<u32>,
    /// Present if it was started here.
    own: Option<Own>,
    namespaces: Cell<usize>,
}

impl Server {
    /// Starts a server of ours and returns it with the milliseconds until it was ready.
    pub(crate) async fn start(command: &str) -> anyhow::Result<(Self, f64)> {
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let place = kubeconfig.as_os_str();
        let arguments = ["--bind", "127.0.0.1:0", "--kubeconfig"].map(AsRef::as_ref);
        let watch = Stopwatch::start();
        let own = Own::start(command, arguments.into_iter().chain([place]), folder)?;
        let processes = vec![own.number()];
        let endpoint = patiently("the server", ready(&kubeconfig)).await?;
        let time = watch.millis();
        let (own, namespaces) = (Some(own), Cell::default());
        Ok((Self { endpoint, kubeconfig, processes, own, namespaces }, time))
    }

    /// Uses a server that is there.
    pub(crate) async fn attach(kubeconfig: &Path, processes: &[u32]) -> anyhow::Result<Self> {
        let endpoint = Endpoint::read(&fs::read_to_string(kubeconfig)?)?;
        endpoint.connect().await?.must(Method::GET, "/readyz", Bytes::new()).await?;
        let (kubeconfig, processes) = (kubeconfig.to_owned(), processes.to_vec());
        Ok(Self { endpoint, kubeconfig, processes, own: None, namespaces: Cell::default() })
    }

    /// Returns whether the server is ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        self.endpoint.connect().await
    }

    /// Makes a namespace that nobody else uses, and waits until it takes pods.
    pub(crate) async fn namespace(&self) -> anyhow::Result<String> {
        let number = self.namespaces.replace(self.namespaces.get() + 1);
        let name = format!("bench-{}-{number}", std::process::id());
        let mut connection = self.connect().await?;
        let namespace = json!({"metadata": {"name": name, "labels": {"bench": "windlass"}}});
        connection.create("/api/v1/namespaces", &namespace).await?;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        let accounts = async {
            while connection.call(Method::GET, &account, Bytes::new()).await?.0 != 200 {
                pause(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        patiently("the account of a namespace", accounts).await?;
        Ok(name)
    }

    /// Deletes what was made on a server that stays, and waits until it is gone.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let mut connection = self.connect().await?;
        for number in 0..self.namespaces.get() {
            let path = format!("/api/v1/namespaces/bench-{}-{number}", std::process::id());
            let (code, _) = connection.call(Method::GET, &path, Bytes::new()).await?;
            if code == 404 {
                continue;
            }
            for plural in ["pods", "configmaps"] {
                connection.delete(&format!("{path}/{plural}")).await?;
            }
            connection.delete(&path).await?;
            patiently("the end of a namespace", gone(&mut connection, &path)).await?;
        }
        Ok(())
    }

    /// Returns the resident memory in bytes; nothing if the processes are not known.
    pub(crate) fn memory(&self) -> anyhow::Result<Option<f64>> {
        self.sum(process::resident)
    }

    /// Returns the most memory that was resident since [`Server::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<Option<f64>> {
        self.sum(process::peak)
    }

    /// Starts to look for the peak anew.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        for process in &self.processes {
            fs::write(format!("/proc/{process}/clear_refs"), "5")?;
        }
        Ok(())
    }

    /// Returns the seconds of processor time used so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Option<f64>> {
        self.sum(process::processor_time)
    }

    fn sum(&self, of: impl Fn(u32) -> anyhow::Result<f64>) -> anyhow::Result<Option<f64>> {
        if self.processes.is_empty() {
            return Ok(None);
        }
        self.processes.iter().map(|process| of(*process)).sum::<anyhow::Result<f64>>().map(Some)
    }
}

/// Waits until a path is answered with 404.
pub(crate) async fn gone(connection: &mut Connection, path: &str) -> anyhow::Result<()> {
    while connection.call(Method::GET, path, Bytes::new()).await?.0 != 404 {
        pause(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Serves the embedded server from this process, until it is killed.
pub(crate) async fn serve(bind: SocketAddr, kubeconfig: PathBuf) -> anyhow::Result<()> {
    let server = ApiServer::builder().start().await?;
    let listen = Listen { bind, kubeconfig: Some(kubeconfig), ..Listen::default() };
    server.listen(&listen).await?;
    std::future::pending().await
}

/// Waits until the server at a kubeconfig that is yet to be written says that it is ready.
pub(crate) async fn ready(kubeconfig: &Path) -> anyhow::Result<Endpoint> {
    let moment = Duration::from_millis(1);
    let text = loop {
        match fs::read_to_string(kubeconfig) {
            Ok(text) => break text,
            Err(_) => pause(moment).await,
        }
    };
    let endpoint = Endpoint::read(&text)?;
    let mut connection = endpoint.connect().await?;
    while connection.call(Method::GET, "/readyz", Bytes::new()).await?.0 != 200 {
        pause(moment).await;
    }
    Ok(endpoint)
}
