//! One round with an engine: parents are written, and the engine does the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use tokio::task::AbortHandle;

use super::{
    Place, Sizes, Times,
    audit::{self, Asked},
    ground::Ground,
    hook::{Counting, Listening},
    log::AuditLog,
};
use crate::{
    load,
    process::{self, Own},
    server::Server,
    table::median,
    timing::{Stopwatch, pause},
};

/// What an engine took for a round.
pub(crate) struct Costs {
    pub(crate) times: Times,
    pub(crate) create: Share,
    pub(crate) update: Share,
    /// Hook calls while nothing changed; present if that was looked at.
    pub(crate) idle_calls: Option<usize>,
    /// The most memory at any one time, in bytes.
    pub(crate) peak: f64,
}

/// What an engine took for a part of a round.
pub(crate) struct Share {
    pub(crate) calls: usize,
    /// In seconds.
    pub(crate) processor: f64,
    /// Present if the server keeps an audit log.
    pub(crate) asked: Option<Asked>,
}

/// A running engine, with its hook.
pub(crate) struct Running {
    engine: Own,
    pub(crate) hook: Listening,
}

/// The flags of an engine that says nothing and takes no ports from others.
const ALONE: [&str; 3] =
    ["--metrics-address=0", "--health-probe-bind-address=0", "--zap-log-level=error"];

/// Looks again and again how much memory a process has, until it is dropped.
struct Peak {
    bytes: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was counted before a part began.
struct Before<'a> {
    running: &'a Running,
    calls: usize,
    processor: f64,
    log: Option<AuditLog>,
}

/// Drives the engine once, and puts everything away.
pub(crate) async fn round(place: &Place<'_>, engine: &str, sizes: Sizes) -> anyhow::Result<Costs> {
    let ground = Ground::new(place.server()).await?;
    let running = Running::start(engine, place.kubeconfig(), &ground, sizes.children).await?;
    let costs = drive(&ground, &running, sizes).await;
    drop(running);
    ground.clear().await?;
    costs
}

/// Returns how long a single parent took until its last child was seen, in milliseconds.
pub(crate) async fn singles(place: &Place<'_>, engine: &str, sizes: Sizes) -> anyhow::Result<f64> {
    let ground = Ground::new(place.server()).await?;
    let running = Running::start(engine, place.kubeconfig(), &ground, sizes.children).await?;
    let time = one_by_one(&ground, sizes).await;
    drop(running);
    ground.clear().await?;
    time
}

impl Running {
    /// Starts an engine that runs the controller of this ground alone, and waits until it does.
    pub(crate) async fn start(
        command: &str,
        kubeconfig: &[u8],
        ground: &Ground<'_>,
        children: usize,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("kubeconfig");
        std::fs::write(&place, kubeconfig)?;
        let selector = format!("bench={}", ground.namespace);
        let arguments = ["--kubeconfig".as_ref(), place.as_os_str()].into_iter();
        let arguments = arguments.chain(ALONE.map(AsRef::as_ref));
        let only = ["--target-label-selector".as_ref(), selector.as_ref()];
        let engine = Own::start(command, arguments.chain(only), folder)?;
        let hook = Counting::new(children).listen().await?;
        ground.control(&hook, children).await?;
        hook.hook.quiet().await;
        Ok(Self { engine, hook })
    }

    /// Returns the number of the engine's process.
    pub(crate) fn process(&self) -> u32 {
        self.engine.number()
    }

    fn before(&self, server: &Server) -> anyhow::Result<Before<'_>> {
        let processor = process::processor_time(self.process())?;
        let (calls, log) = (self.hook.hook.calls(), AuditLog::of(server));
        Ok(Before { running: self, calls, processor, log })
    }
}

impl Before<'_> {
    /// Returns what was taken since.
    fn share(self, namespace: &str) -> anyhow::Result<Share> {
        let calls = self.running.hook.hook.calls() - self.calls;
        let processor = process::processor_time(self.running.process())? - self.processor;
        let log = self.log.map(|log| log.since()).transpose()?;
        Ok(Share { calls, processor, asked: log.map(|log| audit::count(&log, namespace)) })
    }
}

async fn drive(ground: &Ground<'_>, running: &Running, sizes: Sizes) -> anyhow::Result<Costs> {
    let Sizes { parents, children, .. } = sizes;
    let (server, hook) = (ground.server, &running.hook.hook);
    let peak = Peak::of(running.process());
    let mut connections = load::connections(server).await?;

    let (before, watch) = (running.before(server)?, Stopwatch::start());
    load::send(&mut connections, parents, |number| ground.creation(number)).await?;
    ground.settled("p", "a", children, parents).await?;
    let created = watch.elapsed().as_secs_f64();
    hook.quiet().await;
    let create = before.share(&ground.namespace)?;

    let (before, watch) = (running.before(server)?, Stopwatch::start());
    load::send(&mut connections, parents, |number| ground.change(number)).await?;
    ground.settled("p", "b", children, parents).await?;
    let updated = watch.elapsed().as_secs_f64();
    hook.quiet().await;
    let update = before.share(&ground.namespace)?;

    let calls = hook.calls();
    pause(sizes.idle).await;
    let idle_calls = (!sizes.idle.is_zero()).then(|| hook.calls() - calls);
    let times = Times { created, updated };
    Ok(Costs { times, create, update, idle_calls, peak: peak.highest() })
}

async fn one_by_one(ground: &Ground<'_>, sizes: Sizes) -> anyhow::Result<f64> {
    let mut connection = ground.server.connect().await?;
    let mut times = vec![];
    for number in 0..sizes.singles {
        let name = format!("s{number}");
        let body = ground.thing(&name);
        let watch = Stopwatch::start();
        connection.must(Method::POST, &ground.things, body).await?;
        ground.children.reach(&name, sizes.children).await?;
        times.push(watch.millis());
        ground.settled("s", "a", sizes.children, number + 1).await?;
    }
    Ok(median(&times).unwrap_or_default())
}

impl Peak {
    fn of(process: u32) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&bytes);
        let look = async move {
            while let Ok(now) = process::proportional(process) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is a whole number of bytes"
                )]
                seen.fetch_max(now as u64, Ordering::Relaxed);
                pause(Duration::from_millis(200)).await;
            }
        };
        Self { bytes, task: tokio::spawn(look).abort_handle() }
    }

    fn highest(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no memory is that large")]
        let bytes = self.bytes.load(Ordering::Relaxed) as f64;
        bytes
    }
}
