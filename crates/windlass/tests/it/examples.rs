//! The examples from their own files, on both servers: the engine under its account, hooks as processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    installed::{Installed, has_program, not_run, until},
    process::{Running, example, free_port},
};

/// Runs a story on the embedded server and on the real one, if the machine has what it needs.
macro_rules! on_both_servers {
    ($story:ident, $name:literal, $needs:expr) => {
        mod $story {
            use super::*;

            #[test]
            fn on_the_embedded_server() {
                if let Some(installed) = can_run($name, $needs).then(|| Installed::embedded($name))
                {
                    installed.iter().for_each(super::$story);
                }
            }

            #[test]
            fn on_the_real_server() {
                if let Some(installed) = can_run($name, $needs).then(|| Installed::real($name)) {
                    installed.iter().for_each(super::$story);
                }
            }
        }
    };
}

fn can_run(name: &str, needs: &[&str]) -> bool {
    let missing: Vec<_> = needs.iter().filter(|program| !has_program(program)).collect();
    if !missing.is_empty() {
        not_run(&format!("the example {name}"), &format!("no {missing:?}"));
    }
    missing.is_empty()
}

/// Breaks when the hook lists the pods from the first to the last, or wants all of them at once.
fn stateful_set(installed: &Installed) {
    let copy = Copy::of(installed, "stateful-set");
    let (_hook, address) = Running::httpd(installed.dir.path(), &copy.path("hooks"));
    let _engine = installed.engine();
    for file in ["crd.yaml", "controller.yaml", "store.yaml"] {
        installed.apply(&copy.manifests(file, "stateful-set.hooks", &address));
    }
    let set = copy.object("orderedsets", "store");
    let pods = |path: &str| installed.fields("pods", path).join(" ");
    let is_ready = |count: &str| {
        installed.play_kubelet();
        installed.field(&set, "{.status.readyReplicas}") == count
    };
    until("all pods are ready", || is_ready("3"));
    let before = installed.fields("pods", "{.metadata.uid}");
    let image = "{.spec.containers[0].image}";
    let [old, new] = ["3.9", "3.10"].map(|tag| format!("registry.k8s.io/pause:{tag}"));
    installed.patch(
        &set,
        &format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"store","image":"{new}"}}]}}}}}}}}"#),
    );
    if installed.is_real() {
        until("the last pod is new", || pods(image) == format!("{old} {old} {new}"));
        let reason = r#"{.status.conditions[?(@.type=="Updated")].reason}"#;
        until("the others wait for it", || installed.field(&set, reason) == "RolloutWaiting");
    }
    let updated = r#"{.status.conditions[?(@.type=="Updated")].status}"#;
    until("all pods are new", || {
        is_ready("3")
            && installed.field(&set, updated) == "True"
            && pods(image) == [&new; 3].map(String::as_str).join(" ")
    });
    let after = installed.fields("pods", "{.metadata.uid}");
    assert!(before.iter().all(|uid| !after.contains(uid)), "{before:?} {after:?}");

    installed.patch(&set, r#"{"spec":{"replicas":1}}"#);
    until("one pod is left", || pods("{.metadata.name}") == "store-0");
    let claims = || installed.fields("persistentvolumeclaims", "{.metadata.name}");
    assert_eq!(claims(), ["data-store-0", "data-store-1", "data-store-2"]);
    installed.kubectl(&["delete", &set]).unwrap();
    until("nothing is left", || pods("{.metadata.name}").is_empty() && claims().is_empty());
    copy.clean_up("orderedsets", &[("compositecontroller", "orderedset")]);
}
on_both_servers!(stateful_set, "stateful-set", &[]);

