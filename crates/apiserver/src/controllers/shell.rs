//! The thin shell of the controllers: follows the store, keeps the set of work, has it planned, executes.

mod execute;

use std::{collections::BTreeSet, task::Poll};

use futures::{future::FutureExt, poll};
use k8s::{GroupVersionKind, ResourceScope, SharedClock, TimerKind, Token};
use tracing::{debug, warn};

use super::{
    addresses::Addresses,
    changes::{self, Change},
    chosen,
    garbage::Verdict,
    kinds,
    plans::Context,
    queue::{Queue, Work},
    world::{Entry, World},
};
use crate::{
    backend::Backend,
    error::{ApiError, Reason},
    registry::Registry,
    store::{Event, EventKind, Subscription},
};

pub(super) struct Shell {
    backend: Backend,
    events: Subscription,
    world: World,
    queue: Queue,
    addresses: Addresses,
    /// Objects, by UID, whose owner is of a kind that discovery does not know.
    puzzles: BTreeSet<String>,
}

impl Shell {
    /// Takes in everything that exists and follows the store from there.
    pub(super) fn new(backend: Backend) -> Self {
        let mut shell = Self {
            events: backend.subscribe(backend.revision()),
            addresses: Addresses::of_network(backend.settings().networks.pods),
            backend,
            world: World::default(),
            queue: Queue::default(),
            puzzles: BTreeSet::new(),
        };
        shell.list();
        shell
    }

    /// Works until the server stops.
    pub(super) async fn run(mut self) {
        let activity = self.backend.activity().clone();
        let mut token = activity.hold(NAME);
        loop {
            self.drain();
            while let Some(work) = self.queue.next(self.backend.clock().now()) {
                if *self.backend.stopping().borrow() {
                    return;
                }
                self.handle(work).await;
                tokio::task::yield_now().await;
            }
            match self.wait(token).await {
                Some(held) => token = held,
                None => return,
            }
        }
    }

    /// Waits, idle, for an event or the next moment to look again; nothing once the server stops.
    async fn wait(&mut self, token: Token) -> Option<Token> {
        let activity = self.backend.activity().clone();
        let clock: SharedClock = self.backend.clock().clone();
        let due = self.queue.earliest();
        let timer = async {
            match due {
                Some(due) => activity.sleep_until(&*clock, due, TimerKind::Progress, NAME).await,
                None => std::future::pending().await,
            }
        };
        let mut timer = Box::pin(timer.fuse());
        // The first poll registers the timer: only then may the token go.
        if let Poll::Ready(held) = poll!(&mut timer) {
            return Some(held);
        }
        drop(token);
        let event = tokio::select! {
            held = &mut timer => return Some(held),
            event = self.events.next() => event,
        };
        let held = activity.hold(NAME);
        match event {
            Some(event) => self.absorb(&event),
            None if *self.backend.stopping().borrow() => return None,
            None => self.start_over(),
        }
        Some(held)
    }

