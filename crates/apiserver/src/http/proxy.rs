//! `services/NAME/proxy`: requests that are passed on to what stands behind a Service.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s::{ObjectKey, PortChoice, Reached, ServicePort, in_one_line};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    error::ApiError,
    http::{
        Call,
        respond::{self, Answer},
        route::Target,
    },
    tls::TlsError,
};

/// Sends requests on. Connections are kept and shared.
pub(crate) struct Forwarder(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What a name in a path means: `[SCHEME:]NAME[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
struct Destination<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

/// Headers that are about one connection, or about who asks here.
const OWN_HEADERS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Forwarder {
    pub(crate) fn new() -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config);
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

/// Returns whether a request is to be passed on.
pub(crate) fn is_meant(target: &Target) -> bool {
    let Target { version, plural, subresource, .. } = target;
    version.group.is_empty() && plural == "services" && subresource == "proxy"
}

/// Passes a request on and its answer back.
pub(crate) async fn forward(call: &Call, target: &Target, uri: &Uri) -> Result<Answer, ApiError> {
    let Some(destination) = destination(&target.name) else {
        let why = format!("invalid service request \"{}\"", target.name);
        return Err(ApiError::bad_request(why));
    };
    if call.headers.contains_key(header::UPGRADE) {
        let why = "connections that change their protocol are not supported yet";
        return Err(ApiError::not_implemented(why));
    }
    let Some(path) = path_after(uri) else {
        return Ok(slashed(uri));
    };
    let port = ServicePort {
        namespace: target.namespace.clone(),
        name: destination.name.to_owned(),
        port: port_of(call, target, &destination),
    };
    let found = call.core.services.find(call.backend(), &port);
    let found = found.map_err(|error| ApiError::unavailable(error.to_string()))?;
    let reached = found.ok_or_else(|| not_found(call, target, destination.name))?;
    let wanted = format!("{}://{}{path}", destination.scheme, destination.name);
    let wanted: Uri = wanted.parse().map_err(|_| ApiError::bad_request("the path is no URL"))?;
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = passed_on(&call.headers);
    forwarded(request.headers_mut(), call, uri);
    *request.uri_mut() = reached.url(&wanted).unwrap_or(wanted);
    let mut answer = match reached {
        Reached::Handler(handler) => handler.handle(request).await,
        Reached::Url(_) | Reached::Authority(_) => send(&call.core.forwarder, request).await?,
    };
    *answer.headers_mut() = passed_on(answer.headers());
    keep_inside(&mut answer, uri);
    Ok(answer)
}

async fn send(forwarder: &Forwarder, request: Request<Bytes>) -> Result<Answer, ApiError> {
    let answer = forwarder.0.request(request.map(Full::new)).await.map_err(|error| {
        ApiError::unavailable(format!("error trying to reach service: {}", in_one_line(&error)))
    })?;
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

/// Reads a name as the reference does: the scheme may be left out, and the port.
fn destination(name: &str) -> Option<Destination<'_>> {
    let parts: Vec<_> = name.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let scheme = match scheme {
        "" => "http",
        known @ ("http" | "https") => known,
        _ => return None,
    };
    (!name.is_empty()).then_some(Destination { scheme, name, port })
}

/// Returns the port that is meant. None means the one without a name, as in the reference, or an only one.
fn port_of(call: &Call, target: &Target, destination: &Destination<'_>) -> PortChoice {
    if !destination.port.is_empty() {
        return PortChoice::parse(destination.port);
    }
    let services = k8s::Resource::namespaced("v1", "Service", "services");
    let key = ObjectKey::new(&target.namespace, destination.name);
    let service = call.backend().get(&services, &key).map(|it| it.to_value()).unwrap_or_default();
    match service["spec"]["ports"].as_array().map(Vec::as_slice) {
        Some([only]) => PortChoice::Name(only["name"].as_str().unwrap_or_default().to_owned()),
        _ => PortChoice::Name(String::new()),
    }
}

fn not_found(call: &Call, target: &Target, name: &str) -> ApiError {
    let registry = call.backend().registry();
    let services = registry.by_path(&target.version, &target.plural);
    services.map_or_else(ApiError::resource_not_found, |it| ApiError::not_found(it, name))
}

/// Returns path and query behind `/proxy`, as they were written; nothing if not even a slash is there.
fn path_after(uri: &Uri) -> Option<String> {
    let (_, rest) = split(uri.path())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("/{rest}{query}"))
}

/// Splits a path at the slash behind `/api/v1/namespaces/NS/services/NAME/proxy`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (at, _) = path.match_indices('/').nth(7)?;
    path.split_at_checked(at).map(|(base, rest)| (base, rest.trim_start_matches('/')))
}

/// Sends a client where relative links work.
fn slashed(uri: &Uri) -> Answer {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut answer = respond::text(301, "");
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// Makes a redirect within the Service one within its path here.
fn keep_inside(answer: &mut Answer, uri: &Uri) {
    let Some((base, _)) = split(uri.path()) else { return };
    let location = answer.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
    let inside = location.filter(|it| it.starts_with('/') && !it.starts_with("//"));
    if let Some(Ok(here)) = inside.map(|path| HeaderValue::from_str(&format!("{base}{path}"))) {
        answer.headers_mut().insert(header::LOCATION, here);
    }
}

/// Returns the headers that concern both ends, not one connection.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    for name in &OWN_HEADERS {
        passed.remove(name);
    }
    let impersonation: Vec<_> =
        passed.keys().filter(|it| it.as_str().starts_with("impersonate-")).cloned().collect();
    for name in impersonation {
        passed.remove(name);
    }
    passed
}

/// Tells the Service what was asked for here.
fn forwarded(headers: &mut HeaderMap, call: &Call, uri: &Uri) {
    let host = call.header(header::HOST);
    let told = [
        ("x-forwarded-uri", uri.path()),
        ("x-forwarded-host", host),
        ("x-forwarded-proto", "https"),
    ];
    for (name, text) in told {
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(text)) {
            headers.insert(name, value);
        }
    }
}

/// Takes every certificate, as the reference does here: a Service's is for a name that only the cluster knows.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_reference_reads_them() {
        for (name, expected) in [
            ("web", Some(("http", "web", ""))),
            ("web:80", Some(("http", "web", "80"))),
            ("https:web:", Some(("https", "web", ""))),
            ("https:web:web", Some(("https", "web", "web"))),
            ("ftp:web:80", None),
            ("a:b:c:d", None),
            (":80", None),
        ] {
            let read = destination(name).map(|it| (it.scheme, it.name, it.port));
            assert_eq!(read, expected, "{name}");
        }
    }

    #[test]
    fn the_path_behind_is_kept_as_it_was_written() {
        let base = "/api/v1/namespaces/n/services/web:80/proxy";
        for (rest, expected) in
            [("", None), ("/", Some("/")), ("/a%2Fb/?c=d%20e", Some("/a%2Fb/?c=d%20e"))]
        {
            let uri = format!("{base}{rest}").parse().unwrap();
            assert_eq!(path_after(&uri).as_deref(), expected, "{rest}");
        }
    }
}
