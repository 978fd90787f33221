//! Pure: which crate may depend on which, and what no dependency may bring along.

use serde_json::Value;

use crate::tidy::finding::Finding;

/// Each crate and those of ours it may depend on. Siblings never depend on each other: where two meet, the
/// trait lies in `api`, and `windlass` wires them.
const EDGES: &[(&str, &[&str])] = &[
    ("k8s", &[]),
    ("api", &["k8s"]),
    ("runtime", &["k8s", "api"]),
    ("apiserver", &["k8s"]),
    ("jsonnet", &["k8s"]),
    ("engine", &["k8s", "api", "runtime"]),
    ("hooks", &["k8s", "api", "runtime", "jsonnet"]),
    ("functions", &["k8s", "api", "runtime", "jsonnet"]),
    ("external", &["k8s", "api", "runtime"]),
    ("jobs", &["k8s", "api", "runtime"]),
    ("inventory", &["k8s", "api", "runtime"]),
    ("web", &["k8s", "api", "runtime"]),
    ("cli", BELOW_CLI),
    ("windlass", BELOW_WINDLASS),
];

const BELOW_CLI: &[&str] = &[
    "k8s",
    "api",
    "runtime",
    "apiserver",
    "jsonnet",
    "engine",
    "hooks",
    "functions",
    "external",
    "jobs",
    "inventory",
    "web",
];

const BELOW_WINDLASS: &[&str] = &[
    "k8s",
    "api",
    "runtime",
    "apiserver",
    "jsonnet",
    "engine",
    "hooks",
    "functions",
    "external",
    "jobs",
    "inventory",
    "web",
    "cli",
];

/// The crates that may depend on any other, and on which none may.
const FREE: &[&str] = &["e2e", "xtask"];

/// Features that would change what a number or an object is for the whole graph.
const FORBIDDEN_FEATURES: &[(&str, &str)] =
    &[("serde_json", "preserve_order"), ("serde_json", "arbitrary_precision")];

/// Crates that must not be in the graph: two TLS providers in it panic, and we chose ring.
const FORBIDDEN_CRATES: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"];

/// Checks what `cargo metadata` printed.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = list(&metadata["packages"]);
    let own = packages.iter().filter(|package| package["source"].is_null());
    let mut findings: Vec<_> = own.flat_map(check_edges).collect();
    for node in list(&metadata["resolve"]["nodes"]) {
        let Some(package) = packages.iter().find(|package| package["id"] == node["id"]) else {
            continue;
        };
        findings.extend(check_node(text(&package["name"]), node));
    }
    findings
}

fn check_edges(package: &Value) -> Vec<Finding> {
    let name = text(&package["name"]);
    if FREE.contains(&name) {
        return Vec::new();
    }
    let path = manifest(name);
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        let what = format!("the crate `{name}` has no place in the order of crates");
        let remedy = "give it one in xtask/src/tidy/graph.rs";
        return vec![Finding { path, line: 1, what, remedy }];
    };
    let own = list(&package["dependencies"]).iter().filter(|edge| edge["path"].is_string());
    let wrong = own.filter(|edge| {
        let target = text(&edge["name"]);
        let is_for_tests = edge["kind"] == "dev" && target == "apiserver";
        !is_for_tests && !allowed.contains(&target)
    });
    let told = wrong.map(|edge| Finding {
        path: path.clone(),
        line: 1,
        what: format!("`{name}` depends on `{}`", text(&edge["name"])),
        remedy: "put what both need into `api` or `k8s`, and wire it in `windlass`",
    });
    told.collect()
}

fn check_node(name: &str, node: &Value) -> Vec<Finding> {
    let features: Vec<_> = list(&node["features"]).iter().map(text).collect();
    let enabled = FORBIDDEN_FEATURES
        .iter()
        .filter(|(package, feature)| *package == name && features.contains(feature))
        .map(|(package, feature)| format!("the feature `{feature}` of `{package}` is on"));
    let present = FORBIDDEN_CRATES
        .iter()
        .filter(|package| **package == name)
        .map(|package| format!("`{package}` is in the graph"));
    let told = enabled.chain(present).map(|what| Finding {
        path: "Cargo.lock".to_owned(),
        line: 1,
        what,
        remedy: "find who brings it with `cargo tree --edges features --invert` and turn it off there",
    });
    told.collect()
}

fn manifest(name: &str) -> String {
    format!("crates/{name}/Cargo.toml")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(metadata: &Value) -> Vec<String> {
        check(metadata).into_iter().map(|finding| finding.what).collect()
    }

    fn edge(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = json!({ "name": to, "path": "/somewhere", "kind": kind });
        let package =
            json!({ "name": from, "id": from, "source": null, "dependencies": [dependency] });
        told(&json!({ "packages": [package], "resolve": { "nodes": [] } }))
    }

    fn node(name: &str, features: &[&str]) -> Vec<String> {
        let package = json!({ "name": name, "id": "1", "source": "registry", "dependencies": [] });
        let node = json!({ "id": "1", "features": features });
        told(&json!({ "packages": [package], "resolve": { "nodes": [node] } }))
    }

    #[test]
    fn crates_depend_on_those_before_them() {
        for (from, to) in
            [("engine", "runtime"), ("cli", "apiserver"), ("windlass", "cli"), ("e2e", "windlass")]
        {
            assert_eq!(edge(from, to, None), Vec::<String>::new(), "{from} on {to}");
        }
    }

    #[test]
    fn siblings_never_depend_on_each_other() {
        assert_eq!(edge("engine", "hooks", None), ["`engine` depends on `hooks`"]);
        assert_eq!(edge("k8s", "api", None), ["`k8s` depends on `api`"]);
        assert_eq!(edge("runtime", "apiserver", None), ["`runtime` depends on `apiserver`"]);
        assert_eq!(edge("engine", "hooks", Some("dev")), ["`engine` depends on `hooks`"]);
        assert_eq!(edge("cli", "e2e", None), ["`cli` depends on `e2e`"]);
    }

    #[test]
    fn any_crate_tests_against_the_embedded_server() {
        assert_eq!(edge("engine", "apiserver", Some("dev")), Vec::<String>::new());
    }

    #[test]
    fn a_new_crate_gets_a_place() {
        let expected = ["the crate `extra` has no place in the order of crates"];
        assert_eq!(edge("extra", "k8s", None), expected);
    }

    #[test]
    fn features_that_change_what_json_is_are_off() {
        let expected = ["the feature `preserve_order` of `serde_json` is on"];
        assert_eq!(node("serde_json", &["std", "preserve_order"]), expected);
        assert_eq!(node("serde_json", &["std"]), Vec::<String>::new());
        assert_eq!(node("other", &["preserve_order"]), Vec::<String>::new());
    }

    #[test]
    fn there_is_one_tls_provider() {
        assert_eq!(node("aws-lc-rs", &[]), ["`aws-lc-rs` is in the graph"]);
    }
}
