//! Pure: an HTTPTrigger, and the object that has a cluster route calls by it.

use std::collections::BTreeMap;

use api::trigger::{self, HttpTriggerSpec};
use k8s::{Meta, Object, Resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::objects::owner;

/// What kubectl keeps for itself, which is not for others.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The annotation that named the class of an Ingress before there was a field for it.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// An HTTPTrigger that can be routed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpTrigger {
    meta: Meta,
    annotations: BTreeMap<String, String>,
    /// The Function.
    pub function: String,
    /// The host that callers name; any if empty.
    pub host: String,
    /// The path below which calls go to the function.
    pub path: String,
    gateway: String,
    tls: Tls,
    /// The Secret that lists who may call.
    pub users: Option<String>,
    /// Whether pages of other origins may call.
    pub cors: bool,
    gateway_ref: Option<GatewayRef>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tls {
    None,
    Acme,
    Secret(String),
}

/// A Gateway, and one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GatewayRef {
    namespace: String,
    name: String,
    section: Option<String>,
}

/// Who asks for passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The gateway of this process.
    Own,
    /// That of the cluster, which must be told in its own words.
    Cluster,
}

/// Why an HTTPTrigger cannot be routed by.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HttpRefusal {
    /// Its fields are of wrong types.
    #[error("the spec cannot be read: {0}")]
    Unreadable(String),
    /// It names no Function.
    #[error("`function-name` is missing")]
    NoFunction,
    /// It has two certificates.
    #[error("`tls` and `tls-secret` cannot be used together")]
    TwoCertificates,
    /// The Gateway is named in another way.
    #[error(
        "annotation `windlass.dev/gateway-ref` is `{0}`, not NAMESPACE/NAME or NAMESPACE/NAME/SECTION"
    )]
    GatewayRef(String),
    /// The gateway cannot ask for passwords as far as windlass knows; routing without would let all in.
    #[error("basic auth is not supported with {0}")]
    Unguarded(String),
}

impl HttpRefusal {
    /// Returns the reason of the condition that tells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_)
            | Self::NoFunction
            | Self::TwoCertificates
            | Self::GatewayRef(_) => "InvalidSpec",
            Self::Unguarded(_) => "Unsupported",
        }
    }
}

impl HttpTrigger {
    /// Checks an HTTPTrigger.
    ///
    /// # Errors
    ///
    /// [`HttpRefusal`] if nothing can be routed by it before it is changed.
    pub(crate) fn check(object: &Object, guard: Guard) -> Result<Self, HttpRefusal> {
        let spec = object.to_value()["spec"].take();
        let spec = if spec.is_null() { json!({}) } else { spec };
        let spec = HttpTriggerSpec::deserialize(spec)
            .map_err(|error| HttpRefusal::Unreadable(error.to_string()))?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tls = match (spec.tls.unwrap_or_default(), given(spec.tls_secret)) {
            (true, Some(_)) => return Err(HttpRefusal::TwoCertificates),
            (true, None) => Tls::Acme,
            (false, Some(secret)) => Tls::Secret(secret),
            (false, None) => Tls::None,
        };
        let mut annotations = object.annotations();
        annotations.remove(LAST_APPLIED);
        let gateway_ref = annotations.remove(trigger::GATEWAY_REF);
        let old_class = annotations.remove(OLD_CLASS);
        let trigger = Self {
            meta: object.meta().clone(),
            annotations,
            function: given(spec.function_name).ok_or(HttpRefusal::NoFunction)?,
            host: spec.host_name.unwrap_or_default(),
            path: format!("/{}", spec.path.unwrap_or_default().trim_start_matches('/')),
            gateway: given(spec.gateway).or(old_class).unwrap_or_default(),
            tls,
            users: given(spec.basic_auth_secret),
            cors: spec.cors_enable.unwrap_or_default(),
            gateway_ref: gateway_ref.as_deref().map(GatewayRef::parse).transpose()?,
        };
        match (&trigger.users, trigger.unguarded(guard)) {
            (Some(_), Some(by)) => Err(HttpRefusal::Unguarded(by)),
            _ => Ok(trigger),
        }
    }

    /// Returns the object that routes to a port of the function's Service.
    pub(crate) fn made(&self, port: u16) -> (Resource, Value) {
        match &self.gateway_ref {
            Some(gateway) => (routes(), self.route(gateway, port)),
            None => (ingresses(), self.ingress(port)),
        }
    }

