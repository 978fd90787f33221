//! Where the Services of a cluster are reached from this process: names, the map of exceptions, and the trait
//! that whoever calls a Service asks.

use std::{error::Error, fmt, fmt::Debug, str::FromStr, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use thiserror::Error;

use crate::ObjectKey;

/// Finds out where Services are. Everything in the process that calls one asks the same.
pub trait Services: Debug + Send + Sync {
    /// Returns where a port of a Service is reached; nothing if no such Service is known.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] if the Service is known, but nothing behind it can be called from here.
    fn find(&self, port: &ServicePort) -> Result<Option<Reached>, Unreachable>;
}

/// Answers in the place of a Service, without a socket.
pub trait ServiceHandler: Debug + Send + Sync {
    /// Answers a request whose path is the one the caller wants from the Service.
    fn handle(&self, request: Request<Bytes>) -> BoxFuture<'static, Response<ServiceBody>>;
}

/// The body of an answer, which may come bit by bit.
pub type ServiceBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Has Services answered in the place of what the cluster would run.
pub trait ServiceRegistry: Send + Sync {
    /// Has a Service answered by a handler until the registration is dropped.
    fn serve(&self, service: ObjectKey, handler: Arc<dyn ServiceHandler>) -> ServiceRegistration;
}

/// Keeps a Service answered until it is dropped.
pub type ServiceRegistration = Box<dyn Send + Sync>;

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The namespace.
    pub namespace: String,
    /// The name of the Service.
    pub name: String,
    /// Which of its ports.
    pub port: PortChoice,
}

/// Which port of a Service is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// The one of this number.
    Number(u16),
    /// The one of this name; an only port may have an empty one.
    Name(String),
}

/// Where a Service is reached.
#[derive(Clone, Debug)]
pub enum Reached {
    /// Below this URL, whatever the caller thought of scheme and host.
    Url(Uri),
    /// At this host and port; scheme and path stay as the caller wants them.
    Authority(String),
    /// Inside the process.
    Handler(Arc<dyn ServiceHandler>),
}

/// A Service has nothing that can be called from here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "nothing behind Service `{namespace}/{name}` can be reached from here: {why}; \
     `--service-map {namespace}/{name}=URL` says where it is"
)]
pub struct Unreachable {
    /// The namespace.
    pub namespace: String,
    /// The name of the Service.
    pub name: String,
    /// What is missing.
    pub why: String,
}

/// Where one Service is to be reached, as a person said: `NAMESPACE/NAME[:PORT]=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    namespace: String,
    name: String,
    /// Every port, if none is said.
    port: Option<PortChoice>,
    url: Uri,
}

/// Why a text does not say where a Service is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServiceEntryError {
    /// It is of another form.
    #[error("`{0}` is not of the form `NAMESPACE/NAME[:PORT]=URL`")]
    Form(String),
    /// The URL cannot be called.
    #[error("`{0}` is not a URL of http or https")]
    Url(String),
}

