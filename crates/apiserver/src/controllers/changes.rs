//! Pure: which work an event brings.

use std::collections::BTreeSet;

use k8s::{Meta, Object, ObjectKey};

use super::{
    action::Target,
    claim::Claim,
    custom, garbage, kinds,
    kinds::Shared,
    queue::Work,
    world::{Entry, View, World},
};
use crate::furniture;

/// One committed write: the object before and after it, where it was or is.
pub(crate) struct Change<'a> {
    pub(crate) resource: &'a Shared,
    pub(crate) old: Option<&'a Object>,
    pub(crate) new: Option<&'a Object>,
}

/// Returns the work that a change brings, in a world that has taken it in.
pub(crate) fn work(world: &World, change: &Change<'_>) -> BTreeSet<Work> {
    let mut work = BTreeSet::new();
    let resource = change.resource;
    let is = |kind: &Shared| resource == kind;
    if is(&kinds::EVENTS) && change.new.is_some() {
        // Nobody owns them, and nobody waits for one to come.
        return work;
    }
    for object in [change.old, change.new].into_iter().flatten() {
        let key = object.key();
        if is(&kinds::PODS) {
            add_pod(world, object, &mut work);
            // Room on a node is for those that wait.
            if change.new.is_none_or(|new| new.meta().is_deleting()) {
                work.extend(world.homeless().cloned().map(Work::Pod));
            }
        } else if is(&kinds::REPLICA_SETS) {
            work.insert(Work::ReplicaSet(key));
            let claimants = claimants(world, object, &kinds::DEPLOYMENTS);
            work.extend(claimants.into_iter().map(Work::Deployment));
        } else if is(&kinds::DEPLOYMENTS) {
            work.insert(Work::Deployment(key));
        } else if is(&kinds::STATEFUL_SETS) {
            work.insert(Work::StatefulSet(key));
        } else if is(&kinds::CONTROLLER_REVISIONS) {
            let owners = claimants(world, object, &kinds::STATEFUL_SETS);
            work.extend(owners.into_iter().map(Work::StatefulSet));
        } else if is(&kinds::JOBS) {
            if change.new.is_none() {
                let pods = world.dependents(&object.meta().uid);
                let pods = pods.filter(|it| it.resource == *kinds::PODS);
                work.extend(pods.map(|it| Work::Pod(it.object.key())));
            }
            work.insert(Work::Job(key));
        } else if is(&kinds::SERVICES) || is(&kinds::ENDPOINTS) {
            work.insert(Work::Service(key));
        } else if is(&kinds::ENDPOINT_SLICES) {
            let service = object.meta().labels.get(super::service::SERVICE_NAME);
            let named = service.map(|it| ObjectKey::new(&object.meta().namespace, it));
            work.extend(named.map(Work::Service));
        } else if is(&kinds::VOLUMES) {
            work.insert(Work::Volume(key.name));
        } else if is(&kinds::CLAIMS) {
            work.insert(Work::Claim(key));
        } else if is(&kinds::NODES) {
            work.extend(world.homeless().cloned().map(Work::Pod));
        } else if is(&kinds::NAMESPACES) {
            work.insert(Work::Namespace(key.name));
        } else if is(&kinds::CRDS) {
            work.insert(Work::CustomResource(key.name));
        }
    }
    add_furniture(change, &mut work);
    add_garbage(world, change, &mut work);
    add_waiting(world, change, &mut work);
    add_executor(world, change, &mut work);
    work
}

/// Adds what counts or addresses a pod, and the pod itself.
fn add_pod(world: &World, pod: &Object, work: &mut BTreeSet<Work>) {
    let meta = pod.meta();
    work.insert(Work::Pod(pod.key()));
    for set in claimants(world, pod, &kinds::REPLICA_SETS) {
        let entry = world.get(&kinds::REPLICA_SETS, &set);
        // A Deployment that recreates its pods waits for the old ones to go.
        let deployments = entry.map(|entry| claimants(world, &entry.object, &kinds::DEPLOYMENTS));
        work.extend(deployments.into_iter().flatten().map(Work::Deployment));
        work.insert(Work::ReplicaSet(set));
    }
    let sets = claimants(world, pod, &kinds::STATEFUL_SETS);
    work.extend(sets.into_iter().map(Work::StatefulSet));
    work.extend(claimants(world, pod, &kinds::JOBS).into_iter().map(Work::Job));
    let services = world.of(&kinds::SERVICES, &meta.namespace);
    let services = services
        .filter(|entry| entry.service().is_some_and(|service| service.selects(&meta.labels)));
    work.extend(services.map(|entry| Work::Service(entry.object.key())));
    let claims = world.of(&kinds::CLAIMS, &meta.namespace);
    let waiting = claims.filter(|entry| entry.object.meta().is_deleting());
    work.extend(waiting.map(|entry| Work::Claim(entry.object.key())));
}

