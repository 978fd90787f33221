//! Pure: users and passwords that stand in URLs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;

/// Takes user and password out of a URL: returns the URL without them, which can be shown, and the
/// credentials that they are sent as.
pub fn without_login(url: &str) -> (String, Option<HeaderValue>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((login, host)) = authority.rsplit_once('@') else { return whole() };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<_>>();
    let plain = [decoded(user), b":".to_vec(), decoded(password)].concat();
    let header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain)));
    let header = header.ok().map(|mut header| {
        header.set_sensitive(true);
        header
    });
    (format!("{scheme}://{host}{path}"), header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_becomes_a_header() {
        for (url, left, plain) in [
            ("http://h/a@b", "http://h/a@b", None),
            ("http://u:p@h:81/a?b", "http://h:81/a?b", Some("u:p")),
            ("https://u@h", "https://h", Some("u:")),
            ("http://u%40x:a%3Ab@h", "http://h", Some("u@x:a:b")),
            ("not a url", "not a url", None),
        ] {
            let header = plain.map(|plain| format!("Basic {}", STANDARD.encode(plain)));
            let (found, login) = without_login(url);
            let login = login.map(|login| login.to_str().unwrap().to_owned());
            assert_eq!((found.as_str(), login), (left, header), "{url}");
        }
    }
}
