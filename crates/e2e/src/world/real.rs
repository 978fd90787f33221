//! The real API server, and the engine's account there.

use std::{
    env,
    path::{Path, PathBuf},
};

use api::names;
use k8s::{GroupVersionKind, ObjectKey, Resource, ResourceScope};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use runtime::{Client, ClientOptions, Discovery};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{Clients, Role, Server, remote};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The tokens of the accounts of the engine and of functions, once for all stories of the process.
static TOKEN: OnceCell<String> = OnceCell::const_new();
static FUNCTIONS_TOKEN: OnceCell<String> = OnceCell::const_new();

/// Returns clients of the real server.
pub(super) async fn clients(kubeconfig: &Path) -> Clients {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let admin = client(kubeconfig.clone()).await;
    let engine = client(restricted(kubeconfig, &admin).await).await;
    Clients { server: Server::Real, admin, engine, api: None }
}

/// Gives the engine's account what it needs on the real server and returns the credentials of that account.
///
/// # Panics
///
/// If the server cannot be reached, or refuses any of it.
pub async fn engine_kubeconfig(kubeconfig: &Path) -> Kubeconfig {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let admin = client(kubeconfig.clone()).await;
    restricted(kubeconfig, &admin).await
}

/// Returns a kubeconfig for the engine's account.
async fn restricted(kubeconfig: Kubeconfig, admin: &Client) -> Kubeconfig {
    let token = TOKEN.get_or_init(|| install(admin)).await;
    with_token(kubeconfig, token)
}

/// Returns the kubeconfig of the account that functions have in production.
pub(super) async fn functions_kubeconfig(admin: &Client) -> Kubeconfig {
    let token = FUNCTIONS_TOKEN.get_or_init(|| install_functions(admin)).await;
    with_token(Kubeconfig::read_from(kubeconfig().unwrap()).unwrap(), token)
}

/// Returns a client of an account of this story alone, which may do what [`grant`] says.
pub(super) async fn narrow(admin: &Client, story: &str) -> Client {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "narrow", "namespace": story}});
    let accounts = Resource::namespaced("v1", "ServiceAccount", "serviceaccounts");
    admin.create(&accounts, story, account.to_string()).await.unwrap();
    let binding = json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": story},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": story},
        "subjects": [{"kind": "ServiceAccount", "name": "narrow", "namespace": story}]});
    let bindings = Resource::cluster(RBAC, "ClusterRoleBinding", "clusterrolebindings");
    admin.create(&bindings, "", binding.to_string()).await.unwrap();
    let token = token(admin, story, "narrow").await;
    let kubeconfig = Kubeconfig::read_from(kubeconfig().unwrap()).unwrap();
    client(with_token(kubeconfig, &token)).await
}

/// Says what the account of [`narrow`] may do.
pub(super) async fn grant(admin: &Client, story: &str, role: &Role) {
    let roles = Resource::cluster(RBAC, "ClusterRole", "clusterroles");
    let role = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": story},
        "rules": role.rules()});
    let key = ObjectKey::new("", story);
    admin.apply(&roles, &key, "windlass-test", role.to_string()).await.unwrap();
}

/// Removes what [`narrow`] and [`grant`] leave outside the story's namespace.
pub(super) async fn revoke(admin: &Client, story: &str) {
    for (kind, plural) in
        [("ClusterRoleBinding", "clusterrolebindings"), ("ClusterRole", "clusterroles")]
    {
        let resource = Resource::cluster(RBAC, kind, plural);
        let _ = admin.delete(&resource, &ObjectKey::new("", story), "").await;
    }
}

/// Returns the kubeconfig with a token instead of other credentials.
pub(super) fn with_token(mut kubeconfig: Kubeconfig, token: &str) -> Kubeconfig {
    let user: AuthInfo = serde_json::from_value(json!({"token": token})).unwrap();
    for named in &mut kubeconfig.auth_infos {
        named.auth_info = Some(user.clone());
    }
    kubeconfig
}

