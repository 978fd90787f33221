//! Pure: the command line of each process of the control plane, and the kubeconfig that reaches it.

use std::path::{Path, PathBuf};

/// The ports the control plane listens on, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ports {
    /// etcd, for its clients.
    pub(crate) etcd: u16,
    /// etcd, for its peers, of which there are none.
    pub(crate) etcd_peer: u16,
    /// The API server.
    pub(crate) api_server: u16,
    /// The controller manager's own health and metrics.
    pub(crate) controller_manager: u16,
}

/// Where the control plane keeps its files.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Lays the files out in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    /// Returns the folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns the kubeconfig of the administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// Returns the kubeconfig of the controller manager.
    pub(crate) fn manager_kubeconfig(&self) -> PathBuf {
        self.0.join("controller-manager.kubeconfig")
    }

    /// Returns the log of all requests.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    /// Returns the policy that says what the audit log holds.
    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.0.join("audit-policy.yaml")
    }

    /// Returns the tokens the API server knows.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.pki("tokens.csv")
    }

    /// Returns a key or certificate.
    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.0.join("pki").join(name)
    }

    /// Returns the folder of the logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
}

/// What the audit log holds: one line for each request that did not come from the control plane itself.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [\"system:apiserver\", \"system:kube-controller-manager\"]
- level: None
  userGroups: [\"system:serviceaccounts:kube-system\"]
- level: Metadata
";

/// Returns the arguments of etcd.
pub(crate) fn etcd(layout: &Layout, ports: Ports) -> Vec<String> {
    let (clients, peers) = (http(ports.etcd), http(ports.etcd_peer));
    vec![
        "--name=default".to_owned(),
        flag("data-dir", &layout.folder().join("etcd")),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ]
}

/// Returns the arguments of kube-apiserver.
pub(crate) fn api_server(layout: &Layout, ports: Ports) -> Vec<String> {
    vec![
        format!("--etcd-servers={}", http(ports.etcd)),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address is no valid endpoint of the service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={}", ports.api_server),
        flag("tls-cert-file", &layout.pki("server.crt")),
        flag("tls-private-key-file", &layout.pki("server.key")),
        flag("cert-dir", &layout.pki("")),
        flag("token-auth-file", &layout.tokens()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        flag("service-account-signing-key-file", &layout.pki("service-account.key")),
        flag("service-account-key-file", &layout.pki("service-account.pub")),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        flag("audit-policy-file", &layout.audit_policy()),
        flag("audit-log-path", &layout.audit_log()),
        // In MiB: a test that reads the log from its own start must not see it turned over.
        "--audit-log-maxsize=4096".to_owned(),
    ]
}

/// Returns the arguments of kube-controller-manager.
pub(crate) fn controller_manager(layout: &Layout, ports: Ports) -> Vec<String> {
    let kubeconfig = layout.manager_kubeconfig();
    vec![
        flag("kubeconfig", &kubeconfig),
        flag("authentication-kubeconfig", &kubeconfig),
        flag("authorization-kubeconfig", &kubeconfig),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.controller_manager),
        flag("cert-dir", &layout.pki("controller-manager")),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        flag("service-account-private-key-file", &layout.pki("service-account.key")),
        flag("root-ca-file", &layout.pki("ca.crt")),
        flag("cluster-signing-cert-file", &layout.pki("ca.crt")),
        flag("cluster-signing-key-file", &layout.pki("ca.key")),
        // The default of 20 requests a second makes the clean-up after each test the longest part of it.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]
}

/// Returns a kubeconfig for the bearer of `token`; `authority` is the certificate in base64.
pub(crate) fn kubeconfig(server: &str, authority: &str, user: &str, token: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: windlass
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    token: {token}
contexts:
- name: windlass
  context:
    cluster: windlass
    user: {user}
current-context: windlass
"
    )
}

fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports =
        Ports { etcd: 1001, etcd_peer: 1002, api_server: 1003, controller_manager: 1004 };

    fn all() -> [Vec<String>; 3] {
        let layout = Layout::new(Path::new("/state"));
        [etcd(&layout, PORTS), api_server(&layout, PORTS), controller_manager(&layout, PORTS)]
    }

    #[test]
    fn every_process_names_its_folder_so_that_it_can_be_told_from_others() {
        for arguments in all() {
            assert!(
                arguments.iter().any(|argument| argument.contains("=/state/")),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn each_port_is_used_where_it_belongs() {
        let [etcd, api_server, manager] = all();
        assert!(etcd.contains(&"--listen-client-urls=http://127.0.0.1:1001".to_owned()));
        assert!(etcd.contains(&"--initial-cluster=default=http://127.0.0.1:1002".to_owned()));
        assert!(api_server.contains(&"--etcd-servers=http://127.0.0.1:1001".to_owned()));
        assert!(api_server.contains(&"--secure-port=1003".to_owned()));
        assert!(manager.contains(&"--secure-port=1004".to_owned()));
    }

    #[test]
    fn no_argument_opens_a_port_to_others() {
        for arguments in all() {
            assert!(!arguments.iter().any(|argument| argument.contains("0.0.0.0")));
        }
    }

    #[test]
    fn a_kubeconfig_carries_all_that_reaches_the_server() {
        let text = kubeconfig("https://127.0.0.1:1003", "Q0E=", "admin", "secret");
        for line in [
            "    server: https://127.0.0.1:1003\n",
            "    certificate-authority-data: Q0E=\n",
            "    token: secret\n",
            "    user: admin\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
