//! The engine as a program of its own, against a cluster: what Metacontroller is.

pub(crate) mod endpoints;
mod flags;

use std::{
    fs, io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::names::COMPONENT;
use engine::{ApplyStrategy, Engine, EngineOptions, Record, StrategyError, Workers};
use hooks::{Router, Webhooks};
use jsonnet::{Change, Routes, Runtime, RuntimeOptions};
use k8s::{
    Activity, SharedClock, SystemClock, TimerKind, in_one_line,
    selector::{Selector, SelectorError},
};
use runtime::{ApiError, Client, ClientOptions, ConnectError, Election, ManagedFields};
use thiserror::Error;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet};
use tracing::{info, warn};
use uuid::Uuid;

pub use self::flags::{EngineFlags, FlagError, LogFlags, LogLevel, TimeEncoding, usage};
use crate::programs::{self, Mapping, ProgramsError};

/// How often the API server is asked for at the start.
const TRIES: u32 = 6;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_secs(5);

/// Why the engine did not run, or no longer does.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A flag has a meaning, but not yet.
    #[error("{0} is not supported yet")]
    NotSupported(&'static str),
    /// There is no such way to write children.
    #[error("unknown apply strategy: `{0}`")]
    Strategy(String),
    /// Nobody said who applies.
    #[error("the field manager of server-side apply has no name")]
    Manager,
    /// Leaders are known by leases alone.
    #[error("unknown resource lock of the leader election: `{0}`")]
    Lock(String),
    /// Nobody said where the lease is.
    #[error("the namespace of the leader election is not known")]
    Namespace,
    /// The selector of controllers does not parse.
    #[error("cannot read the target label selector")]
    Selector(#[source] SelectorError),
    /// The programs of hooks cannot be used.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// There is no cluster.
    #[error("cannot connect to the cluster")]
    Connect(#[source] ConnectError),
    /// The system's certificates cannot be read.
    #[error("failed to set up calls of hooks")]
    Certificates(#[source] io::Error),
    /// An address cannot be used.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The API server did not answer, often enough.
    #[error("cannot reach the API server")]
    Unreachable(#[source] ApiError),
    /// The API server cannot do what the strategy needs.
    #[error("cannot write children by server-side apply")]
    Start(#[source] StrategyError),
    /// Another process leads now.
    #[error("leader election lost")]
    LeadershipLost,
}

impl EngineError {
    /// Returns the exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotSupported(_) | Self::Programs(ProgramsError::NoDirectory(_)) => 2,
            _ => 1,
        }
    }

    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect(_) => Some("give --kubeconfig, or set KUBECONFIG"),
            Self::Namespace => Some("give --leader-election-namespace"),
            Self::Manager => Some("give --apply-strategy-ssa-field-manager"),
            Self::Lock(_) => Some("give --leader-election-resource-lock=leases"),
            Self::Strategy(_) => Some("give dynamic-apply or server-side-apply"),
            Self::Listen { .. } => Some("give another address, or 0 to serve nothing there"),
            Self::Programs(_) => {
                Some("give --hooks-dir DIR, --hook-map URL=FILE of files that are there")
            }
            Self::NotSupported(_)
            | Self::Selector(_)
            | Self::Certificates(_)
            | Self::Unreachable(_)
            | Self::Start(_)
            | Self::LeadershipLost => None,
        }
    }
}

/// Runs the engine until `ended` resolves, or it loses the lead.
///
/// # Errors
///
/// [`EngineError`] if it could not start, or lost the lead.
pub async fn run(flags: EngineFlags, ended: impl Future<Output = ()>) -> Result<(), EngineError> {
    let lease = check(&flags)?;
    let targets = Selector::parse(&flags.target_label_selector).map_err(EngineError::Selector)?;
    if !flags.rest.is_empty() {
        warn!(arguments = flags.rest.join(" "), "ignored what stands after the flags");
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let activity = Activity::default();
    let mut hooks = Hooks::load(&flags, &clock, &activity).await?;
    let options = ClientOptions { clock, activity, agent: COMPONENT, revisions: None };
    let client = Client::connect(flags.kubeconfig.clone(), flags.context.clone(), options);
    let mut client = client.await.map_err(EngineError::Connect)?;
    if let Some((per_second, burst)) = flags.pace() {
        client = client.paced(per_second, burst);
    }
    let is_ready = Arc::new(AtomicBool::new(false));
    let _servers = serve(&flags, &client, &is_ready).await?;
    let options = EngineOptions {
        workers: flags.workers.map_or(Workers::Growing, Workers::Exactly),
        targets,
        namespace: own_namespace().unwrap_or_else(|| "default".to_owned()),
        flush: flags.cache_flush_interval,
        discovery: flags.discovery_interval,
        events: flags.events,
        strategy: strategy(&flags)?,
        // Only a `dev` can be asked what became of a parent.
        record: Record::Nothing,
        managed_fields: if flags.hook_managed_fields {
            ManagedFields::Kept
        } else {
            ManagedFields::Dropped
        },
        ..EngineOptions::new(Arc::new(hooks.router.clone()))
    };
    let mut ended = pin!(ended);
    tokio::select! {
        () = &mut ended => return Ok(()),
        reached = reach(&client) => reached?,
    }
    is_ready.store(true, Ordering::Relaxed);
    match lease {
        None => {
            let engine = Engine::start(&client, options).await.map_err(EngineError::Start)?;
            tokio::select! {
                () = &mut ended => {}
                () = hooks.follow(&engine) => {}
            }
            engine.stop().await;
            Ok(())
        }
        Some(namespace) => {
            let id = &flags.leader_election_id;
            let election = Election::new(&client, &namespace, id, identity());
            lead(&client, (options, hooks), election, ended).await
        }
    }
}

/// Runs controllers as long as this process leads.
async fn lead(
    client: &Client,
    (options, mut hooks): (EngineOptions, Hooks),
    election: Election,
    mut ended: impl Future<Output = ()> + Unpin,
) -> Result<(), EngineError> {
    let mut leadership = tokio::select! {
        () = &mut ended => return Ok(()),
        leadership = election.acquire() => leadership,
    };
    let engine = Engine::start(client, options).await.map_err(EngineError::Start)?;
    let is_lost = tokio::select! {
        () = &mut ended => false,
        () = hooks.follow(&engine) => false,
        () = leadership.hold() => true,
    };
    // Nothing may be at work any more when another process begins.
    engine.stop().await;
    if is_lost {
        return Err(EngineError::LeadershipLost);
    }
    leadership.release().await;
    Ok(())
}

/// Checks what needs no cluster, and returns the namespace of the lease if one is to be held.
fn check(flags: &EngineFlags) -> Result<Option<String>, EngineError> {
    if !flags.jsonnet_remote_imports.is_empty() {
        return Err(EngineError::NotSupported("--jsonnet-remote-imports"));
    }
    strategy(flags)?;
    if !flags.leader_election {
        return Ok(None);
    }
    if flags.leader_election_resource_lock != "leases" {
        return Err(EngineError::Lock(flags.leader_election_resource_lock.clone()));
    }
    let given = Some(flags.leader_election_namespace.clone()).filter(|given| !given.is_empty());
    given.or_else(own_namespace).map(Some).ok_or(EngineError::Namespace)
}

fn strategy(flags: &EngineFlags) -> Result<ApplyStrategy, EngineError> {
    match flags.apply_strategy.as_str() {
        "" | "dynamic-apply" => Ok(ApplyStrategy::Dynamic),
        // The server would refuse every write, which looks like a fault of every child.
        "server-side-apply" if flags.apply_field_manager.is_empty() => Err(EngineError::Manager),
        "server-side-apply" => {
            Ok(ApplyStrategy::ServerSide { manager: flags.apply_field_manager.clone() })
        }
        other => Err(EngineError::Strategy(other.to_owned())),
    }
}

/// How hooks are called, and what became of the files that answer some of them.
struct Hooks {
    router: Router,
    /// Nothing if no files answer.
    changes: Option<UnboundedReceiver<Change>>,
}

impl Hooks {
    async fn load(
        flags: &EngineFlags,
        clock: &SharedClock,
        activity: &Activity,
    ) -> Result<Self, EngineError> {
        let webhooks = Webhooks::new(Arc::clone(clock), activity.clone());
        let webhooks = webhooks.map_err(EngineError::Certificates)?;
        let runtime = Runtime::new(RuntimeOptions {
            clock: Arc::clone(clock),
            activity: activity.clone(),
            ..RuntimeOptions::default()
        });
        let mut router = Router::new(webhooks, Some(runtime.clone()));
        if let Some(dir) = &flags.hooks_dir {
            router = router.with_programs(programs::directory(dir)?);
        }
        // One that does not load is told about by the runtime, and again by every sync that needs it.
        programs::map(&mut router, &flags.hook_map).await?;
        for Mapping { url, file } in &flags.hook_map {
            info!(url, file = %file.display(), transport = "inprocess", "mapped hook");
        }
        let has_files = flags.hooks_dir.is_some() || !flags.hook_map.is_empty();
        let changes = has_files.then(|| runtime.watch(Routes::default()));
        Ok(Self { router, changes })
    }

    /// Has parents synced when the program behind their hook changed, for ever.
    async fn follow(&mut self, engine: &Engine) {
        while let Some(changes) = &mut self.changes
            && let Some(change) = changes.recv().await
        {
            if let Change::Loaded { route, .. } = change {
                engine.hooks_changed(|url| self.router.is_answered_by(url, &route)).await;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Serves metrics, health and profiles until the servers are dropped.
async fn serve(
    flags: &EngineFlags,
    client: &Client,
    is_ready: &Arc<AtomicBool>,
) -> Result<JoinSet<()>, EngineError> {
    let metrics = endpoints::metrics(client.metrics().clone());
    let health = endpoints::health(Arc::clone(is_ready));
    endpoints::serve_all(&[
        (&flags.metrics_address, "metrics", metrics),
        (&flags.health_address, "health", health),
        (&flags.pprof_address, "profiles", endpoints::profiles()),
    ])
    .await
}

/// Asks the API server what it offers, several times if need be: a sidecar that connections lead through may
/// start later than we do.
pub(crate) async fn reach(client: &Client) -> Result<(), EngineError> {
    let mut tries = 1;
    loop {
        let Err(error) = client.get_raw("/apis").await else {
            info!("reached the API server");
            return Ok(());
        };
        if TRIES <= tries {
            return Err(EngineError::Unreachable(error));
        }
        warn!(error = in_one_line(&error), tries, "failed to reach the API server");
        tries += 1;
        let (clock, at) = (client.clock(), client.clock().now() + PAUSE);
        let due = client.activity().sleep_until(clock.as_ref(), at, TimerKind::Periodic, "start");
        drop(due.await);
    }
}

/// Returns the namespace of the pod that this process runs in.
pub(crate) fn own_namespace() -> Option<String> {
    let mounted = fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    mounted.ok().map(|namespace| namespace.trim().to_owned())
}

/// Returns a name that no other process has.
pub(crate) fn identity() -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), Uuid::new_v4())
}
