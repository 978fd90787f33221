//! `windlass render`: what the engine would create for parents in files, without any cluster.
//!
//! The types come from an embedded server that nobody else reaches; what is decided comes from the
//! functions of the engine itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{
    Hook, HookError, HookReply, HookRequest, ProgramError, composite, decorator, definition, names,
};
use apiserver::{ApiServer, StartError};
use engine::{Controller, ControllerError, Outlook, OutlookError, Question, Scene};
use hooks::{Router, Webhooks};
use jsonnet::{RouteError, Routes, RuntimeOptions, WorkerCommand};
use k8s::{
    Activity, GroupVersionKind, Object, ObjectError, ObjectKey, Resource, Settle, SharedClock,
    SystemClock, apply,
};
use runtime::{ApiError, Client, ClientOptions, Discovered, Discovery};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    manifest::{self, Manifest, ManifestError},
    server::ServerError,
};

/// The UID of parents that no server has given one.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";
/// How long the embedded server may take to offer the types of the files.
const TYPES: Duration = Duration::from_secs(30);

/// What is rendered.
#[derive(Debug)]
pub struct RenderOptions {
    /// The files with the controllers, their parents, and CustomResourceDefinitions if there are any.
    pub files: Vec<PathBuf>,
    /// The file with the children that the hook sees.
    pub children: Option<PathBuf>,
    /// The file with the objects that a customize hook may ask for.
    pub related: Option<PathBuf>,
    /// The directory of hooks; `hooks` beside a file if absent.
    pub hooks: Option<PathBuf>,
    /// How workers are started.
    pub worker: WorkerCommand,
}

/// Why nothing was rendered.
#[derive(Debug, Error)]
pub enum RenderError {
    /// A file cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The embedded server, which knows the types, does not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The hooks cannot be used.
    #[error("cannot use the hooks in `{}`", dir.display())]
    Hooks {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        source: RouteError,
    },
    /// The system's certificates cannot be read.
    #[error("failed to set up calls of hooks")]
    Certificates(#[source] std::io::Error),
    /// None of the files has a controller.
    #[error("there is no CompositeController or DecoratorController in the files")]
    NoController,
    /// None of the files has a parent.
    #[error("there is no parent of {0} in the files")]
    NoParent(String),
    /// A controller cannot be run.
    #[error("controller `{name}`")]
    Controller {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: ControllerError,
    },
    /// A type is not known.
    #[error("can't find resource {plural} in apiVersion {api_version}")]
    Type {
        /// The group and version.
        api_version: String,
        /// The plural.
        plural: String,
    },
    /// A CustomResourceDefinition or a parent is not valid.
    #[error("{what} is not valid")]
    Invalid {
        /// Which one.
        what: String,
        /// What the embedded server says of it.
        source: ApiError,
    },
    /// A manifest is not an object that a server would keep.
    #[error("{what} is not an object")]
    Object {
        /// Where it stands.
        what: String,
        /// What is wrong with it.
        source: ObjectError,
    },
    /// The program of a hook does not run.
    #[error("hook {hook}")]
    Program {
        /// Which hook.
        hook: &'static str,
        /// What is wrong with it.
        source: ProgramError,
    },
    /// The hook gave no answer.
    #[error("hook {hook}")]
    Hook {
        /// Which hook.
        hook: &'static str,
        /// What the transport said.
        source: HookError,
    },
    /// The sync would fail.
    #[error("the sync of {parent} would fail")]
    Outlook {
        /// The parent.
        parent: String,
        /// Why.
        source: OutlookError,
    },
    /// Some children would be refused.
    #[error("the sync of {parent} would fail:\n  {}", .problems.join("\n  "))]
    Problems {
        /// The parent.
        parent: String,
        /// What is wrong with which child.
        problems: Vec<String>,
    },
}

impl RenderError {
    /// Returns whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Manifest(error) => error.is_missing(),
            Self::NoController | Self::NoParent(_) => true,
            Self::Hooks { source, .. } => source.is_usage(),
            _ => false,
        }
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Manifest(_) => Some("give a file or a directory of manifests"),
            Self::NoController | Self::NoParent(_) => {
                Some("give the controller and the parent: -f CONTROLLER -f PARENT")
            }
            Self::Type { .. } => Some("give its CustomResourceDefinition too, by another -f"),
            Self::Hook { source: HookError::Unreachable { .. }, .. } => {
                Some("start the hook, or give the directory of its program by --hooks")
            }
            Self::Program { source: ProgramError::Missing(_), .. } => {
                Some("give its ConfigMap too, by another -f, or its directory by --hooks")
            }
            _ => None,
        }
    }
}

