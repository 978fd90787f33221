//! A running controller: turns changes of objects into work, and works it off.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use api::{
    Happening, Outcome, ProgramSource, composite, decorator,
    names::{self, reasons},
    revision,
};
use k8s::{Object, ObjectKey, OwnerReference, Resource, TimerKind, Timestamp, in_one_line};
use runtime::{Change, EventKind, ListError, Subscription};
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    children::Synced,
    condition::{self, Verdict},
    context::{ChildType, Context, Means},
    controller::{ChildRule, Controller, Form},
    error::{Remedy, SyncError},
    exchange::{AccessError, Exchanges},
    meter::{Meter, queue_name},
    options::Workers,
    program::{self, LoadError, Watched},
    queue::ParentQueue,
    record::{Counts, Ending, Source, SyncResult},
    selector::{Ownership, child_selector},
    status::is_news,
    sync::sync,
    types::{ParentType, Types},
};

/// How often credentials are read again.
const REFRESH: Duration = Duration::from_secs(30);

/// Why a controller does not start though it is well-formed.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    /// The objects of a type cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The credentials of its hooks cannot be read.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The program of a hook does not run.
    #[error(transparent)]
    Program(#[from] LoadError),
}

/// A controller at work, until it is dropped or stopped.
pub(crate) struct Instance {
    controller: Arc<Controller>,
    queue: ParentQueue,
    /// One for each type of parents.
    contexts: Arc<[Arc<Context>]>,
    types: Types,
    tasks: JoinSet<()>,
    _subscriptions: Vec<Subscription>,
}

impl Instance {
    /// Starts a controller whose types were found: waits for the first lists, then works.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the objects of a type cannot be listed, or credentials cannot be read.
    pub(crate) async fn start(
        controller: Controller,
        types: Types,
        means: Means,
        workers: Workers,
    ) -> Result<Self, StartError> {
        let controller = Arc::new(controller);
        let workers = controller.workers.map_or(workers, Workers::Exactly);
        let meter = Arc::new(Meter::new(&controller, means.client.metrics(), means.client.clock()));
        for (hook, webhook) in controller.hooks.all().filter(|(_, webhook)| webhook.odd_timeout) {
            let (controller, timeout) = (controller.name(), webhook.timeout);
            warn!(controller, hook, ?timeout, "the timeout is not positive, using the default");
        }
        let exchanges = Arc::new(Exchanges::default());
        exchanges.refresh(&controller.hooks, &means.client, &means.hook).await?;
        let programs = program::load(&controller.hooks, &means, &[]).await?;
        let queue = queue(&controller, &means);
        let kind = kind_of(&controller);
        let child = |(resource, rule): &(Resource, ChildRule)| ChildType {
            rule: rule.clone(),
            cache: means.caches.get(resource),
        };
        let children: Vec<_> = types.children.iter().map(child).collect();
        let context = |(position, parent): (usize, &ParentType)| {
            Arc::new_cyclic(|myself| Context {
                controller: Arc::clone(&controller),
                rule: controller.parents[parent.position].clone(),
                has_status: parent.has_status,
                controllers: means.caches.get(&kind),
                parents: means.caches.get(&parent.resource),
                children: children.clone(),
                revisions: controller.rolls().then(|| means.caches.get(&revision::resource())),
                queue: queue.at(position),
                notes: means.recorder.of(Source {
                    controller_kind: controller.object.gvk().kind.clone(),
                    controller: controller.name().to_owned(),
                    parents: parent.resource.gvk.clone(),
                }),
                means: means.clone(),
                memory: Mutex::default(),
                customized: Mutex::default(),
                adopters: Mutex::default(),
                exchanges: Arc::clone(&exchanges),
                meter: Arc::clone(&meter),
                myself: Weak::clone(myself),
            })
        };
        let contexts: Arc<[_]> = types.parents.iter().enumerate().map(context).collect();
        let subscriptions = contexts.iter().flat_map(subscribe).collect();
        for cache in contexts.iter().flat_map(|ctx| ctx.caches()) {
            cache.filled().await?;
        }
        let mut tasks = JoinSet::new();
        for ctx in contexts.iter() {
            // Those of a cache that others have filled before were never told of.
            ctx.parents.all().iter().for_each(|parent| ctx.note_selector(&parent.key()));
            ctx.sync_all("start of the controller");
            tasks.spawn(Arc::clone(ctx).flush());
        }
        tasks.spawn(refresh(Arc::clone(&controller), means.clone(), exchanges));
        if let Some(watched) = Watched::new(&controller.hooks, &means) {
            tasks.spawn(follow(watched, programs, Arc::clone(&contexts)));
        }
        let crew = Arc::new(watch::Sender::new(workers.first()));
        for number in 0..workers.most() {
            let worker = Worker { number, workers, crew: Arc::clone(&crew) };
            tasks.spawn(worker.work(queue.clone(), Arc::clone(&contexts)));
        }
        Ok(Self { controller, queue, contexts, types, tasks, _subscriptions: subscriptions })
    }

