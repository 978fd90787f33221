//! Pure: what proves to a hook who calls, and to the engine who is called.

use std::collections::BTreeMap;

use api::{
    HookTls,
    controller::{
        Authorization, BasicAuth, BundleReference, CaBundle, ClientTls, CredentialsSpec,
        EndpointConfig,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use k8s::{Object, ObjectKey};

/// Where the parts of a hook's credentials are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    roots: Option<Roots>,
    identity: Option<Identity>,
    header: Option<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    Inline(String),
    At(Source, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    secret: Source,
    certificate: String,
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Header {
    Token {
        scheme: String,
        secret: Source,
        key: String,
    },
    Basic {
        secret: Source,
        username: String,
        password: String,
    },
    /// It stands in the URL itself.
    Given(HeaderValue),
}

/// An object that credentials are read from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A Secret.
    Secret(ObjectKey),
    /// A ConfigMap.
    ConfigMap(ObjectKey),
}

/// The objects that were read.
pub(crate) type Found = BTreeMap<Source, Object>;

/// Credentials in the form in which they are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Access {
    /// How HTTPS is spoken, if not as the system does.
    pub(crate) tls: Option<HookTls>,
    /// The header `Authorization`, marked as sensitive.
    pub(crate) authorization: Option<HeaderValue>,
}

/// Returns where the credentials of a hook at `url` are: its own if it has any, else those of the first
/// configuration for its host. A login in the URL counts where they have no header.
pub(crate) fn check(
    (url, login): (&str, Option<HeaderValue>),
    own: CredentialsSpec,
    configs: &[EndpointConfig],
) -> Result<Credentials, String> {
    let spec = if own == CredentialsSpec::default() {
        let config = configs.iter().find(|config| is_at(&config.host, url));
        config.map(|config| config.credentials.clone()).unwrap_or_default()
    } else {
        own
    };
    let header = match (spec.authorization, spec.basic_auth) {
        (Some(_), Some(_)) => {
            return Err("`authorization` and `basicAuth` are mutually exclusive".to_owned());
        }
        (Some(token), None) => Some(token_header(token)?),
        (None, Some(basic)) => Some(basic_header(basic)),
        (None, None) => login.map(Header::Given),
    };
    Ok(Credentials {
        roots: spec.ca_bundle.map(roots).transpose()?,
        identity: spec.client_tls.map(identity),
        header,
    })
}

impl Credentials {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the objects that must be read.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        let roots = match &self.roots {
            Some(Roots::At(source, _)) => Some(source),
            Some(Roots::Inline(_)) | None => None,
        };
        let identity = self.identity.as_ref().map(|identity| &identity.secret);
        let header = self.header.as_ref().and_then(|header| match header {
            Header::Token { secret, .. } | Header::Basic { secret, .. } => Some(secret),
            Header::Given(_) => None,
        });
        roots.into_iter().chain(identity).chain(header).collect()
    }

    /// Puts the credentials together from the objects that were read.
    pub(crate) fn access(&self, found: &Found) -> Result<Access, String> {
        let roots = match &self.roots {
            None => None,
            Some(Roots::Inline(pem)) => Some(pem.clone()),
            Some(Roots::At(source, key)) => Some(text(found, source, key)?),
        };
        let identity = match &self.identity {
            None => None,
            Some(Identity { secret, certificate, key }) => {
                Some((text(found, secret, certificate)?, text(found, secret, key)?))
            }
        };
        let has_tls = roots.is_some() || identity.is_some();
        let authorization = self.header.as_ref().map(|header| header.value(found)).transpose()?;
        Ok(Access { tls: has_tls.then_some(HookTls { roots, identity }), authorization })
    }
}

impl Header {
    fn value(&self, found: &Found) -> Result<HeaderValue, String> {
        let text = match self {
            Self::Given(value) => return Ok(value.clone()),
            Self::Token { scheme, secret, key } => {
                format!("{scheme} {}", text(found, secret, key)?.trim())
            }
            Self::Basic { secret, username, password } => {
                let (name, password) =
                    (text(found, secret, username)?, text(found, secret, password)?);
                if name.contains(':') {
                    return Err(format!("the user name in {secret} has a colon"));
                }
                format!("Basic {}", STANDARD.encode(format!("{}:{}", name.trim(), password.trim())))
            }
        };
        let value = HeaderValue::from_str(&text);
        let mut value = value.map_err(|_| "the credential is no valid header".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(key) => write!(f, "Secret {key}"),
            Self::ConfigMap(key) => write!(f, "ConfigMap {key}"),
        }
    }
}

