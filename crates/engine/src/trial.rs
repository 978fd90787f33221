//! Asks the server what it would make of a child before an old one is deleted for it.
//!
//! Deleting is final: a server that normalises values (`cpu: 1000m`) would have children deleted and
//! created for ever, and one that refuses the new child would leave none at all.

use std::{collections::BTreeMap, time::Duration};

use k8s::{Resource, SignedDuration, Timestamp, apply};
use serde_json::{Map, Value};

use crate::{
    context::Context,
    plan::{Recreation, Trial},
};

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
    /// The hash of the desired object.
    pub(crate) wish: u64,
    /// As it would be created.
    pub(crate) recreation: Recreation,
}

/// Asks about children that nobody asked about lately. Returns whether that told anything new.
pub(crate) async fn ask(ctx: &Context, questions: Vec<Question>) -> bool {
    let mut asked = false;
    for question in questions {
        if ctx.memory().trials.contains_key(&question.wish) {
            continue;
        }
        let trial = one(ctx, &question).await;
        let wait = SignedDuration::try_from(KEPT).unwrap_or(SignedDuration::ZERO);
        let until = ctx.means.client.clock().now().checked_add(wait).unwrap_or(Timestamp::MAX);
        ctx.keep_trial(question.wish, trial, until);
        asked = true;
    }
    asked
}

async fn one(ctx: &Context, question: &Question) -> Trial {
    let Question { resource, wish, recreation } = question;
    let candidate = candidate(resource, &recreation.child, *wish);
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