    /// Returns the controller object that is run.
    pub(crate) fn controller(&self) -> &Arc<Object> {
        &self.controller.object
    }

    /// Returns the controller in its checked form.
    pub(crate) fn controller_rules(&self) -> &Controller {
        &self.controller
    }

    /// Returns whether any of its hooks is a program.
    pub(crate) fn runs_programs(&self) -> bool {
        self.controller.hooks.all().any(|(_, webhook)| webhook.program.is_some())
    }

    /// Returns what it works with, for each type of its parents.
    pub(crate) fn contexts(&self) -> &Arc<[Arc<Context>]> {
        &self.contexts
    }

    /// Returns the types it was started with.
    pub(crate) fn types(&self) -> &Types {
        &self.types
    }

    /// Syncs the parents whose hooks are reached by one of these URLs, because the hooks changed.
    pub(crate) fn hooks_changed(&self, changed: &dyn Fn(&str) -> bool) {
        if self.controller.hooks.all().any(|(_, hook)| changed(&hook.url)) {
            ask_again(&self.contexts);
        }
    }

    /// Stops the workers in the middle of what they do, and returns what they worked with.
    pub(crate) async fn stop(mut self) -> Arc<[Arc<Context>]> {
        self.queue.close();
        self.tasks.shutdown().await;
        if let Some(ctx) = self.contexts.first() {
            program::unload(&self.controller.hooks, &ctx.means);
        }
        self.contexts.iter().for_each(|ctx| ctx.notes.forget_all());
        self.contexts
    }
}

fn kind_of(controller: &Controller) -> Resource {
    match controller.form {
        Form::Composite { .. } => composite::resource(),
        Form::Decorator => decorator::resource(),
    }
}

fn queue(controller: &Controller, means: &Means) -> ParentQueue {
    let kind = &controller.object.gvk().kind;
    let (clock, activity) = (means.client.clock().clone(), means.client.activity().clone());
    let queue =
        ParentQueue::new(&format!("sync for {kind} {}", controller.name()), clock, activity);
    queue.measured(means.client.metrics(), &queue_name(kind, controller.name()))
}

/// Reads the credentials of hooks again and again, if there are any: they may be renewed.
async fn refresh(controller: Arc<Controller>, means: Means, exchanges: Arc<Exchanges>) {
    let mut hooks = controller.hooks.all();
    if hooks.all(|(_, webhook)| webhook.credentials.is_empty()) {
        return;
    }
    let (clock, activity) = (means.client.clock(), means.client.activity());
    loop {
        let at = clock.after(REFRESH);
        let due = activity.sleep_until(clock.as_ref(), at, TimerKind::Periodic, "credentials");
        let token = due.await;
        let read = exchanges.refresh(&controller.hooks, &means.client, &means.hook).await;
        if let Err(error) = read {
            let (controller, error) = (controller.name(), in_one_line(&error));
            warn!(controller, error, "failed to read credentials again");
        }
        drop(token);
    }
}

