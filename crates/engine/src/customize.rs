//! Asks the customize hook which other objects matter to a parent, and finds them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Weak},
    time::Duration,
};

use futures::future::poll_immediate;
use k8s::{Object, ObjectKey, Resource, SignedDuration, Timestamp};
use runtime::{Cache, Change, Subscription};

use crate::{
    answer,
    context::Context,
    error::SyncError,
    exchange::exchange,
    hook::Webhook,
    related::{Namespaces, RelatedType, Rule},
    request,
    sync::tell_passed_over,
};

/// How long an answer counts.
const KEPT: Duration = Duration::from_mins(20);
/// How many answers are kept for one parent: each revision of it in a rollout has its own.
const LATEST: usize = 64;

/// What customize hooks answered, and the caches that are followed because of it.
#[derive(Default)]
pub(crate) struct Customized {
    answers: HashMap<ObjectKey, Vec<Answer>>,
    followed: HashMap<Resource, Followed>,
}

/// The rules for a parent as long as it is what it was.
struct Answer {
    of: u64,
    until: Timestamp,
    rules: Arc<[Rule]>,
}

struct Followed {
    cache: Arc<Cache>,
    /// The parents with a rule for the type.
    parents: BTreeSet<ObjectKey>,
    _subscription: Subscription,
}

/// Returns the objects that the hooks of a parent want to see besides its children, by type.
pub(crate) async fn related(ctx: &Context, parent: &Object) -> Result<Vec<RelatedType>, SyncError> {
    let Some(webhook) = &ctx.controller.hooks.customize else { return Ok(Vec::new()) };
    let rules = rules(ctx, webhook, parent).await?;
    let mut found = BTreeMap::<_, (Resource, BTreeMap<ObjectKey, Arc<Object>>)>::new();
    for rule in rules.iter() {
        let cache = filled(ctx.follow(&rule.resource, parent)).await?;
        let namespaces = match rule.namespaces {
            Namespaces::Labelled(_) => Some(filled(ctx.follow(&namespaces(), parent)).await?),
            Namespaces::All | Namespaces::One(_) => None,
        };
        let labels_of = |name: &str| labels_of(namespaces.as_deref(), name);
        let (_, objects) = found
            .entry(rule.resource.gvk.clone())
            .or_insert_with(|| (rule.resource.clone(), BTreeMap::new()));
        let selected = cache.in_namespace(rule.namespace());
        let selected = selected.into_iter().filter(|object| rule.selects(object, labels_of));
        objects.extend(selected.map(|object| (object.key(), object)));
    }
    let related = |(resource, objects): (_, BTreeMap<_, _>)| RelatedType {
        resource,
        objects: objects.into_values().collect(),
    };
    Ok(found.into_values().map(related).collect())
}

/// Returns the rules for a parent: those that were answered lately, or the hook's answer.
async fn rules(
    ctx: &Context,
    webhook: &Webhook,
    parent: &Object,
) -> Result<Arc<[Rule]>, SyncError> {
    let (of, now) = (content(parent), ctx.means.client.clock().now());
    if let Some(rules) = ctx.customized().known(&parent.key(), of, now) {
        return Ok(rules);
    }
    let hook = "customize";
    let body = request::customize_body(&ctx.controller.object, parent);
    let reply = exchange(ctx, (hook, webhook), parent, body).await?;
    let specs = answer::read_rules(&reply, webhook.mode, ctx.means.client.clock().now())
        .map_err(|source| SyncError::Answer { hook, source })?;
    tell_passed_over(hook, webhook, || answer::passed_over_in_rules(&reply));
    let mut rules = Vec::new();
    for spec in &specs {
        let found = ctx.means.discovery.by_plural(&spec.api_version, &spec.resource).await?;
        let own = &parent.meta().namespace;
        rules.push(Rule::new(spec, found.resource, webhook.version, own)?);
    }
    let rules: Arc<[Rule]> = rules.into();
    let wait = SignedDuration::try_from(KEPT).unwrap_or(SignedDuration::ZERO);
    let until = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    ctx.customized().keep(parent.key(), Answer { of, until, rules: Arc::clone(&rules) });
    Ok(rules)
}

