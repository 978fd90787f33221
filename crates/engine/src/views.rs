//! What people ask of a running engine: how controllers are, what the last syncs did, what the next would.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::names::conditions;
use futures::future::{Either, select};
use k8s::{GroupVersionKind, Object, ObjectKey};
use runtime::{ApiError, DiscoveryError, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    context::Context,
    customize::related,
    error::SyncError,
    exchange::exchange,
    manager::Engine,
    mask::mask,
    outlook::{Outlook, OutlookError, Question, Scene},
    record::{Place, SyncRecord, SyncResult},
    repeats::Verdict,
    status,
    trial::{self, ROUNDS},
};

/// How long a sync that was asked for may take until its result is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A controller as views show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerView {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it runs; nothing if that is not known yet.
    pub ready: Option<bool>,
    /// Why it does or does not.
    pub reason: String,
    /// Whether a person has paused it.
    pub paused: bool,
    /// How many parents it has.
    pub parents: usize,
    /// How many of them a person has paused.
    pub paused_parents: usize,
    /// How many of them failed in their last sync.
    pub failing: usize,
    /// How long the hook takes in half of the last syncs, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_p50_ms: Option<f64>,
    /// How long it takes in all but one of a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_p99_ms: Option<f64>,
    /// Why it does not run, or why its last sync that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What the next sync of a parent by one controller would do, without what Secrets hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentOutlook {
    /// The kind of the controller.
    pub controller_kind: String,
    /// The controller's name.
    pub controller: String,
    /// What would be done.
    pub outlook: Outlook,
}

