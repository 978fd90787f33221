//! Keys, certificates, tokens and kubeconfigs, made anew each time the control plane starts.

use std::{fs, io, path::Path};

use anyhow::Context;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::cluster::arguments::{self, AUDIT_POLICY, Layout, Ports};

/// What a client needs to trust the API server, and to be known there.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The authority's certificate, as PEM.
    pub(crate) authority: String,
    /// The administrator's token.
    pub(crate) token: String,
    /// The administrator's kubeconfig, which is not written yet.
    pub(crate) kubeconfig: String,
}

/// Writes all the files that the processes read when they start.
///
/// The administrator's kubeconfig is none of them: tests take its presence for a server that is ready.
pub(crate) fn write(layout: &Layout, ports: Ports) -> anyhow::Result<Credentials> {
    let tls = tls().context("failed to make the server's certificate")?;
    let service_account = KeyPair::generate().context("failed to make a key")?;
    let (admin, manager) = (token()?, token()?);
    let tokens = format!(
        "{admin},admin,admin,system:masters\n\
         {manager},system:kube-controller-manager,system:kube-controller-manager\n"
    );
    let server = format!("https://127.0.0.1:{}", ports.api_server);
    let authority = BASE64_STANDARD.encode(&tls.authority);
    let kubeconfig = |user, token| arguments::kubeconfig(&server, &authority, user, token);
    let files = [
        (layout.pki("ca.crt"), tls.authority.clone()),
        (layout.pki("ca.key"), tls.authority_key),
        (layout.pki("server.crt"), tls.server),
        (layout.pki("server.key"), tls.server_key),
        (layout.pki("service-account.key"), service_account.serialize_pem()),
        (layout.pki("service-account.pub"), service_account.public_key_pem()),
        (layout.tokens(), tokens),
        (layout.audit_policy(), AUDIT_POLICY.to_owned()),
        (layout.manager_kubeconfig(), kubeconfig("controller-manager", &manager)),
    ];
    for (path, text) in files {
        write_file(&path, &text)
            .with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    let kubeconfig = kubeconfig("admin", &admin);
    Ok(Credentials { authority: tls.authority, token: admin, kubeconfig })
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

/// An authority and a certificate it signed for the API server, all as PEM.
struct Tls {
    authority: String,
    authority_key: String,
    server: String,
    server_key: String,
}

fn tls() -> Result<Tls, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "windlass local authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"];
    let server = CertificateParams::new(names.map(str::to_owned))?;
    let server_key = KeyPair::generate()?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let server_certificate = server.signed_by(&server_key, &issuer)?;
    Ok(Tls {
        authority: authority_certificate.pem(),
        authority_key: authority_key.serialize_pem(),
        server: server_certificate.pem(),
        server_key: server_key.serialize_pem(),
    })
}

/// Returns a token nobody can guess: the public half of a new key is random enough.
fn token() -> anyhow::Result<String> {
    let key = KeyPair::generate().context("failed to make a token")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(&key.public_key_raw()[1..33]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_and_the_server_agree_on_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let ports = Ports { etcd: 1, etcd_peer: 2, api_server: 3, controller_manager: 4 };
        let credentials = write(&layout, ports).unwrap();
        let tokens = fs::read_to_string(layout.tokens()).unwrap();
        assert!(tokens.starts_with(&format!("{},admin,", credentials.token)), "{tokens}");
        assert!(credentials.kubeconfig.contains(&credentials.token));
        assert!(!layout.kubeconfig().exists());
    }
}
