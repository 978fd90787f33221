//! The windlass binary: arguments, wiring, exit codes.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use functions::ContainerError;
use hooks::Webhooks;
use k8s::{Activity, SystemClock};

use crate::args::{Arguments, Command, HookCommand, KubelessArguments, KubelessCommand};

mod args;
mod cases;
mod commands;
mod failure;
mod function;
mod logging;
mod steer;
mod triggers;
mod views;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    if arguments.get(1).is_some_and(|argument| argument == jsonnet::WORKER_ARGUMENT) {
        return jsonnet::worker_main();
    }
    if arguments.get(1).is_some_and(|argument| argument == functions::LAUNCH_ARGUMENT) {
        return functions::launch_main();
    }
    if arguments.get(1).is_some_and(|argument| argument == functions::JSONNET_ARGUMENT) {
        return functions::jsonnet_main();
    }
    match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some(functions::PREPARE_ARGUMENT) => return container(prepare()),
        Some(functions::EQUIP_ARGUMENT) => return container(functions::equip_pod()),
        Some(functions::HOST_ARGUMENT) => return container(functions::serve_pod()),
        Some(functions::CALL_ARGUMENT) => return container(functions::call_function()),
        _ => {}
    }
    let Arguments { global, command } = parse(arguments);
    // The engine has flags of its own for it.
    if !matches!(command, Command::Engine(_)) {
        logging::start(&global, command.default_level());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::print(&error, None, 1),
    };
    let code = runtime.block_on(run(command));
    // Blocking threads, such as name look-ups, are not waited for.
    runtime.shutdown_background();
    code
}

/// Puts a function's program in its place, fetching it as hooks are called.
async fn prepare() -> Result<(), ContainerError> {
    let fetch = Webhooks::new(Arc::new(SystemClock), Activity::default());
    functions::prepare_pod(Arc::new(fetch.map_err(ContainerError::Certificates)?)).await
}

/// Does what a container of a function's pod, or of one that calls a function, is for.
fn container<E: Error + 'static>(work: impl Future<Output = Result<(), E>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::print(&error, None, 1),
    };
    let ended = runtime.block_on(work);
    runtime.shutdown_background();
    ended.map_or_else(|error| failure::print(&error, None, 1), |()| ExitCode::SUCCESS)
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Dev(args) => commands::dev(*args).await,
        Command::Httpd(args) => commands::httpd(&args).await,
        Command::Apiserver(args) => commands::apiserver(*args).await,
        Command::Engine(args) => commands::engine(args).await,
        Command::Run(args) => commands::run(*args).await,
        Command::Manifests(args) => commands::manifests(&args),
        Command::Render(args) => views::render(args).await,
        Command::Status(args) => views::status(args).await,
        Command::Tree(args) => views::tree(args).await,
        Command::ExplainSync(args) => views::explain(args).await,
        Command::Diff(args) => views::diff(args).await,
        Command::Sync(args) => views::sync(args).await,
        Command::Pause(args) => steer::pause(args, true).await,
        Command::Resume(args) => steer::pause(args, false).await,
        Command::Finalizers(args) => steer::finalizers(args).await,
        Command::Init(args) => steer::init(&args),
        Command::Hook(HookCommand::Test(args)) => cases::run(args).await,
        Command::Functions(command) => function::run(*command).await,
        Command::Version(args) => commands::version(args.output),
    }
}

/// Reads the command line; under the name `kubeless` only what that had is there.
fn parse(arguments: Vec<OsString>) -> Arguments {
    if name(&arguments).is_none_or(|name| name != "kubeless") {
        return Arguments::parse_from(called_as(arguments));
    }
    let KubelessArguments { global, command } = KubelessArguments::parse_from(arguments);
    let command = match command {
        KubelessCommand::Functions(command) => Command::Functions(command),
        KubelessCommand::Version(args) => Command::Version(args),
    };
    Arguments { global, command }
}

/// Returns the name that the binary is called by.
fn name(arguments: &[OsString]) -> Option<&OsStr> {
    Path::new(arguments.first()?).file_name()
}

/// Returns the arguments as `windlass` would be given them, where the binary is called by another name:
/// `jsonnetd` alone serves the programs of the working directory, `metacontroller` is the engine. What follows
/// the engine's name is left to the engine.
fn called_as(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = name(&arguments);
    if name.is_some_and(|name| name == "jsonnetd") && arguments.len() == 1 {
        arguments.extend(["httpd".into(), ".".into()]);
    } else if name.is_some_and(|name| name == "metacontroller") {
        arguments.splice(1..1, ["engine".into(), "--".into()]);
    } else if arguments.get(1).is_some_and(|command| command == "engine") {
        arguments.insert(2, "--".into());
    }
    arguments
}
