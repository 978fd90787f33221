//! The verbs of Functions.

use std::{io, net::SocketAddr, process::ExitCode};

use ::functions::LocalError;
use bytes::Bytes;
use cli::{
    function::{
        call::{self, Call, CallError},
        description::description,
        files::{self, FileError},
        listing::{self, Width},
        metrics::{self, Calls},
        pairs::{self, pairs, words},
        parts::{Names, Parts},
        runtimes::{self, RuntimeError},
        server::{self, FunctionError},
        trigger::{self, CronjobWish, Kind, TriggerError},
        wish::{self, Wish},
    },
    reach::Reach,
};
use futures::future::join_all;
use http::StatusCode;
use k8s::ObjectKey;
use runtime::{Client, ConnectError};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    args::{
        CallArgs, DeleteArgs, DeployArgs, DescribeArgs, Format, FunctionCommand, FunctionsCommand,
        ListFormat, LogsArgs, LsArgs, Output, ReachedArgs, TopArgs,
    },
    commands::{NotSupported, print},
    failure, triggers,
    views::value,
};

mod local;

/// Why a verb of Functions did not do what it is for.
#[derive(Debug, Error)]
pub(crate) enum FunctionsError {
    /// The API server is not found.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server or the function did not do it.
    #[error(transparent)]
    Server(#[from] FunctionError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A trigger cannot be as it is wanted.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// Nobody runs the runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The function does not run here.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Nobody can call it here.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Something is missing on the command line.
    #[error("{0}")]
    Usage(String),
    /// It is for a later release.
    #[error(transparent)]
    NotSupported(#[from] NotSupported),
}

impl FunctionsError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::NotSupported(_)
            | Self::Trigger(_)
            | Self::File(FileError::Read { .. })
            | Self::Server(FunctionError::Function(CallError::Header(_) | CallError::Path(_))) => 2,
            Self::Connect(_)
            | Self::Server(_)
            | Self::File(_)
            | Self::Runtime(_)
            | Self::Local(_)
            | Self::Listen { .. } => 1,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(_) => Some("give --kubeconfig, or start `windlass dev PATH` here".into()),
            Self::Server(FunctionError::Exists { kind, key }) if kind == "Function" => {
                Some(format!("`windlass function update {}` changes it", key.name))
            }
            Self::Server(FunctionError::NoObject { kind, .. }) if kind == "Function" => {
                Some("`windlass function ls` lists those that are there".into())
            }
            Self::Server(FunctionError::Call { source, .. }) if source.is_not_found() => {
                Some("are the CustomResourceDefinitions of Functions installed?".into())
            }
            Self::Local(LocalError::Runtime(_)) => {
                Some("`windlass function runtimes` lists what runs here".into())
            }
            Self::Listen { .. } => Some("give another --listen".into()),
            Self::Server(_)
            | Self::File(_)
            | Self::Trigger(_)
            | Self::Runtime(_)
            | Self::Local(_)
            | Self::Usage(_)
            | Self::NotSupported(_) => None,
        }
    }
}

/// Turns how a verb ended into an exit code.
pub(crate) fn end(result: Result<ExitCode, FunctionsError>) -> ExitCode {
    result
        .unwrap_or_else(|error| failure::print(&error, error.hint().as_deref(), error.exit_code()))
}

/// Says that a flag is missing.
pub(crate) fn missing(flag: &str) -> FunctionsError {
    FunctionsError::Usage(format!("{flag} is missing"))
}

/// Returns where an object is.
pub(crate) fn key(reach: &ReachedArgs, name: &str) -> ObjectKey {
    let namespace = reach.namespace.clone().unwrap_or_else(|| of(reach).namespace());
    ObjectKey::new(&namespace, name)
}

/// Connects, and says where to if the command changes anything.
pub(crate) async fn connect(args: &ReachedArgs, changes: bool) -> Result<Client, FunctionsError> {
    let (client, place) = of(args).connect().await?;
    if changes {
        failure::note(&format!("using {place}"));
    } else {
        tracing::info!(place, "connected");
    }
    Ok(client)
}

/// Returns an object as it is printed.
pub(crate) fn object(object: &Value, format: Format) -> String {
    value(object, if format == Format::Json { Output::Json } else { Output::Yaml })
}

fn of(args: &ReachedArgs) -> Reach {
    Reach { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() }
}

pub(crate) async fn run(command: FunctionsCommand) -> ExitCode {
    match command {
        FunctionsCommand::Function(command) => end(function(command).await),
        FunctionsCommand::Trigger(command) => triggers::run(command).await,
        FunctionsCommand::Autoscale(_) => failure::print(&NotSupported("`autoscale`"), None, 2),
        FunctionsCommand::Topic(_) => failure::print(&NotSupported("`topic`"), None, 2),
        FunctionsCommand::GetServerConfig(args) => end(server_config(&args).await),
    }
}