/// Returns the children that the engine would create for the parents in the files.
pub async fn run(options: RenderOptions) -> Result<Vec<Value>, RenderError> {
    let hooks = options.hooks.clone().or_else(|| hooks_beside(&options.files));
    let (manifests, errors) = manifest::load(&options.files, hooks.as_deref());
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let mut studio = Studio::open(&manifests, hooks, options.worker).await?;
    studio.children = given(options.children)?;
    studio.related = given(options.related)?;
    let rendered = studio.render(manifests).await;
    studio.server.shutdown().await;
    rendered
}

/// Loads the manifests of a file, if there is one.
fn given(file: Option<PathBuf>) -> Result<Vec<Manifest>, ManifestError> {
    let (manifests, errors) = manifest::load(&Vec::from_iter(file), None);
    errors.into_iter().next().map_or(Ok(manifests), Err)
}

/// Returns the directory `hooks` in or beside a path.
fn hooks_beside(paths: &[PathBuf]) -> Option<PathBuf> {
    let beside = |path: &PathBuf| {
        let dir = if path.is_dir() { path.as_path() } else { path.parent()? };
        Some(dir.join("hooks"))
    };
    paths.iter().filter_map(beside).find(|dir| dir.is_dir())
}

/// What is needed to render: types, hooks, and what is said to be there.
struct Studio {
    server: ApiServer,
    client: Client,
    discovery: Discovery,
    hook: Router,
    children: Vec<Manifest>,
    related: Vec<Manifest>,
}