/// Why a question about a parent has no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// No controller that runs has such parents.
    #[error("no running controller has {0} as parents")]
    NoController(String),
    /// The parent is not there, or no controller selects it.
    #[error("{0} is not there, or no controller selects it")]
    NoParent(String),
    /// It is not synced as long as it is paused.
    #[error("{0} is paused")]
    Paused(String),
    /// The sync did not end soon.
    #[error("the sync has not ended within {0:?}")]
    Late(Duration),
    /// The sync would fail.
    #[error("the sync would fail")]
    Outlook(#[from] OutlookError),
    /// The sync would fail before there is anything to plan.
    #[error("the sync would fail: {0}")]
    Sync(String),
    /// The API server could not be asked.
    #[error("failed to look up a type")]
    Discovery(#[from] DiscoveryError),
    /// The API server does not take the parent.
    #[error("the parent is not valid")]
    Invalid(#[source] ApiError),
}

impl From<SyncError> for AskError {
    fn from(error: SyncError) -> Self {
        Self::Sync(k8s::in_one_line(&error))
    }
}

impl Engine {
    /// Returns how every controller is.
    pub async fn controllers(&self) -> Vec<ControllerView> {
        let contexts = self.contexts().await;
        let records = self.means().recorder.records(|_| true, false);
        let mut views: Vec<_> = self
            .objects()
            .iter()
            .map(|object| {
                let of = |record: &&SyncRecord| {
                    record.controller_kind == object.gvk().kind
                        && record.controller == object.meta().name
                };
                let records: Vec<_> = records.iter().filter(of).collect();
                let parents = contexts
                    .iter()
                    .filter(|ctx| ctx.controller.object.meta().uid == object.meta().uid);
                let ours = |ctx: &Arc<Context>| {
                    let parents = ctx.parents.all().into_iter();
                    parents.filter(|parent| ctx.is_ours(parent)).collect::<Vec<_>>()
                };
                view(object, &parents.flat_map(ours).collect::<Vec<_>>(), &records)
            })
            .collect();
        views.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        views
    }

    /// Returns the last syncs of a parent, one of each controller that has it, with all that is kept.
    pub fn last_syncs(&self, kind: &GroupVersionKind, key: &ObjectKey) -> Vec<SyncRecord> {
        let is_asked =
            |place: &Place| is_same_kind(&place.source.parents, kind) && place.key == *key;
        self.means().recorder.records(is_asked, true)
    }

    /// Syncs a parent now, and returns what came of it.
    ///
    /// # Errors
    ///
    /// [`AskError`] if nobody syncs it, or the sync does not end soon.
    pub async fn sync_now(
        &self,
        kind: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Vec<SyncRecord>, AskError> {
        let contexts = self.contexts_of(kind, key).await?;
        let controllers = self.objects();
        if let Some(paused) = contexts.iter().find_map(|ctx| paused(&controllers, ctx, key)) {
            return Err(AskError::Paused(paused));
        }
        let recorder = &self.means().recorder;
        let since = recorder.serial();
        let mut ended = recorder.ended();
        for ctx in &contexts {
            ctx.queue_for(key.clone(), || "asked for by a person".to_owned());
        }
        let places: Vec<_> = contexts.iter().map(|ctx| ctx.notes.place(key)).collect();
        let results = async {
            loop {
                let is_asked = |place: &Place| places.contains(place);
                let mut records = recorder.records(is_asked, true);
                records.retain(|record| since < record.serial);
                if records.len() == places.len() || ended.changed().await.is_err() {
                    return records;
                }
            }
        };
        let clock = self.means().client.clock();
        match select(Box::pin(results), clock.sleep_until(clock.after(PATIENCE))).await {
            Either::Left((records, _)) => Ok(records),
            Either::Right(((), _)) => Err(AskError::Late(PATIENCE)),
        }
    }

    /// Returns what the next sync of a parent would do; `wish` is the parent as it is to be, if not as it is.
    ///
    /// # Errors
    ///
    /// [`AskError`] if nobody syncs it, or the sync would fail.
    pub async fn outlook(
        &self,
        kind: &GroupVersionKind,
        key: &ObjectKey,
        wish: Option<&Value>,
    ) -> Result<Vec<ParentOutlook>, AskError> {
        let mut outlooks = Vec::new();
        let contexts: Vec<_> = match wish {
            None => self.contexts_of(kind, key).await?,
            Some(_) => self.contexts().await,
        };
        for ctx in contexts {
            if !is_same_kind(&ctx.parents.resource().gvk, kind) {
                continue;
            }
            let parent = match (ctx.parents.get(key), wish) {
                (Some(live), None) => live,
                (None, None) => continue,
                (live, Some(wish)) => Arc::new(as_wished(&ctx, live.as_deref(), wish).await?),
            };
            if !ctx.is_ours(&parent) {
                continue;
            }
            let mut outlook = look_ahead(&ctx, &parent).await?;
            for step in &mut outlook.steps {
                step.before.iter_mut().chain(&mut step.after).for_each(mask);
            }
            outlooks.push(ParentOutlook {
                controller_kind: ctx.controller.object.gvk().kind.clone(),
                controller: ctx.controller.name().to_owned(),
                outlook,
            });
        }
        if outlooks.is_empty() {
            return Err(AskError::NoParent(format!("{} {key}", kind.kind)));
        }
        Ok(outlooks)
    }

    /// Returns what the controllers that have an object as a parent work with.
    async fn contexts_of(
        &self,
        kind: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Vec<Arc<Context>>, AskError> {
        let mut contexts = self.contexts().await;
        contexts.retain(|ctx| is_same_kind(&ctx.parents.resource().gvk, kind));
        if contexts.is_empty() {
            return Err(AskError::NoController(kind.kind.clone()));
        }
        contexts.retain(|ctx| ctx.parents.get(key).is_some_and(|parent| ctx.is_ours(&parent)));
        if contexts.is_empty() {
            return Err(AskError::NoParent(format!("{} {key}", kind.kind)));
        }
        Ok(contexts)
    }
}

/// A type may be asked for by another of its versions.
fn is_same_kind(a: &GroupVersionKind, b: &GroupVersionKind) -> bool {
    a.group == b.group && a.kind == b.kind
}

fn view(object: &Object, parents: &[Arc<Object>], records: &[&SyncRecord]) -> ControllerView {
    let value = object.to_value();
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == conditions::READY);
    let text =
        |field: &str| ready.and_then(|ready| ready[field].as_str()).unwrap_or_default().to_owned();
    let mut failed: Vec<_> =
        records.iter().filter(|record| record.result == SyncResult::Failed).collect();
    failed.sort_by_key(|record| record.serial);
    let mut times: Vec<f64> = records.iter().filter_map(|record| record.hook_ms).collect();
    times.sort_by(f64::total_cmp);
    let message = Some(text("message")).filter(|message| !message.is_empty());
    ControllerView {
        kind: object.gvk().kind.clone(),
        name: object.meta().name.clone(),
        ready: ready.map(|ready| ready["status"] == "True"),
        reason: text("reason"),
        paused: is_paused(object),
        parents: parents.len(),
        paused_parents: parents.iter().filter(|parent| is_paused(parent)).count(),
        failing: failed.len(),
        hook_p50_ms: at_percent(&times, 50),
        hook_p99_ms: at_percent(&times, 99),
        last_error: failed.last().and_then(|record| record.error.clone()).or(message),
    }
}

/// Returns what a person has paused of a parent and its controller.
fn paused(controllers: &[Arc<Object>], ctx: &Context, parent: &ObjectKey) -> Option<String> {
    let uid = &ctx.controller.object.meta().uid;
    // What runs was started with the controller as it was then.
    let controller = controllers.iter().find(|object| object.meta().uid == *uid);
    let objects = [controller.map(Arc::clone), ctx.parents.get(parent)];
    let paused = objects.into_iter().flatten().find(|object| is_paused(object))?;
    Some(format!("{} {}", paused.gvk().kind, paused.key()))
}

fn is_paused(object: &Object) -> bool {
    object.annotations().get("windlass.dev/paused").is_some_and(|paused| paused == "true")
}

/// Returns the value that so many of a hundred do not exceed.
fn at_percent(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Returns a parent as a person wishes it: what is there, with the content, labels and annotations of the
/// wish; or what the API server would make of it.
async fn as_wished(ctx: &Context, live: Option<&Object>, wish: &Value) -> Result<Object, AskError> {
    let resource = ctx.parents.resource();
    let unreadable = |error: k8s::ObjectError| AskError::Sync(error.to_string());
    let Some(live) = live else {
        let namespace = wish["metadata"]["namespace"].as_str().unwrap_or_default();
        let made = ctx.means.client.try_create(resource, namespace, wish.to_string()).await;
        return made.map_err(AskError::Invalid);
    };
    let mut parent = live.to_value();
    for (field, value) in wish.as_object().into_iter().flatten() {
        if field != "metadata" && field != "status" {
            parent[field] = value.clone();
        }
    }
    for field in ["labels", "annotations"] {
        for (key, value) in wish["metadata"][field].as_object().into_iter().flatten() {
            if !parent["metadata"][field].is_object() {
                parent["metadata"][field] = json!({});
            }
            parent["metadata"][field][key] = value.clone();
        }
    }
    Object::from_value(&parent).map_err(unreadable)
}

/// Goes the way of a sync as far as the plan.
async fn look_ahead(ctx: &Context, parent: &Object) -> Result<Outlook, AskError> {
    let candidates = ctx.children.iter().map(|child| {
        let mut objects = child.cache.controlled_by(&parent.meta().uid);
        objects.extend(child.cache.orphans(&parent.meta().namespace));
        (child.cache.resource().clone(), objects)
    });
    let related = loop {
        match related(ctx, parent).await {
            // A sync would come back later; whoever asks waits.
            Err(SyncError::Filling) => ctx.related_filled(&parent.key()).await,
            related => break related?.into_iter(),
        }
    };
    let scene = Scene {
        controller: &ctx.controller,
        parent,
        selected: ctx.selects(parent),
        has_status: ctx.has_status,
        candidates: candidates.collect(),
        related: related.map(|each| (each.resource, each.objects)).collect(),
    };
    let Some(Question { hook, webhook, body }) = scene.question()? else {
        return Ok(Outlook::default());
    };
    let reply = exchange(ctx, (hook, webhook), parent, body).await?;
    let mut others = BTreeMap::new();
    for gvk in scene.kinds(&reply) {
        if let Ok(found) = ctx.means.discovery.by_kind(&gvk).await {
            others.insert(gvk, found.resource);
        }
    }
    let observed = scene.observed()?;
    if let Some(answer) = scene.answer(&reply)? {
        let (desired, _) = scene.desired(&answer, &others)?;
        for _ in 0..ROUNDS {
            let actions = scene.actions(&desired, &ctx.known(&observed))?;
            let questions = actions.iter().filter_map(trial::Question::about).collect();
            if !trial::ask(ctx, questions).await.is_news {
                break;
            }
        }
    }
    let mut outlook = scene.outlook_with(&reply, &others, &ctx.known(&observed))?;
    // What the server makes something else of is not written again, so it is no difference.
    outlook.steps.retain(|step| {
        let is_parent = step.kind == *parent.gvk() && step.key == parent.key();
        let wish = step.after.as_ref().filter(|_| is_parent).and_then(|after| after.get("status"));
        let place = (parent.meta().uid.clone(), Part::Status);
        let (there, now) = (status::of(parent), ctx.means.client.clock().now());
        let verdict = wish.map(|wish| ctx.memory().repeats.judge(&place, (wish, &there), now));
        verdict != Some(Verdict::Leave)
    });
    Ok(outlook)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_hundred_do_not_exceed_it() {
        let times: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(at_percent(&times, 50), Some(5.0));
        assert_eq!(at_percent(&times, 99), Some(10.0));
        assert_eq!(at_percent(&[], 50), None);
    }
}