async fn function(command: FunctionCommand) -> Result<ExitCode, FunctionsError> {
    match command {
        FunctionCommand::Deploy(args) => deploy(*args).await,
        FunctionCommand::Update(args) => update(*args).await,
        FunctionCommand::Delete(args) => delete(args).await,
        FunctionCommand::Ls(args) => list(args).await,
        FunctionCommand::Call(args) => call(args).await,
        FunctionCommand::Logs(args) => logs(args).await,
        FunctionCommand::Describe(args) => describe(args).await,
        FunctionCommand::Top(args) => top(args).await,
        FunctionCommand::Run(args) => local::run(args).await,
        FunctionCommand::Runtimes(args) => Ok(local::runtimes(args).await),
    }
}

async fn deploy(args: DeployArgs) -> Result<ExitCode, FunctionsError> {
    if args.runtime.is_none() && args.runtime_image.is_none() {
        return Err(FunctionsError::Usage("give --runtime or --runtime-image".to_owned()));
    }
    if args.runtime.is_some() && args.handler.is_none() {
        return Err(FunctionsError::Usage("a runtime needs a --handler".to_owned()));
    }
    check_watched(&args)?;
    let key = key(&args.reach, &args.name);
    let parts = names(&args).read().await?;
    let made = wish::create(&key, &wish(&args, &parts));
    if args.dryrun {
        return Ok(print(&object(&made, args.output)));
    }
    let client = connect(&args.reach, true).await?;
    check_runtime(&client, args.runtime.as_deref()).await?;
    server::create(&client, &api::function::resource(), &key, &made).await?;
    if let Some(schedule) = &args.schedule {
        let (resource, trigger) = (Kind::Cronjob.resource(), scheduled(&key, schedule));
        server::create(&client, &resource, &key, &trigger).await?;
    }
    finish(&client, &args, &key, ("deployed", parts)).await
}

async fn update(args: DeployArgs) -> Result<ExitCode, FunctionsError> {
    let key = key(&args.reach, &args.name);
    let resource = api::function::resource();
    check_watched(&args)?;
    let parts = names(&args).read().await?;
    let wish = wish(&args, &parts);
    let client = connect(&args.reach, !args.dryrun).await?;
    if args.dryrun {
        let mut there = server::get(&client, &resource, &key).await?;
        wish::update(&mut there, &wish);
        return Ok(print(&object(&there, args.output)));
    }
    check_runtime(&client, args.runtime.as_deref()).await?;
    server::change(&client, &resource, &key, |function| wish::update(function, &wish)).await?;
    if let Some(schedule) = &args.schedule {
        let resource = Kind::Cronjob.resource();
        let fields = CronjobWish { schedule: Some(schedule.clone()), ..CronjobWish::default() };
        let edit = |trigger: &mut Value| trigger::update(trigger, fields.fields());
        match server::change(&client, &resource, &key, edit).await {
            Err(FunctionError::NoObject { .. }) => {
                let trigger = scheduled(&key, schedule);
                server::create(&client, &resource, &key, &trigger).await?;
            }
            changed => changed?,
        }
    }
    finish(&client, &args, &key, ("updated", parts)).await
}

/// Says what was done, waits for what comes of it, and does it again whenever files are saved, as it is wanted.
async fn finish(
    client: &Client,
    args: &DeployArgs,
    key: &ObjectKey,
    (verb, parts): (&str, Parts),
) -> Result<ExitCode, FunctionsError> {
    let ended = settle(client, args, key, verb).await;
    if !args.watch {
        return ended;
    }
    tell(ended);
    let mut saved = names(args).watch(parts)?;
    loop {
        match saved.next(client).await {
            Ok(parts) => tell(deploy_again(client, args, key, parts).await),
            // It may be about to be replaced.
            Err(error) => tell(Err(error.into())),
        }
    }
}

/// Says what was done, and waits until it answers calls if that is wanted.
async fn settle(
    client: &Client,
    args: &DeployArgs,
    key: &ObjectKey,
    verb: &str,
) -> Result<ExitCode, FunctionsError> {
    let printed = print(&format!("{verb:<8} Function {key}\n"));
    if !args.wait {
        return Ok(printed);
    }
    server::ready(client, key).await?;
    Ok(print(&format!("{:<8} Function {key}\n", "ready")))
}

async fn deploy_again(
    client: &Client,
    args: &DeployArgs,
    key: &ObjectKey,
    Parts { source, deps }: Parts,
) -> Result<ExitCode, FunctionsError> {
    let wish = Wish { source, deps, ..Wish::default() };
    let edit = |function: &mut Value| wish::update(function, &wish);
    server::change(client, &api::function::resource(), key, edit).await?;
    settle(client, args, key, "updated").await
}

/// Says what went wrong, after which files may be saved that are better.
fn tell(ended: Result<ExitCode, FunctionsError>) {
    if let Err(error) = ended {
        failure::print(&error, error.hint().as_deref(), error.exit_code());
    }
}

fn check_watched(args: &DeployArgs) -> Result<(), FunctionsError> {
    if args.watch && names(args).local().is_empty() {
        return Err(FunctionsError::Usage(
            "--watch needs a --from-file of this machine".to_owned(),
        ));
    }
    Ok(())
}

