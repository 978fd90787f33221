//! How HTTPS is spoken with hooks that bring certificates of their own.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, Mutex},
};

use api::{Connecting, HookTls};
use bytes::Bytes;
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, builderstates::WantsSchemes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    crypto::CryptoProvider,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    proxied::Proxied,
    proxies::Proxies,
    trace::{Resolver, Step},
};

/// How many ways of speaking HTTPS are kept at most; certificates that were renewed leave theirs behind.
const KEPT: usize = 64;

pub(crate) type HttpClient =
    Client<Step<HttpsConnector<Step<Proxied<HttpConnector<Resolver>>>>>, Full<Bytes>>;

/// The clients for the ways in which HTTPS is spoken, each with its own connections.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    system: HttpClient,
    others: Arc<Mutex<HashMap<Arc<HookTls>, HttpClient>>>,
    proxies: Arc<Proxies>,
}

impl Clients {
    /// Returns the client for the system's certificates, and room for others.
    pub(crate) fn new(proxies: Proxies) -> std::io::Result<Self> {
        let (system, proxies) =
            (HttpsConnectorBuilder::new().with_native_roots()?, Arc::new(proxies));
        Ok(Self { system: client(system, &proxies), others: Arc::default(), proxies })
    }

    /// Returns what a proxy that reads requests to a URL on their way wants to know of the caller.
    pub(crate) fn proxy_login(&self, url: &Uri) -> Option<HeaderValue> {
        let proxy = self.proxies.of(url).filter(|_| url.scheme_str() != Some("https"))?;
        proxy.login.clone()
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
        let client =
            client(HttpsConnectorBuilder::new().with_tls_config(config(tls)?), &self.proxies);
        others.insert(Arc::clone(tls), client.clone());
        Ok(client)
    }
}

/// Returns a client whose new connections tell of the steps they take.
fn client(connector: HttpsConnectorBuilder<WantsSchemes>, proxies: &Arc<Proxies>) -> HttpClient {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
    tcp.enforce_http(false);
    let tcp = Proxied::new(tcp, Arc::clone(proxies));
    let tcp = Step::new(tcp, Connecting::TlsHandshakeStart);
    let tls = connector.https_or_http().enable_http1().wrap_connector(tcp);
    let tls = Step::new(tls, Connecting::TlsHandshakeDone);
    Client::builder(TokioExecutor::new()).build(tls)
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
    let identity = identity(config.crypto_provider(), chain, key);
    let identity =
        identity.map_err(|error| format!("the client certificate cannot be used: {error}"))?;
    Ok(config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))
}

/// Returns what is shown to a hook that asks who calls.
///
/// Whether the certificate is good is for the hook to say. rustls itself shows none of the first version,
/// which is what `openssl x509 -req` makes unless it is given extensions.
fn identity(
    provider: &CryptoProvider,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    let identity = CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?);
    match identity.keys_match() {
        Err(error @ rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(error),
        _ => Ok(identity),
    }
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

    /// Breaks when `identity` gives up on a certificate that rustls cannot read.
    #[test]
    fn a_client_certificate_of_the_first_version_is_shown() {
        let with = |key: &str| {
            let identity = Some((CERTIFICATE.to_owned(), key.to_owned()));
            config(&HookTls { roots: Some(CERTIFICATE.to_owned()), identity }).map(|_| ())
        };
        assert_eq!(with(KEY), Ok(()));
        let bad = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(with(bad).is_err());
    }

    const CERTIFICATE: &str = "\
        -----BEGIN CERTIFICATE-----\n\
        MIIBEjCBuQIUFB0UmCepX7W32YqGhCpHRZ/uERkwCgYIKoZIzj0EAwIwDDEKMAgG\n\
        A1UEAwwBYzAeFw0yNjExMjEyMDIzMjZaFw0yNjExMjIyMDIzMjZaMAwxCjAIBgNV\n\
        BAMMAWMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQY9AN/8U9bi/K+XhbLVTCO\n\
        0qhDptMcKhmOXEzz38e/WvZOAfihdT4cRSMhaJvVYZ9Gl5VrAu2pLPMxHgH2vsWI\n\
        MAoGCCqGSM49BAMCA0gAMEUCIQCLDjFI9KxfKQFWoIp1uRRGgrnjJ3WnHPDXcynw\n\
        z0gTRAIgfoCoX9YKbe/t1i18WXmlghUBeVYJRAlnjvvJefpbwdI=\n\
        -----END CERTIFICATE-----\n\
        ";
    const KEY: &str = "\
        -----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgo9P3R69YeQMzgZjA\n\
        e5pgkm+Cwz3kBCF1On3GakQsSAehRANCAAQY9AN/8U9bi/K+XhbLVTCO0qhDptMc\n\
        KhmOXEzz38e/WvZOAfihdT4cRSMhaJvVYZ9Gl5VrAu2pLPMxHgH2vsWI\n\
        -----END PRIVATE KEY-----\n\
        ";
}
