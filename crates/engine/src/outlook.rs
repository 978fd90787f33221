//! Pure: what a sync would do, for views that change nothing.
//!
//! It goes the way of a sync (which hook, claims, request, answer, check, plan) through the very functions
//! that a sync uses. Rollouts are left out: what is shown is where the latest version of a parent leads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api::{HookReply, controller::UnmarshallMode};
use bytes::Bytes;
use k8s::{GroupVersionKind, Object, ObjectKey, Resource, Timestamp, apply, patch};
use runtime::WriteKind;
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    answer::{self, Answer, AnswerError},
    controller::{ChildRule, Controller, Form},
    desired::{self, Desired, LabelMismatch, Types},
    hook::Webhook,
    plan::{Action, Known, ObservedType, new_child, plan},
    related::{RelatedType, Rule, RuleSpec},
    request::{self, Told},
    selector::{ChildSelectorError, Ownership, claim, owner_reference},
    status,
    sync::{Call, chosen, managed},
    target,
};

/// What a sync of one parent goes by.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The controller.
    pub controller: &'a Controller,
    /// The parent.
    pub parent: &'a Object,
    /// Whether the controller selects the parent; one that it does not is finalized.
    pub selected: bool,
    /// Whether the status of parents is written apart from the rest.
    pub has_status: bool,
    /// The types of children, in the order of the controller's rules, each with the objects that may be
    /// the parent's.
    pub candidates: Vec<(Resource, Vec<Arc<Object>>)>,
    /// The related objects.
    pub related: Vec<(Resource, Vec<Arc<Object>>)>,
}

/// The call of a hook that a sync begins with.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The hook's name.
    pub hook: &'static str,
    /// How it is called.
    pub webhook: &'a Webhook,
    /// The JSON text it is sent.
    pub body: Bytes,
}

/// What a sync would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// The writes in order: those of the children, then that of the parent.
    pub steps: Vec<Step>,
    /// The children as they would be created, all of them.
    pub children: Vec<Value>,
    /// What is wrong with single children.
    pub problems: Vec<String>,
}

/// One write that a sync would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `create`, `update` or `delete`.
    pub verb: &'static str,
    /// The object's kind.
    pub kind: GroupVersionKind,
    /// Where the object is.
    pub key: ObjectKey,
    /// Why the write is needed.
    pub reason: String,
    /// The object before.
    pub before: Option<Value>,
    /// The object after.
    pub after: Option<Value>,
}

