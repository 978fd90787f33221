//! Pure: all objects as the event stream showed them, indexed the way the controllers ask.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use k8s::{Object, ObjectKey, Resource};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    action::Target, deployment::Deployment, job::Job, kinds, kinds::Shared, node::Node,
    parts::Parts, pod::Pod, replicaset::ReplicaSet, requests::Amounts, service::Service,
    statefulset::StatefulSet,
};

/// Everything that exists.
///
/// The indices share the entries and take their keys from them: what an object costs here counts, since
/// there may be many of which no controller ever asks.
#[derive(Default)]
pub(crate) struct World {
    /// By namespace and resource.
    objects: BTreeMap<String, BTreeMap<Shared, BTreeSet<ByName>>>,
    by_uid: HashSet<ByUid>,
    /// By the UID of an owner; the owner need not exist.
    dependents: HashMap<String, BTreeSet<ByUid>>,
    /// UIDs of owners that were seen to go while they had dependents.
    gone: HashSet<String>,
    /// By namespace, what has no controller but might be adopted by one.
    loose: HashMap<String, BTreeSet<ByUid>>,
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
    pub(crate) resource: Shared,
    pub(crate) object: Arc<Object>,
    pub(crate) view: View,
    /// Who runs it, if it is neither the workload controllers nor the simulated node.
    pub(crate) executor: Option<Box<str>>,
}

/// An entry that is found by the name of its object.
#[derive(Clone)]
struct ByName(Arc<Entry>);

/// An entry that is found by the UID of its object.
#[derive(Clone)]
struct ByUid(Arc<Entry>);

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
        let entry = Arc::new(Entry::new(resource, object));
        let meta = entry.object.meta();
        for owner in &meta.owner_references {
            let dependents = self.dependents.entry(owner.uid.clone()).or_default();
            dependents.replace(ByUid(entry.clone()));
        }
        if let Some(pod) = entry.pod().filter(|pod| !pod.is_terminal()) {
            let load = self.on_node.entry(pod.node.clone()).or_default();
            load.pods.insert(meta.uid.clone(), meta.key());
            load.requests += pod.requests;
        }
        let adoptable = matches!(entry.view, View::Pod(_) | View::ReplicaSet(_));
        if adoptable && meta.controller().is_none() {
            let loose = self.loose.entry(meta.namespace.clone()).or_default();
            loose.replace(ByUid(entry.clone()));
        }
        let resources = match self.objects.get_mut(&meta.namespace) {
            Some(resources) => resources,
            None => self.objects.entry(meta.namespace.clone()).or_default(),
        };
        resources.entry(resource.clone()).or_default().replace(ByName(entry.clone()));
        self.by_uid.replace(ByUid(entry));
    }

    /// Forgets an object that went; its dependents remember that it did.
    pub(crate) fn bury(&mut self, uid: &str) {
        self.forget(uid);
        if self.dependents.contains_key(uid) {
            self.gone.insert(uid.to_owned());
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(ByUid(entry)) = self.by_uid.take(uid) else { return };
        let meta = entry.object.meta();
        self.take_by_name(&entry);
        for owner in &meta.owner_references {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                    self.gone.remove(&owner.uid);
                }
            }
        }
        if let Some(loose) = self.loose.get_mut(&meta.namespace) {
            loose.remove(uid);
            if loose.is_empty() {
                self.loose.remove(&meta.namespace);
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
        let entries = self.objects.get(&key.namespace)?.get(resource)?;
        entries.get(key.name.as_str()).map(|it| &*it.0)
    }

    /// Returns the object of this UID.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Entry> {
        self.by_uid.get(uid).map(|it| &*it.0)
    }

    /// Returns whose owner is the object of this UID.
    pub(crate) fn dependents(&self, owner: &str) -> impl Iterator<Item = &Entry> {
        self.dependents.get(owner).into_iter().flatten().map(|it| &*it.0)
    }

    /// Returns what a controller owns or might adopt.
    pub(crate) fn claimable(&self, claimant: &Object) -> impl Iterator<Item = &Entry> {
        let loose = self.loose.get(&claimant.meta().namespace).into_iter().flatten();
        self.dependents(&claimant.meta().uid).chain(loose.map(|it| &*it.0))
    }

    /// Returns everything.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.by_uid.iter().map(|it| &*it.0)
    }

    /// Returns the objects of a resource in a namespace, by name.
    pub(crate) fn of(&self, resource: &Resource, namespace: &str) -> impl Iterator<Item = &Entry> {
        let resources = self.objects.get(namespace);
        resources.and_then(|it| it.get(resource)).into_iter().flatten().map(|it| &*it.0)
    }

    /// Returns everything in a namespace.
    pub(crate) fn within(&self, namespace: &str) -> impl Iterator<Item = (&Shared, &Entry)> {
        let resources = self.objects.get(namespace).into_iter().flatten();
        resources.flat_map(|(_, entries)| entries).map(|it| (&it.0.resource, &*it.0))
    }

    /// Returns the objects of a group and plural, in whatever version and namespace they are kept.
    pub(crate) fn instances(&self, group: &str, plural: &str) -> Vec<(&Shared, &Entry)> {
        let resources = self.objects.values().flatten();
        let resources = resources.filter(|(it, _)| it.gvk.group == group && it.plural == plural);
        resources.flat_map(|(_, it)| it).map(|it| (&it.0.resource, &*it.0)).collect()
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

    fn take_by_name(&mut self, entry: &Entry) {
        let meta = entry.object.meta();
        let Some(resources) = self.objects.get_mut(&meta.namespace) else { return };
        let Some(entries) = resources.get_mut(&entry.resource) else { return };
        entries.remove(meta.name.as_str());
        if entries.is_empty() {
            resources.remove(&entry.resource);
        }
        if resources.is_empty() {
            self.objects.remove(&meta.namespace);
        }
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
            | View::Pod(_) => executor(&object).map(String::into_boxed_str),
            View::Node(_) | View::Service(_) | View::Plain => None,
        };
        Self { resource: resource.clone(), object, view, executor }
    }

    /// Returns the name of what was observed.
    pub(crate) fn target(&self) -> Target {
        Target::of(&self.resource, &self.object)
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

/// Makes an index entry stand for the text it is found by.
macro_rules! found_by {
    ($($index:ident: $field:ident;)*) => {
        $(impl Borrow<str> for $index {
            fn borrow(&self) -> &str {
                &self.0.object.meta().$field
            }
        }

        impl PartialEq for $index {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $index {}

        impl PartialOrd for $index {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $index {
            fn cmp(&self, other: &Self) -> Ordering {
                Borrow::<str>::borrow(self).cmp(other.borrow())
            }
        }

        impl Hash for $index {
            fn hash<H: Hasher>(&self, state: &mut H) {
                Borrow::<str>::borrow(self).hash(state);
            }
        })*
    };
}

found_by! {
    ByName: name;
    ByUid: uid;
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
struct Annotations {
    #[serde(rename = "windlass.dev/executor")]
    executor: Option<String>,
}

/// Returns the executor that an object is given to.
pub(crate) fn executor(object: &Object) -> Option<String> {
    let parts = Parts::<IgnoredAny, IgnoredAny, Annotations>::read(object);
    parts?.metadata.annotations?.executor
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
            dependents.map(|it| it.object.meta().name.clone()).collect::<Vec<_>>()
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