/// Breaks when the hook turns the Service before the pods of the new colour are available.
fn blue_green(installed: &Installed) {
    let copy = Copy::of(installed, "blue-green");
    let port = free_port().to_string();
    let _hook = Running::other("node", &[&copy.path("hook.js"), &port]);
    let _engine = installed.engine();
    let address = format!("127.0.0.1:{port}");
    installed.apply(&copy.manifests("manifests.yaml", "blue-green.hooks", &address));
    let shop = copy.object("bluegreens", "shop");
    let status = || {
        installed.play_kubelet();
        installed.field(&shop, "{.status.active} {.status.availableReplicas}")
    };
    until("blue serves", || status() == "blue 2");
    let serving = || installed.field("service/shop", "{.spec.selector.color}");
    let replicas =
        || installed.fields("replicasets", "{.metadata.name}={.spec.replicas}").join(" ");
    let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"registry.k8s.io/pause:3.10"}]}}}}"#;
    installed.patch(&shop, patch);
    if installed.is_real() {
        until("green starts", || replicas() == "shop-blue=2 shop-green=2");
        assert_eq!(serving(), "blue");
    }
    until("green serves", || status() == "green 2" && serving() == "green");
    until("blue sleeps", || replicas() == "shop-blue=0 shop-green=2");
    copy.clean_up("bluegreens", &[("compositecontroller", "bluegreen")]);
}
on_both_servers!(blue_green, "blue-green", &["node"]);

/// Breaks when the hooks are of the first version, which shows objects of one namespace.
fn config_propagator(installed: &Installed) {
    let copy = Copy::of(installed, "config-propagator");
    let port = free_port().to_string();
    let _hook = Running::other("python3", &[&copy.path("hook.py"), &port]);
    let _engine = installed.engine();
    let address = format!("127.0.0.1:{port}");
    installed.apply(&copy.manifests("manifests.yaml", "config-propagator.hooks", &address));
    installed.apply(&copy.text("teams.yaml"));
    let id = &installed.id;
    let [source, red, white] = ["source", "red", "white"].map(|team| format!("{id}-team-{team}"));
    let registry = |namespace: &str| {
        let get =
            ["get", "configmap", "settings", "-n", namespace, "-o", "jsonpath={.data.registry}"];
        installed.kubectl(&get).ok()
    };
    until("one namespace has a copy", || registry(&red).is_some());
    assert_eq!(registry(&white), None);
    let label = format!("shares.{id}.example.com/settings");
    installed.kubectl(&["label", "namespace", &white, &format!("{label}=yes")]).unwrap();
    until("so has another one", || registry(&white).is_some());
    let patch = r#"{"data":{"registry":"other.example.org"}}"#;
    let edit = ["patch", "configmap", "settings", "-n", &source, "--type=merge", "-p", patch];
    installed.kubectl(&edit).unwrap();
    until("the copies follow", || {
        [&red, &white].iter().all(|at| registry(at).as_deref() == Some("other.example.org"))
    });
    installed.kubectl(&["label", "namespace", &red, &format!("{label}-")]).unwrap();
    until("a copy goes with the label", || registry(&red).is_none());
    let namespaces = [&source, &red, &white].map(|name| ("namespace", name.as_str()));
    installed.clean_up(&namespaces);
    copy.clean_up("sharedconfigs", &[("compositecontroller", "sharedconfig")]);
}
on_both_servers!(config_propagator, "config-propagator", &["python3"]);

/// Breaks when `finalize` leaves its label, or says that it is done before the Service is gone.
fn pod_service(installed: &Installed) {
    let copy = Copy::of(installed, "pod-service");
    let (_hook, address) = Running::httpd(installed.dir.path(), &copy.path("hooks"));
    let _engine = installed.engine();
    installed.apply(&copy.manifests("controller.yaml", "pod-service.hooks", &address));
    installed.apply(&copy.text("pods.yaml"));
    let services = || installed.fields("services", "{.metadata.name} {.spec.ports[0].port}");
    until("one pod has a Service", || services() == ["web 8080"]);
    let domain = format!("{}.example.org", installed.id);
    let label = format!(r"{{.metadata.labels.{}/pod}}", domain.replace('.', r"\."));
    until("and is selected", || installed.field("pod/web", &label) == "web");
    let port = format!("{domain}/service-port");
    installed.kubectl(&["annotate", "pod", "web", &format!("{port}-")]).unwrap();
    until("it is as before", || {
        let rest = "{.metadata.labels}{.metadata.finalizers}";
        services().is_empty() && installed.field("pod/web", rest).is_empty()
    });
    installed.kubectl(&["annotate", "pod", "batch", &format!("{port}=90")]).unwrap();
    until("another pod has a Service", || services() == ["batch 90"]);
    installed.kubectl(&["delete", "pod", "batch"]).unwrap();
    until("the Service goes with the pod", || services().is_empty());
    copy.clean_up("", &[("decoratorcontroller", "pod-service")]);
}
on_both_servers!(pod_service, "pod-service", &[]);

