//! Engine, embedded server and hook in one process: what both cost without sockets.

use std::{sync::Arc, thread};

use anyhow::Context as _;
use api::{composite, definition, names};
use apiserver::ApiServer;
use engine::{Engine, EngineOptions};
use futures::future::try_join_all;
use k8s::{Activity, Resource, Settle, SharedClock, SystemClock};
use runtime::{Client, ClientOptions};
use serde_json::json;

use super::{
    Sizes,
    ground::{controller, things},
    hook::Counting,
};
use crate::{
    table::{Row, Samples, Target},
    timing::{PATIENCE, Stopwatch},
};

/// How many parents are created at once.
const TASKS: usize = 16;

/// Measures on threads of its own, for here all share the process.
pub(super) fn row(sizes: Sizes) -> anyhow::Result<Row> {
    let measured = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut samples = Samples::default();
        for _ in 0..sizes.pairs {
            samples.ours.push(runtime.block_on(settled(sizes))?);
        }
        anyhow::Ok(samples)
    });
    let samples = measured.join().ok().context("a thread panicked")??;
    let what = format!("{} parents x {} in process", sizes.inside, sizes.children);
    Ok(samples.row(&what, "s", Target::AtMost(3.0)))
}

/// Returns how many seconds it takes until all parents have their children.
async fn settled(sizes: Sizes) -> anyhow::Result<f64> {
    let (clock, activity): (SharedClock, _) = (Arc::new(SystemClock), Activity::default());
    let server = ApiServer::builder().clock(Arc::clone(&clock)).activity(activity.clone());
    let server = server.start().await?;
    let transport = kube::Client::new(server.service(), "default");
    let revisions = Some(Arc::new(server.clone()) as Arc<dyn k8s::Revisions>);
    let options = ClientOptions {
        clock: Arc::clone(&clock),
        activity: activity.clone(),
        agent: names::COMPONENT,
        revisions,
    };
    let client = Client::new(transport, options);
    let definitions = definition::all().into_iter().chain([things(GROUP)]);
    for definition in definitions {
        client.create(&definition::definitions(), "", definition.to_string()).await?;
    }
    let hook = Arc::new(Counting::new(sizes.children));
    let engine = Engine::start(&client, EngineOptions::new(hook)).await?;
    let rules = controller("bench", GROUP, "http://hook.test/sync");
    client.create(&composite::resource(), "", rules.to_string()).await?;
    let settle = Settle::within(PATIENCE);
    activity.settle(clock.as_ref(), settle).await?;

    let watch = Stopwatch::start();
    create(&client, sizes.inside).await?;
    activity.settle(clock.as_ref(), settle).await?;
    let time = watch.elapsed().as_secs_f64();
    let things = client.get_raw(&resource().collection_path("default")).await?;
    let things: serde_json::Value = serde_json::from_slice(&things)?;
    let done = json!(sizes.children);
    let items = things["items"].as_array().map_or(&[][..], Vec::as_slice);
    let is_done = |thing: &&serde_json::Value| thing["status"]["observed"] == done;
    let count = items.iter().filter(is_done).count();
    anyhow::ensure!(count == sizes.inside, "{count} of {} parents are settled", sizes.inside);
    engine.stop().await;
    Ok(time)
}

const GROUP: &str = "bench.example.com";

fn resource() -> Resource {
    Resource::namespaced(&format!("{GROUP}/v1"), "Thing", "things")
}

async fn create(client: &Client, count: usize) -> anyhow::Result<()> {
    let tasks = (0..TASKS).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in (task..count).step_by(TASKS) {
                let thing = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Thing",
                    "metadata": {"name": format!("p{number}")}, "spec": {"value": "a"}});
                client.create(&resource(), "default", thing.to_string()).await?;
            }
            anyhow::Ok(())
        })
    });
    try_join_all(tasks).await?.into_iter().collect()
}
