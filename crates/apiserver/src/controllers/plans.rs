//! Pure: gathers what a piece of work needs from the world, and has it planned.

use std::net::SocketAddr;

use k8s::{ObjectKey, Timestamp};
use serde_json::Value;

use super::{
    action::{Action, Note, Plan, Severity},
    addresses::Addresses,
    custom, deployment,
    garbage::{self, Discovery, Verdict},
    job, kinds, namespace, node,
    pod::Pod,
    queue::Work,
    replicaset, scheduler, service, sim, statefulset, volume,
    world::{Entry, World},
};
use crate::{fields, furniture, whereabouts};

/// What plans are made from, besides the work itself.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a World,
    pub(crate) addresses: &'a mut Addresses,
    pub(crate) known: Discovery<'a>,
    /// The certificate that clients trust, as namespaces show it.
    pub(crate) certificate: &'a str,
    /// Where the server is reached, once it listens.
    pub(crate) address: Option<SocketAddr>,
    /// The store's revision, from which names are made.
    pub(crate) revision: u64,
    pub(crate) now: Timestamp,
}

impl<'a> Context<'a> {
    /// Plans one piece of work.
    pub(crate) fn plan(&mut self, work: &Work) -> Verdict {
        let plan = match work {
            Work::Garbage(uid) => return self.garbage(uid),
            Work::Unclaimed(uid) => self.unclaimed(uid),
            Work::Furniture(namespace) => self.furniture(namespace),
            Work::Pod(key) => self.pod(key),
            Work::ReplicaSet(key) => self.replica_set(key).as_ref().map(replicaset::plan),
            Work::Deployment(key) => self.deployment(key),
            Work::StatefulSet(key) => self.stateful_set(key),
            Work::Job(key) => self.job(key),
            Work::Service(key) => self.service(key),
            Work::Volume(name) => self.volume(name),
            Work::Claim(key) => self.claim(key),
            Work::CustomResource(name) => self.definition(name),
            Work::Namespace(name) => self.namespace(name),
        };
        Verdict::Plan(plan.unwrap_or_default())
    }

    /// Plans to tell that the work on a ReplicaSet failed; nothing is told of other work.
    pub(crate) fn plan_failed(&self, work: &Work, error: &str) -> Plan {
        let Work::ReplicaSet(key) = work else { return Plan::default() };
        self.replica_set(key).map(|it| replicaset::failed(&it, error)).unwrap_or_default()
    }

    fn garbage(&self, uid: &str) -> Verdict {
        match self.world.by_uid(uid) {
            Some(entry) => garbage::plan(self.world, &entry.target(), entry, self.known),
            None => Verdict::Plan(Plan::default()),
        }
    }

    /// Plans to tell that nobody runs what is given to an executor.
    fn unclaimed(&self, uid: &str) -> Option<Plan> {
        let entry = self.world.by_uid(uid)?;
        let executor = entry.executor.as_ref()?;
        let note = Note {
            about: entry.target(),
            severity: Severity::Warning,
            component: "windlass",
            reason: "ExecutorUnknown",
            message: format!("no executor `{executor}` is registered; the object is left alone"),
        };
        Some(Plan { actions: vec![Action::Note(note)], look_again: None })
    }

    /// Plans to give a namespace back what it lost of its own content.
    fn furniture(&self, namespace: &str) -> Option<Plan> {
        self.world.get(&kinds::NAMESPACES, &ObjectKey::new("", namespace))?;
        if self.world.is_ending(namespace) {
            return None;
        }
        let find = |resource: &kinds::Shared, name: &str| {
            self.world.get(resource, &ObjectKey::new(namespace, name))
        };
        let mut plan = Plan::default();
        let mut create = |resource: &kinds::Shared, mut object: Value| {
            fields::set(&mut object, &["metadata", "namespace"], namespace);
            plan.push(Action::Create { resource: resource.clone(), object });
        };
        if find(&kinds::SERVICE_ACCOUNTS, furniture::ACCOUNT).is_none() {
            create(&kinds::SERVICE_ACCOUNTS, furniture::account());
        }
        match find(&kinds::CONFIG_MAPS, furniture::CERTIFICATE) {
            None => create(&kinds::CONFIG_MAPS, furniture::certificate(self.certificate)),
            Some(entry) => {
                let repaired = furniture::repaired(&entry.object.to_value(), self.certificate);
                plan.actions.extend(repaired.map(|object| Action::Update {
                    resource: kinds::CONFIG_MAPS.clone(),
                    object,
                    what: "certificate".to_owned(),
                }));
            }
        }
        Some(plan)
    }

    fn pod(&mut self, key: &ObjectKey) -> Option<Plan> {
        let pod = self.own(&kinds::PODS, key)?.pod()?;
        let now = self.now;
        if job::tracking::is_kept(pod) && !self.has_job(pod) {
            return Some(Plan { actions: vec![job::tracking::release(pod)], look_again: None });
        }
        if pod.node.is_empty() {
            let nodes = self.world.of(&kinds::NODES, "").filter_map(Entry::node);
            let nodes = nodes.map(|node| {
                let (pods, requests) = self.world.load(node.name());
                scheduler::Candidate { node, pods, requests }
            });
            let nodes = nodes.collect();
            return Some(scheduler::plan(&scheduler::Observed { pod, nodes, now }));
        }
        let host = node::address(&pod.node)?;
        let uid = &pod.object.meta().uid;
        let (address, started) = self.addresses.of(uid);
        Some(sim::plan(&sim::Observed { pod, address: &address, host: &host, started, now }))
    }

    /// Returns whether the Job that made a pod is there to count it.
    fn has_job(&self, pod: &Pod) -> bool {
        let owner = pod.object.meta().controller();
        owner.is_some_and(|owner| self.world.by_uid(&owner.uid).is_some())
    }

