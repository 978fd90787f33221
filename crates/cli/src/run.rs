//! Parts of windlass against a cluster, in one process. Each works only as long as it leads.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ::functions::{Functions, Offer, Options, Surroundings, TriggerMeans, Triggers};
use k8s::{Activity, SystemClock};
use runtime::{Client, ClientOptions, Election};
use tokio::task::JoinSet;
use tracing::warn;

use crate::engine::{EngineError, endpoints, identity, own_namespace, reach};

/// The Lease of functions, and what they call themselves.
const FUNCTIONS: &str = "windlass-functions";

/// How parts are run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The kubeconfig of the cluster, if it was named.
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig, if it was named.
    pub context: Option<String>,
    /// Where `/metrics` is served; `0` is nowhere.
    pub metrics_address: String,
    /// Where health and readiness are served; `0` is nowhere.
    pub health_address: String,
    /// Whether only one of several processes works.
    pub leader_election: bool,
    /// Where the leases are; the own namespace if it is not said.
    pub leader_election_namespace: Option<String>,
    /// The image of windlass that pods of functions have beside them.
    pub functions_image: String,
    /// The variables that say where the configuration of functions is, and which images they have.
    pub environment: BTreeMap<String, String>,
}

/// Works on Functions and triggers until it is dropped.
struct Parts {
    _functions: Functions,
    _triggers: Triggers,
}

/// Runs functions until `ended` resolves.
///
/// # Errors
///
/// [`EngineError`] if the cluster cannot be reached or an address not be used.
pub async fn run(options: RunOptions, ended: impl Future<Output = ()>) -> Result<(), EngineError> {
    let given = options.leader_election_namespace.clone().filter(|given| !given.is_empty());
    let namespace = match given.or_else(own_namespace) {
        None if options.leader_election => return Err(EngineError::Namespace),
        found => found.filter(|_| options.leader_election),
    };
    let (clock, activity) = (Arc::new(SystemClock), Activity::default());
    let client_options = ClientOptions { clock, activity, agent: FUNCTIONS, revisions: None };
    let (kubeconfig, context) = (options.kubeconfig.clone(), options.context.clone());
    let client = Client::connect(kubeconfig, context, client_options).await;
    let client = client.map_err(EngineError::Connect)?;
    let is_ready = Arc::new(AtomicBool::new(false));
    let _servers = serve(&options, &client, &is_ready).await?;
    let mut ended = pin!(ended);
    tokio::select! {
        () = &mut ended => return Ok(()),
        reached = reach(&client) => reached?,
    }
    is_ready.store(true, Ordering::Relaxed);
    let Some(namespace) = namespace else {
        let _parts = start(&client, &options);
        ended.await;
        return Ok(());
    };
    loop {
        let election = Election::new(&client, &namespace, FUNCTIONS, identity());
        let mut leadership = tokio::select! {
            () = &mut ended => return Ok(()),
            leadership = election.acquire() => leadership,
        };
        let parts = start(&client, &options);
        let is_lost = tokio::select! {
            () = &mut ended => false,
            () = leadership.hold() => true,
        };
        // Nothing may be at work any more when another process begins.
        drop(parts);
        if !is_lost {
            leadership.release().await;
            return Ok(());
        }
        warn!(part = FUNCTIONS, "lost the lead; standing by");
    }
}

fn start(client: &Client, options: &RunOptions) -> Parts {
    let image = options.functions_image.clone();
    let functions = Options {
        surroundings: Surroundings { image: image.clone(), executor: None },
        offer: Offer::Images,
        environment: options.environment.clone(),
        // Hooks are called by another part, which hears of new versions from nobody yet.
        served: Arc::new(|_| {}),
    };
    Parts {
        _functions: Functions::start(client, functions),
        _triggers: Triggers::start(client, TriggerMeans::Cluster { image }),
    }
}

/// Serves metrics and health until the servers are dropped.
async fn serve(
    options: &RunOptions,
    client: &Client,
    is_ready: &Arc<AtomicBool>,
) -> Result<JoinSet<()>, EngineError> {
    let metrics = endpoints::metrics(client.metrics().clone());
    let health = endpoints::health(Arc::clone(is_ready));
    endpoints::serve_all(&[
        (&options.metrics_address, "metrics", metrics),
        (&options.health_address, "health", health),
    ])
    .await
}