/// Returns the kubeconfig that the environment names, or that `cargo xtask cluster up` wrote.
pub(super) fn kubeconfig() -> Option<PathBuf> {
    if let Some(path) = env::var_os("WINDLASS_E2E_KUBECONFIG") {
        return Some(path.into());
    }
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/cluster/kubeconfig");
    Some(PathBuf::from(written)).filter(|path| path.exists())
}

/// Fails if the engine or functions asked for something that their accounts may not do.
///
/// `cargo xtask cluster up` keeps an audit log beside the kubeconfig; a server of somebody else's may not.
pub(super) fn assert_nothing_was_forbidden() {
    let log = kubeconfig().and_then(|kubeconfig| Some(kubeconfig.parent()?.join("audit.log")));
    let log = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
    let accounts = ["metacontroller:metacontroller", "windlass:windlass-functions"];
    let accounts = accounts.map(|account| format!("\"system:serviceaccount:{account}\""));
    let is_forbidden = |line: &&str| {
        line.contains(r#""authorization.k8s.io/decision":"forbid""#)
            && accounts.iter().any(|account| line.contains(account))
    };
    let forbidden: Vec<_> = log.lines().filter(is_forbidden).collect();
    assert!(forbidden.is_empty(), "forbidden to windlass:\n{}", forbidden.join("\n"));
}

/// Returns how often the engine's account asked for objects whose path names this story, but for watches and
/// events. What is served it asks for whenever another story defines a type.
pub(super) fn engine_requests(story: &str) -> usize {
    let log = kubeconfig().and_then(|kubeconfig| Some(kubeconfig.parent()?.join("audit.log")));
    let log = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
    let counts = |line: &&str| {
        line.contains("system:serviceaccount:metacontroller:metacontroller")
            && line.contains(story)
            && line.contains(r#""objectRef":"#)
            && !line.contains(r#""verb":"watch""#)
            && !line.contains(r#""resource":"events""#)
    };
    log.lines().filter(counts).count()
}

/// Returns a client that acts as a kubeconfig says.
pub(super) async fn client(kubeconfig: Kubeconfig) -> Client {
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.default_retry = false;
    config.read_timeout = None;
    let (clock, activity) = remote();
    let options = ClientOptions { clock, activity, agent: names::COMPONENT, revisions: None };
    Client::new(kube::Client::try_from(config).unwrap(), options)
}

/// Applies what `windlass manifests` prints and returns a token of the engine's account.
pub(super) async fn install(admin: &Client) -> String {
    apply(admin, cli::install::engine("windlass:test"), "StatefulSet").await;
    token(admin, "metacontroller", "metacontroller").await
}

/// Applies what `windlass manifests --enable functions` prints and returns a token of the account of functions.
pub(super) async fn install_functions(admin: &Client) -> String {
    apply(admin, cli::install::functions("windlass:test"), "Deployment").await;
    token(admin, "windlass", "windlass-functions").await
}

/// Applies objects but for the workload: here a test runs it.
async fn apply(admin: &Client, objects: Vec<Value>, workload: &str) {
    let discovery = Discovery::new(admin.clone());
    for object in objects {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::new(text("apiVersion"), text("kind"));
        if gvk.kind == workload {
            continue;
        }
        let resource = discovery.by_kind(&gvk).await.unwrap().resource;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        // It may be there from an earlier run, in an earlier form.
        let key = ObjectKey::new(namespace, object["metadata"]["name"].as_str().unwrap());
        admin.apply(&resource, &key, "windlass-test", object.to_string()).await.unwrap();
    }
}

async fn token(admin: &Client, namespace: &str, account: &str) -> String {
    let gvk = GroupVersionKind::new("v1", "TokenRequest");
    let plural = format!("serviceaccounts/{account}/token");
    let tokens = Resource { gvk, plural, scope: ResourceScope::Namespaced };
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 7200}});
    let token = admin.create(&tokens, namespace, request.to_string()).await.unwrap();
    let token: Value = token.to_value();
    token["status"]["token"].as_str().unwrap().to_owned()
}
