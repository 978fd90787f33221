//! The verbs that show and steer what controllers do.

use std::{path::Path, process::ExitCode, slice, time::Duration};

use cli::{
    control::{Control, ControlError},
    manifest,
    reach::{DEV, Reach},
    render::{self, RenderOptions},
    steer::{self, SteerError},
    views::{family, syncs, unified},
};
use jsonnet::{WorkerCommand, httpd};
use k8s::{Clock, ObjectKey, SystemClock};
use runtime::{ApiError, Client, ConnectError};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    args::{AskArgs, DiffArgs, Output, ReachArgs, RenderArgs, StatusArgs},
    commands::print,
    failure,
};

/// How often `status -w` asks.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a verb has nothing to show.
#[derive(Debug, Error)]
pub(crate) enum VerbError {
    /// The API server is not found.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An object is not found.
    #[error(transparent)]
    Steer(#[from] SteerError),
    /// The running `dev` does not answer.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It answers in a form that this release does not know.
    #[error("`windlass dev` is of another release")]
    Release(#[from] serde_json::Error),
    /// The objects cannot be listed.
    #[error("failed to list objects")]
    List(#[source] ApiError),
    /// The file does not hold one object.
    #[error("`{0}` does not hold exactly one object")]
    NotOne(String),
    /// The file cannot be used.
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    /// It is not the running `dev` that is asked about.
    #[error("to ask an engine in a cluster is not supported yet")]
    Cluster(String),
    /// Nothing is noted of the object.
    #[error("no sync of {0} is known")]
    NoSync(String),
}

impl VerbError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Cluster(own) => Some(format!("the `dev` of this directory is at {own}")),
            Self::Connect(_) => Some("give --kubeconfig, or start `windlass dev PATH` here".into()),
            Self::Steer(error) => error.hint(),
            Self::Control(error) => error.hint().map(Into::into),
            Self::NoSync(_) => {
                Some("does a controller select it? `windlass status` lists them".into())
            }
            Self::Release(_) | Self::List(_) | Self::NotOne(_) | Self::Manifest(_) => None,
        }
    }
}

/// Turns how a verb ended into an exit code.
pub(crate) fn end(result: Result<ExitCode, VerbError>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let code = if matches!(error, VerbError::Cluster(_)) { 2 } else { 1 };
        failure::print(&error, error.hint().as_deref(), code)
    })
}

/// Connects, and says where to if the command changes anything.
pub(crate) async fn connect(args: &ReachArgs, changes: bool) -> Result<Client, VerbError> {
    let reach = Reach { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() };
    let (client, place) = reach.connect().await?;
    if changes {
        failure::note(&format!("using {place}"));
    } else {
        tracing::info!(place, "connected");
    }
    Ok(client)
}

pub(crate) fn control() -> Result<Control, ControlError> {
    Control::open(Path::new(DEV))
}

