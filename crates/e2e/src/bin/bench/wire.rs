//! Connections to API servers: HTTP/1.1 over TLS, with bodies as bytes.
//!
//! No client of the Kubernetes world: that would cost more than the servers.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a server is, and as whom it is talked to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    connector: TlsConnector,
    token: Option<HeaderValue>,
}

/// A connection that is kept open from request to request.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: HeaderValue,
    token: Option<HeaderValue>,
}

impl Endpoint {
    /// Reads a kubeconfig with certificates in place.
    pub(crate) fn read(kubeconfig: &str) -> anyhow::Result<Self> {
        let document = k8s::yaml::documents(kubeconfig)?.pop().context("the file is empty")?;
        let config = document.value;
        let cluster = config.pointer("/clusters/0/cluster").context("there is no cluster")?;
        let user = config.pointer("/users/0/user").context("there is no user")?;
        let server = cluster["server"].as_str().unwrap_or_default();
        let address = server.strip_prefix("https://").context("the server is not at `https`")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&decode(cluster, AUTHORITY)?) {
            roots.add(certificate?)?;
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots);
        let config = if user.get(CERTIFICATE).is_some() {
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(&decode(user, CERTIFICATE)?).collect();
            config.with_client_auth_cert(
                chain?,
                PrivateKeyDer::from_pem_slice(&decode(user, KEY)?)?,
            )?
        } else {
            config.with_no_client_auth()
        };
        let token =
            user["token"].as_str().map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        Ok(Self {
            address: address.parse()?,
            connector: TlsConnector::from(Arc::new(config)),
            token: token.transpose()?,
        })
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let stream = self.connector.connect(name, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, and how is seen by who sent a request.
        tokio::spawn(connection);
        let host = HeaderValue::from_str(&self.address.to_string())?;
        Ok(Connection { sender, host, token: self.token.clone() })
    }
}

/// Opens a connection without TLS to what answers for `host`.
pub(crate) async fn plain(address: SocketAddr, host: &str) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Connection { sender, host: HeaderValue::from_str(host)?, token: None })
}

const AUTHORITY: &str = "certificate-authority-data";
const CERTIFICATE: &str = "client-certificate-data";
const KEY: &str = "client-key-data";

fn decode(from: &Value, field: &str) -> anyhow::Result<Vec<u8>> {
    let text = from[field].as_str().with_context(|| format!("there is no `{field}`"))?;
    Ok(BASE64_STANDARD.decode(text)?)
}

impl Connection {
    /// Sends a request and returns the answer as soon as it begins.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::USER_AGENT, "windlass-bench")
            .header(header::CONTENT_TYPE, kind);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Sends a request and returns code and body of the answer.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(u16, Bytes)> {
        let answer = self.send(method, path, body).await?;
        let code = answer.status().as_u16();
        Ok((code, answer.into_body().collect().await?.to_bytes()))
    }

    /// Sends a request that must succeed and returns the answer.
    pub(crate) async fn must(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let (code, answer) = self.call(method.clone(), path, body).await?;
        let shown = || String::from_utf8_lossy(&answer).chars().take(400).collect::<String>();
        ensure!(code < 300, "{method} {path}: {code} {}", shown());
        Ok(answer)
    }

    /// Gets a document.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.must(Method::GET, path, Bytes::new()).await?)?)
    }

    /// Creates an object.
    pub(crate) async fn create(&mut self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let body = Bytes::from(object.to_string());
        Ok(serde_json::from_slice(&self.must(Method::POST, path, body).await?)?)
    }

    /// Deletes an object; one that is gone is as good.
    pub(crate) async fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        let options = Bytes::from_static(br#"{"propagationPolicy":"Background"}"#);
        match self.call(Method::DELETE, path, options).await?.0 {
            200..300 | 404 => Ok(()),
            code => bail!("DELETE {path}: {code}"),
        }
    }

    /// Begins a watch.
    pub(crate) async fn watch(&mut self, path: &str) -> anyhow::Result<Lines> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        ensure!(answer.status().is_success(), "GET {path}: {}", answer.status());
        Ok(Lines { body: answer.into_body(), rest: Vec::new() })
    }
}

/// The lines of an answer that does not end.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
}

impl Lines {
    /// Waits for more, and hands each whole line to `see`; false at the end.
    pub(crate) async fn next(&mut self, mut see: impl FnMut(&[u8])) -> anyhow::Result<bool> {
        let Some(frame) = self.body.frame().await.transpose()? else { return Ok(false) };
        let Ok(piece) = frame.into_data() else { return Ok(true) };
        self.rest.extend_from_slice(&piece);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = self.rest.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).for_each(&mut see);
        self.rest.drain(..end);
        Ok(true)
    }
}
