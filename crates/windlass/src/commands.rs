//! The commands: each wires parts together and turns how it ended into an exit code.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use cli::{
    dev::{self, DevOptions},
    engine::{self, EngineFlags, FlagError},
    install,
    run::{self, RunOptions},
    server::{self, ServerOptions},
};
use functions::Launcher;
use jsonnet::{WorkerCommand, httpd};
use serde_json::json;
use thiserror::Error;

use crate::{
    args::{
        ApiserverArgs, DevArgs, EngineArgs, HttpdArgs, ManifestsArgs, Output, PartName, RunArgs,
    },
    failure, logging,
    views::value,
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
        hook_map: args.hook_map,
        watch: args.watch,
        once: args.once,
        timeout: args.timeout,
        kubeconfig: args.kubeconfig,
        api: args.api,
        console: args.console,
        gateway: args.gateway,
        out: Box::new(io::stdout()),
        worker: WorkerCommand::default(),
        launcher: Launcher::default(),
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
    let flags = match EngineFlags::parse(args.arguments) {
        Ok(flags) => flags,
        Err(error) => return engine_usage(&error),
    };
    logging::start_engine(&flags.log);
    let signals = match httpd::signals() {
        Ok(signals) => signals,
        Err(error) => return failure::print(&error, None, 1),
    };
    match engine::run(flags, signals).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, error.hint(), error.exit_code()),
    }
}

/// Says what the flags of the engine are, because they were not understood or somebody wants to know.
fn engine_usage(error: &FlagError) -> ExitCode {
    let usage = engine::usage("windlass engine");
    if *error == FlagError::Help {
        return print(&usage);
    }
    let code = failure::print(error, None, 2);
    // Nobody can be told that standard error is closed.
    let _ = io::stderr().write_all(usage.as_bytes());
    code
}

pub(crate) async fn run(args: RunArgs) -> ExitCode {
    let options = RunOptions {
        kubeconfig: args.kubeconfig,
        context: args.context,
        metrics_address: args.metrics_address,
        health_address: args.health_address,
        leader_election: args.leader_election,
        leader_election_namespace: args.leader_election_namespace,
        functions_image: args.functions_image,
        environment: env::vars().collect(),
    };
    let signals = match httpd::signals() {
        Ok(signals) => signals,
        Err(error) => return failure::print(&error, None, 1),
    };
    match run::run(options, signals).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, error.hint(), error.exit_code()),
    }
}

pub(crate) fn manifests(args: &ManifestsArgs) -> ExitCode {
    let of = |part: &PartName| match part {
        PartName::Engine => install::engine(&args.image),
        PartName::Functions => install::functions(&args.image),
    };
    let objects: Vec<_> = args.enable.iter().flat_map(of).collect();
    print(&install::to_yaml(&objects))
}

pub(crate) fn version(output: Output) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Output::Text => print(&format!("windlass {version}\n")),
        output => print(&value(&json!({"version": version}), output)),
    }
}

/// Prints text to standard output.
pub(crate) fn print(text: &str) -> ExitCode {
    put(text.as_bytes())
}

/// Puts bytes on standard output.
pub(crate) fn put(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the other end of a pipe wants to read no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failure::print(&error, None, 1),
    }
}
