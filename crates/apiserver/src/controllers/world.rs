//! Pure: all objects as the event stream showed them, indexed the way the controllers ask.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use k8s::{Object, ObjectKey, Resource};
use serde::Deserialize;

use super::{
    action::Target, deployment::Deployment, job::Job, kinds, kinds::Shared, node::Node, pod::Pod,
    replicaset::ReplicaSet, requests::Amounts, service::Service, statefulset::StatefulSet,
};

/// Everything that exists.
#[derive(Default)]
pub(crate) struct World {
    /// By namespace, resource and name.
    objects: BTreeMap<String, BTreeMap<Shared, BTreeMap<String, Entry>>>,
    by_uid: HashMap<String, Target>,
    /// By the UID of an owner; the owner need not exist.
    dependents: HashMap<String, BTreeMap<String, Target>>,
    /// UIDs of owners that were seen to go while they had dependents.
    gone: HashSet<String>,
    /// By namespace, what has no controller but might be adopted by one.
    loose: HashMap<String, BTreeMap<String, Target>>,
    /// What is on each node; pods without a node are under the empty name.
    on_node: HashMap<String, Load>,
}

/// The pods of one node that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// By UID.
    pods: BTreeMap<String, ObjectKey>,
    requests: Amounts,
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) object: Arc<Object>,
    pub(crate) view: View,
    /// Who runs it, if it is neither the workload controllers nor the simulated node.
    pub(crate) executor: Option<String>,
}

/// An object as its controllers read it.
#[derive(Clone, Debug)]
pub(crate) enum View {
    Deployment(Box<Deployment>),
    ReplicaSet(Box<ReplicaSet>),
    StatefulSet(Box<StatefulSet>),
    Job(Box<Job>),
    Pod(Box<Pod>),
    Node(Box<Node>),
    Service(Box<Service>),
    Plain,
}

impl World {
    /// Takes in an object as it is now.
    pub(crate) fn put(&mut self, resource: &Shared, object: Arc<Object>) {
        self.forget(&object.meta().uid);
        let target = Target::of(resource, &object);
        for owner in &object.meta().owner_references {
            let dependents = self.dependents.entry(owner.uid.clone()).or_default();
            dependents.insert(target.uid.clone(), target.clone());
        }
        let entry = Entry::new(resource, object);
        if let Some(pod) = entry.pod().filter(|pod| !pod.is_terminal()) {
            let load = self.on_node.entry(pod.node.clone()).or_default();
            load.pods.insert(target.uid.clone(), target.key.clone());
            load.requests += pod.requests;
        }
        let adoptable = matches!(entry.view, View::Pod(_) | View::ReplicaSet(_));
        if adoptable && entry.object.meta().controller().is_none() {
            let loose = self.loose.entry(target.key.namespace.clone()).or_default();
            loose.insert(target.uid.clone(), target.clone());
        }
        let ObjectKey { namespace, name } = target.key.clone();
        let resources = self.objects.entry(namespace).or_default();
        resources.entry(resource.clone()).or_default().insert(name, entry);
        self.by_uid.insert(target.uid.clone(), target);
    }

