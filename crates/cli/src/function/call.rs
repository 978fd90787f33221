//! Pure: the request that calls a Function through the API server, and what its answer means.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use k8s::{ObjectKey, Timestamp};
use serde_json::Value;
use thiserror::Error;

use super::pairs::Pair;

/// A call that somebody wants made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// The method; GET without data and POST with it if absent.
    pub method: Option<Method>,
    /// The path and query at the function.
    pub path: String,
    /// Headers besides those of an event.
    pub headers: Vec<Pair>,
    /// What is sent.
    pub data: Option<Bytes>,
}

/// Why a call cannot be made as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// A header is none.
    #[error("`{0}` is no header")]
    Header(String),
    /// The path is none.
    #[error("`{0}` is no path")]
    Path(String),
    /// The Service has no port.
    #[error("Service `{0}` has no port")]
    Port(ObjectKey),
    /// The function took too long.
    #[error("Request timeout exceeded")]
    Timeout,
    /// The function answered, but not with success.
    #[error("the function answered {0}")]
    Answer(StatusCode),
}

impl Call {
    /// Returns the request for the API server, for the event of an id at a time.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it cannot be written.
    pub fn request(
        &self,
        function: &ObjectKey,
        service: &Value,
        id: &str,
        now: Timestamp,
    ) -> Result<Request<Bytes>, CallError> {
        self.to(&proxy_path(function, service, &self.path)?, id, now)
    }

    /// Returns the request for the function itself.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it cannot be written.
    pub fn direct(&self, id: &str, now: Timestamp) -> Result<Request<Bytes>, CallError> {
        self.to(&format!("/{}", self.path.trim_start_matches('/')), id, now)
    }

    fn to(&self, uri: &str, id: &str, now: Timestamp) -> Result<Request<Bytes>, CallError> {
        let usual = if self.data.is_some() { Method::POST } else { Method::GET };
        let method = self.method.clone().unwrap_or(usual);
        let mut request = Request::builder().method(method).uri(uri);
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event =
            [("event-id", id), ("event-time", &time), ("event-namespace", "cli.kubeless.io")];
        for (name, value) in event {
            request = request.header(name, value);
        }
        if let Some(data) = &self.data {
            let kind = content_type(data);
            request = request.header(header::CONTENT_TYPE, kind).header("event-type", kind);
        }
        let request = request.body(self.data.clone().unwrap_or_default());
        let mut request = request.map_err(|_| CallError::Path(self.path.clone()))?;
        for (name, value) in &self.headers {
            let header = || CallError::Header(format!("{name}: {value}"));
            let key: HeaderName = name.trim().parse().map_err(|_| header())?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| header())?;
            request.headers_mut().insert(key, value);
        }
        Ok(request)
    }
}

/// Checks whether an answer means that all went well.
///
/// # Errors
///
/// [`CallError`] if not.
pub fn check(status: StatusCode) -> Result<(), CallError> {
    match status {
        StatusCode::REQUEST_TIMEOUT => Err(CallError::Timeout),
        status if status.is_success() => Ok(()),
        status => Err(CallError::Answer(status)),
    }
}

/// Returns what an answer without success says to people: that of an API server which did not reach the function
/// is in an object.
pub fn words(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    match object["message"].as_str() {
        Some(message) if object["kind"] == "Status" && object["apiVersion"] == "v1" => {
            message.to_owned()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Returns where the API server passes requests for a path on to a Service.
///
/// # Errors
///
/// [`CallError`] if the Service has no port.
pub fn proxy_path(function: &ObjectKey, service: &Value, path: &str) -> Result<String, CallError> {
    let ObjectKey { namespace, name } = function;
    let port = service.pointer("/spec/ports/0").unwrap_or(&Value::Null);
    let named = port["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let port = named.or_else(|| port["port"].as_u64().map(|port| port.to_string()));
    let port = port.ok_or_else(|| CallError::Port(function.clone()))?;
    let path = path.trim_start_matches('/');
    // Without a slash at the end the server redirects, and a POST loses its body on the way.
    Ok(format!("/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy/{path}"))
}

/// Returns the type of data: functions that expect a form get one unless it is an object.
fn content_type(data: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde_json::Map<String, Value>>(data).is_ok() {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(call: &Call, port: &Value) -> Result<Request<Bytes>, CallError> {
        let service = json!({"spec": {"ports": [port]}});
        call.request(&ObjectKey::new("ops", "f"), &service, "7", Timestamp::UNIX_EPOCH)
    }

    fn told(call: &Call) -> String {
        let request = request(call, &json!({"name": "http", "port": 80})).unwrap();
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        let headers = headers.collect::<Vec<_>>().join(" ");
        format!("{} {} {headers}", request.method(), request.uri())
    }

    const EVENT: &str =
        "event-id=7 event-time=1970-01-01T00:00:00Z event-namespace=cli.kubeless.io";

    #[test]
    fn without_data_a_call_is_a_get() {
        let path = "/api/v1/namespaces/ops/services/f:http/proxy/";
        assert_eq!(told(&Call::default()), format!("GET {path} {EVENT}"));
        let call = Call { path: "/a/b?c=d".to_owned(), ..Call::default() };
        assert_eq!(told(&call), format!("GET {path}a/b?c=d {EVENT}"));
    }

    #[test]
    fn data_is_json_only_if_it_is_an_object() {
        for (data, kind) in [
            (r#"{"a": 1}"#, "application/json"),
            ("[1]", "application/x-www-form-urlencoded"),
            ("a=b", "application/x-www-form-urlencoded"),
            ("{", "application/x-www-form-urlencoded"),
        ] {
            let call = Call { data: Some(Bytes::from(data)), ..Call::default() };
            let told = told(&call);
            assert!(told.starts_with("POST "), "{told}");
            assert!(told.ends_with(&format!("content-type={kind} event-type={kind}")), "{told}");
        }
    }

    #[test]
    fn headers_that_are_given_count() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let call = Call {
            method: Some(Method::PUT),
            headers: vec![header("Event-Id", " 8")],
            ..Call::default()
        };
        assert!(told(&call).contains("PUT ") && told(&call).contains("event-id=8"));
        let call = Call { headers: vec![header("a b", "c")], ..Call::default() };
        assert_eq!(
            request(&call, &json!({"port": 80})).unwrap_err(),
            CallError::Header("a b: c".to_owned())
        );
    }

    #[test]
    fn a_port_without_a_name_is_a_number() {
        let request = self::request(&Call::default(), &json!({"port": 80})).unwrap();
        assert!(request.uri().path().contains("/f:80/"));
        assert!(matches!(self::request(&Call::default(), &json!({})), Err(CallError::Port(_))));
    }

    #[test]
    fn a_server_that_reaches_nobody_is_heard() {
        let status = br#"{"kind": "Status", "apiVersion": "v1", "message": "no endpoints"}"#;
        assert_eq!(words(status), "no endpoints");
        assert_eq!(words(br#"{"message": "own"}"#), r#"{"message": "own"}"#);
    }

    #[test]
    fn only_success_is_success() {
        for (status, told) in [
            (200, "ok"),
            (204, "ok"),
            (404, "the function answered 404 Not Found"),
            (408, "Request timeout exceeded"),
        ] {
            let checked = check(StatusCode::from_u16(status).unwrap());
            assert_eq!(checked.map_or_else(|error| error.to_string(), |()| "ok".to_owned()), told);
        }
    }
}
