//! One function on this machine, without any API server: the same objects are made of it as anywhere, and what
//! their pod asks for is done here.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use api::SharedFetch;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::server::graceful::GracefulShutdown;
use k8s::{Activity, Object, ObjectError, SharedClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::{
    choice::{Choice, Offered, choose},
    config::Config,
    container::serve,
    executor::system_env,
    function::{Function, Refusal},
    host::{Host, Log, Means, Settings, SettingsError},
    install::COMPILED,
    interpreters::{Interpreter, Interpreters},
    launch::Launcher,
    objects::{Context, PortsError, Surroundings, objects},
    pods::{self, Wanted},
    preparation::PrepareError,
    prepare::{self, Tools, place},
    runtimes::{Language, Policy},
    store::Store,
    table::{Runtime, table},
};

/// What a function needs of this machine.
#[derive(Clone, Debug)]
pub struct LocalMeans {
    /// The clock.
    pub clock: SharedClock,
    /// How processes are started.
    pub launcher: Launcher,
    /// What this machine can run.
    pub interpreters: Arc<Interpreters>,
    /// The directory of what is installed for functions, for the next time.
    pub data: PathBuf,
    /// How files at URLs are got.
    pub fetch: SharedFetch,
    /// Where its lines go.
    pub log: Arc<dyn Log>,
}

/// A function that is served in this process.
#[derive(Debug)]
pub struct Local {
    host: Arc<Host>,
    /// What runs it, as `python3.11`.
    runtime: String,
    /// Its files, which go with it.
    _dir: TempDir,
}

/// Why a function is not served.
#[derive(Debug, Error)]
pub enum LocalError {
    /// It is no Function.
    #[error("the function cannot be read")]
    Object(#[from] ObjectError),
    /// It can run nowhere; the text says why.
    #[error("{0}")]
    Refused(String),
    /// Nothing on this machine runs it.
    #[error("nothing on this machine runs `{0}`")]
    Runtime(String),
    /// It did not get to its place.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// It says something that means nothing.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no place for its files.
    #[error("failed to write the function's files")]
    Write(#[source] io::Error),
    /// Its program does not load.
    #[error("the program cannot be loaded: {0}")]
    Load(String),
}

impl From<Refusal> for LocalError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

impl From<PortsError> for LocalError {
    fn from(error: PortsError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Local {
    /// Serves a Function, whose program is all in a directory if one is given.
    ///
    /// # Errors
    ///
    /// [`LocalError`] if no worker has loaded its program.
    pub async fn start(
        function: &Value,
        dir: Option<&Path>,
        means: LocalMeans,
    ) -> Result<Self, LocalError> {
        let function = Function::check(&Object::from_value(function)?)?;
        let all = means.interpreters.all().await;
        let (runtime, language, interpreter) = chosen(&function, &all)?;
        let context = Context {
            runtime: Some(&runtime),
            config: &Config::default(),
            surroundings: &Surroundings { image: "windlass".to_owned(), executor: None },
            selector: None,
        };
        let made = objects(&function, context)?;
        let Wanted { preparation, env, .. } = pods::wanted(&pod(&function, &made.deployment)?)
            .ok_or_else(|| LocalError::Refused("an image is run by containers".to_owned()))?;
        let home = tempfile::Builder::new().prefix("windlass-").tempdir();
        let home = home.map_err(LocalError::Write)?;
        let LocalMeans { clock, launcher, data, fetch, log, .. } = means;
        let mut work = preparation.plan(&Object::from_value(&made.config_map)?.texts())?;
        match dir {
            Some(dir) => {
                copy(dir, home.path()).map_err(LocalError::Write)?;
                work.deps_packed = is_to_be_equipped(dir, language);
            }
            None => place(&work, home.path(), &fetch).await?,
        }
        let tools = Tools {
            launcher: launcher.clone(),
            clock: Arc::clone(&clock),
            packages: Store::new(data.join("dependencies")),
            cache: data.join("cache"),
        };
        let version = runtime.version.to_string();
        let what =
            prepare::Means { language, version: &version, interpreter: &interpreter, env: &env };
        tools.equip(&work, home.path(), &what).await?;
        let mut variables: BTreeMap<_, _> = system_env();
        variables.insert("FUNC_EXPOSE_ERRORS".to_owned(), "true".to_owned());
        variables.extend(env);
        let settings = Settings::read(&variables, home.path().to_owned())?;
        let interpreter = match language {
            Language::Go => home.path().join(COMPILED),
            _ => interpreter,
        };
        let activity = Activity::default();
        let means = Means { clock, activity, launcher, interpreter, log, totals: None };
        let host = Host::start(settings, means).map_err(LocalError::Write)?;
        loaded(&host).await?;
        let runtime = runtime.name();
        Ok(Self { host: Arc::new(host), runtime, _dir: home })
    }

    /// Answers one call.
    ///
    /// # Errors
    ///
    /// What the worker said if it ended in the middle of its answer.
    pub async fn call(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.host.handle(request.map(Full::new)).await.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Answers all that come to a listener, until something ends.
    ///
    /// # Errors
    ///
    /// What the system said if nobody can come any more.
    pub async fn serve(
        &self,
        listener: TcpListener,
        end: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let connections = GracefulShutdown::new();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                accepted = listener.accept() => serve(accepted?.0, &self.host, &connections),
                () = &mut end => return Ok(()),
            }
        }
    }

    /// Returns what runs it, such as `python3.11`.
    pub fn runtime(&self) -> &str {
        &self.runtime
    }
}

/// Waits until a worker has loaded the program.
async fn loaded(host: &Host) -> Result<(), LocalError> {
    let mut health = host.health();
    let health = health.wait_for(|health| health.is_ready || health.failure.is_some()).await;
    match health.ok().filter(|health| !health.is_ready).and_then(|it| it.failure.clone()) {
        Some(failure) => Err(LocalError::Load(failure)),
        None => Ok(()),
    }
}

/// Returns what runs a function, of the interpreters of this machine.
fn chosen(
    function: &Function,
    all: &[Interpreter],
) -> Result<(Runtime, Language, PathBuf), LocalError> {
    let unknown = || LocalError::Runtime(function.texts.runtime.clone());
    let choice =
        choose(function, &table(&[], &BTreeMap::new()), Offered::Machine(all), Policy::default());
    let Choice::Runtime(runtime, _) = choice.map_err(|_| unknown())? else {
        return Err(unknown());
    };
    let language = runtime.language.ok_or_else(unknown)?;
    let is_it = |it: &&Interpreter| it.language == language && it.version == runtime.version;
    let path = all.iter().find(is_it).ok_or_else(unknown)?.path.clone();
    Ok((*runtime, language, path))
}

/// Returns the pod that a Deployment would have.
fn pod(function: &Function, deployment: &Value) -> Result<Object, ObjectError> {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!(function.meta.name);
    metadata["namespace"] = json!(function.meta.namespace);
    Object::from_value(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": metadata, "spec": template["spec"]}))
}

/// Returns whether a directory names what is to be installed, and does not have it already.
fn is_to_be_equipped(dir: &Path, language: Language) -> bool {
    let deps = language.facts().deps;
    deps.is_some_and(|name| dir.join(name).is_file()) && !dir.join("node_modules").is_dir()
}

/// Copies a directory with all that is in it: what is installed or compiled there is not for its owner.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&to)?;
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