/// Returns who of a resource owns an object or, if nobody does, would adopt it.
fn claimants(world: &World, object: &Object, resource: &Shared) -> Vec<ObjectKey> {
    if let Some(owner) = object.meta().controller() {
        let owner = world.by_uid(&owner.uid).filter(|owner| owner.resource == *resource);
        return owner.into_iter().map(|owner| owner.object.key()).collect();
    }
    let others = world.of(resource, &object.meta().namespace);
    let claiming = others.filter(|entry| {
        let claimant = match &entry.view {
            View::Deployment(deployment) => deployment.claimant(),
            View::ReplicaSet(set) => set.claimant(),
            View::StatefulSet(set) => set.claimant(),
            View::Job(job) => job.claimant(),
            _ => return false,
        };
        claimant.claim(object.meta()) != Claim::Foreign
    });
    claiming.map(|entry| entry.object.key()).collect()
}

/// Adds the namespace whose own content went, or is no longer what it was.
fn add_furniture(change: &Change<'_>, work: &mut BTreeSet<Work>) {
    let Some(Meta { name, namespace, .. }) = change.old.map(Object::meta) else { return };
    let (resource, is_gone) = (change.resource, change.new.is_none());
    let is_account = *resource == *kinds::SERVICE_ACCOUNTS && name == furniture::ACCOUNT;
    let is_certificate = *resource == *kinds::CONFIG_MAPS && name == furniture::CERTIFICATE;
    if is_account && is_gone || is_certificate {
        work.insert(Work::Furniture(namespace.clone()));
    }
}

/// Adds the objects whose owners or finalizers matter now.
fn add_garbage(world: &World, change: &Change<'_>, work: &mut BTreeSet<Work>) {
    let (old, new) = (change.old.map(Object::meta), change.new.map(Object::meta));
    if old.zip(new).is_some_and(|(old, new)| is_same(old, new)) {
        return;
    }
    let owners = [old, new].into_iter().flatten().flat_map(|meta| &meta.owner_references);
    let owners = owners.filter_map(|owner| world.by_uid(&owner.uid));
    let waiting = owners.filter(|owner| owner.object.meta().is_deleting());
    work.extend(waiting.map(|owner| Work::garbage(&owner.target())));
    let Some(meta) = new.or(old) else { return };
    if new.is_some_and(|meta| meta.is_deleting() || !meta.owner_references.is_empty()) {
        work.insert(Work::Garbage(meta.uid.clone()));
    }
    if new.is_none_or(|meta| meta.is_deleting() && meta.has_finalizer(garbage::FOREGROUND)) {
        let dependents = world.dependents(&meta.uid);
        work.extend(dependents.map(|it| Work::garbage(&it.target())));
    }
}

/// Returns whether owners, finalizers and deletion are as they were.
fn is_same(old: &Meta, new: &Meta) -> bool {
    old.owner_references == new.owner_references
        && old.finalizers == new.finalizers
        && old.is_deleting() == new.is_deleting()
}

/// Adds the namespace or the definition that waits for its objects to go.
fn add_waiting(world: &World, change: &Change<'_>, work: &mut BTreeSet<Work>) {
    let Some(object) = change.new.or(change.old) else { return };
    let namespace = &object.meta().namespace;
    if !namespace.is_empty() && world.is_ending(namespace) {
        work.insert(Work::Namespace(namespace.clone()));
    }
    let resource = change.resource;
    let name = format!("{}.{}", resource.plural, resource.gvk.group);
    let definition = world.get(&kinds::CRDS, &ObjectKey::new("", &name));
    let is_ending = |it: &Entry| {
        it.object.meta().is_deleting() && it.object.meta().has_finalizer(custom::FINALIZER)
    };
    if definition.is_some_and(is_ending) {
        work.insert(Work::CustomResource(name));
    }
}

/// Adds an object that was just given to an executor.
fn add_executor(world: &World, change: &Change<'_>, work: &mut BTreeSet<Work>) {
    let Some(new) = change.new else { return };
    let entry = world.get(change.resource, &new.key());
    let executor = entry.and_then(|entry| entry.executor.as_deref());
    let before = change.old.and_then(super::world::executor);
    if executor.is_some() && executor != before.as_deref() {
        work.insert(Work::Unclaimed(Target::of(change.resource, new).uid));
    }
}