impl Studio {
    async fn open(
        manifests: &[Manifest],
        hooks: Option<PathBuf>,
        worker: WorkerCommand,
    ) -> Result<Self, RenderError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let activity = Activity::default();
        let server = ApiServer::builder().clock(Arc::clone(&clock)).activity(activity.clone());
        let server = server.start().await.map_err(|error: StartError| ServerError::from(error))?;
        let client = Client::new(
            kube::Client::new(server.service(), "default"),
            ClientOptions {
                clock: Arc::clone(&clock),
                activity: activity.clone(),
                agent: names::COMPONENT,
                revisions: None,
            },
        );
        for manifest in manifests.iter().filter(|manifest| is_definition(&manifest.gvk)) {
            let created =
                client.create(&definition::definitions(), "", manifest.value.to_string()).await;
            let what = || format!("{} in {}", subject(manifest), manifest.source);
            created.map_err(|source| RenderError::Invalid { what: what(), source })?;
        }
        let settle = Settle { limit: TYPES, quiet_for: Duration::ZERO };
        // A type that is not offered by then is told about when it is needed.
        let _ = activity.settle(clock.as_ref(), settle).await;
        let hook = router(hooks, worker, &clock, &activity).await?;
        let discovery = Discovery::new(client.clone());
        Ok(Self { server, client, discovery, hook, children: Vec::new(), related: Vec::new() })
    }

    async fn render(&self, manifests: Vec<Manifest>) -> Result<Vec<Value>, RenderError> {
        let kinds = [composite::resource().gvk, decorator::resource().gvk];
        let (controllers, others): (Vec<_>, Vec<_>) =
            manifests.into_iter().partition(|manifest| kinds.contains(&manifest.gvk));
        if controllers.is_empty() {
            return Err(RenderError::NoController);
        }
        let mut rendered = Vec::new();
        let mut parents = 0;
        for manifest in &controllers {
            let controller = controller(manifest)?;
            self.load(&controller, &others).await?;
            for parent in others.iter().filter(|manifest| !is_definition(&manifest.gvk)) {
                if let Some(children) = self.family(&controller, parent).await? {
                    rendered.extend(children);
                    parents += 1;
                }
            }
        }
        if parents == 0 {
            let names: Vec<_> = controllers.iter().map(subject).collect();
            return Err(RenderError::NoParent(names.join(", ")));
        }
        Ok(rendered)
    }

    /// Returns the children of a manifest's object, nothing if it is no parent of the controller.
    async fn family(
        &self,
        controller: &Controller,
        manifest: &Manifest,
    ) -> Result<Option<Vec<Value>>, RenderError> {
        let mut is_parent = None;
        for rule in &controller.parents {
            if rule.api_version != manifest.gvk.api_version() {
                continue;
            }
            let found = self.find(&rule.api_version, &rule.plural, [manifest]).await?;
            if found.resource.gvk == manifest.gvk {
                is_parent = Some((rule, found));
            }
        }
        let Some((rule, found)) = is_parent else { return Ok(None) };
        let parent = self.parent(&found.resource, manifest).await?;
        if !rule.selects(&parent) {
            return Ok(None);
        }
        let mut candidates = Vec::new();
        for rule in &controller.children {
            let resource = self.find(&rule.api_version, &rule.plural, &self.children).await?;
            candidates.push((resource.resource, Vec::new()));
        }
        let has_status = found.has_status;
        let (selected, related) = (true, Vec::new());
        let mut scene =
            Scene { controller, parent: &parent, selected, has_status, candidates, related };
        let failed = |source| RenderError::Outlook { parent: subject(manifest), source };
        self.populate(&mut scene)?;
        self.relate(&mut scene, manifest).await?;
        let Some(question) = scene.question().map_err(failed)? else { return Ok(Some(Vec::new())) };
        let reply = self.ask(question).await?;
        let others = self.others(&scene, &reply).await;
        let Outlook { children, problems, .. } = scene.outlook(&reply, &others).map_err(failed)?;
        if problems.is_empty() {
            return Ok(Some(children));
        }
        Err(RenderError::Problems { parent: subject(manifest), problems })
    }

    /// Loads the programs that a controller brings along.
    async fn load(&self, controller: &Controller, others: &[Manifest]) -> Result<(), RenderError> {
        for (hook, webhook) in controller.hooks.all() {
            let Some(program) = &webhook.program else { continue };
            let failed = |source| RenderError::Program { hook, source };
            let is_it = |other: &&Manifest| {
                other.gvk.kind == "ConfigMap" && Some(&key(other)) == program.config_map()
            };
            let map = others.iter().find(is_it).map(|map| object(map, &map.value)).transpose()?;
            let text = program.text_for(hook, map.as_ref()).map_err(failed)?;
            self.hook.load(&webhook.url, text).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn ask(&self, question: Question<'_>) -> Result<HookReply, RenderError> {
        let Question { hook, webhook, body } = question;
        let reply = self.hook.call(HookRequest::new(&webhook.url, body, webhook.timeout)).await;
        reply.map_err(|source| RenderError::Hook { hook, source })
    }

    /// Puts those objects into a scene that its customize hook asks for.
    async fn relate(&self, scene: &mut Scene<'_>, parent: &Manifest) -> Result<(), RenderError> {
        let failed = |source| RenderError::Outlook { parent: subject(parent), source };
        let Some(question) = scene.customize() else { return Ok(()) };
        let reply = self.ask(question).await?;
        let mut types = Vec::new();
        for (api_version, plural) in scene.related_types(&reply).map_err(failed)? {
            types.push(self.find(&api_version, &plural, &self.related).await?.resource);
        }
        let mut objects = Vec::new();
        for manifest in &self.related {
            let mut value = manifest.value.clone();
            let is_namespaced =
                |resource: &Resource| resource.gvk == manifest.gvk && resource.is_namespaced();
            if types.iter().any(is_namespaced) {
                value["metadata"]["namespace"] = json!(key(manifest).namespace);
            }
            objects.push(Arc::new(object(manifest, &value)?));
        }
        scene.relate(&reply, types, &objects).map_err(failed)
    }

    /// Finds a type; one that the server does not know is guessed from an object.
    async fn find<'a>(
        &self,
        api_version: &str,
        plural: &str,
        objects: impl IntoIterator<Item = &'a Manifest>,
    ) -> Result<Discovered, RenderError> {
        if let Ok(found) = self.discovery.by_plural(api_version, plural).await {
            return Ok(found);
        }
        let mut objects = objects.into_iter();
        let found = objects.find(|manifest| {
            manifest.gvk.api_version() == api_version
                && plurals(&manifest.gvk.kind).contains(&plural.to_owned())
        });
        let resource =
            found.map(|manifest| Resource::namespaced(api_version, &manifest.gvk.kind, plural));
        let (api_version, plural) = (api_version.to_owned(), plural.to_owned());
        let resource = resource.ok_or(RenderError::Type { api_version, plural })?;
        Ok(Discovered { resource, has_status: true })
    }

    /// Returns a parent as a server would keep it: with the defaults of its type.
    async fn parent(
        &self,
        resource: &Resource,
        manifest: &Manifest,
    ) -> Result<Object, RenderError> {
        let mut value = manifest.value.clone();
        if resource.is_namespaced() && manifest.key.namespace.is_empty() {
            value["metadata"]["namespace"] = json!("default");
        }
        let mut bare = value.clone();
        apply::strip_server_metadata(&mut bare);
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let tried = self.client.try_create(resource, &namespace, bare.to_string()).await;
        let mut parent = match tried {
            Ok(made) => made.to_value(),
            // A type without a definition, or a namespace that is not there, tells nothing of the parent.
            Err(error) if error.is_not_found() => value.clone(),
            Err(source) => return Err(RenderError::Invalid { what: subject(manifest), source }),
        };
        parent["metadata"] = value["metadata"].take();
        if let Some(status) = value.get_mut("status") {
            parent["status"] = status.take();
        }
        let metadata = &mut parent["metadata"];
        for (field, value) in [("uid", json!(NO_UID)), ("generation", json!(1))] {
            if metadata.get(field).is_none() {
                metadata[field] = value;
            }
        }
        object(manifest, &parent)
    }

    /// Puts the children that are said to be there into a scene.
    fn populate(&self, scene: &mut Scene<'_>) -> Result<(), RenderError> {
        for manifest in &self.children {
            let mut value = manifest.value.clone();
            let parent = || format!("{} `{}`", scene.parent.gvk().kind, scene.parent.key());
            scene
                .belong(&mut value)
                .map_err(|source| RenderError::Outlook { parent: parent(), source })?;
            let child = Arc::new(object(manifest, &value)?);
            for (resource, objects) in &mut scene.candidates {
                if resource.gvk == manifest.gvk {
                    objects.push(Arc::clone(&child));
                }
            }
        }
        Ok(())
    }

    /// Returns the types of an answer's children that the rules do not name.
    async fn others(
        &self,
        scene: &Scene<'_>,
        reply: &HookReply,
    ) -> BTreeMap<GroupVersionKind, Resource> {
        let mut others = BTreeMap::new();
        for gvk in scene.kinds(reply) {
            if let Ok(found) = self.discovery.by_kind(&gvk).await {
                others.insert(gvk, found.resource);
            }
        }
        others
    }
}

