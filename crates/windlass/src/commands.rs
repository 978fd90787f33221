//! The commands: each wires parts together and turns how it ended into an exit code.

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use api::{NoReport, names::COMPONENT};
use cli::{
    dev::{self, DevOptions},
    install,
    server::{self, ServerOptions},
};
use engine::{ApplyStrategy, Engine, EngineOptions};
use hooks::{Router, Webhooks};
use jsonnet::{Runtime, RuntimeOptions, WorkerCommand, httpd};
use k8s::{Activity, SharedClock, SystemClock, selector::Selector};
use runtime::{Client, ClientOptions, ManagedFields};
use thiserror::Error;

use crate::{
    args::{ApiserverArgs, DevArgs, EngineArgs, HttpdArgs, ManifestsArgs},
    failure,
};

/// A flag that has a meaning, but not yet.
#[derive(Debug, Error)]
#[error("{0} is not supported yet")]
pub(crate) struct NotSupported(pub(crate) &'static str);

pub(crate) async fn dev(args: DevArgs) -> ExitCode {
    if let Some(flag) = args.later.given().or_else(|| args.embedded.later.given()) {
        return failure::print(&NotSupported(flag), None, 2);
    }
    let options = DevOptions {
        settings: args.embedded.settings(true),
        audit_log: args.embedded.audit_log,
        paths: args.paths,
        hooks: args.hooks,
        watch: args.watch,
        once: args.once,
        timeout: args.timeout,
        kubeconfig: args.kubeconfig,
        api: args.api,
        console: args.console,
        out: Box::new(io::stdout()),
        worker: WorkerCommand::default(),
    };
    match dev::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is_usage() { 2 } else { 1 };
            failure::print(&error, error.hint(), code)
        }
    }
}

pub(crate) async fn httpd(args: &HttpdArgs) -> ExitCode {
    let options = match args.options() {
        Ok(options) => options,
        Err(error) => return failure::print(&error, None, 2),
    };
    match httpd::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, None, error.exit_code()),
    }
}

pub(crate) async fn apiserver(args: ApiserverArgs) -> ExitCode {
    if let Some(flag) = args.embedded.later.given() {
        return failure::print(&NotSupported(flag), None, 2);
    }
    let options = ServerOptions {
        bind: args.bind,
        allow_non_loopback: args.allow_non_loopback,
        kubeconfig: args.kubeconfig,
        settings: args.embedded.settings(false),
        audit_log: args.embedded.audit_log,
        load: args.load,
    };
    let signals = match httpd::signals() {
        Ok(signals) => signals,
        Err(error) => return failure::print(&error, None, 1),
    };
    match server::run(options, io::stdout(), signals).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, error.hint(), if error.is_usage() { 2 } else { 1 }),
    }
}

pub(crate) async fn engine(args: EngineArgs) -> ExitCode {
    let targets = match Selector::parse(&args.target_label_selector) {
        Ok(targets) => targets,
        Err(error) => return failure::print(&error, None, 1),
    };
    let clock: SharedClock = Arc::new(SystemClock);
    let activity = Activity::default();
    let webhooks = match Webhooks::new(Arc::clone(&clock), activity.clone()) {
        Ok(webhooks) => webhooks,
        Err(error) => return failure::print(&error, None, 1),
    };
    let programs = Runtime::new(RuntimeOptions {
        clock: Arc::clone(&clock),
        activity: activity.clone(),
        ..RuntimeOptions::default()
    });
    let options = ClientOptions { clock, activity, agent: COMPONENT, revisions: None };
    let client = match Client::connect(args.kubeconfig, args.context, options).await {
        Ok(client) => client,
        Err(error) => {
            let hint = "give --kubeconfig, or set KUBECONFIG";
            return failure::print(&error, Some(hint), 1);
        }
    };
    let engine = Engine::start(
        &client,
        EngineOptions {
            hook: Arc::new(Router::new(webhooks, Some(programs))),
            report: Arc::new(NoReport),
            workers: args.workers,
            targets,
            managed_fields: ManagedFields::Dropped,
            namespace: own_namespace(),
            strategy: ApplyStrategy::Dynamic,
        },
    );
    let engine = match engine.await {
        Ok(engine) => engine,
        Err(error) => return failure::print(&error, None, 1),
    };
    match httpd::signals() {
        Ok(signals) => signals.await,
        Err(error) => return failure::print(&error, None, 1),
    }
    engine.stop().await;
    ExitCode::SUCCESS
}

/// Returns the namespace of the pod that this process runs in; out of a cluster, `default`.
fn own_namespace() -> String {
    let mounted = fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    mounted.map_or_else(|_| "default".to_owned(), |namespace| namespace.trim().to_owned())
}

pub(crate) fn manifests(args: &ManifestsArgs) -> ExitCode {
    print(&install::to_yaml(&install::engine(&args.image)))
}

pub(crate) fn version() -> ExitCode {
    print(concat!("windlass ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// Prints text to standard output.
pub(crate) fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the other end of a pipe wants to read no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, None, 1),
    }
}
