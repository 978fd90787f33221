//! Pure: what a file becomes in a Function: its text, what that holds, and its digest.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The ends of the names of files that are archives of this type.
const TARS: [&str; 9] =
    [".tar.gz", ".taz", ".tgz", ".tar.bz2", ".tb2", ".tbz", ".tbz2", ".tz2", ".tar.xz"];

/// A program as a Function has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The text, its bytes in base64, or where it is.
    pub function: String,
    /// Which of these it is, and what it is packed in.
    pub content_type: String,
    /// The digest of its bytes.
    pub checksum: String,
}

/// Returns whether a file is to be got from elsewhere.
pub fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Returns what a file of this name, or at this URL, becomes.
pub fn source(name: &str, bytes: &[u8]) -> Source {
    let (kind, function) = match std::str::from_utf8(bytes) {
        // Whoever runs it gets it, and finds by the digest whether it is still the same.
        _ if is_url(name) => ("url", name.to_owned()),
        // An archive is never text to its reader, whatever its bytes are.
        Ok(text) if packed(name).is_empty() => ("text", text.to_owned()),
        _ => ("base64", STANDARD.encode(bytes)),
    };
    let digest = Sha256::digest(bytes);
    let checksum = digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Source { function, content_type: format!("{kind}{}", packed(name)), checksum }
}

/// Returns what the name of a file says that it is packed in.
fn packed(name: &str) -> &'static str {
    let name = if is_url(name) { name.split(['?', '#']).next().unwrap_or(name) } else { name };
    let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends_with(&[".zip"]) {
        "+zip"
    } else if ends_with(&TARS) {
        "+compressedtar"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_says_what_a_file_is() {
        for (name, bytes, content_type, function) in [
            ("a.py", b"x".as_slice(), "text", "x"),
            ("a.wasm", b"\0\xff", "base64", "AP8="),
            ("a.zip", b"PK\xff", "base64+zip", "UEv/"),
            // What is packed may be valid UTF-8 by chance.
            ("a.tgz", b"x", "base64+compressedtar", "eA=="),
            ("https://h/a.py?v=1", b"x", "url", "https://h/a.py?v=1"),
            ("http://h/a.zip?v=1.py", b"x", "url+zip", "http://h/a.zip?v=1.py"),
            ("http://h/a.tar.xz", b"x", "url+compressedtar", "http://h/a.tar.xz"),
            ("http-server.py", b"x", "text", "x"),
        ] {
            let source = source(name, bytes);
            assert_eq!(
                (source.content_type.as_str(), source.function.as_str()),
                (content_type, function)
            );
        }
    }

    #[test]
    fn the_digest_is_over_the_bytes_of_the_file() {
        let digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(source("a.py", b"x").checksum, digest);
        assert_eq!(source("https://h/a.py", b"x").checksum, digest);
    }
}