impl ServicePort {
    /// Returns what a URL means if its host has the form of a Service's name in a cluster.
    pub fn of_url(url: &Uri) -> Option<Self> {
        let host = url.host()?;
        let host = host.strip_suffix(".cluster.local").unwrap_or(host);
        let is_short = host.len() == url.host()?.len();
        // The domain of a cluster stands after `svc` only.
        let host = match host.strip_suffix(".svc") {
            Some(host) => host,
            None if is_short => host,
            None => return None,
        };
        let (name, namespace) = host.split_once('.')?;
        let is_label = |text: &str| {
            let known = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
            !text.is_empty() && text.bytes().all(known)
        };
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let port = PortChoice::Number(url.port_u16().unwrap_or(default));
        let is_name =
            is_label(name) && is_label(namespace) && host.parse::<std::net::IpAddr>().is_err();
        is_name.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

impl Reached {
    /// Returns the URL to call instead of `wanted`, nothing if a handler answers.
    pub fn url(&self, wanted: &Uri) -> Option<Uri> {
        let path = wanted.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let (scheme, authority, path) = match self {
            Self::Handler(_) => return None,
            Self::Authority(authority) => {
                (wanted.scheme_str().unwrap_or("http"), authority.as_str(), path.to_owned())
            }
            Self::Url(base) => (
                base.scheme_str().unwrap_or("http"),
                base.authority().map_or("", http::uri::Authority::as_str),
                format!("{}{path}", base.path().trim_end_matches('/')),
            ),
        };
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
    }
}

impl ServiceEntry {
    /// Returns where the port is reached if this entry is about it.
    pub fn find(&self, wanted: &ServicePort) -> Option<Reached> {
        let is_meant = self.namespace == wanted.namespace
            && self.name == wanted.name
            && self.port.as_ref().is_none_or(|port| *port == wanted.port);
        is_meant.then(|| Reached::Url(self.url.clone()))
    }

    /// Returns whether the entry is about one port only: such entries go before those about all.
    pub fn is_exact(&self) -> bool {
        self.port.is_some()
    }
}

impl FromStr for ServiceEntry {
    type Err = ServiceEntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ServiceEntryError::Form(text.to_owned());
        let (service, url) = text.split_once('=').ok_or_else(form)?;
        let (namespace, name) = service.split_once('/').ok_or_else(form)?;
        let (name, port) = match name.split_once(':') {
            Some((_, "")) => return Err(form()),
            Some((name, port)) => (name, Some(PortChoice::parse(port))),
            None => (name, None),
        };
        if namespace.is_empty() || name.is_empty() {
            return Err(form());
        }
        let bad = || ServiceEntryError::Url(url.to_owned());
        let url: Uri = url.parse().map_err(|_| bad())?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(bad());
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self { namespace, name, port, url })
    }
}

impl PortChoice {
    /// Returns the choice that a text means: a number, or else a name.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)
    }
}

impl fmt::Display for PortChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_url(url: &str) -> Option<String> {
        let it = ServicePort::of_url(&url.parse().unwrap())?;
        Some(format!("{}/{}:{}", it.namespace, it.name, it.port))
    }

    #[test]
    fn hosts_in_the_form_of_a_service_are_told_apart() {
        for (url, expected) in [
            ("http://hook.web/sync", Some("web/hook:80")),
            ("https://hook.web.svc/sync", Some("web/hook:443")),
            ("http://hook.web.svc.cluster.local:8080/", Some("web/hook:8080")),
            ("http://example.com/", Some("com/example:80")),
            ("http://hook.web.cluster.local/", None),
            ("http://hook/", None),
            ("http://localhost:1/", None),
            ("http://127.0.0.1/", None),
            ("http://[::1]/", None),
            ("http://www.example.com/", None),
        ] {
            assert_eq!(of_url(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn an_entry_is_about_one_port_or_all() {
        let found = |entry: &str, port: u16| {
            let (namespace, name) = ("n".to_owned(), "s".to_owned());
            let port = ServicePort { namespace, name, port: PortChoice::Number(port) };
            let reached = entry.parse::<ServiceEntry>().unwrap().find(&port)?;
            let wanted = "http://s.n:80/a?b=c".parse().unwrap();
            Some(reached.url(&wanted).unwrap().to_string())
        };
        let there = Some("http://127.0.0.1:1/a?b=c".to_owned());
        assert_eq!(found("n/s=http://127.0.0.1:1", 80), there);
        assert_eq!(found("n/s:80=http://127.0.0.1:1/", 80), there);
        assert_eq!(found("n/s:81=http://127.0.0.1:1", 80), None);
        assert_eq!(found("n/t=http://127.0.0.1:1", 80), None);
        assert_eq!(
            found("n/s=https://h/base/", 80),
            Some("https://h/base/a?b=c".to_owned()),
            "the base stands before the path"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "n/s", "s=http://h", "n/=http://h", "n/s:=http://h", "/s=http://h"] {
            let error = text.parse::<ServiceEntry>().unwrap_err();
            assert_eq!(error, ServiceEntryError::Form(text.to_owned()));
        }
        for url in ["h:1", "ftp://h", ""] {
            let error = format!("n/s={url}").parse::<ServiceEntry>().unwrap_err();
            assert_eq!(error, ServiceEntryError::Url(url.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<ServiceEntry>();
        }
    }
}
