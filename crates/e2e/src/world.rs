//! An API server with an engine, for one test.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use api::{composite, decorator, definition, function, names};
use apiserver::{ApiServer, RequestRecord};
use engine::{ApplyStrategy, Engine, EngineOptions, Workers};
use k8s::{
    Activity, Clock, ObjectKey, Resource, ResourceScope, Settle, SharedClock, SystemClock,
    VirtualClock, selector::Selector,
};
use kube::config::Kubeconfig;
use runtime::{Client, ManagedFields, Part, PatchType};
use serde_json::{Value, json};

use crate::PlayedHook;

mod embedded;
mod real;
mod role;

pub use role::Role;

pub use real::engine_kubeconfig;

/// How long a story waits for something to come true. A real server's garbage collector begins anew with every
/// type that other stories define or delete.
const PATIENCE: Duration = Duration::from_mins(3);
/// The longest that work under way is waited for.
const LIMIT: Duration = Duration::from_secs(90);

/// Which API server a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The embedded one, in process, with a virtual clock.
    Embedded,
    /// A real one, over HTTPS.
    Real,
}

/// An API server, an engine under the account it has in production, a hook that the test plays, and a
/// namespace and a resource group of its own.
pub struct World {
    /// Which API server it is.
    pub server: Server,
    /// The hook that the controllers of this world call.
    pub hook: PlayedHook,
    /// The test's own client, which may do everything.
    pub client: Client,
    /// What the story's objects are named by.
    pub id: String,
    engine_client: Client,
    engine: tokio::sync::Mutex<Engine>,
    /// The client of another account than usual, and what that one may do.
    narrow_client: Mutex<Option<Client>>,
    role: Arc<Mutex<Role>>,
    strategy: Mutex<ApplyStrategy>,
    workers: Mutex<Workers>,
    api: Option<ApiServer>,
    /// Where the hook is for engines in other processes, once there are some.
    hook_base: OnceLock<String>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What a server of either kind gives a world.
struct Clients {
    server: Server,
    admin: Client,
    engine: Client,
    api: Option<ApiServer>,
}

impl World {
    /// Returns a world on an embedded server of its own.
    pub async fn embedded(story: &str) -> Self {
        Self::on(embedded::clients(Arc::new(VirtualClock::default())).await, story).await
    }

    /// Returns a world on an embedded server that keeps real time, as engines in other processes do.
    pub async fn in_real_time(story: &str) -> Self {
        Self::on(embedded::clients(Arc::new(SystemClock)).await, story).await
    }

    /// Returns a world on the real server, or nothing if there is none, which is said on standard error.
    ///
    /// # Panics
    ///
    /// If there is none although `WINDLASS_REAL` is `required`.
    pub async fn real(story: &str) -> Option<Self> {
        let kubeconfig = real_kubeconfig(story)?;
        Some(Self::on(real::clients(&kubeconfig).await, story).await)
    }

