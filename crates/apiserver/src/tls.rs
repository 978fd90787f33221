//! The server's own certificate authority: who the server is and who its clients are.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use k8s::{Clock as _, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::user::User;

/// Why no certificate could be made or used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A key or a certificate could not be made.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused a certificate of ours.
    #[error("failed to set up TLS")]
    Use(#[from] rustls::Error),
    /// The TLS library refused to check client certificates with ours.
    #[error("failed to set up client certificates")]
    Verify(#[from] VerifierBuilderError),
}

/// Makes certificates and knows whom it gave one.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// Nobody else has the key, so every certificate that checks out is one of these.
    issued: Mutex<HashMap<Vec<u8>, User>>,
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The names and addresses clients may reach the server by, besides the one it listens on.
const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default.svc"];

impl Authority {
    pub(crate) fn new() -> Result<Self, TlsError> {
        let mut params = params("windlass-ca", vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            issued: Mutex::default(),
        })
    }

    /// Returns the certificate that clients trust, as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate for a user.
    pub(crate) fn issue(&self, user: &User) -> Result<Credentials, TlsError> {
        let mut params = params(&user.name, vec![])?;
        if let Some(group) = user.groups.first() {
            params.distinguished_name.push(DnType::OrganizationName, group.clone());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let mut issued =
            self.issued.lock().expect("the lock of issued certificates is never poisoned");
        issued.insert(certificate.der().to_vec(), user.clone());
        Ok(Credentials { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Returns whom a certificate was made for.
    pub(crate) fn user(&self, certificate: &CertificateDer<'_>) -> Option<User> {
        let issued = self.issued.lock().expect("the lock of issued certificates is never poisoned");
        let mut user = issued.get(certificate.as_ref()).cloned()?;
        let hash = Sha256::digest(certificate.as_ref());
        let hash = hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let credential = format!("X509SHA256={hash}");
        user.extra
            .insert("authentication.kubernetes.io/credential-id".to_owned(), vec![credential]);
        Some(user)
    }

    /// Returns the TLS set-up of a listener that is reached by these addresses.
    pub(crate) fn server_config(&self, addresses: [IpAddr; 2]) -> Result<ServerConfig, TlsError> {
        let mut names: Vec<_> = NAMES.map(ToOwned::to_owned).into();
        names.extend(addresses.map(|it| it.to_string()));
        let mut params = params("windlass", names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Returns what all certificates have: a name and a year of validity.
///
/// The other side checks validity by the real time, whatever clock the server runs on.
fn params(name: &str, alternative_names: Vec<String>) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(alternative_names)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    let today = SystemClock.now().to_zoned(TimeZone::UTC).date();
    let part = |part: i8| u8::try_from(part).unwrap_or(1);
    let day =
        |date: Date| rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()));
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(1.year()));
    Ok(params)
}
