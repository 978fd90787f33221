//! Pure: through which proxy a URL is called, by the variables that programs written in Go read as well.

use std::net::IpAddr;

use api::without_login;
use http::{HeaderValue, Uri};

/// The proxies that an environment names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// The hosts that are called without one.
    exempt: Vec<Exempt>,
}

/// A proxy that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Where it is, as `http://HOST:PORT`.
    pub(crate) url: Uri,
    /// What proves to it who calls.
    pub(crate) login: Option<HeaderValue>,
}

/// Hosts that are called without a proxy, at one port or at all.
#[derive(Clone, Debug)]
struct Exempt {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    Network {
        address: IpAddr,
        bits: u32,
    },
    /// A domain that starts with a dot: what ends with it, and with `itself` the rest of it as well.
    Domain {
        domain: String,
        itself: bool,
    },
}

impl Proxies {
    /// Reads the variables of an environment; the error says what is wrong with one of them.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = |name: &str| {
            let spellings = [name.to_uppercase(), name.to_lowercase()];
            spellings.iter().find_map(|name| variable(name).filter(|text| !text.is_empty()))
        };
        let proxy = |name: &str| {
            let proxy = text(name).map(|text| proxy(&text)).transpose();
            proxy.map_err(|cause| format!("the variable {name} {cause}"))
        };
        let exempt = text("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            exempt: exempt.split(',').filter_map(exempted).collect(),
        })
    }

    /// Returns the proxy through which a URL is called.
    pub(crate) fn of(&self, url: &Uri) -> Option<&Proxy> {
        let is_https = url.scheme_str() == Some("https");
        let proxy = if is_https { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = bare(url.host()?).to_lowercase();
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let is_exempt = |exempt: &Exempt| {
            exempt.port.is_none_or(|own| own == port) && exempt.hosts.have(&host, address)
        };
        (!is_here && !self.exempt.iter().any(is_exempt)).then_some(proxy)
    }
}

impl Hosts {
    fn have(&self, host: &str, address: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::Network { address: network, bits } => {
                address.is_some_and(|address| is_within(address, *network, *bits))
            }
            Self::Domain { domain, itself } => {
                host.ends_with(domain) || *itself && domain.get(1..) == Some(host)
            }
        }
    }
}

fn proxy(text: &str) -> Result<Proxy, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let (url, login) = without_login(&with_scheme);
    let parsed = url.parse::<Uri>().ok().filter(|url| url.host().is_some());
    let parsed = parsed.ok_or("is no URL of a proxy")?;
    match parsed.scheme_str() {
        Some("http") => Ok(Proxy { url: parsed, login }),
        _ => Err(format!("names {url}: only proxies that speak plain HTTP are supported")),
    }
}

fn exempted(text: &str) -> Option<Exempt> {
    let text = text.trim().to_lowercase();
    if text.is_empty() {
        return None;
    }
    if text == "*" {
        return Some(Exempt { hosts: Hosts::All, port: None });
    }
    if let Some((address, bits)) = text.split_once('/') {
        let (address, bits) = (address.parse().ok()?, bits.parse().ok()?);
        return Some(Exempt { hosts: Hosts::Network { address, bits }, port: None });
    }
    // An IPv6 address has colons of its own unless it stands in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if text.parse::<IpAddr>().is_err() => (host, Some(port.parse().ok()?)),
        _ => (text.as_str(), None),
    };
    if let Ok(address) = bare(host).parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(Exempt { hosts: Hosts::Network { address, bits }, port });
    }
    let domain = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let itself = !domain.starts_with('.');
    let domain = if itself { format!(".{domain}") } else { domain.to_owned() };
    Some(Exempt { hosts: Hosts::Domain { domain, itself }, port })
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Returns whether the first bits of two addresses are the same.
fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (differing, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    bits <= width && differing.checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, String> {
        Proxies::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    fn through(proxies: &Proxies, url: &str) -> String {
        let proxy = proxies.of(&url.parse().unwrap());
        proxy.map(|proxy| proxy.url.authority().unwrap().to_string()).unwrap_or_default()
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let both = proxies(&[("HTTP_PROXY", "http://a:1"), ("https_proxy", "b:2")]).unwrap();
        assert_eq!(through(&both, "http://hook.web/sync"), "a:1");
        assert_eq!(through(&both, "https://hook.web/sync"), "b:2");
        assert_eq!(through(&proxies(&[]).unwrap(), "http://hook.web/sync"), "");
    }

    #[test]
    fn a_proxy_may_want_to_know_who_calls() {
        let proxies = proxies(&[("HTTP_PROXY", "http://u:p@a:1")]).unwrap();
        let proxy = proxies.of(&"http://hook.web".parse().unwrap()).unwrap();
        assert_eq!(proxy.login.as_ref().unwrap(), "Basic dTpw");
        assert_eq!(proxy.url, "http://a:1/");
    }

    #[test]
    fn some_hosts_are_called_without_a_proxy() {
        for (exempt, url, is_direct) in [
            ("", "http://hook.web", false),
            ("", "http://localhost:81", true),
            ("", "http://127.9.0.1", true),
            ("", "http://[::1]:81", true),
            ("*", "http://hook.web", true),
            ("web", "http://hook.web", true),
            ("web", "http://web", true),
            ("web", "http://theweb", false),
            (".web", "http://HOOK.web", true),
            (".web", "http://web", false),
            ("*.web", "http://hook.web", true),
            ("hook.web:81", "http://hook.web:81", true),
            ("hook.web:81", "http://hook.web", false),
            ("hook.web:80", "http://hook.web", true),
            ("a, 10.0.0.0/8", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("10.1.2.3", "http://10.1.2.3:81", true),
            ("fd00::/8", "http://[fd12::1]", true),
            ("fd12::1", "http://[fd12::1]:81", true),
            ("[fd12::1]:81", "http://[fd12::1]:82", false),
            ("0.0.0.0/0", "http://10.1.2.3", true),
            ("10.0.0.0/99", "http://10.1.2.3", false),
        ] {
            let proxies = proxies(&[("http_proxy", "p:1"), ("no_proxy", exempt)]).unwrap();
            assert_eq!(through(&proxies, url).is_empty(), is_direct, "{exempt} {url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_told() {
        for (text, error) in [
            ("http://", "the variable HTTPS_PROXY is no URL of a proxy"),
            (
                "socks5://u:p@a:1",
                "the variable HTTPS_PROXY names socks5://a:1: only proxies that speak plain HTTP are supported",
            ),
        ] {
            assert_eq!(proxies(&[("HTTPS_PROXY", text)]).unwrap_err(), error);
        }
    }
}