    /// Returns whether calls should come in encrypted.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls != Tls::None
    }

    /// Returns what routes without asking for a password, if that is so.
    fn unguarded(&self, guard: Guard) -> Option<String> {
        match self.gateway.as_str() {
            "kong" => Some("gateway `kong`".to_owned()),
            _ if guard == Guard::Own => None,
            _ if self.gateway_ref.is_some() => Some("HTTPRoutes".to_owned()),
            "nginx" | "traefik" => None,
            other => Some(format!("gateway `{other}`")),
        }
    }

    fn ingress(&self, port: u16) -> Value {
        let backend = json!({"service": {"name": self.function, "port": {"number": port}}});
        let mut rule = json!({"http": {"paths": [
            {"path": self.path, "pathType": "Prefix", "backend": backend}]}});
        if !self.host.is_empty() {
            rule["host"] = json!(self.host);
        }
        let mut spec = json!({"rules": [rule]});
        if !self.gateway.is_empty() {
            spec["ingressClassName"] = json!(self.gateway);
        }
        let secret = match &self.tls {
            Tls::None => None,
            Tls::Acme => Some(format!("{}-tls", self.meta.name)),
            Tls::Secret(name) => Some(name.clone()),
        };
        if let Some(secret) = secret {
            let mut tls = json!({"secretName": secret});
            if !self.host.is_empty() {
                tls["hosts"] = json!([self.host]);
            }
            spec["tls"] = json!([tls]);
        }
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": self.metadata(), "spec": spec})
    }

    fn route(&self, gateway: &GatewayRef, port: u16) -> Value {
        let mut parent = json!({"namespace": gateway.namespace, "name": gateway.name});
        if let Some(section) = &gateway.section {
            parent["sectionName"] = json!(section);
        }
        let rewrite = json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}});
        let mut spec = json!({"parentRefs": [parent], "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": self.path}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}],
            "backendRefs": [{"name": self.function, "port": port}]}]});
        if !self.host.is_empty() {
            spec["hostnames"] = json!([self.host]);
        }
        json!({"apiVersion": routes().gvk.api_version(), "kind": "HTTPRoute",
            "metadata": self.metadata(), "spec": spec})
    }

    fn metadata(&self) -> Value {
        let kind = trigger::http().gvk.kind;
        json!({
            "name": self.meta.name, "namespace": self.meta.namespace, "labels": self.meta.labels,
            "annotations": self.notes(), "ownerReferences": [owner(&kind, &self.meta)]})
    }

    /// Returns the annotations: generated ones, then those of the trigger, which may not open what is closed.
    fn notes(&self) -> Map<String, Value> {
        let mut notes = Map::new();
        let mut note = |name: String, value: &str| {
            notes.insert(name, json!(value));
        };
        let is_nginx = self.gateway == "nginx";
        let prefix = if is_nginx { "nginx.ingress.kubernetes.io" } else { "ingress.kubernetes.io" };
        if is_nginx && self.gateway_ref.is_none() {
            note(format!("{prefix}/rewrite-target"), "/");
        }
        if self.cors {
            note(format!("{prefix}/enable-cors"), "true");
        }
        for (name, value) in &self.annotations {
            note(name.clone(), value);
        }
        if let Some(users) = &self.users {
            note(format!("{prefix}/auth-secret"), users);
            note(format!("{prefix}/auth-type"), "basic");
        }
        if self.tls == Tls::Acme {
            note("kubernetes.io/tls-acme".to_owned(), "true");
            note("nginx.ingress.kubernetes.io/ssl-redirect".to_owned(), "true");
        }
        notes
    }
}

impl GatewayRef {
    fn parse(text: &str) -> Result<Self, HttpRefusal> {
        let parts: Vec<_> = text.split('/').collect();
        let (namespace, name, section) = match parts.as_slice() {
            [namespace, name] => (namespace, name, None),
            [namespace, name, section] => (namespace, name, Some((*section).to_owned())),
            _ => return Err(HttpRefusal::GatewayRef(text.to_owned())),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(HttpRefusal::GatewayRef(text.to_owned()));
        }
        Ok(Self { namespace: (*namespace).to_owned(), name: (*name).to_owned(), section })
    }
}

/// Returns the resource of Ingresses.
pub(crate) fn ingresses() -> Resource {
    Resource::namespaced("networking.k8s.io/v1", "Ingress", "ingresses")
}