/// Loads the programs of hooks again when their texts change. One that breaks is noted; the last good one
/// goes on.
async fn follow(watched: Watched, mut programs: Vec<ProgramSource>, contexts: Arc<[Arc<Context>]>) {
    let Some(ctx) = contexts.first() else { return };
    let (hooks, means, object) = (&ctx.controller.hooks, &ctx.means, &ctx.controller.object);
    loop {
        watched.changed().await;
        let _token = means.client.activity().hold("load of programs");
        let verdict = match program::load(hooks, means, &programs).await {
            Ok(loaded) if loaded == programs => continue,
            Ok(loaded) => {
                programs = loaded;
                ask_again(&contexts);
                Verdict::hooks_ready(true, reasons::HOOKS_LOADED, "")
            }
            Err(error) => {
                // It must be loaded again even if it becomes what it was.
                programs.clear();
                Verdict::hooks_ready(false, error.reason(), &in_one_line(&error))
            }
        };
        condition::note(&means.client, ctx.controllers.resource(), object, &[verdict]).await;
    }
}

/// Syncs all parents, because their hooks may answer otherwise than before.
fn ask_again(contexts: &[Arc<Context>]) {
    for ctx in contexts {
        ctx.customized().forget_answers();
        ctx.sync_all("new version of the hook");
    }
}

/// One of those who work off the parents of a controller.
struct Worker {
    number: usize,
    workers: Workers,
    /// How many of them are at work.
    crew: Arc<watch::Sender<usize>>,
}

impl Worker {
    /// Waits until it is needed, then works until the queue is closed.
    async fn work(self, queue: ParentQueue, contexts: Arc<[Arc<Context>]>) {
        let mut crew = self.crew.subscribe();
        let is_needed = crew.wait_for(|count| self.number < *count).await;
        drop(is_needed.expect("the sender lives as long as its workers"));
        while let Some(item) = queue.next().await {
            let waited = item.waited();
            self.crew.send_if_modified(|count| {
                let before = std::mem::replace(count, self.workers.after(*count, waited));
                before != *count
            });
            if let Some(ctx) = contexts.get(item.key().position) {
                ctx.work_on(&item.key().key).await;
            }
        }
    }
}

/// Turns every change that concerns one type of parents into keys of the controller's queue.
fn subscribe(ctx: &Arc<Context>) -> Vec<Subscription> {
    // A context holds its caches, and these hold their handlers: strong references would make a ring.
    let parents = {
        let ctx = Arc::downgrade(ctx);
        move |change: &Change| {
            if let Some(ctx) = ctx.upgrade() {
                ctx.parent_changed(change);
            }
        }
    };
    let controllers = {
        let ctx = Arc::downgrade(ctx);
        move |change: &Change| {
            if let Some(ctx) = ctx.upgrade() {
                ctx.controller_changed(change);
            }
        }
    };
    let mut subscriptions =
        vec![ctx.parents.subscribe(parents), ctx.controllers.subscribe(controllers)];
    for (position, child) in ctx.children.iter().enumerate() {
        let ctx = Arc::downgrade(ctx);
        subscriptions.push(child.cache.subscribe(move |change| {
            if let Some(ctx) = ctx.upgrade() {
                ctx.child_changed(position, change);
            }
        }));
    }
    for cache in ctx.caches() {
        let ctx = Arc::downgrade(ctx);
        subscriptions.push(cache.on_seen(move || {
            if let Some(ctx) = ctx.upgrade() {
                ctx.shown();
            }
        }));
    }
    subscriptions
}

/// Says what happened to a child.
fn child_news(child: &ChildType, change: &Change) -> String {
    let what = match (&change.old, &change.new) {
        (None, _) => "came",
        (_, None) => "went",
        _ => "changed",
    };
    format!("{} {} {what}", child.cache.resource().gvk.kind, change.latest().key())
}

/// Returns how far the children of a parent are rolled, as its status says it.
fn rollout(parent: &Object) -> Option<String> {
    let value = parent.to_value();
    let conditions = value.pointer("/status/conditions")?.as_array()?;
    let updated = conditions.iter().find(|condition| condition["type"] == "Updated")?;
    Some(format!("{}: {}", updated["reason"].as_str()?, updated["message"].as_str()?))
}

impl Context {
    fn sync_all(&self, why: &str) {
        for parent in self.parents.all() {
            if self.is_ours(&parent) {
                self.queue_for(parent.key(), || why.to_owned());
            }
        }
    }

    /// Tells whether a parent is selected, or held by our finalizer.
    pub(crate) fn is_ours(&self, parent: &Object) -> bool {
        self.selects(parent) || self.controller.holds(parent)
    }

