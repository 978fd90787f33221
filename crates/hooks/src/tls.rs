//! How HTTPS is spoken with hooks that bring certificates of their own.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, Mutex},
};

use api::HookTls;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// How many ways of speaking HTTPS are kept at most; certificates that were renewed leave theirs behind.
const KEPT: usize = 64;

pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The clients for the ways in which HTTPS is spoken, each with its own connections.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    system: HttpClient,
    others: Arc<Mutex<HashMap<Arc<HookTls>, HttpClient>>>,
}

impl Clients {
    /// Returns the client for the system's certificates, and room for others.
    pub(crate) fn new() -> std::io::Result<Self> {
        let system = HttpsConnectorBuilder::new().with_native_roots()?;
        let system = system.https_or_http().enable_http1().build();
        let system = Client::builder(TokioExecutor::new()).build(system);
        Ok(Self { system, others: Arc::default() })
    }

    /// Returns the client for a way of speaking HTTPS.
    pub(crate) fn get(&self, tls: Option<&Arc<HookTls>>) -> Result<HttpClient, String> {
        let Some(tls) = tls else { return Ok(self.system.clone()) };
        let mut others = self.others.lock().expect("the lock of the clients is never poisoned");
        if let Some(client) = others.get(tls) {
            return Ok(client.clone());
        }
        if KEPT <= others.len() {
            others.clear();
        }
        let connector = HttpsConnectorBuilder::new().with_tls_config(config(tls)?);
        let connector = connector.https_or_http().enable_http1().build();
        let client: HttpClient = Client::builder(TokioExecutor::new()).build(connector);
        others.insert(Arc::clone(tls), client.clone());
        Ok(client)
    }
}

/// Returns the settings of TLS 1.2 and 1.3 for a hook.
pub(crate) fn config(tls: &HookTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots(tls.roots.as_deref())?);
    let Some((certificate, key)) = &tls.identity else {
        return Ok(config.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let key = key.map_err(|error| format!("the private key cannot be read: {error}"))?;
    let identity = config.with_client_auth_cert(chain, key);
    identity.map_err(|error| format!("the client certificate cannot be used: {error}"))
}

fn roots(pem: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = pem else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        return Ok(roots);
    };
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("a certificate cannot be used: {error}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn Display| format!("a certificate cannot be read: {error}");
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unreadable(&error))?;
    if found.is_empty() { Err("there is no certificate in the PEM".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        let error = |roots: &str| {
            let tls = HookTls { roots: Some(roots.to_owned()), identity: None };
            config(&tls).err().unwrap_or_default()
        };
        assert_eq!(error("nothing"), "there is no certificate in the PEM");
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error(bad).starts_with("a certificate cannot be used"), "{}", error(bad));
    }
}