fn roots(bundle: CaBundle) -> Result<Roots, String> {
    let at = |reference: BundleReference, source: fn(ObjectKey) -> Source| {
        let key = reference.key.filter(|key| !key.is_empty());
        let place = ObjectKey::new(&reference.namespace, &reference.name);
        Roots::At(source(place), key.unwrap_or_else(|| "ca.crt".to_owned()))
    };
    match (bundle.inline, bundle.secret_ref, bundle.config_map_ref) {
        (Some(pem), None, None) => Ok(Roots::Inline(pem)),
        (None, Some(secret), None) => Ok(at(secret, Source::Secret)),
        (None, None, Some(map)) => Ok(at(map, Source::ConfigMap)),
        _ => {
            Err("`caBundle` needs exactly one of `inline`, `secretRef` and `configMapRef`"
                .to_owned())
        }
    }
}

fn identity(tls: ClientTls) -> Identity {
    Identity {
        secret: Source::Secret(ObjectKey::new(&tls.secret_ref.namespace, &tls.secret_ref.name)),
        certificate: or(tls.cert_key, "tls.crt"),
        key: or(tls.private_key_key, "tls.key"),
    }
}

fn token_header(token: Authorization) -> Result<Header, String> {
    let scheme = token.r#type.unwrap_or_default();
    let scheme = if scheme.trim().is_empty() { "Bearer" } else { scheme.trim() };
    if scheme.eq_ignore_ascii_case("basic") {
        return Err("`authorization` does not take the type `Basic`: use `basicAuth`".to_owned());
    }
    let secret = ObjectKey::new(&token.secret_ref.namespace, &token.secret_ref.name);
    let (scheme, secret) = (scheme.to_owned(), Source::Secret(secret));
    Ok(Header::Token { scheme, secret, key: token.secret_ref.key })
}

fn basic_header(basic: BasicAuth) -> Header {
    let secret = ObjectKey::new(&basic.secret_ref.namespace, &basic.secret_ref.name);
    Header::Basic {
        secret: Source::Secret(secret),
        username: or(basic.username_key, "username"),
        password: or(basic.password_key, "password"),
    }
}