    /// Tells whether a parent is selected.
    pub(crate) fn selects(&self, parent: &Object) -> bool {
        let (namespace, only) = (&parent.meta().namespace, &self.controller.namespaces);
        (only.is_empty() || namespace.is_empty() || only.contains(namespace))
            && self.rule.selects(parent)
    }

    /// Notes what a parent selects, as its cache shows it now.
    fn note_selector(&self, parent: &ObjectKey) {
        let Form::Composite { generate_selector } = self.controller.form else { return };
        let mut adopters = self.adopters();
        let found = self.parents.get(parent);
        let selector = found.and_then(|found| child_selector(generate_selector, &found).ok());
        adopters.put(parent, selector.as_ref());
    }

    fn parent_changed(&self, change: &Change) {
        self.note_selector(&change.latest().key());
        let ignore_status = self.rule.ignore_status_changes;
        match (&change.old, &change.new) {
            (_, None) => {
                let gone = change.latest();
                self.forget(gone);
                self.queue.forget(&gone.key());
                if self.is_ours(gone) {
                    self.tell(gone, Outcome::Gone, Duration::ZERO);
                }
            }
            (Some(old), Some(new)) if !is_news(old, new, ignore_status) => {}
            (old, Some(new)) if self.is_ours(new) => {
                let what = if old.is_some() { "changed" } else { "came" };
                self.queue_for(new.key(), || format!("the parent {what}"));
            }
            _ => {}
        }
    }

    fn child_changed(&self, position: usize, change: &Change) {
        let Some(child) = self.children.get(position) else { return };
        for object in [&change.old, &change.new].into_iter().flatten() {
            for parent in self.owners_of(object, child.rule.ownership) {
                self.queue_for(parent, || child_news(child, change));
            }
        }
        match &change.new {
            Some(new)
                if new.meta().controller().is_none()
                    && child.rule.ownership == Ownership::Controller =>
            {
                self.orphan_changed(new);
            }
            Some(_) => {}
            None => {
                let gone = change.latest();
                self.memory().settled.remove(&gone.meta().uid);
                for parent in self.freed(child.cache.resource(), &gone.key()) {
                    self.queue_for(parent, || child_news(child, change));
                }
            }
        }
    }

    /// Returns the parents that own an object in this way.
    fn owners_of(&self, object: &Object, ownership: Ownership) -> Vec<ObjectKey> {
        let owners = object.meta().owner_references.iter();
        let counts =
            |owner: &&OwnerReference| ownership == Ownership::Owner || owner.is_controller();
        owners.filter(counts).filter_map(|owner| self.owner_of(object, owner)).collect()
    }

    fn owner_of(&self, object: &Object, owner: &OwnerReference) -> Option<ObjectKey> {
        let gvk = &self.parents.resource().gvk;
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        if owner.kind != gvk.kind || group != gvk.group {
            return None;
        }
        let namespaced = self.parents.resource().is_namespaced();
        let namespace = if namespaced { object.meta().namespace.as_str() } else { "" };
        let parent = self.parents.get(&ObjectKey::new(namespace, &owner.name))?;
        (parent.meta().uid == owner.uid).then(|| parent.key())
    }

    /// Queues the parents that would adopt an object without a controller.
    fn orphan_changed(&self, orphan: &Object) {
        // Only the children of composites are adopted.
        let Form::Composite { generate_selector } = self.controller.form else { return };
        let namespaced = self.parents.resource().is_namespaced();
        let namespace = if namespaced { orphan.meta().namespace.as_str() } else { "" };
        let candidates = self.adopters().of(namespace, orphan);
        for parent in candidates.iter().filter_map(|key| self.parents.get(key)) {
            let selector = child_selector(generate_selector, &parent);
            let selects = selector.is_ok_and(|selector| selector.matches(&orphan.meta().labels));
            if selects && self.is_ours(&parent) {
                let kind = &orphan.gvk().kind;
                self.queue_for(parent.key(), || format!("orphan {kind} {}", orphan.key()));
            }
        }
    }

    /// Syncs all parents once their controller is no longer paused.
    fn controller_changed(&self, change: &Change) {
        let Some((old, new)) = change.old.as_ref().zip(change.new.as_ref()) else { return };
        if new.meta().name == self.controller.name() && is_paused(old) && !is_paused(new) {
            self.sync_all("resumed");
        }
    }