    /// Takes in every event there is, and returns whether there was any.
    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.events.try_next() {
            self.absorb(&event);
            any = true;
        }
        any
    }

    fn absorb(&mut self, event: &Event) {
        let (resource, object) = (&event.resource, &event.object);
        let uid = &object.meta().uid;
        let gone = event.kind == EventKind::Deleted;
        if gone {
            self.world.bury(uid);
            self.addresses.forget(uid);
        } else {
            self.world.put(resource, object.clone());
        }
        let old = event.old.as_deref();
        let new = (!gone).then_some(&**object);
        self.queue.extend(changes::work(&self.world, &Change { resource, old, new }));
        if **resource == **kinds::CRDS {
            let puzzles = std::mem::take(&mut self.puzzles);
            self.queue.extend(puzzles.into_iter().map(Work::Garbage));
        }
    }

    /// Begins anew after history was lost that had not been seen yet.
    fn start_over(&mut self) {
        warn!("controllers list everything anew: history is gone");
        self.events = self.backend.subscribe(self.backend.revision());
        self.world = World::default();
        self.list();
    }

    /// Takes in every object; events after the subscription bring what changes meanwhile.
    fn list(&mut self) {
        let registry = self.backend.registry();
        let kept = registry.all().iter().filter(|it| it.is_stored() && it.resource == *it.storage);
        for registered in kept {
            let resource = registered.storage.clone();
            for object in self.backend.list(&resource, "") {
                self.world.put(&resource, object);
            }
        }
        let namespaces = self.world.of(&kinds::NAMESPACES, "");
        let mut work: BTreeSet<_> =
            namespaces.map(|it| Work::Furniture(it.object.meta().name.clone())).collect();
        for entry in self.world.all() {
            if let Some(pod) = entry.pod() {
                self.addresses.note(&entry.object.meta().uid, &pod.ip);
            }
            let change = Change { resource: &entry.resource, old: None, new: Some(&entry.object) };
            work.append(&mut changes::work(&self.world, &change));
        }
        self.queue.extend(work);
    }

    /// Plans one piece of work, executes the plan and takes in what came of it.
    async fn handle(&mut self, work: Work) {
        if !self.runs(&work) {
            return;
        }
        let began = self.backend.clock().now();
        let plan = match self.plan(&work) {
            Verdict::Plan(plan) => plan,
            Verdict::UnknownKind => {
                if let Work::Garbage(uid) = work {
                    self.puzzles.insert(uid);
                }
                return;
            }
        };
        if !plan.is_idle() {
            debug!(?work, %plan, "controllers planned");
        }
        let executed = self.execute(&plan).await;
        let has_news = self.drain();
        let took = self.backend.clock().now().duration_since(began);
        let took = std::time::Duration::try_from(took).unwrap_or_default();
        self.backend.metrics().worked(took, self.queue.len());
        match executed {
            Ok(()) => {
                self.queue.succeeded(&work);
                if let Some(due) = plan.look_again {
                    self.queue.again_at(work, due);
                }
            }
            // It was planned from an old state: the next plan knows more.
            Err(error) if error.reason() == Reason::Conflict && has_news => self.queue.add(work),
            Err(error) => self.retry(work, &error).await,
        }
    }

    /// Returns whether the controller runs that does this work.
    fn runs(&self, work: &Work) -> bool {
        let name = match work {
            Work::Garbage(_) => chosen::GARBAGE,
            Work::Unclaimed(uid) => {
                let entry = self.world.by_uid(uid);
                let executor = entry.and_then(|entry| entry.executor.as_deref());
                if executor.is_some_and(|name| self.backend.executors().has(name)) {
                    return false;
                }
                chosen::EXECUTOR
            }
            Work::Pod(key) => {
                let pod = self.world.get(&kinds::PODS, key).and_then(Entry::pod);
                let is_bound = pod.is_some_and(|pod| !pod.node.is_empty());
                if is_bound { chosen::PODS } else { chosen::SCHEDULER }
            }
            Work::ReplicaSet(_) => chosen::REPLICA_SET,
            Work::Deployment(_) => chosen::DEPLOYMENT,
            Work::StatefulSet(_) => chosen::STATEFUL_SET,
            Work::Job(_) => chosen::JOB,
            Work::Service(_) => chosen::ENDPOINTS,
            Work::Volume(_) | Work::Claim(_) => chosen::VOLUME,
            Work::CustomResource(_) => chosen::CRD,
            Work::Namespace(_) | Work::Furniture(_) => chosen::NAMESPACE,
        };
        self.backend.settings().controllers.run(name)
    }

    /// Tells of a failure and looks again later.
    async fn retry(&mut self, work: Work, error: &ApiError) {
        debug!(?work, %error, "controllers failed");
        let plan = self.context(|context| context.plan_failed(&work, &error.to_string()));
        if let Err(error) = self.execute(&plan).await {
            debug!(?work, %error, "controllers could not tell of a failure");
        }
        self.queue.failed(work, self.backend.clock().now());
    }

    fn plan(&mut self, work: &Work) -> Verdict {
        self.context(|context| context.plan(work))
    }

    fn context<T>(&mut self, plan: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let registry = self.backend.registry();
        plan(&mut Context {
            world: &self.world,
            addresses: &mut self.addresses,
            known: &|gvk| scope(&registry, gvk),
            certificate: self.backend.ca_certificate(),
            address: self.backend.address(),
            revision: self.backend.revision(),
            now: self.backend.clock().now(),
        })
    }
}

/// What the controllers are called where activity is shown.
const NAME: &str = "controllers";

fn scope(registry: &Registry, gvk: &GroupVersionKind) -> Option<ResourceScope> {
    registry.by_kind(gvk).map(|registered| registered.resource.scope)
}