/// Returns the hash of what a customize hook may decide by: all of a parent but what others note in it.
fn content(parent: &Object) -> u64 {
    let mut value = parent.to_value();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Returns a cache that is filled; one that is not yet must not hold up a worker.
async fn filled(cache: Arc<Cache>) -> Result<Arc<Cache>, SyncError> {
    match poll_immediate(cache.filled()).await {
        Some(filled) => filled.map_err(SyncError::Related)?,
        None => return Err(SyncError::Filling),
    }
    Ok(cache)
}

fn namespaces() -> Resource {
    Resource::cluster("v1", "Namespace", "namespaces")
}

fn labels_of(namespaces: Option<&Cache>, name: &str) -> Option<BTreeMap<String, String>> {
    let namespace = namespaces?.get(&ObjectKey::new("", name))?;
    Some(namespace.meta().labels.clone())
}

impl Customized {
    fn known(&self, parent: &ObjectKey, of: u64, now: Timestamp) -> Option<Arc<[Rule]>> {
        let answers = self.answers.get(parent)?;
        let known = answers.iter().find(|answer| answer.of == of && now < answer.until)?;
        Some(Arc::clone(&known.rules))
    }

    fn keep(&mut self, parent: ObjectKey, answer: Answer) {
        let answers = self.answers.entry(parent).or_default();
        answers.retain(|other| other.of != answer.of);
        answers.push(answer);
        let old = answers.len().saturating_sub(LATEST);
        answers.drain(..old);
    }

    /// Drops what is known of a parent that is gone, and caches that nobody uses any more.
    pub(crate) fn forget(&mut self, parent: &ObjectKey) {
        self.answers.remove(parent);
        self.followed.retain(|_, followed| {
            followed.parents.remove(parent);
            !followed.parents.is_empty()
        });
    }

    /// Drops all answers, because the hook is another one now.
    pub(crate) fn forget_answers(&mut self) {
        self.answers.clear();
    }

    /// Returns the parents with a rule that selects an object, or that selects by its labels if it is a
    /// namespace.
    fn concerned(&self, resource: &Resource, objects: &[&Arc<Object>]) -> Vec<ObjectKey> {
        let Some(followed) = self.followed.get(resource) else { return Vec::new() };
        let spaces = self.followed.get(&namespaces()).map(|followed| followed.cache.as_ref());
        let selects = |rule: &Rule| {
            let by_namespace = matches!(rule.namespaces, Namespaces::Labelled(_));
            by_namespace && *resource == namespaces()
                || rule.resource == *resource
                    && objects
                        .iter()
                        .any(|object| rule.selects(object, |name| labels_of(spaces, name)))
        };
        let is_concerned = |parent: &&ObjectKey| {
            let answers = self.answers.get(*parent);
            answers.into_iter().flatten().flat_map(|answer| answer.rules.iter()).any(selects)
        };
        followed.parents.iter().filter(is_concerned).cloned().collect()
    }
}

impl Context {
    /// Returns the cache of a related type, and follows it for a parent from now on.
    fn follow(&self, resource: &Resource, parent: &Object) -> Arc<Cache> {
        let mut customized = self.customized();
        let followed = customized.followed.entry(resource.clone()).or_insert_with(|| {
            let cache = self.means.caches.get(resource);
            let (ctx, of) = (Weak::clone(&self.myself), resource.clone());
            let subscription = cache.subscribe(move |change: &Change| {
                if let Some(ctx) = ctx.upgrade() {
                    ctx.related_changed(&of, change);
                }
            });
            Followed { cache, parents: BTreeSet::new(), _subscription: subscription }
        });
        followed.parents.insert(parent.key());
        Arc::clone(&followed.cache)
    }

    /// Waits until all that is related to a parent is listed, or cannot be.
    pub(crate) async fn related_filled(&self, parent: &ObjectKey) {
        let caches: Vec<_> = {
            let customized = self.customized();
            let of_parent = customized.followed.values();
            let of_parent = of_parent.filter(|followed| followed.parents.contains(parent));
            of_parent.map(|followed| Arc::clone(&followed.cache)).collect()
        };
        for cache in caches {
            // What went wrong is told by whoever reads the cache next.
            let _ = cache.filled().await;
        }
    }

    fn related_changed(&self, resource: &Resource, change: &Change) {
        let objects: Vec<_> = [&change.old, &change.new].into_iter().flatten().collect();
        let is_news =
            change.old.as_ref().zip(change.new.as_ref()).is_none_or(|(old, new)| {
                old.meta().resource_version != new.meta().resource_version
            });
        if is_news {
            let related = || format!("related {} {}", resource.gvk.kind, change.latest().key());
            for parent in self.customized().concerned(resource, &objects) {
                self.queue_for(parent, related);
            }
        }
    }

    pub(crate) fn customized(&self) -> std::sync::MutexGuard<'_, Customized> {
        self.customized.lock().expect("the lock of customize answers is never poisoned")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hashed(metadata: &Value, status: &Value) -> u64 {
        content(&Object::from_value(&json!({"metadata": metadata, "status": status})).unwrap())
    }

    #[test]
    fn a_parent_is_another_one_by_all_but_what_others_note_in_it() {
        let hash = hashed(&json!({"uid": "u", "resourceVersion": "1"}), &json!({"a": 1}));
        for (metadata, is_same) in [
            (json!({"uid": "u", "resourceVersion": "2", "managedFields": [{}]}), true),
            (json!({"uid": "v", "resourceVersion": "1"}), false),
            (json!({"uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}), false),
        ] {
            assert_eq!(hashed(&metadata, &json!({"a": 2})) == hash, is_same, "{metadata}");
        }
    }

    #[test]
    fn an_answer_counts_for_its_time_and_its_version_of_the_parent() {
        let (mut all, now) = (Customized::default(), Timestamp::UNIX_EPOCH);
        let (key, until) = (ObjectKey::new("n", "p"), now + SignedDuration::from_mins(20));
        for of in [1, 2] {
            all.keep(key.clone(), Answer { of, until, rules: Arc::default() });
        }
        let known = |of, at: Timestamp| all.known(&key, of, at).is_some();
        let last = until - SignedDuration::from_secs(1);
        assert_eq!([known(1, now), known(2, last), known(3, now)], [true, true, false]);
        assert!(!known(1, until));
    }
}