    /// Forgets an object that went; its dependents remember that it did.
    pub(crate) fn bury(&mut self, uid: &str) {
        self.forget(uid);
        if self.dependents.contains_key(uid) {
            self.gone.insert(uid.to_owned());
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(target) = self.by_uid.remove(uid) else { return };
        let Some(entry) = self.take(&target) else { return };
        for owner in &entry.object.meta().owner_references {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                    self.gone.remove(&owner.uid);
                }
            }
        }
        if let Some(loose) = self.loose.get_mut(&target.key.namespace) {
            loose.remove(uid);
            if loose.is_empty() {
                self.loose.remove(&target.key.namespace);
            }
        }
        if let Some(pod) = entry.pod()
            && let Some(load) = self.on_node.get_mut(&pod.node)
            && load.pods.remove(uid).is_some()
        {
            load.requests -= pod.requests;
        }
    }

    /// Returns the object of these names.
    pub(crate) fn get(&self, resource: &Resource, key: &ObjectKey) -> Option<&Entry> {
        self.objects.get(&key.namespace)?.get(resource)?.get(&key.name)
    }

    /// Returns the object of this UID, and what it is called.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<(&Target, &Entry)> {
        let target = self.by_uid.get(uid)?;
        Some((target, self.get(&target.resource, &target.key)?))
    }

    /// Returns whose owner is the object of this UID.
    pub(crate) fn dependents(&self, owner: &str) -> impl Iterator<Item = (&Target, &Entry)> {
        let targets = self.dependents.get(owner).into_iter().flatten();
        targets.filter_map(|(_, target)| Some((target, self.get(&target.resource, &target.key)?)))
    }

    /// Returns what a controller owns or might adopt.
    pub(crate) fn claimable(&self, claimant: &Object) -> impl Iterator<Item = &Entry> {
        let owned = self.dependents(&claimant.meta().uid).map(|(_, entry)| entry);
        let loose = self.loose.get(&claimant.meta().namespace).into_iter().flatten();
        let loose = loose.filter_map(|(_, target)| self.get(&target.resource, &target.key));
        owned.chain(loose)
    }

    /// Returns everything.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        let targets = self.by_uid.values();
        targets.filter_map(|target| Some((target, self.get(&target.resource, &target.key)?)))
    }

    /// Returns the objects of a resource in a namespace, by name.
    pub(crate) fn of(&self, resource: &Resource, namespace: &str) -> impl Iterator<Item = &Entry> {
        let resources = self.objects.get(namespace);
        resources.and_then(|it| it.get(resource)).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns everything in a namespace.
    pub(crate) fn within(&self, namespace: &str) -> impl Iterator<Item = (&Shared, &Entry)> {
        let resources = self.objects.get(namespace).into_iter().flatten();
        resources.flat_map(|(resource, entries)| entries.values().map(move |it| (resource, it)))
    }

    /// Returns the objects of a group and plural, in whatever version and namespace they are kept.
    pub(crate) fn instances(&self, group: &str, plural: &str) -> Vec<(&Shared, &Entry)> {
        let resources = self.objects.values().flatten();
        let resources = resources.filter(|(it, _)| it.gvk.group == group && it.plural == plural);
        resources.flat_map(|(it, entries)| entries.values().map(move |entry| (it, entry))).collect()
    }

    /// Returns whether the namespace is being deleted.
    pub(crate) fn is_ending(&self, namespace: &str) -> bool {
        let entry = self.get(&kinds::NAMESPACES, &ObjectKey::new("", namespace));
        entry.is_some_and(|entry| entry.object.meta().is_deleting())
    }

    /// Returns whether the object of this UID was seen to go, and still has dependents.
    pub(crate) fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// Returns the pods without a node.
    pub(crate) fn homeless(&self) -> impl Iterator<Item = &ObjectKey> {
        self.on_node.get("").into_iter().flat_map(|load| load.pods.values())
    }

    /// Returns how many pods a node has, and what they ask of it.
    pub(crate) fn load(&self, node: &str) -> (usize, Amounts) {
        self.on_node.get(node).map(|load| (load.pods.len(), load.requests)).unwrap_or_default()
    }

    fn take(&mut self, target: &Target) -> Option<Entry> {
        let ObjectKey { namespace, name } = &target.key;
        let resources = self.objects.get_mut(namespace)?;
        let entries = resources.get_mut(&target.resource)?;
        let entry = entries.remove(name);
        if entries.is_empty() {
            resources.remove(&target.resource);
        }
        if resources.is_empty() {
            self.objects.remove(namespace);
        }
        entry
    }
}

impl Entry {
    fn new(resource: &Shared, object: Arc<Object>) -> Self {
        let view = View::read(resource, &object);
        let executor = match view {
            View::Deployment(_)
            | View::ReplicaSet(_)
            | View::StatefulSet(_)
            | View::Job(_)
            | View::Pod(_) => executor(&object),
            View::Node(_) | View::Service(_) | View::Plain => None,
        };
        Self { object, view, executor }
    }

    /// Returns the pod that this is.
    pub(crate) fn pod(&self) -> Option<&Pod> {
        if let View::Pod(pod) = &self.view { Some(pod) } else { None }
    }

    /// Returns the ReplicaSet that this is.
    pub(crate) fn replica_set(&self) -> Option<&ReplicaSet> {
        if let View::ReplicaSet(set) = &self.view { Some(set) } else { None }
    }

    /// Returns the Deployment that this is.
    pub(crate) fn deployment(&self) -> Option<&Deployment> {
        if let View::Deployment(deployment) = &self.view { Some(deployment) } else { None }
    }

    /// Returns the StatefulSet that this is.
    pub(crate) fn stateful_set(&self) -> Option<&StatefulSet> {
        if let View::StatefulSet(set) = &self.view { Some(set) } else { None }
    }

