//! All objects as text, to compare two runs by.

use crate::backend::Backend;

/// Where namespaces keep the server's certificate.
const CERTIFICATE: &str = "kube-root-ca.crt";

/// Returns all objects, one line of JSON each, by resource, namespace and name.
pub(crate) fn text(backend: &Backend) -> String {
    let mut lines = String::new();
    let registry = backend.registry();
    let kept = registry.all().iter().filter(|it| it.is_stored() && it.resource == *it.storage);
    for registered in kept {
        for object in backend.list(&registered.resource, "") {
            if object.gvk().kind == "ConfigMap" && object.meta().name == CERTIFICATE {
                continue;
            }
            lines.push_str(&String::from_utf8_lossy(object.json()));
            lines.push('\n');
        }
    }
    lines
}
