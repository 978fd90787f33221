//! Pure: what every namespace holds from the start, and holds again when it was taken away.

use serde_json::{Value, json};

/// The account of pods that name none.
pub(crate) const ACCOUNT: &str = "default";

/// The map that holds the certificate of the server.
pub(crate) const CERTIFICATE: &str = "kube-root-ca.crt";

const ABOUT: &str = "kubernetes.io/description";

/// Returns the account.
pub(crate) fn account() -> Value {
    json!({"metadata": {"name": ACCOUNT}})
}

/// Returns the map with the certificate.
pub(crate) fn certificate(pem: &str) -> Value {
    let about = "Contains a CA bundle that can be used to verify the kube-apiserver when using \
        internal endpoints such as the internal service IP or kubernetes.default.svc. No other \
        usage is guaranteed across distributions of Kubernetes clusters.";
    json!({
        "metadata": {"name": CERTIFICATE, "annotations": {ABOUT: about}},
        "data": {"ca.crt": pem},
    })
}

/// Returns a map that was changed as it is to be again; nothing if it says enough.
pub(crate) fn repaired(map: &Value, pem: &str) -> Option<Value> {
    let whole = certificate(pem);
    let about = &map["metadata"]["annotations"][ABOUT];
    if map.get("data") == whole.get("data") && about.as_str().is_some_and(|it| !it.is_empty()) {
        return None;
    }
    let mut map = map.clone();
    map["data"] = whole["data"].clone();
    let metadata = &mut map["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][ABOUT] = whole["metadata"]["annotations"][ABOUT].clone();
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_certificate_and_its_description_are_kept_up() {
        let whole = certificate("pem");
        let mut extended = whole.clone();
        extended["metadata"]["annotations"]["mine"] = json!("x");
        assert_eq!(repaired(&extended, "pem"), None);
        let mut emptied = extended.clone();
        emptied["data"] = json!({"other": "x"});
        emptied["metadata"]["annotations"] = json!({"mine": "x"});
        assert_eq!(repaired(&emptied, "pem"), Some(extended));
    }
}
