//! Pure: what a path means.

use k8s::GroupVersion;

use crate::http::query::decode;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Objects of a resource.
    Resource(Target),
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/VERSION` or `/apis/GROUP/VERSION`.
    Resources(GroupVersion),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiV3,
    /// `/openapi/v3/PATH`.
    OpenApiDocument(String),
    /// `/openid/v1/jwks`.
    KeySet,
    /// `/.well-known/openid-configuration`.
    OpenIdConfiguration,
    /// `/metrics`.
    Metrics,
    /// `/version`.
    Version,
    /// `/healthz`, `/livez`, `/readyz` and what is below them.
    Health,
    /// `/`.
    Index,
    /// `/windlass/v1/PATH`.
    Windlass(String),
    /// Nothing.
    Unknown,
}

/// The objects or the object a path leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) version: GroupVersion,
    /// Empty for cluster-scoped resources, and for all namespaces.
    pub(crate) namespace: String,
    pub(crate) plural: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// What follows the subresource.
    pub(crate) rest: String,
    /// Whether the deprecated `/watch/` stands before.
    pub(crate) watch: bool,
}

/// Finds out what a path means.
pub(crate) fn parse(path: &str) -> Route {
    let segments: Vec<String> =
        path.split('/').filter(|it| !it.is_empty()).map(|it| decode(it, false)).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [] => Route::Index,
        ["api"] => Route::CoreVersions,
        ["api", version] => Route::Resources(GroupVersion::new("", version)),
        ["api", version, rest @ ..] => resource(GroupVersion::new("", version), rest),
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["apis", group, version] => Route::Resources(GroupVersion::new(group, version)),
        ["apis", group, version, rest @ ..] => resource(GroupVersion::new(group, version), rest),
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiV3,
        ["openapi", "v3", rest @ ..] => Route::OpenApiDocument(rest.join("/")),
        ["openid", "v1", "jwks"] => Route::KeySet,
        [".well-known", "openid-configuration"] => Route::OpenIdConfiguration,
        ["metrics"] => Route::Metrics,
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["windlass", "v1", rest @ ..] => Route::Windlass(rest.join("/")),
        _ => Route::Unknown,
    }
}

fn resource(version: GroupVersion, segments: &[&str]) -> Route {
    let (watch, segments) = match segments {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        all => (false, all),
    };
    let (namespace, segments) = match segments {
        ["namespaces", _, "finalize" | "status", ..] if version.group.is_empty() => ("", segments),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        all => ("", all),
    };
    let at = |index: usize| segments.get(index).map(|it| (*it).to_owned()).unwrap_or_default();
    Route::Resource(Target {
        version,
        namespace: namespace.to_owned(),
        plural: at(0),
        name: at(1),
        subresource: at(2),
        rest: segments.get(3..).unwrap_or_default().join("/"),
        watch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the parts of a resource path: namespace, plural, name, subresource.
    fn parts(path: &str) -> [String; 4] {
        match parse(path) {
            Route::Resource(it) => [it.namespace, it.plural, it.name, it.subresource],
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn resource_paths_are_taken_apart() {
        for (path, expected) in [
            ("/api/v1/pods", ["", "pods", "", ""]),
            ("/api/v1/namespaces", ["", "namespaces", "", ""]),
            ("/api/v1/namespaces/a", ["", "namespaces", "a", ""]),
            ("/api/v1/namespaces/a/status", ["", "namespaces", "a", "status"]),
            ("/api/v1/namespaces/a/pods/b/log", ["a", "pods", "b", "log"]),
            ("/apis/apps/v1/watch/namespaces/a/deployments", ["a", "deployments", "", ""]),
            ("/apis/x.io/v1/things/system%3Aa", ["", "things", "system:a", ""]),
        ] {
            assert_eq!(parts(path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths_are_told_apart() {
        assert_eq!(parse("/apis/apps"), Route::Group("apps".to_owned()));
        assert_eq!(parse("/api/v1"), Route::Resources(GroupVersion::new("", "v1")));
        assert_eq!(parse("/readyz/ping"), Route::Health);
        assert_eq!(parse("/nope"), Route::Unknown);
    }
}
