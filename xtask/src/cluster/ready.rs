//! One HTTPS request at a time, to ask the API server whether it is ready.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

use crate::cluster::credentials::Credentials;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the API server on one port of this machine.
#[derive(Debug)]
pub(crate) struct Prober {
    tls: Arc<ClientConfig>,
    token: String,
    address: SocketAddr,
}

impl Prober {
    /// Returns a prober that trusts and is known as `credentials` say.
    pub(crate) fn new(credentials: &Credentials, port: u16) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(credentials.authority.as_bytes())
            .context("failed to read the authority's certificate")?;
        roots.add(authority).context("failed to trust the authority")?;
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("failed to set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { tls: Arc::new(tls), token: credentials.token.clone(), address })
    }

    /// Returns whether a GET of `path` is answered with success.
    pub(crate) fn answers(&self, path: &str) -> bool {
        self.status(path).is_ok_and(|status| status == "200")
    }

    fn status(&self, path: &str) -> io::Result<String> {
        let socket = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::from(self.address.ip());
        let session = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.address, self.token
        );
        stream.write_all(request.as_bytes())?;
        // `HTTP/1.1 200`: the rest of the answer does not matter.
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head[9..]).into_owned())
    }
}