    fn replica_set(&self, key: &ObjectKey) -> Option<replicaset::Observed<'a>> {
        let set = self.growing(&kinds::REPLICA_SETS, key)?.replica_set()?;
        let pods = self.world.claimable(&set.object).filter_map(Entry::pod).collect();
        Some(replicaset::Observed { set, pods, revision: self.revision, now: self.now })
    }

    fn deployment(&self, key: &ObjectKey) -> Option<Plan> {
        let deployment = self.growing(&kinds::DEPLOYMENTS, key)?.deployment()?;
        let sets = self.world.claimable(deployment.claimant().object);
        let sets: Vec<_> = sets.filter_map(Entry::replica_set).collect();
        let pods = sets.iter().flat_map(|set| self.world.dependents(&set.object.meta().uid));
        let pods = pods.filter_map(Entry::pod).collect();
        let is_taken = |name: &str| {
            let key = ObjectKey::new(&key.namespace, name);
            self.world.get(&kinds::REPLICA_SETS, &key).is_some()
        };
        let observed =
            deployment::Observed { deployment, sets, pods, is_taken: &is_taken, now: self.now };
        Some(deployment::plan(&observed))
    }

    fn stateful_set(&self, key: &ObjectKey) -> Option<Plan> {
        let set = self.growing(&kinds::STATEFUL_SETS, key)?.stateful_set()?;
        let claimant = set.claimant();
        let owned = self.world.dependents(&claimant.object.meta().uid);
        let revisions = owned.filter(|it| it.resource == *kinds::CONTROLLER_REVISIONS);
        let find = |resource: &kinds::Shared, name: &str| {
            let entry = self.world.get(resource, &ObjectKey::new(&key.namespace, name));
            entry.map(|entry| &*entry.object)
        };
        let observed = statefulset::Observed {
            set,
            pods: self.world.claimable(claimant.object).filter_map(Entry::pod).collect(),
            revisions: revisions.map(|entry| &*entry.object).collect(),
            find: &find,
            now: self.now,
        };
        Some(statefulset::plan(&observed))
    }

    fn job(&self, key: &ObjectKey) -> Option<Plan> {
        let job = self.own(&kinds::JOBS, key)?.job()?;
        let observed = job::Observed {
            job,
            pods: self.world.claimable(job.claimant().object).filter_map(Entry::pod).collect(),
            is_closed: self.world.is_ending(&key.namespace),
            revision: self.revision,
            now: self.now,
        };
        Some(job::plan(&observed))
    }

    fn service(&self, key: &ObjectKey) -> Option<Plan> {
        let endpoints = self.world.get(&kinds::ENDPOINTS, key).map(|entry| &*entry.object);
        let slices = self.world.of(&kinds::ENDPOINT_SLICES, &key.namespace);
        let slices = slices
            .map(|entry| &*entry.object)
            .filter(|slice| slice.meta().labels.get(service::SERVICE_NAME) == Some(&key.name));
        let Some(entry) = self.world.get(&kinds::SERVICES, key) else {
            return Some(service::plan_gone(endpoints, &slices.collect::<Vec<_>>()));
        };
        if self.world.is_ending(&key.namespace) {
            return None;
        }
        let observed = service::Observed {
            service: entry.service()?,
            pods: self.world.of(&kinds::PODS, &key.namespace).filter_map(Entry::pod).collect(),
            endpoints,
            slices: slices.collect(),
        };
        let mut plan = service::plan(&observed);
        if let Some(address) = self.address.filter(|_| *key == whereabouts::key()) {
            let slice = self.world.get(&kinds::ENDPOINT_SLICES, key).map(|it| &*it.object);
            service::tell(address, [endpoints, slice], &mut plan);
        }
        Some(plan)
    }

    fn volume(&self, name: &str) -> Option<Plan> {
        let entry = self.world.get(&kinds::VOLUMES, &ObjectKey::new("", name))?;
        Some(volume::plan(&entry.object))
    }

    fn claim(&self, key: &ObjectKey) -> Option<Plan> {
        let claim = self.world.get(&kinds::CLAIMS, key)?;
        let pods = self.world.of(&kinds::PODS, &key.namespace).filter_map(Entry::pod);
        Some(volume::plan_claim(&claim.object, pods))
    }

    fn definition(&self, name: &str) -> Option<Plan> {
        let entry = self.world.get(&kinds::CRDS, &ObjectKey::new("", name))?;
        if !entry.object.meta().is_deleting() {
            return None;
        }
        let value = entry.object.to_value();
        let group = fields::text(&value, "/spec/group");
        let plural = fields::text(&value, "/spec/names/plural");
        let instances = self.world.instances(group, plural);
        let observed = custom::Observed { definition: &entry.object, instances, now: self.now };
        Some(custom::plan(&observed))
    }

    fn namespace(&self, name: &str) -> Option<Plan> {
        let entry = self.world.get(&kinds::NAMESPACES, &ObjectKey::new("", name))?;
        if !entry.object.meta().is_deleting() {
            return None;
        }
        let content = self.world.within(name).collect();
        let observed = namespace::Observed { namespace: &entry.object, content, now: self.now };
        Some(namespace::plan(&observed))
    }

    /// Returns an object, unless an executor has it.
    fn own(&self, resource: &kinds::Shared, key: &ObjectKey) -> Option<&'a Entry> {
        self.world.get(resource, key).filter(|entry| entry.executor.is_none())
    }

    /// Returns such an object, unless nothing can be made in its namespace any more.
    fn growing(&self, resource: &kinds::Shared, key: &ObjectKey) -> Option<&'a Entry> {
        self.own(resource, key).filter(|_| !self.world.is_ending(&key.namespace))
    }
}
