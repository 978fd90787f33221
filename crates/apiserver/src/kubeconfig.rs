//! Kubeconfigs: the text that lets clients in, and writing it where only its owner reads it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::tls::Credentials;

/// What cluster, user and context are called.
const NAME: &str = "windlass-dev";

/// Returns the kubeconfig for a server with this certificate and a user with these credentials.
pub(crate) fn text(address: SocketAddr, ca_certificate: &str, user: &Credentials) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    k8s::yaml::to_string(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "preferences": {},
        "clusters": [{"name": NAME, "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority-data": encode(ca_certificate),
            "disable-compression": true,
        }}],
        "users": [{"name": NAME, "user": {
            "client-certificate-data": encode(&user.certificate),
            "client-key-data": encode(&user.key),
        }}],
        "contexts": [{"name": NAME, "context": {
            "cluster": NAME, "user": NAME, "namespace": "default",
        }}],
    }))
}

/// Writes a file that only its owner can read, at once as a whole.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    // A file that was left behind might be readable by others.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}