/// Why it cannot be told what a sync would do.
#[derive(Debug, Error)]
pub enum OutlookError {
    /// The parent does not say what its children are.
    #[error("cannot tell the children of the parent")]
    Selector {
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hook's answer cannot be used.
    #[error("hook {hook}")]
    Answer {
        /// Which hook.
        hook: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The customize hook asks for what cannot be shown.
    #[error("cannot find what the customize hook asks for")]
    Related {
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A child would not be found again.
    #[error("the children cannot be written")]
    Labels {
        /// Which child.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<ChildSelectorError> for OutlookError {
    fn from(source: ChildSelectorError) -> Self {
        Self::Selector { source: source.into() }
    }
}

impl From<LabelMismatch> for OutlookError {
    fn from(source: LabelMismatch) -> Self {
        Self::Labels { source: source.into() }
    }
}

const CUSTOMIZE: &str = "customize";

impl<'a> Scene<'a> {
    /// Returns the call that a sync would begin with; nothing if the controller has no hook for the parent
    /// as it is.
    ///
    /// # Errors
    ///
    /// [`OutlookError::Selector`] if the children cannot be told.
    pub fn question(&self) -> Result<Option<Question<'a>>, OutlookError> {
        let Some(Call { name: hook, webhook, finalizing }) = self.call() else { return Ok(None) };
        let observed = self.observed()?;
        let related = self.related.iter().map(|(resource, objects)| RelatedType {
            resource: resource.clone(),
            objects: objects.clone(),
        });
        let told = Told {
            form: self.controller.form,
            controller: &self.controller.object,
            parent: self.parent,
            children: &observed,
            related: &related.collect::<Vec<_>>(),
            finalizing,
        };
        Ok(Some(Question { hook, webhook, body: request::body(told, webhook.version) }))
    }

    /// Returns the call that tells which other objects matter; nothing if the controller does not ask.
    pub fn customize(&self) -> Option<Question<'a>> {
        // Who has no hook for the parent as it is needs to know nothing.
        self.call()?;
        let webhook = self.controller.hooks.customize.as_ref()?;
        let body = request::customize_body(&self.controller.object, self.parent);
        Some(Question { hook: CUSTOMIZE, webhook, body })
    }

    /// Returns the types that the answer to that call asks for, by apiVersion and plural.
    ///
    /// # Errors
    ///
    /// [`OutlookError::Answer`] if it cannot be used.
    pub fn related_types(&self, reply: &HookReply) -> Result<Vec<(String, String)>, OutlookError> {
        Ok(self.rules(reply)?.into_iter().map(|spec| (spec.api_version, spec.resource)).collect())
    }

    /// Puts those of `objects` into the scene that the answer to that call asks for. `types` are its types as
    /// the API server has them, in their order.
    ///
    /// # Errors
    ///
    /// [`OutlookError::Related`] if a rule cannot be followed.
    pub fn relate(
        &mut self,
        reply: &HookReply,
        types: Vec<Resource>,
        objects: &[Arc<Object>],
    ) -> Result<(), OutlookError> {
        let version = self.controller.hooks.customize.as_ref().map(|hook| hook.version);
        let own = &self.parent.meta().namespace;
        let labels_of = |name: &str| {
            let is_it = |object: &&Arc<Object>| {
                object.gvk().kind == "Namespace" && object.meta().name == name
            };
            objects.iter().find(is_it).map(|namespace| namespace.meta().labels.clone())
        };
        let mut found = BTreeMap::<_, (Resource, BTreeMap<_, _>)>::new();
        for (spec, resource) in self.rules(reply)?.iter().zip(types) {
            let rule = Rule::new(spec, resource, version.unwrap_or_default(), own)
                .map_err(|source| OutlookError::Related { source: source.into() })?;
            let resource = &rule.resource;
            let (_, selected) = found
                .entry(resource.gvk.clone())
                .or_insert_with(|| (resource.clone(), BTreeMap::new()));
            let is_wanted = |object: &&Arc<Object>| {
                *object.gvk() == resource.gvk && rule.selects(object, labels_of)
            };
            let wanted = objects.iter().filter(is_wanted);
            selected.extend(wanted.map(|object| (object.key(), Arc::clone(object))));
        }
        let related = found.into_values();
        self.related = related
            .map(|(resource, objects)| (resource, objects.into_values().collect()))
            .collect();
        Ok(())
    }

    fn rules(&self, reply: &HookReply) -> Result<Vec<RuleSpec>, OutlookError> {
        let hook = self.controller.hooks.customize.as_ref();
        let mode = hook.map_or(UnmarshallMode::Loose, |hook| hook.mode);
        let rules = answer::read_rules(reply, mode, Timestamp::UNIX_EPOCH);
        rules.map_err(|source: AnswerError| OutlookError::Answer {
            hook: CUSTOMIZE,
            source: source.into(),
        })
    }

    /// Makes an object look as if it had been the parent's child all along, unless it is another's.
    ///
    /// # Errors
    ///
    /// [`OutlookError::Selector`] if the children cannot be told.
    pub fn belong(&self, child: &mut Value) -> Result<(), OutlookError> {
        self.controller.child_selector(self.parent)?.mark(child);
        let namespace = &self.parent.meta().namespace;
        let metadata = &mut child["metadata"];
        if !namespace.is_empty() && metadata.get("namespace").is_none() {
            metadata["namespace"] = json!(namespace);
        }
        let owners = &mut metadata["ownerReferences"];
        let is_controlled =
            |owners: &Vec<Value>| owners.iter().any(|owner| owner["controller"] == true);
        match owners.as_array_mut() {
            Some(owners) if is_controlled(owners) => {}
            Some(owners) => owners.push(owner_reference(self.parent, Ownership::Controller)),
            None => *owners = json!([owner_reference(self.parent, Ownership::Controller)]),
        }
        Ok(())
    }

    /// Returns the kinds that an answer uses, so that those that the rules do not name can be looked up.
    pub fn kinds(&self, reply: &HookReply) -> Vec<GroupVersionKind> {
        let Ok(Some(answer)) = self.answer(reply) else { return Vec::new() };
        answer.children.iter().map(desired::gvk).collect()
    }

    /// Returns what a sync would do after an answer. `others` are the types of children that the rules do
    /// not name, as far as the API server has them.
    ///
    /// # Errors
    ///
    /// [`OutlookError`] if the sync would fail before it wrote anything.
    pub fn outlook(
        &self,
        reply: &HookReply,
        others: &BTreeMap<GroupVersionKind, Resource>,
    ) -> Result<Outlook, OutlookError> {
        self.outlook_with(reply, others, &Known::default())
    }

    pub(crate) fn outlook_with(
        &self,
        reply: &HookReply,
        others: &BTreeMap<GroupVersionKind, Resource>,
        known: &Known,
    ) -> Result<Outlook, OutlookError> {
        let Some(answer) = self.answer(reply)? else { return Ok(Outlook::default()) };
        let (desired, problems) = self.desired(&answer, others)?;
        let mut outlook = Outlook {
            steps: Vec::new(),
            children: desired
                .iter()
                .map(|each| new_child(self.parent, each, &known.strategy))
                .collect(),
            problems: problems.into_iter().map(|problem| problem.message).collect(),
        };
        if managed(self.controller, self.parent) {
            outlook.steps = self.steps(&desired, known)?;
        }
        outlook.steps.extend(self.parent_step(answer));
        Ok(outlook)
    }

    /// Returns the children as they should be.
    pub(crate) fn desired(
        &self,
        answer: &Answer,
        others: &BTreeMap<GroupVersionKind, Resource>,
    ) -> Result<(Vec<Desired>, Vec<desired::Problem>), OutlookError> {
        let ownership = |resource: &Resource| self.rule(resource).map(|rule| rule.ownership);
        let of = |resource: &Resource| (resource.clone(), ownership(resource).unwrap_or_default());
        let declared: Vec<_> = self.candidates.iter().map(|(resource, _)| of(resource)).collect();
        let types = Types { declared: &declared, others };
        Ok(desired::check(
            self.parent,
            &self.controller.child_selector(self.parent)?,
            types,
            answer.children.clone(),
        )?)
    }

    /// Returns the writes of children.
    pub(crate) fn actions(
        &self,
        desired: &[Desired],
        known: &Known,
    ) -> Result<Vec<Action>, OutlookError> {
        let observed = self.observed()?;
        Ok(plan(self.parent, &observed, desired, known).actions)
    }

    fn steps(&self, desired: &[Desired], known: &Known) -> Result<Vec<Step>, OutlookError> {
        let mut there = HashMap::new();
        for (resource, objects) in &self.candidates {
            there.extend(objects.iter().map(|object| ((resource, object.key()), object)));
        }
        let step = |action: Action| {
            let Action { write, reason, .. } = action;
            let before = there.get(&(&write.resource, write.key.clone()));
            let before = before.map(|object| object.to_value());
            let verb = write.kind.verb();
            let after = match &write.kind {
                WriteKind::Create(body)
                | WriteKind::Update(body)
                | WriteKind::ApplyNew { body, .. } => k8s::json::parse(body).ok(),
                // Which fields go for being applied no longer, only the server knows.
                WriteKind::Apply { body, .. } => k8s::json::parse(body).ok().map(|body| {
                    apply::three_way(before.as_ref().unwrap_or(&body), &json!({}), &body)
                }),
                WriteKind::Delete { .. } => None,
            };
            Step { verb, kind: write.resource.gvk, key: write.key, reason, before, after }
        };
        Ok(self.actions(desired, known)?.into_iter().map(step).collect())
    }

    /// Returns the write of the parent: of its status, or of what a decorator changes of it.
    fn parent_step(&self, answer: Answer) -> Option<Step> {
        let before = self.parent.to_value();
        let (after, reason) = match self.controller.form {
            Form::Composite { .. } => {
                let status = status::wanted(self.parent, answer.status.unwrap_or_default());
                (status::with_status(self.parent, &status)?, "status differs")
            }
            Form::Decorator => {
                let change = target::change(self.parent, &answer, &[], self.has_status);
                let mut after = before.clone();
                for part in [change.main, change.status].into_iter().flatten() {
                    patch::merge(&mut after, &part);
                }
                (after, "labels, annotations or status differ")
            }
        };
        (before != after).then(|| Step {
            verb: "update",
            kind: self.parent.gvk().clone(),
            key: self.parent.key(),
            reason: reason.to_owned(),
            before: Some(before),
            after: Some(after),
        })
    }

    pub(crate) fn call(&self) -> Option<Call<'a>> {
        chosen(&self.controller.hooks, self.parent, self.selected)
    }

    pub(crate) fn answer(&self, reply: &HookReply) -> Result<Option<Answer>, OutlookError> {
        let Some(Call { name: hook, webhook, finalizing }) = self.call() else { return Ok(None) };
        // Nobody waits for a busy hook here, so that it does not matter what time it is.
        let now = Timestamp::UNIX_EPOCH;
        let read = answer::read(reply, self.controller.form, webhook.mode, (finalizing, now));
        read.map(Some)
            .map_err(|source: AnswerError| OutlookError::Answer { hook, source: source.into() })
    }

    /// Returns the rule for a type; of several the last one counts.
    fn rule(&self, resource: &Resource) -> Option<&ChildRule> {
        let is_rule = |rule: &&ChildRule| {
            rule.plural == resource.plural && rule.api_version == resource.gvk.api_version()
        };
        self.controller.children.iter().rfind(is_rule)
    }

    /// Returns the parent's children: those it has, and those it would adopt.
    pub(crate) fn observed(&self) -> Result<Vec<ObservedType>, OutlookError> {
        let selector = self.controller.child_selector(self.parent)?;
        let observed = self.candidates.iter().map(|(resource, candidates)| {
            let rule = self.rule(resource);
            let mut owned: Vec<_> = candidates.clone();
            if rule.is_some_and(|rule| rule.ownership == Ownership::Owner) {
                owned.retain(|object| selector.owns(self.parent, object));
            } else {
                let claims = claim(self.parent, &selector, owned);
                owned = claims.owned;
                if self.controller.form != Form::Decorator {
                    owned.extend(claims.adopt);
                }
            }
            owned.sort_by_key(|object| object.key());
            ObservedType {
                resource: resource.clone(),
                method: rule.map(|rule| rule.method).unwrap_or_default(),
                status_checks: rule.map(|rule| Arc::clone(&rule.status_checks)).unwrap_or_default(),
                objects: owned,
            }
        });
        Ok(observed.collect())
    }
}
