//! Runs the Functions of `dev` as processes of this machine, and lets the engine know when they change.

use std::{
    env, io,
    net::{Ipv4Addr, Ipv6Addr},
    path::{self, Path},
    sync::Arc,
};

use ::functions::{
    ExecutorOptions, Fleet, FunctionExecutor, Functions, Gateway, Interpreters, Offer, Options,
    Routes, Surroundings, TriggerMeans, Triggers,
};
use api::SharedFetch;
use apiserver::{ApiServer, ExecutorRegistration};
use engine::Engine;
use hooks::Webhooks;
use k8s::{ObjectKey, ServicePort};
use runtime::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use super::{DevError, DevOptions, GATEWAY};

/// The executor, by the name that pods give.
const EXECUTOR: &str = "functions";

/// What runs Functions, until it is dropped.
pub(super) struct FunctionParts {
    _functions: Functions,
    _triggers: Triggers,
    _gateway: Option<Gateway>,
    _executor: ExecutorRegistration,
    _hangups: Hangups,
}

/// Looks for interpreters again at each SIGHUP, until it is dropped.
struct Hangups(JoinHandle<()>);

impl Drop for Hangups {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn start(
    server: &ApiServer,
    (client, engine): (&Client, &Engine),
    options: &DevOptions,
    gateway: Option<(TcpListener, String)>,
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
        gateway: gateway.as_ref().and_then(|(listener, _)| url(listener)),
    };
    let hangups = hangups(Arc::clone(&interpreters)).map_err(DevError::Signals)?;
    let fleet = Fleet::new(Arc::new(server.clone()));
    let routes = Routes::default();
    let gateway = gateway.map(|(listener, address)| {
        let started = Gateway::start(listener, fleet.clone(), routes.clone());
        started.map_err(|source| DevError::Listen { address, hint: GATEWAY.hint, source })
    });
    let triggers = Triggers::start(client, TriggerMeans::Here(fleet.clone(), routes));
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
    Ok(FunctionParts {
        _functions: functions,
        _triggers: triggers,
        _gateway: gateway.transpose()?,
        _executor: executor.map_err(DevError::Functions)?,
        _hangups: hangups,
    })
}

/// Returns the URL of a listener for processes of this machine.
fn url(listener: &TcpListener) -> Option<String> {
    let mut address = listener.local_addr().ok()?;
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Some(format!("http://{address}"))
}

fn hangups(interpreters: Arc<Interpreters>) -> io::Result<Hangups> {
    let mut hangup = signal(SignalKind::hangup())?;
    let follow = async move {
        while hangup.recv().await.is_some() {
            interpreters.look_again();
        }
    };
    Ok(Hangups(tokio::spawn(follow)))
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