    /// Returns the Job that this is.
    pub(crate) fn job(&self) -> Option<&Job> {
        if let View::Job(job) = &self.view { Some(job) } else { None }
    }

    /// Returns the Service that this is.
    pub(crate) fn service(&self) -> Option<&Service> {
        if let View::Service(service) = &self.view { Some(service) } else { None }
    }

    /// Returns the Node that this is.
    pub(crate) fn node(&self) -> Option<&Node> {
        if let View::Node(node) = &self.view { Some(node) } else { None }
    }
}

impl View {
    fn read(resource: &Shared, object: &Arc<Object>) -> Self {
        let object = object.clone();
        let is = |kind: &Shared| resource == kind;
        if is(&kinds::PODS) {
            Self::Pod(Box::new(Pod::read(object)))
        } else if is(&kinds::REPLICA_SETS) {
            ReplicaSet::read(object).map_or(Self::Plain, |it| Self::ReplicaSet(Box::new(it)))
        } else if is(&kinds::DEPLOYMENTS) {
            Deployment::read(object).map_or(Self::Plain, |it| Self::Deployment(Box::new(it)))
        } else if is(&kinds::STATEFUL_SETS) {
            StatefulSet::read(object).map_or(Self::Plain, |it| Self::StatefulSet(Box::new(it)))
        } else if is(&kinds::JOBS) {
            Job::read(object).map_or(Self::Plain, |it| Self::Job(Box::new(it)))
        } else if is(&kinds::NODES) {
            Node::read(object).map_or(Self::Plain, |it| Self::Node(Box::new(it)))
        } else if is(&kinds::SERVICES) {
            Service::read(object).map_or(Self::Plain, |it| Self::Service(Box::new(it)))
        } else {
            Self::Plain
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    metadata: WireMeta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireMeta {
    annotations: WireAnnotations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireAnnotations {
    #[serde(rename = "windlass.dev/executor")]
    executor: Option<String>,
}

/// Returns the executor that an object is given to.
pub(crate) fn executor(object: &Object) -> Option<String> {
    let wire: Wire = serde_json::from_slice(object.json()).unwrap_or_default();
    wire.metadata.annotations.executor
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: &Value) -> Arc<Object> {
        Arc::new(Object::from_value(value).unwrap())
    }

    fn pod(name: &str, owners: &[&str]) -> Arc<Object> {
        let owners: Vec<_> = owners.iter().map(|uid| json!({"uid": uid})).collect();
        object(&json!({"metadata": {
            "name": name, "namespace": "a", "uid": format!("uid-{name}"), "ownerReferences": owners,
        }}))
    }

    #[test]
    fn dependents_follow_their_references() {
        let mut world = World::default();
        let names = |world: &World, owner: &str| {
            let dependents = world.dependents(owner);
            dependents.map(|(target, _)| target.key.name.clone()).collect::<Vec<_>>()
        };
        world.put(&kinds::PODS, pod("one", &["x", "y"]));
        world.put(&kinds::PODS, pod("two", &["x"]));
        assert_eq!(names(&world, "x"), ["one", "two"]);
        world.put(&kinds::PODS, pod("one", &["y"]));
        assert_eq!(
            (names(&world, "x"), names(&world, "y")),
            (vec!["two".into()], vec!["one".into()])
        );
        world.bury("uid-one");
        world.bury("uid-two");
        assert!(world.objects.is_empty() && world.by_uid.is_empty() && world.dependents.is_empty());
    }

    #[test]
    fn an_owner_that_went_is_remembered_by_its_dependents() {
        let mut world = World::default();
        world.put(&kinds::PODS, pod("owner", &[]));
        world.put(&kinds::PODS, pod("dependent", &["uid-owner"]));
        world.bury("uid-owner");
        assert!(world.is_gone("uid-owner"));
        world.bury("uid-dependent");
        assert!(!world.is_gone("uid-owner"));
    }

    #[test]
    fn an_executor_is_named_by_an_annotation() {
        let mut world = World::default();
        world.put(
            &kinds::PODS,
            object(&json!({"metadata": {"name": "a", "uid": "u",
                "annotations": {"windlass.dev/executor": "functions", "other": "x"}}})),
        );
        let entry = world.get(&kinds::PODS, &ObjectKey::new("", "a")).unwrap();
        assert_eq!(entry.executor.as_deref(), Some("functions"));
    }
}