pub(crate) async fn status(args: StatusArgs) -> ExitCode {
    let shown = async {
        let control = control()?;
        let mut last = String::new();
        let clock = SystemClock;
        let signals = httpd::signals();
        let mut ended = std::pin::pin!(async move {
            if let Ok(signals) = signals {
                signals.await;
            }
        });
        loop {
            let answer = control.get("/control/v1/status").await?;
            let text = match args.output {
                Output::Text => syncs::status(&answer)?,
                output => value(&answer, output),
            };
            if text != last {
                print(&text);
                last = text;
            }
            let at = clock.after(AGAIN);
            if !args.watch {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::select! {
                () = &mut ended => return Ok(ExitCode::SUCCESS),
                () = clock.sleep_until(at) => {}
            }
        }
    };
    end(shown.await)
}

pub(crate) async fn tree(args: AskArgs) -> ExitCode {
    let shown = async {
        let client = connect(&args.reach, false).await?;
        let key = ObjectKey::new(&args.reach.namespace, &args.name);
        let root = steer::get(&client, &args.kind, &key).await?;
        let objects = steer::everything(&client, &root.meta().namespace).await;
        let tree = family::tree(&root, &objects.map_err(VerbError::List)?, SystemClock.now());
        Ok(match args.reach.output {
            Output::Text => print(&family::text(&tree)),
            output => print(&value(&tree, output)),
        })
    };
    end(shown.await)
}

pub(crate) async fn explain(args: AskArgs) -> ExitCode {
    let shown = async {
        let control = control()?;
        let asked = question(&control, &args.reach, (&args.kind, &args.name), false).await?;
        let query: Vec<_> = ["apiVersion", "kind", "namespace", "name"]
            .map(|field| format!("{field}={}", asked[field].as_str().unwrap_or_default()))
            .to_vec();
        let path = format!("/control/v1/syncs?{}", query.join("&"));
        let answer = control.get(&path).await?;
        if answer["syncs"].as_array().is_none_or(Vec::is_empty) {
            return Err(VerbError::NoSync(format!("{} {}", args.kind, args.name)));
        }
        Ok(match args.reach.output {
            Output::Text => print(&syncs::explained(&answer)?),
            output => print(&value(&answer, output)),
        })
    };
    end(shown.await)
}

pub(crate) async fn sync(args: AskArgs) -> ExitCode {
    let shown = async {
        let control = control()?;
        let asked = question(&control, &args.reach, (&args.kind, &args.name), true).await?;
        let answer = control.post("/control/v1/syncs", &asked).await?;
        let text = match args.reach.output {
            Output::Text => syncs::short(&answer)?,
            output => value(&answer, output),
        };
        let printed = print(&text);
        Ok(if syncs::has_failed(&answer) { ExitCode::FAILURE } else { printed })
    };
    end(shown.await)
}

pub(crate) async fn diff(args: DiffArgs) -> ExitCode {
    let shown = async {
        let control = control()?;
        let asked = wish(&control, args.file.as_deref(), &args).await?;
        let answer = control.post("/control/v1/outlooks", &asked).await?;
        for problem in unified::problems(&answer) {
            failure::note(&problem);
        }
        let text = unified::text(&answer);
        let printed = match args.reach.output {
            Output::Text => print(&text),
            output => print(&value(&answer, output)),
        };
        Ok(if text.is_empty() { printed } else { ExitCode::FAILURE })
    };
    end(shown.await)
}

/// Returns the question about an object, its type looked up where the `dev` that is asked has its types.
async fn question(
    control: &Control,
    reach: &ReachArgs,
    (kind, name): (&str, &str),
    changes: bool,
) -> Result<Value, VerbError> {
    let client = connect_to(control, reach, changes).await?;
    let resource = cli::find::find(&client, kind).await.map_err(SteerError::from)?;
    let key = steer::placed(&resource, &ObjectKey::new(&reach.namespace, name));
    Ok(json!({"apiVersion": resource.gvk.api_version(), "kind": resource.gvk.kind,
        "namespace": key.namespace, "name": key.name}))
}

/// Connects to the API server of a running `dev`, whatever `KUBECONFIG` says.
async fn connect_to(
    control: &Control,
    reach: &ReachArgs,
    changes: bool,
) -> Result<Client, VerbError> {
    let own = control.kubeconfig();
    let is_own =
        |given: &Path| given == own || given.canonicalize().ok() == own.canonicalize().ok();
    if reach.kubeconfig.as_deref().is_some_and(|given| !is_own(given)) {
        return Err(VerbError::Cluster(own.display().to_string()));
    }
    connect(&ReachArgs { kubeconfig: Some(own.to_owned()), ..reach.clone() }, changes).await
}

/// Returns the question what a sync would do, for the object of a file or for one that is there.
async fn wish(control: &Control, file: Option<&Path>, args: &DiffArgs) -> Result<Value, VerbError> {
    let Some(file) = file else {
        let [kind, name] = [&args.kind, &args.name].map(|word| word.as_deref().unwrap_or_default());
        return question(control, &args.reach, (kind, name), false).await;
    };
    let (mut manifests, errors) = manifest::load(slice::from_ref(&file.to_owned()), None);
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let (Some(manifest), true) = (manifests.pop(), manifests.is_empty()) else {
        return Err(VerbError::NotOne(file.display().to_string()));
    };
    let (mut value, mut reach) = (manifest.value, args.reach.namespace.clone());
    if !manifest.key.namespace.is_empty() {
        reach = manifest.key.namespace;
    }
    let client = connect_to(control, &args.reach, false).await?;
    let kind = match manifest.gvk.group.as_str() {
        "" => manifest.gvk.kind.clone(),
        group => format!("{}.{group}", manifest.gvk.kind),
    };
    let resource = cli::find::find(&client, &kind).await.map_err(SteerError::from)?;
    let key = steer::placed(&resource, &ObjectKey::new(&reach, &manifest.key.name));
    if !key.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(key.namespace);
    }
    Ok(json!({"apiVersion": manifest.gvk.api_version(), "kind": manifest.gvk.kind,
        "namespace": key.namespace, "name": key.name, "wish": value}))
}

/// Returns a value in a form for machines.
pub(crate) fn value(value: &Value, output: Output) -> String {
    match output {
        Output::Yaml => k8s::yaml::to_string(value),
        Output::Json | Output::Text => format!("{value:#}\n"),
    }
}

pub(crate) async fn render(args: RenderArgs) -> ExitCode {
    let RenderArgs { files, children, related, hooks, output } = args;
    let worker = WorkerCommand::default();
    let options = RenderOptions { files, children, related, hooks, worker };
    match render::run(options).await {
        Ok(children) => print(&objects(&children, output)),
        Err(error) => {
            let code = if error.is_usage() { 2 } else { 1 };
            failure::print(&error, error.hint(), code)
        }
    }
}

/// Returns objects as documents, or as a list in JSON.
fn objects(objects: &[Value], output: Output) -> String {
    if output == Output::Json {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        return format!("{list:#}\n");
    }
    let documents: Vec<_> = objects.iter().map(k8s::yaml::to_string).collect();
    documents.join("---\n")
}
