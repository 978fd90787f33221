//! Runs the Functions of `dev` as processes of this machine, and lets the engine know when they change.

use std::{
    env,
    path::{self, Path},
    sync::Arc,
};

use ::functions::{
    ExecutorOptions, Fleet, FunctionExecutor, Functions, Interpreters, Offer, Options, Surroundings,
};
use api::SharedFetch;
use apiserver::{ApiServer, ExecutorRegistration};
use engine::Engine;
use hooks::Webhooks;
use k8s::{ObjectKey, ServicePort};
use runtime::Client;

use super::{DevError, DevOptions};

/// The executor, by the name that pods give.
const EXECUTOR: &str = "functions";

/// What runs Functions, until it is dropped.
pub(super) struct FunctionParts {
    _functions: Functions,
    _executor: ExecutorRegistration,
}

pub(super) fn start(
    server: &ApiServer,
    client: &Client,
    options: &DevOptions,
    engine: &Engine,
) -> Result<FunctionParts, DevError> {
    let clock = client.clock();
    // Sources may be behind Services of this very server.
    let fetch = Webhooks::new(Arc::clone(clock), client.activity().clone());
    let fetch = fetch.map_err(DevError::Certificates)?.with_services(Arc::new(server.clone()));
    let fetch: SharedFetch = Arc::new(fetch);
    let dir = options.kubeconfig.parent().unwrap_or(Path::new(""));
    let own = options.launcher.program.clone();
    let interpreters = Arc::new(Interpreters::new(Arc::clone(clock), own));
    let executor_options = ExecutorOptions {
        data: path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
        launcher: options.launcher.clone(),
        interpreters: Arc::clone(&interpreters),
        clock: Arc::clone(clock),
        fetch,
    };
    let fleet = Fleet::new(Arc::new(server.clone()));
    let executor = FunctionExecutor::new(client.clone(), fleet, executor_options);
    let executor = server.register_executor(EXECUTOR, Arc::new(executor));
    let engine = engine.clone();
    let functions = Functions::start(
        client,
        Options {
            surroundings: Surroundings { image: "windlass".to_owned(), executor: Some(EXECUTOR) },
            offer: Offer::Machine(interpreters),
            environment: env::vars().collect(),
            served: Arc::new(move |function| changed(&engine, function)),
        },
    );
    Ok(FunctionParts { _functions: functions, _executor: executor.map_err(DevError::Functions)? })
}

/// Has the parents synced whose hooks a Function serves.
fn changed(engine: &Engine, function: &ObjectKey) {
    let (engine, function) = (engine.clone(), function.clone());
    tokio::spawn(async move {
        let serves = |url: &str| {
            let port = url.parse().ok().and_then(|url| ServicePort::of_url(&url));
            port.is_some_and(|port| {
                port.namespace == function.namespace && port.name == function.name
            })
        };
        engine.hooks_changed(serves).await;
    });
}