    async fn on(clients: Clients, story: &str) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let Clients { server, admin, engine: engine_client, api } = clients;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = story.replace('_', "-");
        let short: String = name.chars().take(30).collect();
        let id = format!("{}-{}-{number}", short.trim_end_matches('-'), std::process::id());
        let hook =
            PlayedHook::new(Arc::clone(engine_client.clock()), engine_client.activity().clone());
        let (strategy, workers) = (ApplyStrategy::Dynamic, Workers::Exactly(5));
        let setup = (ManagedFields::Dropped, strategy.clone(), workers);
        let engine = start(&engine_client, &hook, &id, setup).await;
        let (engine, strategy) = (tokio::sync::Mutex::new(engine), Mutex::new(strategy));
        let workers = Mutex::new(workers);
        let (narrow_client, role) = (Mutex::default(), Arc::default());
        let hook_base = OnceLock::new();
        let world = Self {
            server,
            hook,
            client: admin,
            id,
            engine_client,
            engine,
            narrow_client,
            role,
            strategy,
            workers,
            api,
            hook_base,
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.id}});
        world.client.create(&namespaces(), "", namespace.to_string()).await.unwrap();
        world
    }

    /// Returns the embedded server, which a world on a real one does not have.
    pub fn api(&self) -> &ApiServer {
        self.api.as_ref().unwrap()
    }

    /// Returns what the engine asked to change on the embedded server, but for events.
    pub fn engine_writes(&self) -> Vec<RequestRecord> {
        let is_write = |request: &RequestRecord| {
            request.user == embedded::ENGINE
                && !matches!(request.verb.as_str(), "get" | "list" | "watch")
                && request.resource != "events"
                && !request.dry_run
        };
        self.api().requests().into_iter().filter(is_write).collect()
    }

    /// Returns how often the engine asked the server for something in this world, but for watches, leases
    /// and events: about its namespace or its own types on a server that others use as well.
    pub fn engine_requests(&self) -> usize {
        match &self.api {
            Some(api) => {
                let counts = |request: &RequestRecord| {
                    request.user == embedded::ENGINE
                        && request.verb != "watch"
                        && request.resource != "events"
                };
                api.requests().iter().filter(|request| counts(request)).count()
            }
            None => real::engine_requests(&self.id),
        }
    }

    /// Lets the hook take so long for each answer.
    pub fn slow_hook(&self, pause: Duration) {
        let client = &self.engine_client;
        self.hook.pause(pause, Arc::clone(client.clock()), client.activity().clone());
    }

    /// Installs a resource `things` of this world alone and returns it.
    pub async fn things(&self) -> Resource {
        self.define(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), true)
            .await
    }

    /// Installs a resource `things` of this world alone whose objects are in no namespace.
    pub async fn cluster_things(&self) -> Resource {
        let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.install(ResourceScope::Cluster, &spec, true).await
    }

    /// Installs a resource `things` with this schema of `spec`, with or without a status subresource.
    pub async fn define(&self, spec: &Value, status: bool) -> Resource {
        self.install(ResourceScope::Namespaced, spec, status).await
    }

    async fn install(&self, scope: ResourceScope, spec: &Value, status: bool) -> Resource {
        let group = format!("{}.example.com", self.id);
        let subresources = if status { json!({"status": {}}) } else { json!({}) };
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("things.{group}")},
            "spec": {"group": group, "scope": format!("{scope:?}"),
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": subresources,
                    "schema": {"openAPIV3Schema": {"type": "object",
                        "properties": {"spec": spec, "status": any}}}}]}});
        self.client.create(&definition::definitions(), "", definition.to_string()).await.unwrap();
        let things =
            Resource { scope, ..Resource::namespaced(&format!("{group}/v1"), "Thing", "things") };
        let collection = things.collection_path("");
        self.eventually("the new resource is served", || async {
            self.client.get_raw(&collection).await.is_ok()
        })
        .await;
        things
    }

    /// Creates a CompositeController of this world. Its hooks are URLs at the played hook.
    pub async fn control(&self, name: &str, spec: &Value) {
        let controller = json!({
            "apiVersion": names::API_VERSION, "kind": "CompositeController",
            "metadata": {"name": self.controller(name), "labels": {"story": self.id}}, "spec": spec});
        let mut controller = controller.to_string();
        if let Some(base) = self.hook_base.get() {
            controller = controller.replace("http://hook.test", base);
        }
        self.client.create(&composite::resource(), "", controller).await.unwrap();
    }

    /// Creates a DecoratorController of this world. Its hooks are URLs at the played hook.
    pub async fn decorate(&self, name: &str, spec: &Value) {
        let controller = json!({
            "apiVersion": names::API_VERSION, "kind": "DecoratorController",
            "metadata": {"name": self.controller(name), "labels": {"story": self.id}}, "spec": spec});
        self.client.create(&decorator::resource(), "", controller.to_string()).await.unwrap();
    }

    /// Returns the full name of a controller of this world.
    pub fn controller(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    /// Creates an object in the world's namespace, or in the cluster, and returns it.
    pub async fn create(&self, resource: &Resource, mut object: Value) -> Value {
        object["apiVersion"] = json!(resource.gvk.api_version());
        object["kind"] = json!(resource.gvk.kind);
        let created =
            self.client.create(resource, self.namespace(resource), object.to_string()).await;
        created.unwrap_or_else(|error| panic!("failed to create {object}: {error}")).to_value()
    }

    /// Returns an object of the world's namespace, or `null`.
    pub async fn get(&self, resource: &Resource, name: &str) -> Value {
        match self.client.get(resource, &self.key(resource, name)).await {
            Ok(object) => object.to_value(),
            Err(error) if error.is_not_found() => Value::Null,
            Err(error) => panic!("failed to read {name}: {error}"),
        }
    }

    /// Changes an object by a merge patch and returns it.
    pub async fn patch(&self, resource: &Resource, name: &str, patch: &Value) -> Value {
        let (key, how) = (self.key(resource, name), (Part::Main, PatchType::Merge));
        let patched = self.client.patch(resource, &key, how, patch.to_string()).await;
        patched.unwrap_or_else(|error| panic!("failed to patch {name}: {error}")).to_value()
    }

    /// Changes the status of an object by a merge patch.
    pub async fn patch_status(&self, resource: &Resource, name: &str, patch: &Value) {
        let (key, how) = (self.key(resource, name), (Part::Status, PatchType::Merge));
        let patched = self.client.patch(resource, &key, how, patch.to_string()).await;
        patched.unwrap_or_else(|error| panic!("failed to patch the status of {name}: {error}"));
    }

    /// Returns the objects of a type in the world's namespace, or in the cluster.
    pub async fn list(&self, resource: &Resource) -> Vec<Value> {
        let path = resource.collection_path(self.namespace(resource));
        let list = self.client.get_raw(&path).await.unwrap();
        let mut list: Value = serde_json::from_slice(&list).unwrap();
        list["items"].take().as_array().cloned().unwrap_or_default()
    }

    /// Changes an object by a JSON patch and returns it.
    pub async fn patch_json(&self, resource: &Resource, name: &str, patch: &Value) -> Value {
        let (key, how) = (self.key(resource, name), (Part::Main, PatchType::Json));
        let patched = self.client.patch(resource, &key, how, patch.to_string()).await;
        patched.unwrap_or_else(|error| panic!("failed to patch {name}: {error}")).to_value()
    }

    /// Deletes an object in the background.
    pub async fn delete(&self, resource: &Resource, name: &str) {
        self.client.delete(resource, &self.key(resource, name), "").await.unwrap();
    }

    /// Returns the messages of the world's events of a reason.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let events = Resource::namespaced("v1", "Event", "events");
        let mut messages = Vec::new();
        for namespace in [self.id.as_str(), "default"] {
            let list = self.client.get_raw(&events.collection_path(namespace)).await.unwrap();
            let list: Value = serde_json::from_slice(&list).unwrap();
            let is_wanted = |event: &&Value| {
                let about = event["involvedObject"]["name"].as_str().unwrap_or_default();
                event["reason"] == reason && (namespace == self.id || about.ends_with(&self.id))
            };
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let wanted = items.iter().filter(is_wanted);
            messages.extend(wanted.filter_map(|event| Some(event["message"].as_str()?.to_owned())));
        }
        messages
    }

    /// Waits until nothing moves.
    pub async fn settle(&self) {
        let quiet_for = match self.server {
            Server::Embedded => Duration::ZERO,
            Server::Real => Duration::from_secs(1),
        };
        let settle = Settle { limit: LIMIT, quiet_for };
        let clock = Arc::clone(self.engine_client.clock());
        self.engine_client.activity().settle(clock.as_ref(), settle).await.unwrap();
    }

    /// Lets time pass, and what is due in it happen.
    pub async fn pass(&self, time: Duration) {
        let clock = Arc::clone(self.engine_client.clock());
        let at = clock.now() + time;
        if !clock.skip_to(at) {
            clock.sleep_until(at).await;
        }
        self.settle().await;
    }

    /// Lets time pass in which work may go on and on: on a real server nobody waits for it to come to rest.
    pub async fn spend(&self, time: Duration) {
        match self.server {
            Server::Embedded => self.pass(time).await,
            Server::Real => {
                let clock = self.engine_client.clock();
                clock.sleep_until(clock.now() + time).await;
            }
        }
    }

    /// Waits until something comes true that others bring about, such as garbage collection.
    #[expect(
        clippy::disallowed_methods,
        reason = "a real server's work shows only by asking again"
    )]
    pub async fn eventually<F: Future<Output = bool>>(&self, what: &str, is_true: impl Fn() -> F) {
        let clock = self.engine_client.clock();
        for _ in 0..PATIENCE.as_millis() / 250 {
            if is_true().await {
                return;
            }
            if clock.skip_to(clock.now()) {
                self.settle().await;
            } else {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        panic!("not in {PATIENCE:?}: {what}");
    }

    /// Stops the engine and starts another one, as after a crash.
    pub async fn restart_engine(&self) {
        self.restart_engine_with(ManagedFields::Dropped).await;
    }

    /// Stops the engine and starts another one that shows managedFields or not.
    pub async fn restart_engine_with(&self, managed_fields: ManagedFields) {
        let mut engine = self.engine.lock().await;
        engine.stop().await;
        let strategy = self.strategy.lock().unwrap().clone();
        let narrow = self.narrow_client.lock().unwrap().clone();
        let client = narrow.as_ref().unwrap_or(&self.engine_client);
        let setup = (managed_fields, strategy, *self.workers.lock().unwrap());
        *engine = start(client, &self.hook, &self.id, setup).await;
    }

    /// Stops the engine and starts one that has so many workers for each controller.
    pub async fn work_with(&self, workers: Workers) {
        *self.workers.lock().unwrap() = workers;
        self.restart_engine().await;
    }

    /// Stops the engine and starts another one under an account that may do this and no more.
    pub async fn narrow(&self, role: Role) {
        self.grant(role).await;
        let client = match &self.api {
            Some(api) => embedded::narrow(api, &self.engine_client, Arc::clone(&self.role)),
            None => real::narrow(&self.client, &self.id).await,
        };
        *self.narrow_client.lock().unwrap() = Some(client);
        self.restart_engine().await;
    }

    /// Changes what the account of [`Self::narrow`] may do.
    pub async fn grant(&self, role: Role) {
        if self.server == Server::Real {
            real::grant(&self.client, &self.id, &role).await;
        }
        *self.role.lock().unwrap() = role;
    }

    /// Returns a client under the account that functions have in production, whose types are served then.
    pub async fn functions_client(&self) -> Client {
        let client = match &self.api {
            Some(api) => embedded::functions(api, &self.client).await,
            None => real::client(real::functions_kubeconfig(&self.client).await).await,
        };
        self.functions_are_served().await;
        client
    }

    /// Returns a kubeconfig with the account that functions have in production, for what connects by itself.
    pub async fn functions_kubeconfig(&self) -> Kubeconfig {
        let kubeconfig = match &self.api {
            Some(api) => embedded::functions_kubeconfig(api, &self.client).await,
            None => real::functions_kubeconfig(&self.client).await,
        };
        self.functions_are_served().await;
        kubeconfig
    }

    async fn functions_are_served(&self) {
        for definition in definition::of_functions() {
            let plural = definition["spec"]["names"]["plural"].as_str().unwrap();
            let path = format!("/apis/{}/namespaces/{}/{plural}", function::API_VERSION, self.id);
            let is_served = || async { self.client.get_raw(&path).await.is_ok() };
            self.eventually(&format!("{plural} are served"), is_served).await;
        }
    }

    /// Stops the engine for good and returns what engines in other processes need instead: a kubeconfig with
    /// the account they have in production. Controllers made from now on call the hook over HTTP.
    pub async fn leave_to_others(&self) -> Kubeconfig {
        self.engine.lock().await.stop().await;
        self.hook_base.set(self.hook.listen().await).unwrap();
        match &self.api {
            None => engine_kubeconfig(&real::kubeconfig().unwrap()).await,
            Some(api) => embedded::engine_kubeconfig(api, &self.client).await,
        }
    }

    /// Stops the engine and starts one that lets the server merge, as the manager of this name.
    pub async fn apply_as(&self, manager: &str) {
        *self.strategy.lock().unwrap() = ApplyStrategy::ServerSide { manager: manager.to_owned() };
        self.restart_engine().await;
    }

    /// Stops the engine and removes what the story left in the cluster.
    pub async fn end(&self) {
        self.engine.lock().await.stop().await;
        if self.server == Server::Embedded {
            return;
        }
        real::assert_nothing_was_forbidden();
        for controllers in [composite::resource(), decorator::resource()] {
            let list = self.client.get_raw(&controllers.collection_path("")).await.unwrap();
            let list: Value = serde_json::from_slice(&list).unwrap();
            for controller in list["items"].as_array().into_iter().flatten() {
                let name = controller["metadata"]["name"].as_str().unwrap_or_default();
                if name.ends_with(&self.id) {
                    let _ = self.client.delete(&controllers, &ObjectKey::new("", name), "").await;
                }
            }
        }
        let definition = format!("things.{}.example.com", self.id);
        let _ = self
            .client
            .delete(&definition::definitions(), &ObjectKey::new("", &definition), "")
            .await;
        let _ = self.client.delete(&namespaces(), &ObjectKey::new("", &self.id), "").await;
        if self.narrow_client.lock().unwrap().is_some() {
            real::revoke(&self.client, &self.id).await;
        }
    }

    fn key(&self, resource: &Resource, name: &str) -> ObjectKey {
        ObjectKey::new(self.namespace(resource), name)
    }

    fn namespace(&self, resource: &Resource) -> &str {
        if resource.is_namespaced() { &self.id } else { "" }
    }
}

async fn start(
    client: &Client,
    hook: &PlayedHook,
    story: &str,
    (managed_fields, strategy, workers): (ManagedFields, ApplyStrategy, Workers),
) -> Engine {
    let options = EngineOptions {
        workers,
        targets: Selector::parse(&format!("story={story}")).unwrap(),
        managed_fields,
        strategy,
        ..EngineOptions::new(Arc::new(hook.clone()))
    };
    Engine::start(client, options).await.unwrap()
}

/// Returns the kubeconfig of the real server, or nothing if there is none, which is said on standard error.
///
/// # Panics
///
/// If there is none although `WINDLASS_REAL` is `required`.
pub fn real_kubeconfig(story: &str) -> Option<PathBuf> {
    let kubeconfig = real::kubeconfig();
    if kubeconfig.is_none() {
        not_run(story, "no real API server; `cargo xtask cluster up` starts one");
    }
    kubeconfig
}

/// Says on standard error that a story was not run, and what it lacks.
///
/// # Panics
///
/// If `WINDLASS_REAL` is `required`.
pub fn not_run(story: &str, why: &str) {
    let is_required = std::env::var("WINDLASS_REAL").as_deref() == Ok("required");
    assert!(!is_required, "WINDLASS_REAL=required, but {story} cannot run: {why}");
    eprintln!("not run: {story}: {why}");
}

fn namespaces() -> Resource {
    Resource::cluster("v1", "Namespace", "namespaces")
}

/// Returns the clock and the register of a world whose server is elsewhere.
fn remote() -> (SharedClock, Activity) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    (clock, Activity::default())
}