fn or(key: Option<String>, default: &str) -> String {
    key.filter(|key| !key.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// Returns the text under a key of an object.
fn text(found: &Found, source: &Source, key: &str) -> Result<String, String> {
    let object = found.get(source).ok_or_else(|| format!("{source} is not there"))?.to_value();
    let data = object["data"][key].as_str();
    let text = match source {
        Source::ConfigMap(_) => data.map(ToOwned::to_owned),
        Source::Secret(_) => data
            .and_then(|data| STANDARD.decode(data).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    let text = text.filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| format!("{source} has no text under the key `{key}`"))
}

/// Returns whether a configuration for `host`, with or without a port, is for hooks at `url`.
fn is_at(host: &str, url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(of_url), scheme) = (uri.host(), uri.scheme_str().unwrap_or("http")) else {
        return false;
    };
    let standard = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let Ok(named) = host.parse::<http::uri::Authority>() else { return false };
    named.host().eq_ignore_ascii_case(of_url)
        && named.port_u16().unwrap_or(standard) == uri.port_u16().unwrap_or(standard)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: &Value) -> CredentialsSpec {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn found(objects: &[Value]) -> Found {
        let source = |object: &Value| {
            let object = Object::from_value(object).unwrap();
            let key = object.key();
            let is_secret = object.gvk().kind == "Secret";
            (if is_secret { Source::Secret(key) } else { Source::ConfigMap(key) }, object)
        };
        objects.iter().map(source).collect()
    }

    fn access(given: &Value, objects: &[Value]) -> Result<Access, String> {
        check(("https://h", None), spec(given), &[])?.access(&found(objects))
    }

    fn secret(data: &[(&str, &str)]) -> Value {
        let data: BTreeMap<_, _> =
            data.iter().map(|(key, value)| (*key, STANDARD.encode(value))).collect();
        json!({"kind": "Secret", "metadata": {"namespace": "n", "name": "s"}, "data": data})
    }

    #[test]
    fn tokens_and_passwords_become_headers() {
        let at = json!({"namespace": "n", "name": "s", "key": "token"});
        for (given, header) in [
            (json!({"authorization": {"secretRef": at}}), "Bearer t0ken"),
            (json!({"authorization": {"secretRef": at, "type": " Token "}}), "Token t0ken"),
            (json!({"authorization": {"secretRef": at, "type": " "}}), "Bearer t0ken"),
            (json!({"basicAuth": {"secretRef": at}}), "Basic dTpw"),
        ] {
            let secret = secret(&[("token", " t0ken\n"), ("username", "u"), ("password", "p\n")]);
            let value = access(&given, &[secret]).unwrap().authorization.unwrap();
            assert_eq!(value.to_str().unwrap(), header);
            assert!(value.is_sensitive());
        }
    }

    #[test]
    fn a_login_in_the_url_counts_where_nothing_else_is_said() {
        let login = HeaderValue::from_static("Basic eDp5");
        let header = |own: &Value| {
            let credentials = check(("http://h", Some(login.clone())), spec(own), &[]).unwrap();
            let found = found(&[secret(&[("token", "t")])]);
            credentials.access(&found).unwrap().authorization.unwrap()
        };
        assert_eq!(header(&json!({})), "Basic eDp5");
        let at = json!({"namespace": "n", "name": "s", "key": "token"});
        assert_eq!(header(&json!({"authorization": {"secretRef": at}})), "Bearer t");
    }

    #[test]
    fn certificates_come_from_where_they_are_said_to_be() {
        let given = json!({"caBundle": {"configMapRef": {"namespace": "n", "name": "m"}},
            "clientTLS": {"secretRef": {"namespace": "n", "name": "s"}, "certKey": "crt"}});
        let map = json!({"kind": "ConfigMap", "metadata": {"namespace": "n", "name": "m"},
            "data": {"ca.crt": "roots"}});
        let tls = access(&given, &[map, secret(&[("crt", "c"), ("tls.key", "k")])]).unwrap().tls;
        let identity = Some(("c".to_owned(), "k".to_owned()));
        assert_eq!(tls, Some(HookTls { roots: Some("roots".to_owned()), identity }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let at = json!({"namespace": "n", "name": "s", "key": "token"});
        for (given, error) in [
            (
                json!({"caBundle": {}}),
                "`caBundle` needs exactly one of `inline`, `secretRef` and `configMapRef`",
            ),
            (
                json!({"caBundle": {"inline": "x", "secretRef": at}}),
                "`caBundle` needs exactly one of `inline`, `secretRef` and `configMapRef`",
            ),
            (
                json!({"authorization": {"secretRef": at}, "basicAuth": {"secretRef": at}}),
                "`authorization` and `basicAuth` are mutually exclusive",
            ),
            (
                json!({"authorization": {"secretRef": at, "type": "BASIC"}}),
                "`authorization` does not take the type `Basic`: use `basicAuth`",
            ),
            (
                json!({"authorization": {"secretRef": at}}),
                "Secret n/s has no text under the key `token`",
            ),
            (json!({"basicAuth": {"secretRef": at}}), "the user name in Secret n/s has a colon"),
        ] {
            let objects = [secret(&[("username", "a:b"), ("password", "p"), ("token", " ")])];
            assert_eq!(access(&given, &objects).unwrap_err(), error, "{given}");
        }
        let missing = access(&json!({"authorization": {"secretRef": at}}), &[]);
        assert_eq!(missing.unwrap_err(), "Secret n/s is not there");
    }

    #[test]
    fn a_configuration_is_found_by_host_and_port() {
        for (host, url, is_found) in [
            ("hook.web", "http://HOOK.web:80/sync", true),
            ("hook.web:443", "https://hook.web/sync", true),
            ("hook.web", "https://hook.web:443/sync", true),
            ("hook.web:8080", "http://hook.web/sync", false),
            ("hook.web", "http://hook.web:8080/sync", false),
            ("other", "http://hook.web/sync", false),
        ] {
            assert_eq!(is_at(host, url), is_found, "{host} {url}");
        }
    }

    #[test]
    fn a_hook_s_own_credentials_come_before_those_of_its_host() {
        let config = |host: &str| EndpointConfig {
            host: host.to_owned(),
            credentials: spec(&json!({"caBundle": {"inline": host}})),
        };
        let configs = [config("h"), config("H")];
        let chosen = |own: &Value| check(("http://h", None), spec(own), &configs).unwrap().roots;
        assert_eq!(chosen(&json!({})), Some(Roots::Inline("h".to_owned())));
        let own =
            json!({"authorization": {"secretRef": {"namespace": "n", "name": "s", "key": "k"}}});
        assert_eq!(chosen(&own), None, "its own apply whole");
    }
}
