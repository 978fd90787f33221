//! Pure: takes the data of a CloudEvent out of its envelope, so that a function gets it like any other.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::value::RawValue;

use super::contract;
use crate::content::decode_base64;

/// The members of an envelope that become no headers.
const CONTENT: [&str; 3] = ["data", "data_base64", "datacontenttype"];

/// Turns an event that is one JSON document into one of headers and a body, which says the same.
///
/// Other bodies stay as they are. Returns nothing if the data cannot be decoded.
pub(super) fn open(headers: &mut HeaderMap, body: Bytes) -> Option<Bytes> {
    if contract::media_type(headers) != "application/cloudevents+json" {
        return Some(body);
    }
    let members = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&body);
    let Some(members) = members.ok().filter(|it| it.contains_key("specversion")) else {
        return Some(body);
    };
    let text = |name: &str| serde_json::from_str::<String>(members.get(name)?.get()).ok();
    let kind = text("datacontenttype").unwrap_or_else(|| "application/json".to_owned());
    let data = match (text("data_base64"), members.get("data")) {
        (Some(coded), _) => decode_base64(&coded).ok()?.into(),
        (None, None) => Bytes::new(),
        (None, Some(data)) if contract::is_json(&kind) => data.get().to_owned().into(),
        // What is no JSON by its type is the string that it is written as.
        (None, Some(data)) => text("data").unwrap_or_else(|| data.get().to_owned()).into(),
    };
    for name in members.keys().filter(|name| !CONTENT.contains(&name.as_str())) {
        let header = HeaderName::try_from(format!("ce-{name}"));
        let value = text(name).and_then(|value| HeaderValue::try_from(value).ok());
        if let (Ok(header), Some(value)) = (header, value) {
            headers.insert(header, value);
        }
    }
    if let Ok(kind) = HeaderValue::try_from(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(body: &str) -> Option<(HeaderMap, String)> {
        let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        let data = open(&mut headers, Bytes::copy_from_slice(body.as_bytes()))?;
        Some((headers, String::from_utf8(data.to_vec()).unwrap()))
    }

    #[test]
    fn the_data_becomes_the_body_in_the_form_its_type_asks_for() {
        for (envelope, kind, body) in [
            (r#"{"specversion":"1.0","data":{"a": 1.0}}"#, "application/json", r#"{"a": 1.0}"#),
            (
                r#"{"specversion":"1.0","data":"x","datacontenttype":"text/plain"}"#,
                "text/plain",
                "x",
            ),
            (r#"{"specversion":"1.0","data_base64":"eA==","datacontenttype":"a/b"}"#, "a/b", "x"),
            (r#"{"specversion":"1.0"}"#, "application/json", ""),
            (r#"{"data":1}"#, "application/cloudevents+json; charset=utf-8", r#"{"data":1}"#),
            ("[1]", "application/cloudevents+json; charset=utf-8", "[1]"),
        ] {
            let (headers, data) = opened(envelope).unwrap();
            assert_eq!((headers[header::CONTENT_TYPE].to_str().unwrap(), &*data), (kind, body));
        }
        assert_eq!(opened(r#"{"specversion":"1.0","data_base64":"%"}"#), None);
    }

    #[test]
    fn attributes_become_headers() {
        let (headers, _) =
            opened(r#"{"specversion":"1.0","id":"7","source":"/shop","a b":"no","n":1}"#).unwrap();
        assert_eq!(
            (&headers["ce-id"], &headers["ce-source"]),
            (&"7".parse().unwrap(), &"/shop".parse().unwrap())
        );
        assert_eq!(headers.len(), 4);
    }

    proptest! {
        #[test]
        fn no_envelope_does_harm(body in "\\{\"specversion\":\"1\",\"data(_base64)?\":.{0,20}\\}|.{0,40}") {
            let _ = opened(&body);
        }
    }
}
