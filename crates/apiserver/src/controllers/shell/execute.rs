//! Executes plans through the backend.

use std::collections::HashMap;

use k8s::ObjectKey;
use serde_json::{Value, json};

use super::Shell;
use crate::{
    backend::{DeleteOptions, Part, Propagation},
    controllers::{
        action::{Action, Deletion, Note, Plan, Target},
        kinds,
        kinds::Shared,
        names,
    },
    error::{ApiError, Reason},
    fields,
    lifecycle::rfc3339,
};

/// How many writes are made before others get their turn.
const TURN: usize = 32;

/// The resourceVersions that the writes of one plan led to, by UID.
type Versions = HashMap<String, String>;

impl Shell {
    /// Executes a plan in order, up to the first write that fails.
    pub(super) async fn execute(&mut self, plan: &Plan) -> Result<(), ApiError> {
        let mut versions = Versions::new();
        for (done, action) in plan.actions.iter().enumerate() {
            if done % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            match self.act(action, &mut versions) {
                // What is gone needs no write any more; its event says so.
                Err(error) if error.reason() == Reason::NotFound && !is_create(action) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn act(&mut self, action: &Action, versions: &mut Versions) -> Result<(), ApiError> {
        match action {
            Action::Create { resource, object } => {
                self.backend.create(resource, object.clone()).map(|_| ())
            }
            Action::Update { resource, object, .. } => {
                self.update(resource, object, Part::Main, versions)
            }
            Action::Status { resource, object } => {
                self.remember_start(resource, object);
                self.update(resource, object, Part::Status, versions)
            }
            Action::Finalize { namespace } => {
                self.update(&kinds::NAMESPACES, namespace, Part::Finalize, versions)
            }
            Action::Bind { pod, node } => self.bind(pod, node),
            Action::Delete { target, how } => self.delete(target, *how, versions),
            Action::Note(note) => self.note(note),
        }
    }

    /// Writes an object, on top of what the same plan wrote to it before.
    fn update(
        &self,
        resource: &Shared,
        object: &Value,
        part: Part,
        versions: &mut Versions,
    ) -> Result<(), ApiError> {
        let mut object = object.clone();
        let uid = fields::text(&object, "/metadata/uid").to_owned();
        if let Some(version) = versions.get(&uid) {
            fields::set(&mut object, &["metadata", "resourceVersion"], version.clone());
        }
        let written = self.backend.update(resource, object, part)?;
        versions.insert(uid, written.meta().resource_version.clone());
        Ok(())
    }

    fn bind(&self, pod: &Target, node: &str) -> Result<(), ApiError> {
        let registered = self.backend.registered(&pod.resource)?;
        let binding = json!({"metadata": {"uid": pod.uid}, "target": {"name": node}});
        self.backend.bind(&registered, &pod.key, &binding, false)
    }

    fn delete(&self, target: &Target, how: Deletion, versions: &Versions) -> Result<(), ApiError> {
        let propagation = match how {
            Deletion::Background => Some(Propagation::Background),
            Deletion::Foreground => Some(Propagation::Foreground),
            Deletion::Orphan => Some(Propagation::Orphan),
            Deletion::Now => None,
        };
        let version = versions.get(&target.uid).unwrap_or(&target.version);
        let options = DeleteOptions {
            grace: (how == Deletion::Now).then_some(0),
            uid: Some(target.uid.clone()),
            resource_version: Some(version.clone()),
            propagation,
            ..DeleteOptions::default()
        };
        self.backend.delete(&target.resource, &target.key, &options).map(|_| ())
    }

    /// Writes an Event, or counts one that was written before.
    fn note(&self, note: &Note) -> Result<(), ApiError> {
        let event = self.event(note);
        let key = ObjectKey::new(
            fields::text(&event, "/metadata/namespace"),
            fields::text(&event, "/metadata/name"),
        );
        let written = match self.backend.get(&kinds::EVENTS, &key) {
            Ok(before) => {
                let mut again = before.to_value();
                let count = again.get("count").and_then(Value::as_i64).unwrap_or(1);
                fields::set(&mut again, &["count"], count + 1);
                fields::set(&mut again, &["lastTimestamp"], event["lastTimestamp"].clone());
                self.backend.update(&kinds::EVENTS, again, Part::Main)
            }
            Err(_) => self.backend.create(&kinds::EVENTS, event),
        };
        match written {
            Ok(_) => Ok(()),
            // A namespace that ends takes no more Events, and nothing must fail for want of one.
            Err(error) if error.code() < 500 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn event(&self, note: &Note) -> Value {
        let Target { resource, key, uid, .. } = &note.about;
        let now = rfc3339(self.backend.clock().now());
        let seed = (uid, note.component, note.reason, &note.message);
        let namespace = if key.namespace.is_empty() { "default" } else { &key.namespace };
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": format!("{}.{:016x}", key.name, names::hash(&seed)),
                "namespace": namespace,
            },
            "involvedObject": {
                "apiVersion": resource.gvk.api_version(), "kind": resource.gvk.kind,
                "name": key.name, "namespace": key.namespace, "uid": uid,
            },
            "reason": note.reason, "message": note.message, "type": note.severity.as_str(),
            "source": {"component": note.component}, "reportingComponent": note.component,
            "reportingInstance": "", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        })
    }

    /// Notes when the containers of a pod were started, better than the status can tell.
    fn remember_start(&mut self, resource: &Shared, object: &Value) {
        let first = fields::list(object, "/status/containerStatuses").first();
        let runs = first.is_some_and(|it| it.pointer("/state/running").is_some());
        if **resource == **kinds::PODS && runs {
            let uid = fields::text(object, "/metadata/uid");
            self.addresses.started(uid, self.backend.clock().now());
        }
    }
}

fn is_create(action: &Action) -> bool {
    matches!(action, Action::Create { .. })
}