/// Returns the resource of HTTPRoutes, which not every cluster has.
pub(crate) fn routes() -> Resource {
    Resource::namespaced("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(annotations: &Value, spec: &Value) -> Object {
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "HTTPTrigger",
            "metadata": {"name": "t", "namespace": "ops", "uid": "1", "labels": {"team": "a"},
                "annotations": annotations}, "spec": spec});
        Object::from_value(&object).unwrap()
    }

    fn check(annotations: &Value, spec: &Value, guard: Guard) -> Result<HttpTrigger, HttpRefusal> {
        HttpTrigger::check(&object(annotations, spec), guard)
    }

    fn made(annotations: &Value, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["function-name"] = json!("f");
        check(annotations, &spec, Guard::Cluster).unwrap().made(80).1
    }

    #[test]
    fn an_ingress_leads_to_the_port_of_the_service() {
        let ingress = made(&json!({}), &json!({"host-name": "a.b", "path": "//x/y"}));
        assert_eq!(
            ingress["spec"],
            json!({"rules": [{"host": "a.b", "http": {"paths": [{
            "path": "/x/y", "pathType": "Prefix",
            "backend": {"service": {"name": "f", "port": {"number": 80}}}}]}}]})
        );
        assert_eq!(ingress["metadata"]["labels"], json!({"team": "a"}));
        assert_eq!(ingress.pointer("/metadata/ownerReferences/0/kind").unwrap(), "HTTPTrigger");
    }

    #[test]
    fn each_gateway_is_told_in_its_own_words() {
        let nginx = "nginx.ingress.kubernetes.io";
        for (spec, annotations, expected) in [
            (json!({}), json!({LAST_APPLIED: "x", "a": "b"}), json!({"a": "b"})),
            (
                json!({"gateway": "nginx", "cors-enable": true, "basic-auth-secret": "s"}),
                json!({format!("{nginx}/rewrite-target"): "/$1", format!("{nginx}/auth-type"): "none"}),
                json!({format!("{nginx}/rewrite-target"): "/$1", format!("{nginx}/enable-cors"): "true",
                    format!("{nginx}/auth-secret"): "s", format!("{nginx}/auth-type"): "basic"}),
            ),
            (
                json!({"gateway": "traefik", "cors-enable": true, "basic-auth-secret": "s"}),
                json!({}),
                json!({"ingress.kubernetes.io/enable-cors": "true",
                    "ingress.kubernetes.io/auth-secret": "s", "ingress.kubernetes.io/auth-type": "basic"}),
            ),
            (
                json!({"gateway": "kong", "cors-enable": true}),
                json!({"ingress.kubernetes.io/enable-cors": "false"}),
                json!({"ingress.kubernetes.io/enable-cors": "false"}),
            ),
            (
                json!({"tls": true}),
                json!({"kubernetes.io/tls-acme": "false"}),
                json!({"kubernetes.io/tls-acme": "true", format!("{nginx}/ssl-redirect"): "true"}),
            ),
        ] {
            assert_eq!(made(&annotations, &spec)["metadata"]["annotations"], expected, "{spec}");
        }
    }

    #[test]
    fn classes_and_certificates_are_fields() {
        let tls = |spec: Value| made(&json!({}), &spec)["spec"]["tls"].take();
        assert_eq!(tls(json!({"tls": true})), json!([{"secretName": "t-tls"}]));
        let secret = json!({"tls-secret": "s", "host-name": "a.b"});
        assert_eq!(tls(secret), json!([{"secretName": "s", "hosts": ["a.b"]}]));
        let old = made(&json!({OLD_CLASS: "kong"}), &json!({}));
        assert_eq!(old["spec"]["ingressClassName"], "kong");
        assert_eq!(old["metadata"]["annotations"], json!({}));
    }

    #[test]
    fn a_route_takes_the_prefix_away() {
        let route = made(&json!({trigger::GATEWAY_REF: "infra/edge/web"}), &json!({"path": "x"}));
        assert_eq!(route["kind"], "HTTPRoute");
        assert_eq!(
            route["spec"]["parentRefs"],
            json!([{"namespace": "infra", "name": "edge", "sectionName": "web"}])
        );
        let rewrite = "/spec/rules/0/filters/0/urlRewrite/path/replacePrefixMatch";
        assert_eq!(route.pointer(rewrite).unwrap(), "/");
    }

    #[test]
    fn what_cannot_be_routed_by_has_a_reason() {
        let both = json!({"function-name": "f", "tls": true, "tls-secret": "s"});
        let auth = |gateway: &str| json!({"function-name": "f", "basic-auth-secret": "s", "gateway": gateway});
        let refused = |annotations: Value, spec: &Value, guard: Guard| {
            check(&annotations, spec, guard).err().map(|refusal| refusal.reason())
        };
        for (spec, guard, reason) in [
            (json!({}), Guard::Own, Some("InvalidSpec")),
            (json!({"function-name": 1}), Guard::Own, Some("InvalidSpec")),
            (both, Guard::Own, Some("InvalidSpec")),
            (auth("kong"), Guard::Own, Some("Unsupported")),
            (auth("haproxy"), Guard::Own, None),
            (auth("haproxy"), Guard::Cluster, Some("Unsupported")),
            (auth("traefik"), Guard::Cluster, None),
        ] {
            assert_eq!(refused(json!({}), &spec, guard), reason, "{spec}");
        }
        for spec in [json!(null), json!({"tls": "x"}), json!({"host-name": {}}), json!([1])] {
            assert_eq!(refused(json!({}), &spec, Guard::Own), Some("InvalidSpec"), "{spec}");
        }
        let with_ref = |text: &str| json!({trigger::GATEWAY_REF: text});
        assert_eq!(refused(with_ref("edge"), &auth("nginx"), Guard::Own), Some("InvalidSpec"));
        assert_eq!(refused(with_ref("a/b"), &auth("nginx"), Guard::Cluster), Some("Unsupported"));
    }
}