    /// Tells whether nothing is to be done to a parent for now, by its own word or its controller's.
    fn is_paused(&self, parent: &Object) -> bool {
        let controller = self.controllers.get(&self.controller.object.key());
        is_paused(parent) || controller.is_some_and(|controller| is_paused(&controller))
    }

    async fn work_on(&self, key: &ObjectKey) {
        if self.must_wait(key) {
            return;
        }
        let Some(parent) = self.parents.get(key).filter(|parent| self.is_ours(parent)) else {
            // A sync may have failed after its parent went.
            self.queue.forget(key);
            return;
        };
        if self.is_paused(&parent) {
            self.queue.forget(key);
            return;
        }
        let span = info_span!("sync", controller = self.controller.name(), parent = %key);
        self.sync_one(key, parent).instrument(span).await;
    }

    async fn sync_one(&self, key: &ObjectKey, parent: Arc<Object>) {
        let clock = self.means.client.clock();
        let before = clock.now();
        self.notes.begin(key, before);
        let result = sync(self, Arc::clone(&parent)).await;
        let took = Duration::try_from(clock.now().duration_since(before)).unwrap_or_default();
        self.meter.synced(if result.is_ok() { "success" } else { "error" }, took);
        let ended = |result, error, counts| {
            let rollout = self.controller.rolls().then(|| rollout(&parent)).flatten();
            self.notes.end(key, Ending { took, result, error, counts, rollout });
        };
        match result {
            Ok(Synced { done, retry, counts }) => {
                ended(SyncResult::Done, None, counts);
                debug!(done = done.len(), "synced");
                self.tell(&parent, Outcome::Done(done.join(", ")), took);
                if retry {
                    self.queue.add_failed(key.clone());
                } else {
                    self.queue.forget(key);
                }
            }
            Err(error) => {
                let result = match error.remedy() {
                    Remedy::TellAndRetry => SyncResult::Failed,
                    Remedy::WaitFor(_) | Remedy::Retry => SyncResult::Waiting,
                };
                ended(result, Some(in_one_line(&error)), Counts::default());
                self.failed(key, &parent, &error, took);
            }
        }
    }

    fn failed(&self, key: &ObjectKey, parent: &Object, error: &SyncError, took: Duration) {
        let cause = in_one_line(error);
        debug!(error = cause, "failed to sync");
        match error.remedy() {
            Remedy::WaitFor(after) => {
                self.queue.add_at(key.clone(), self.moment(after), TimerKind::Progress);
            }
            Remedy::Retry => self.queue.add_failed(key.clone()),
            Remedy::TellAndRetry => {
                let message = format!("Sync error: {cause}");
                self.means.events.tell(parent, EventKind::Warning, reasons::SYNC_ERROR, message);
                self.tell(parent, Outcome::Failed(cause), took);
                self.queue.add_failed(key.clone());
            }
        }
    }

    fn tell(&self, parent: &Object, outcome: Outcome, took: Duration) {
        self.means.report.report(Happening::Sync {
            controller: self.controller.name().to_owned(),
            kind: parent.gvk().clone(),
            parent: parent.key(),
            outcome,
            took,
        });
    }

    /// Syncs all parents again, for ever.
    async fn flush(self: Arc<Self>) {
        let flush = self.means.flush;
        let every = self.controller.resync.map_or(flush, |resync| resync.min(flush));
        let client = &self.means.client;
        loop {
            let (clock, at) = (client.clock().as_ref(), self.moment(every));
            let token =
                client.activity().sleep_until(clock, at, TimerKind::Periodic, "resync").await;
            self.sync_all("resync");
            drop(token);
        }
    }

    /// Queues a parent once more, after what its hook asked for.
    pub(crate) fn look_again(&self, parent: ObjectKey, after: Duration) {
        let at = self.moment(after);
        self.notes.due(&parent, at);
        self.queue.add_at(parent, at, TimerKind::Periodic);
    }

    fn moment(&self, after: Duration) -> Timestamp {
        self.means.client.clock().after(after)
    }
}

/// Tells whether an object says that nothing is to be done.
fn is_paused(object: &Object) -> bool {
    object.annotations().get(names::PAUSED).is_some_and(|paused| paused == "true")
}