fn controller(manifest: &Manifest) -> Result<Controller, RenderError> {
    let failed = |source| RenderError::Controller { name: manifest.key.name.clone(), source };
    engine::check(&Arc::new(object(manifest, &manifest.value)?)).map_err(failed)
}

/// Returns how hooks are called. A program of the directory that is broken is told about when it is called.
async fn router(
    dir: Option<PathBuf>,
    worker: WorkerCommand,
    clock: &SharedClock,
    activity: &Activity,
) -> Result<Router, RenderError> {
    let webhooks = Webhooks::new(Arc::clone(clock), activity.clone());
    let webhooks = webhooks.map_err(RenderError::Certificates)?;
    let runtime = jsonnet::Runtime::new(RuntimeOptions {
        clock: Arc::clone(clock),
        activity: activity.clone(),
        command: worker,
        ..RuntimeOptions::default()
    });
    let router = Router::new(webhooks, Some(runtime.clone()));
    let Some(dir) = dir else { return Ok(router) };
    let failed = |source| RenderError::Hooks { dir: dir.clone(), source };
    let routes = Routes::from_args(&[dir.to_string_lossy()], Path::is_dir).map_err(failed)?;
    runtime.load_all(&routes).await.map_err(failed)?;
    Ok(router.with_programs(dir))
}

/// Returns the key of a namespaced object as it would be applied.
fn key(manifest: &Manifest) -> ObjectKey {
    let ObjectKey { namespace, name } = &manifest.key;
    ObjectKey::new(if namespace.is_empty() { "default" } else { namespace }, name)
}

fn is_definition(gvk: &GroupVersionKind) -> bool {
    *gvk == definition::definitions().gvk
}

fn subject(manifest: &Manifest) -> String {
    format!("{} `{}`", manifest.gvk.kind, manifest.key)
}

fn object(manifest: &Manifest, value: &Value) -> Result<Object, RenderError> {
    let failed = |source| RenderError::Object { what: manifest.source.to_string(), source };
    Object::from_value(value).map_err(failed)
}

/// Returns the plurals that a kind may have by the rules of English.
fn plurals(kind: &str) -> [String; 3] {
    let kind = kind.to_lowercase();
    let ies = kind.strip_suffix('y').unwrap_or(&kind);
    [format!("{kind}s"), format!("{kind}es"), format!("{ies}ies")]
}
