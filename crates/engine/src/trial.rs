//! Asks the server what it would make of a child before an old one is deleted for it.
//!
//! Deleting is final: a server that normalises values (`cpu: 1000m`) would have children deleted and
//! created for ever, and one that refuses the new child would leave none at all.

use std::{collections::BTreeMap, time::Duration};

use k8s::{ObjectKey, Resource, apply, in_one_line};
use runtime::Write;
use serde_json::{Map, Value};

use crate::{
    context::Context,
    error::call,
    plan::{Action, Application, Doubt, Recreation, Trial},
    server_side::{Effect, effect},
};

/// How often a plan may ask: where the server refuses a change it is asked once more, whether it would take
/// the child anew.
pub(crate) const ROUNDS: usize = 2;

/// How long an answer counts.
const KEPT: Duration = Duration::from_mins(10);
/// How much of a name is kept, so that the shortest limit of a kind (63 characters) is met with the hash.
const NAME: usize = 46;
/// What only one object of a cluster can hold: a second one would be refused for that alone.
const FIXED: [&str; 4] = ["clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"];

/// A child that the server is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Its type.
    pub(crate) resource: Resource,
    /// Its place.
    pub(crate) key: ObjectKey,
    /// The hash of the desired object.
    pub(crate) wish: u64,
    /// What is asked.
    pub(crate) doubt: Doubt,
}

/// What came of questions.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Whether anything new was told.
    pub(crate) is_news: bool,
    /// What failed, by what the answer would be kept by.
    pub(crate) failures: BTreeMap<u64, String>,
}

impl Question {
    /// Returns what the server is asked before something is done.
    pub(crate) fn about(action: &Action) -> Option<Self> {
        let (Write { resource, key, .. }, wish) = (&action.write, action.wish);
        let doubt = action.doubt.clone()?;
        Some(Self { resource: resource.clone(), key: key.clone(), wish, doubt })
    }
}

/// Asks about children that nobody asked about lately.
pub(crate) async fn ask(ctx: &Context, questions: Vec<Question>) -> Replies {
    let mut replies = Replies::default();
    for Question { resource, key, wish, doubt } in questions {
        let id = match &doubt {
            Doubt::Creation(_) => wish,
            Doubt::Application(application) => application.id,
        };
        if ctx.memory().trials.contains_key(&id) {
            continue;
        }
        let trial = match doubt {
            Doubt::Creation(recreation) => creation(ctx, &resource, wish, &recreation).await,
            Doubt::Application(it) => match application(ctx, &resource, &key, *it).await {
                Ok(Some(effect)) => Trial::Applied(effect),
                Ok(None) => continue,
                Err(failure) => {
                    replies.failures.insert(id, failure);
                    continue;
                }
            },
        };
        let until = ctx.means.client.clock().after(KEPT);
        ctx.keep_trial(id, trial, until);
        replies.is_news = true;
    }
    replies
}

/// Asks what an apply would change; nothing if the child is no longer what was observed.
async fn application(
    ctx: &Context,
    resource: &Resource,
    key: &ObjectKey,
    application: Application,
) -> Result<Option<Effect>, String> {
    let Application { manager, body, observed, .. } = application;
    match ctx.means.client.try_apply(resource, key, &manager, body.to_string()).await {
        Ok(answer) => Ok(Some(effect(&answer, &observed))),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
        Err(error) if error.code() == Some(422) => Ok(Some(Effect::Refused)),
        Err(error) => {
            let action = format!("try to apply {} {key}", resource.gvk.kind);
            Err(in_one_line(&call(action)(error)))
        }
    }
}

async fn creation(ctx: &Context, resource: &Resource, wish: u64, recreation: &Recreation) -> Trial {
    let candidate = candidate(resource, &recreation.child, wish);
    let text = |value: &Value, field: &str| {
        value["metadata"][field].as_str().unwrap_or_default().to_owned()
    };
    let namespace = text(&candidate, "namespace");
    match ctx.means.client.try_create(resource, &namespace, candidate.to_string()).await {
        Ok(answer) => Trial::Accepted(shape(resource, &answer.to_value(), &recreation.desired)),
        Err(error) if error.code() == Some(422) => {
            let (tried, meant) = (text(&candidate, "name"), text(&recreation.child, "name"));
            Trial::Refused(error.to_string().replace(&tried, &meant))
        }
        Err(_) => Trial::Unknown,
    }
}

/// Returns the child under a name that is free, without what only one object can hold.
fn candidate(resource: &Resource, child: &Value, wish: u64) -> Value {
    let mut candidate = child.clone();
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let short: String = name.chars().take(NAME).collect();
    let name = format!("{}-{wish:016x}", short.trim_end_matches(['-', '.']));
    candidate["metadata"]["name"] = name.into();
    visit(resource, &mut candidate, |_, fields| {
        fields.retain(|field, _| !FIXED.contains(&field.as_str()));
    });
    candidate
}

/// Returns the desired child with the values that the server would give it.
fn shape(resource: &Resource, answer: &Value, desired: &Value) -> Value {
    let mut shape = apply::project(answer, desired);
    shape["metadata"] = desired["metadata"].clone();
    let mut wanted = BTreeMap::new();
    visit(resource, &mut desired.clone(), |place, fields| {
        fields.retain(|field, _| FIXED.contains(&field.as_str()));
        wanted.insert(place, fields.clone());
    });
    visit(resource, &mut shape, |place, fields| {
        fields.extend(wanted.remove(&place).unwrap_or_default());
    });
    shape
}

/// Visits the places of a Service that may hold what only one object can: its ports and its spec.
fn visit(
    resource: &Resource,
    child: &mut Value,
    mut visit: impl FnMut(usize, &mut Map<String, Value>),
) {
    if resource.gvk.kind != "Service" || !resource.gvk.group.is_empty() {
        return;
    }
    let Some(Value::Object(spec)) = child.get_mut("spec") else { return };
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    let ports = ports.into_iter().flatten().filter_map(Value::as_object_mut);
    for (position, port) in ports.enumerate() {
        visit(position + 1, port);
    }
    visit(0, spec);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn services() -> Resource {
        Resource::namespaced("v1", "Service", "services")
    }

    fn service() -> Value {
        json!({"metadata": {"name": "web.", "labels": {"a": "b"}}, "spec": {"clusterIP": "10.0.0.7",
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 81}], "type": "NodePort"}})
    }

    #[test]
    fn what_only_one_object_can_hold_is_not_tried() {
        assert_eq!(
            candidate(&services(), &service(), 0xAB),
            json!({"metadata": {"name": "web-00000000000000ab", "labels": {"a": "b"}},
                "spec": {"ports": [{"port": 80}, {"port": 81}], "type": "NodePort"}})
        );
    }

    #[test]
    fn it_counts_as_it_is_desired() {
        let answer = json!({"metadata": {"name": "x", "uid": "u"}, "spec": {"clusterIP": "10.9.9.9",
            "ports": [{"port": 80, "nodePort": 31111, "protocol": "TCP"}, {"port": 81}],
            "type": "NodePort", "sessionAffinity": "None"}});
        assert_eq!(shape(&services(), &answer, &service()), service());
    }
}