/// Breaks when the hook answers without the token.
fn secured_hook(installed: &Installed) {
    let copy = Copy::of(installed, "secured-hook");
    let made = copy.path("made");
    let output = Command::new("sh").args([&copy.path("certificates.sh"), &made]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let port = free_port().to_string();
    let _hook = Running::other("python3", &[&copy.path("hook.py"), &made, &port]);
    let _engine = installed.engine();
    let credentials = copy.text("made/credentials.yaml");
    let token = copy.text("made/token");
    installed.apply(&credentials.replace(token.trim(), "guessed"));
    let address = format!("127.0.0.1:{port}");
    installed.apply(&copy.manifests("manifests.yaml", "secured-hook.hooks:8443", &address));
    until("the hook turns a wrong token away", || {
        let errors = [
            "get",
            "events",
            "--field-selector",
            "reason=SyncError",
            "-o",
            "jsonpath={.items[*].message}",
        ];
        installed.kubectl(&errors).is_ok_and(|errors| errors.contains("401"))
    });
    assert_eq!(installed.field("configmap/trust", "{.data.text}"), "");
    installed.apply(&credentials);
    // A started engine sees the new token within a minute; a changed controller starts with it.
    let controller = format!("compositecontroller/motto-controller-{}", installed.id);
    installed.patch(&controller, r#"{"spec":{"resyncPeriodSeconds":60}}"#);
    until("the hook answers the right one", || {
        installed.field("configmap/trust", "{.data.text}") == "trust, but verify"
    });
    copy.clean_up("mottos", &[("compositecontroller", "motto")]);
}
on_both_servers!(secured_hook, "secured-hook", &["python3", "openssl"]);

/// An example whose names nobody else has: several may run in one cluster.
struct Copy<'a> {
    installed: &'a Installed,
    dir: PathBuf,
}

impl<'a> Copy<'a> {
    fn of(installed: &'a Installed, name: &str) -> Self {
        let dir = installed.dir.path().join(name);
        copy(Path::new(&example(name)), &dir, &|text| renamed(text, &installed.id));
        Self { installed, dir }
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    /// Returns manifests with the hook's host replaced by where it is on this machine.
    fn manifests(&self, file: &str, host: &str, address: &str) -> String {
        let text = self.text(file);
        assert_eq!(text.contains("hooks:\n"), text.contains(host), "{file} names {host}");
        text.replace(host, address)
    }

    /// Returns how kubectl finds an object of the example's own type.
    fn object(&self, plural: &str, name: &str) -> String {
        format!("{plural}.{}.example.com/{name}", self.installed.id)
    }

    fn clean_up(&self, plural: &str, controllers: &[(&str, &str)]) {
        let id = &self.installed.id;
        for (kind, name) in controllers {
            self.installed.clean_up(&[(kind, &format!("{name}-controller-{id}"))]);
        }
        if !plural.is_empty() {
            let name = format!("{plural}.{id}.example.com");
            self.installed.clean_up(&[("customresourcedefinition", &name)]);
        }
    }
}

/// Gives groups, controllers and namespaces of an example the names of one test.
fn renamed(text: &str, id: &str) -> String {
    text.replace("example.com", &format!("{id}.example.com"))
        .replace("example.org/", &format!("{id}.example.org/"))
        .replace("-controller\n", &format!("-controller-{id}\n  labels: {{run: {id}}}\n"))
        .replace("team-", &format!("{id}-team-"))
        .replace("namespace: secured-hook", &format!("namespace: {id}"))
        .replace("  name: secured-hook\n", &format!("  name: {id}\n"))
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, change);
        } else {
            fs::write(target, change(&fs::read_to_string(entry.path()).unwrap())).unwrap();
        }
    }
}