/// Returns the trigger that calls a function by time, under its own name.
fn scheduled(key: &ObjectKey, schedule: &str) -> Value {
    let (function, schedule) = (Some(key.name.clone()), Some(schedule.to_owned()));
    let fields = CronjobWish { function, schedule, payload: None }.fields();
    let mut made = trigger::create(Kind::Cronjob, key, fields);
    made["metadata"]["labels"][api::function::LABEL] = json!(key.name);
    made
}

fn names(args: &DeployArgs) -> Names {
    Names { program: args.from_file.clone(), deps: args.dependencies.clone() }
}

fn wish(args: &DeployArgs, parts: &Parts) -> Wish {
    let Parts { source, deps } = parts.clone();
    let args = args.clone();
    Wish {
        runtime: args.runtime,
        handler: args.handler,
        source,
        deps,
        env: pairs(&args.env),
        labels: pairs(&args.label),
        node_selectors: pairs(&args.node_selectors),
        secrets: words(&args.secrets),
        service_account: args.service_account,
        memory: args.memory,
        cpu: args.cpu,
        runtime_image: args.runtime_image,
        image_pull_policy: args.image_pull_policy,
        timeout: args.timeout,
        port: args.port,
        service_port: args.service_port,
        headless: args.headless,
    }
}

async fn supported(client: &Client) -> Vec<String> {
    let configuration = server::configuration(client).await.unwrap_or_default();
    runtimes::supported(configuration["data"]["runtime-images"].as_str())
}

async fn check_runtime(client: &Client, runtime: Option<&str>) -> Result<(), FunctionsError> {
    match runtime {
        Some(runtime) => Ok(runtimes::check(runtime, &supported(client).await)?),
        None => Ok(()),
    }
}

async fn delete(args: DeleteArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(&args.reach, true).await?;
    for name in &args.names {
        let key = key(&args.reach, name);
        server::delete(&client, &api::function::resource(), &key).await?;
        print(&format!("deleted  Function {key}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: LsArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(&args.reach, false).await?;
    let namespace = key(&args.reach, "").namespace;
    let found = server::functions(&client, &namespace, &args.names).await?;
    let all = || found.iter().map(|(function, _)| function.clone()).collect();
    Ok(print(&match args.output {
        None => listing::table(&found, Width::Usual),
        Some(ListFormat::Wide) => listing::table(&found, Width::Wide),
        Some(ListFormat::Json) => object(&all(), Format::Json),
        Some(ListFormat::Yaml) => object(&all(), Format::Yaml),
    }))
}

async fn call(args: CallArgs) -> Result<ExitCode, FunctionsError> {
    let data = match (args.data, &args.file) {
        (Some(text), _) => Some(Bytes::from(text)).filter(|data| !data.is_empty()),
        (None, Some(file)) => Some(files::read(&file.display().to_string()).await?),
        (None, None) => None,
    };
    let headers = args.header.iter().map(|header| pairs::pair(header)).collect();
    let call = Call { method: args.method, path: args.path, headers, data };
    let client = connect(&args.reach, false).await?;
    let (status, body) = server::call(&client, &key(&args.reach, &args.name), &call).await?;
    answer(status, &body)
}

/// Prints what a function answered, on standard error unless all went well.
fn answer(status: StatusCode, body: &[u8]) -> Result<ExitCode, FunctionsError> {
    let checked = call::check(status);
    if checked.is_err() {
        failure::note(call::words(body).trim_end());
    }
    checked.map_err(FunctionError::from)?;
    let end: &[u8] = if body.ends_with(b"\n") { b"" } else { b"\n" };
    Ok(crate::commands::put(&[body, end].concat()))
}

async fn logs(args: LogsArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(&args.reach, false).await?;
    server::logs(&client, &key(&args.reach, &args.name), args.follow, io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn describe(args: DescribeArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(&args.reach, false).await?;
    let key = key(&args.reach, &args.name);
    let function = server::get(&client, &api::function::resource(), &key).await?;
    Ok(print(
        &args.output.map_or_else(|| description(&function), |format| object(&function, format)),
    ))
}

async fn top(args: TopArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(&args.reach, false).await?;
    let namespace = key(&args.reach, "").namespace;
    let names: Vec<_> = args.function.into_iter().collect();
    let found = server::functions(&client, &namespace, &names).await?;
    let keys = found.iter().filter_map(|(function, _)| {
        Some(ObjectKey::new(&namespace, function["metadata"]["name"].as_str()?))
    });
    let calls = keys.map(|key| {
        let client = &client;
        async move { Calls::read(&key, server::metrics(client, &key).await.as_deref()) }
    });
    let calls = join_all(calls).await.concat();
    Ok(print(&match args.output {
        None => metrics::table(&calls),
        Some(format) => object(&metrics::value(&calls), format),
    }))
}

async fn server_config(args: &ReachedArgs) -> Result<ExitCode, FunctionsError> {
    let client = connect(args, false).await?;
    Ok(print(&format!("Supported runtimes: {}\n", supported(&client).await.join(", "))))
}
