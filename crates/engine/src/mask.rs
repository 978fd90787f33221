//! Pure: hides what Secrets hold, in texts that people see.

use bytes::Bytes;
use serde_json::Value;

/// What stands in the place of a secret value.
pub const MASK: &str = "********";

/// Returns a JSON text in which the values of Secrets are hidden; a text without any is not copied.
pub(crate) fn masked_text(text: &Bytes) -> Bytes {
    if !may_hold_secrets(text) {
        return text.clone();
    }
    match k8s::json::parse(text) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string().into()
        }
        // What cannot be read cannot be masked.
        Err(_) => Bytes::from_static(b"\"********\""),
    }
}

/// Hides the values of all Secrets in a value.
pub fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("kind").is_some_and(|kind| kind == "Secret") {
                mask_secret(value);
            }
            // An object may hold others, as requests do.
            value.as_object_mut().into_iter().flatten().for_each(|(_, value)| mask(value));
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn mask_secret(secret: &mut Value) {
    for field in ["data", "stringData"] {
        match secret.get_mut(field) {
            Some(Value::Object(entries)) => {
                entries.values_mut().for_each(|entry| *entry = MASK.into());
            }
            // Whatever it is, it was meant to be secret.
            Some(other) if !other.is_null() => *other = MASK.into(),
            _ => {}
        }
    }
    let annotations = secret.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    for (key, annotation) in annotations.into_iter().flatten() {
        // These hold the object as it was applied, with its data.
        if key.ends_with("last-applied-configuration") {
            *annotation = MASK.into();
        }
    }
}

/// Tells whether a text may have the word: it may be written with escapes.
fn may_hold_secrets(text: &[u8]) -> bool {
    text.windows(8).any(|part| part == b"\"Secret\"") || text.windows(2).any(|part| part == b"\\u")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_values_of_secrets_are_hidden() {
        let secret = json!({"kind": "Secret", "data": {"a": "cGFzcw=="}, "stringData": {"b": "pass"},
            "metadata": {"name": "s", "annotations": {
                "metacontroller.k8s.io/last-applied-configuration": "{\"stringData\":{\"b\":\"pass\"}}"}}});
        let map = json!({"kind": "ConfigMap", "data": {"a": "open"}});
        let text = json!({"children": {"Secret.v1": {"s": secret}, "ConfigMap.v1": {"m": map}}});
        let masked: Value = serde_json::from_slice(&masked_text(&text.to_string().into())).unwrap();
        assert!(!masked.to_string().contains("pass") && !masked.to_string().contains("cGFz"));
        let shown = &masked["children"]["Secret.v1"]["s"];
        assert_eq!(shown["data"], json!({"a": MASK}));
        assert_eq!(shown["metadata"]["name"], "s");
        assert_eq!(masked["children"]["ConfigMap.v1"]["m"], map);
    }

    #[test]
    fn escapes_and_broken_texts_hide_nothing() {
        let escaped = Bytes::from_static(br#"{"kind":"\u0053ecret","data":{"a":"pass"}}"#);
        let broken = Bytes::from_static(br#"{"kind":"Secret","data":{"a":"pass"}"#);
        for text in [escaped, broken] {
            let masked = masked_text(&text);
            assert!(!masked.windows(4).any(|part| part == b"pass"), "{masked:?}");
        }
    }
}
