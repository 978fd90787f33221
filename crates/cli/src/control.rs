//! How other commands reach a running `dev`: a listener on this machine, and the file that says where it is.
//!
//! Whoever can read the file may ask; its mode is 0600.

mod client;
mod routes;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use engine::Engine;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::AbortHandle};

pub use client::{Control, ControlError};

/// Where the listener is if nothing else is asked for.
pub(crate) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);
/// The file that says where the listener is.
const FILE: &str = "control.json";
/// How many ports after it are tried.
const PORTS: u16 = 100;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where the listener is.
    pub(crate) address: SocketAddr,
    /// What must be sent with every request.
    pub(crate) token: String,
    /// How its API server is reached.
    pub(crate) kubeconfig: PathBuf,
}

/// A parent that is asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The parent as it is to be, if not as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wish: Option<serde_json::Value>,
}

/// A listener that serves as long as this lives; the file goes with it.
#[derive(Debug)]
pub(crate) struct Listening {
    file: PathBuf,
    place: Place,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        // Another `dev` of this directory may have written its own since.
        if read(&self.file).is_ok_and(|place| place == self.place) {
            // Somebody may have cleaned up already.
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// Takes an address: the one that is asked for, or the usual one or one of the ports after it.
pub(crate) async fn bind(
    address: Option<SocketAddr>,
    usual: SocketAddr,
) -> io::Result<TcpListener> {
    if let Some(address) = address {
        return TcpListener::bind(address).await;
    }
    let mut taken = None;
    for port in usual.port()..usual.port() + PORTS {
        match TcpListener::bind(SocketAddr::new(usual.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(taken.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Serves an engine's views, and writes where into a directory.
pub(crate) fn serve(
    listener: TcpListener,
    engine: &Engine,
    (dir, kubeconfig): (&Path, &Path),
) -> io::Result<Listening> {
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let (address, kubeconfig) = (listener.local_addr()?, kubeconfig.to_owned());
    let place = Place { address, token: token.clone(), kubeconfig };
    let file = dir.join(FILE);
    fs::create_dir_all(dir)?;
    write(&file, &place)?;
    let routes = routes::routes(engine.clone(), &token);
    let task = tokio::spawn(async move {
        // It ends with the process, or with the listener.
        let _ = axum::serve(listener, routes).await;
    });
    Ok(Listening { file, place, task: task.abort_handle() })
}

fn read(file: &Path) -> io::Result<Place> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

fn write(file: &Path, place: &Place) -> io::Result<()> {
    // A file that is there may be readable by others: it is made anew.
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.write_all(&serde_json::to_vec(place)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_reads_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("control.json");
        fs::write(&file, "old").unwrap();
        let place = Place { address: DEFAULT, token: "t".to_owned(), kubeconfig: "k".into() };
        write(&file, &place).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&file).unwrap(), place);
    }
}
