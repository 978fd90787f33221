//! Pure: which programs make up the control plane, and the Go modules that build them.

/// The version of etcd.
pub(crate) const ETCD: &str = "v3.6.16";
/// The version of Kubernetes.
pub(crate) const KUBERNETES: &str = "v1.36.3";
/// The module that holds the Kubernetes programs.
pub(crate) const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";

const ETCD_MODULE: &str = "go.etcd.io/etcd/server/v3";

/// Names a program and the Go package it is built from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Program {
    /// The file's name.
    pub(crate) name: &'static str,
    /// The Go package.
    pub(crate) package: &'static str,
}

/// Keeps the control plane's data.
pub(crate) const ETCD_PROGRAM: Program = Program { name: "etcd", package: ETCD_MODULE };
/// Serves the API.
pub(crate) const API_SERVER: Program =
    Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" };
/// Runs the built-in controllers.
pub(crate) const CONTROLLER_MANAGER: Program = Program {
    name: "kube-controller-manager",
    package: "k8s.io/kubernetes/cmd/kube-controller-manager",
};
/// The command line client, for machines that have none.
pub(crate) const KUBECTL: Program =
    Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" };

/// Returns the `go.mod` that builds etcd.
pub(crate) fn etcd_module() -> String {
    format!("module windlass.dev/etcd\n\ngo 1.26.0\n\nrequire {ETCD_MODULE} {ETCD}\n")
}

/// Returns the `go.mod` that builds the Kubernetes programs, given the `go.mod` of Kubernetes itself.
///
/// That one replaces its staging modules by folders of its own repository. They are also published, under
/// the same version with a major version of 0, but a replacement only counts in the main module: ours.
pub(crate) fn kubernetes_module(upstream: &str) -> String {
    let version = staging_version(KUBERNETES);
    let replacements: Vec<_> = staging_modules(upstream)
        .map(|module| format!("\t{module} => {module} {version}\n"))
        .collect();
    let replacements = replacements.concat();
    format!(
        "module windlass.dev/kubernetes\n\ngo 1.26.0\n\ngodebug default=go1.26\n\n\
         require {KUBERNETES_MODULE} {KUBERNETES}\n\nreplace (\n{replacements})\n"
    )
}

/// Returns the linker flags that tell the Kubernetes programs their version.
pub(crate) fn kubernetes_linker_flags() -> String {
    let (major, minor) = major_and_minor(KUBERNETES);
    let values = [("gitVersion", KUBERNETES), ("gitMajor", major), ("gitMinor", minor)];
    let settings =
        values.map(|(name, value)| format!(" -X k8s.io/component-base/version.{name}={value}"));
    format!("-s -w{}", settings.concat())
}

fn staging_modules(upstream: &str) -> impl Iterator<Item = &str> {
    upstream.lines().filter_map(|line| {
        let (module, target) = line.trim().split_once(" => ")?;
        target.starts_with("./staging/").then_some(module)
    })
}

fn staging_version(version: &str) -> String {
    let minor_and_patch = version.split_once('.').map_or("", |(_, rest)| rest);
    format!("v0.{minor_and_patch}")
}

fn major_and_minor(version: &str) -> (&str, &str) {
    let mut parts = version.trim_start_matches('v').split('.');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_staging_module_is_replaced_by_its_published_version() {
        let upstream = "module k8s.io/kubernetes\n\
            replace (\n\
            \tk8s.io/api => ./staging/src/k8s.io/api\n\
            \texample.com/a => example.com/b v1.0.0\n\
            \tk8s.io/client-go => ./staging/src/k8s.io/client-go\n\
            )\n";
        let module = kubernetes_module(upstream);
        let (_, replacements) = module.split_once("replace (\n").unwrap();
        assert_eq!(
            replacements,
            "\tk8s.io/api => k8s.io/api v0.36.3\n\tk8s.io/client-go => k8s.io/client-go v0.36.3\n)\n"
        );
    }

    #[test]
    fn programs_know_their_version() {
        let flags = kubernetes_linker_flags();
        for setting in ["gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"] {
            assert!(flags.contains(&format!("version.{setting}")), "{flags}");
        }
    }
}
