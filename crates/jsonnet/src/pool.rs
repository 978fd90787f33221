//! The worker processes and who may use them.
//!
//! There are no tasks here: a caller waits for a [`Lease`], uses a worker itself and hands it back by
//! dropping the lease. A caller that goes away in the middle of a call takes its worker with it.

mod fence;
mod process;
mod queue;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use k8s::{Activity, SharedClock, TimerKind};
use process::Worker;
use queue::Queue;
use tokio::sync::oneshot;

pub(crate) use fence::Fence;
pub use process::WorkerCommand;
pub(crate) use queue::Bound;

use crate::{
    bundle::{Bundle, Revision},
    failure::{CallError, ErrorKind},
    interpreter::Form,
    wire::{Order, Reply},
};

/// Workers and the calls that wait for them.
#[derive(Debug)]
pub(crate) struct Pool {
    command: WorkerCommand,
    clock: SharedClock,
    activity: Activity,
    limits: PoolLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue<oneshot::Sender<Lease>>,
    idle: Vec<Worker>,
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) workers: usize,
    pub(crate) queue: usize,
    pub(crate) max_memory: u64,
    pub(crate) max_response: usize,
}

/// The right to use one worker.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    route: Arc<str>,
    worker: Option<Worker>,
}

/// A program as workers take it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) revision: Revision,
    pub(crate) bundle: Bundle,
}

/// What to do with a program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job<'a> {
    /// Parse it.
    Check,
    /// Evaluate it.
    Call { request: &'a [u8], form: Form },
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The worker answered, perhaps with an error.
    Answered(Reply, Bytes),
    /// The worker was killed because it took too long.
    TimedOut,
    /// The worker died of it.
    Died(CallError),
    /// No worker could be started.
    NotStarted(io::Error),
}

impl Pool {
    pub(crate) fn new(
        command: WorkerCommand,
        clock: SharedClock,
        activity: Activity,
        limits: PoolLimits,
    ) -> Arc<Self> {
        let queue = Queue::new(limits.workers, limits.queue);
        let state = Mutex::new(State { queue, idle: Vec::new() });
        Arc::new(Self { command, clock, activity, limits, state })
    }

    /// Waits for a worker's turn to work for `route`.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        route: &Arc<str>,
        bound: Bound,
    ) -> Result<Lease, CallError> {
        let (ticket, lease) = oneshot::channel();
        let overload = || CallError::new(ErrorKind::Overload, "too many hook calls are waiting");
        self.state().queue.push(route, ticket, bound).map_err(|_| overload())?;
        self.dispatch();
        lease.await.map_err(|_| overload())
    }

    /// Returns how many calls wait and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        self.state().queue.load()
    }

    /// Returns the process ids of the workers that have nothing to do.
    pub(crate) fn idle_workers(&self) -> Vec<u32> {
        self.state().idle.iter().filter_map(Worker::pid).collect()
    }

    /// Grants leases as long as there are workers and calls for them.
    fn dispatch(self: &Arc<Self>) {
        loop {
            // The lock is given back first, because a lease that nobody takes is returned at once.
            let next = self.state().queue.pop();
            let Some((route, ticket)) = next else {
                return;
            };
            let _ = ticket.send(Lease { pool: Arc::clone(self), route, worker: None });
        }
    }

    /// Takes an idle worker, best one that knows the program, or starts one.
    fn take_worker(&self, revision: &Revision) -> io::Result<Worker> {
        loop {
            let mut state = self.state();
            let known = state.idle.iter().rposition(|worker| worker.loaded.contains(revision));
            let index = known.or_else(|| state.idle.len().checked_sub(1));
            let Some(index) = index else {
                break;
            };
            let mut worker = state.idle.swap_remove(index);
            drop(state);
            if worker.is_alive() {
                return Ok(worker);
            }
        }
        Worker::start(&self.command, self.limits.max_memory)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the pool lock is never poisoned")
    }
}

impl Lease {
    /// Does a job within `timeout`. `is_live` tells which revisions are still called.
    pub(crate) async fn run(
        &mut self,
        program: &Program,
        job: Job<'_>,
        timeout: Duration,
        is_live: impl Fn(&Revision) -> bool,
    ) -> Ending {
        let pool = Arc::clone(&self.pool);
        let mut worker = match pool.take_worker(&program.revision) {
            Ok(worker) => worker,
            Err(error) => return Ending::NotStarted(error),
        };
        let deadline = pool.clock.after(timeout);
        let deadline =
            pool.activity.sleep_until(&*pool.clock, deadline, TimerKind::Progress, "hook deadline");
        tokio::select! {
            biased;
            answer = converse(&mut worker, program, job, pool.limits.max_response, is_live) => match answer {
                Ok((reply, body)) => {
                    if !reply.retires {
                        self.worker = Some(worker);
                    }
                    Ending::Answered(reply, body)
                }
                Err(_) => Ending::Died(worker.cause_of_death(pool.limits.max_memory).await),
            },
            _ = deadline => Ending::TimedOut,
        }
    }
}

/// Has the worker load the program if it must, and do the job.
async fn converse(
    worker: &mut Worker,
    program: &Program,
    job: Job<'_>,
    max_response: usize,
    is_live: impl Fn(&Revision) -> bool,
) -> io::Result<(Reply, Bytes)> {
    /// Room for what accompanies a result: traces above all.
    const HEAD: usize = 16 << 20;
    let limit = max_response.max(HEAD);
    let revision = program.revision.clone();
    let stale: Vec<_> = worker.loaded.iter().filter(|known| !is_live(known)).cloned().collect();
    if !stale.is_empty() {
        worker.loaded.retain(|known| !stale.contains(known));
        worker.ask(&Order::Forget { revisions: stale }, &[], limit).await?;
    }
    if !worker.loaded.contains(&revision) || matches!(job, Job::Check) {
        let order = Order::Load { revision: revision.clone(), bundle: program.bundle.clone() };
        let (reply, body) = worker.ask(&order, &program.bundle.contents(), limit).await?;
        if reply.outcome.is_err() || matches!(job, Job::Check) {
            return Ok((reply, body));
        }
        worker.loaded.insert(revision.clone());
    }
    let Job::Call { request, form } = job else {
        return Ok((Reply::plain(Ok(())), Bytes::new()));
    };
    worker.ask(&Order::Call { revision, form, max_response }, request, limit).await
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut state = self.pool.state();
            state.queue.done(&self.route);
            state.idle.extend(self.worker.take());
        }
        self.pool.dispatch();
    }
}
