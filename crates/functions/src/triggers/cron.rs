//! Pure: a CronJobTrigger, the CronJob that has a cluster make its calls, and the calls themselves.

use std::collections::BTreeMap;

use api::{
    function,
    trigger::{self, CronJobTriggerSpec},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use k8s::{Meta, Object, Resource, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::schedule::{Schedule, ScheduleError};
use crate::{content, function::Function, objects::owner};

/// The first argument of this binary in the container that calls a function.
pub const CALL_ARGUMENT: &str = "function-call";
/// The longest name of a CronJob: those of its Jobs are longer.
const LONGEST_NAME: usize = 52;

/// A CronJobTrigger that can be followed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CronJobTrigger {
    meta: Meta,
    annotations: BTreeMap<String, String>,
    /// The Function.
    pub function: String,
    /// When it is called.
    pub schedule: Schedule,
    /// What it is called with.
    pub payload: Option<Value>,
    /// What happens when a call is due while one is under way.
    pub concurrency: Concurrency,
    /// Whether no calls are made.
    pub suspend: bool,
    /// How many seconds late a call may be made.
    pub deadline: Option<i64>,
    /// Whether windlass itself makes the calls, in a cluster as well.
    pub is_direct: bool,
    text: String,
    zone: Option<String>,
}

/// What happens when a call is due while one is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// Both are made.
    #[default]
    Allow,
    /// The new one waits.
    Forbid,
    /// The old one does not count any more.
    Replace,
}

/// Why a CronJobTrigger cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CronRefusal {
    /// Its fields are of wrong types.
    #[error("the spec cannot be read: {0}")]
    Unreadable(String),
    /// It names no Function.
    #[error("`function-name` is missing")]
    NoFunction,
    /// Its schedule means nothing.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Nobody knows what to do with two calls.
    #[error("`concurrencyPolicy` is `{0}`, not `Allow`, `Forbid` or `Replace`")]
    Concurrency(String),
    /// No call can be made before it is due.
    #[error("`startingDeadlineSeconds` is {0}, less than 0")]
    Deadline(i64),
}

/// A call as the container that makes it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Where the function is.
    pub url: String,
    /// The JSON that it is called with.
    pub payload: Option<String>,
    /// How many seconds it may take.
    pub seconds: u32,
}

impl CronRefusal {
    /// Returns the reason of the condition that tells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Schedule(_) => "InvalidSchedule",
            Self::Unreadable(_) | Self::NoFunction | Self::Concurrency(_) | Self::Deadline(_) => {
                "InvalidSpec"
            }
        }
    }
}

impl CronJobTrigger {
    /// Checks a CronJobTrigger.
    ///
    /// # Errors
    ///
    /// [`CronRefusal`] if no call can be made before it is changed.
    pub(crate) fn check(object: &Object) -> Result<Self, CronRefusal> {
        let spec = object.to_value()["spec"].take();
        let spec = if spec.is_null() { json!({}) } else { spec };
        let spec = CronJobTriggerSpec::deserialize(spec)
            .map_err(|error| CronRefusal::Unreadable(error.to_string()))?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (text, zone) = (spec.schedule.unwrap_or_default(), given(spec.time_zone));
        let concurrency = match spec.concurrency_policy.as_deref().unwrap_or_default() {
            "" | "Allow" => Concurrency::Allow,
            "Forbid" => Concurrency::Forbid,
            "Replace" => Concurrency::Replace,
            other => return Err(CronRefusal::Concurrency(other.to_owned())),
        };
        if let Some(seconds) = spec.starting_deadline_seconds.filter(|seconds| *seconds < 0) {
            return Err(CronRefusal::Deadline(seconds));
        }
        let mut annotations = object.annotations();
        let is_direct = annotations.remove(trigger::CRON_MODE).is_some_and(|mode| mode == "direct");
        Ok(Self {
            meta: object.meta().clone(),
            annotations,
            function: given(spec.function_name).ok_or(CronRefusal::NoFunction)?,
            schedule: Schedule::parse(&text, zone.as_deref())?,
            payload: Some(spec.payload).filter(|payload| !payload.is_null()),
            concurrency,
            suspend: spec.suspend.unwrap_or_default(),
            deadline: spec.starting_deadline_seconds,
            is_direct,
            text,
            zone,
        })
    }

    /// Returns the call that is made whenever it is due.
    pub(crate) fn call(&self, function: &Function, port: u16) -> Call {
        let (name, namespace) = (&self.function, &self.meta.namespace);
        Call {
            url: format!("http://{name}.{namespace}.svc.cluster.local:{port}/"),
            payload: self.payload.as_ref().map(Value::to_string),
            seconds: function.timeout,
        }
    }

    /// Returns the name of the CronJob, which no other trigger's has.
    pub(crate) fn name(&self) -> String {
        let name = format!("trigger-{}", self.meta.name);
        if name.len() <= LONGEST_NAME {
            return name;
        }
        let hash = content::hash(&[&self.meta.name]);
        let head = name.get(..LONGEST_NAME - 11).unwrap_or_default().trim_end_matches(['-', '.']);
        format!("{head}-{}", hash.get(..10).unwrap_or_default())
    }

    /// Returns the name that Kubeless gave to the CronJob; that of another trigger may be the same.
    pub(crate) fn old_name(&self) -> String {
        format!("trigger-{}", self.function)
    }

    /// Returns the CronJob whose pods make the calls.
    pub(crate) fn cron_job(&self, function: &Function, port: u16, image: &str) -> Value {
        let restricted =
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let container = json!({
            "name": "trigger", "image": image, "args": [CALL_ARGUMENT],
            "env": [{"name": Call::VARIABLE, "value": self.call(function, port).to_string()}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"},
                "limits": {"cpu": "100m", "memory": "64Mi"}},
            "securityContext": restricted});
        // Without labels of the function: its Service would send calls to these pods.
        let pod = json!({"spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container]}});
        let concurrency = format!("{:?}", self.concurrency);
        let mut spec = json!({
            "schedule": self.text, "concurrencyPolicy": concurrency, "suspend": self.suspend,
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": {
                "activeDeadlineSeconds": function.timeout, "backoffLimit": 0, "template": pod}}});
        if let Some(zone) = &self.zone {
            spec["timeZone"] = json!(zone);
        }
        if let Some(seconds) = self.deadline {
            spec["startingDeadlineSeconds"] = json!(seconds);
        }
        json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": self.metadata(function), "spec": spec})
    }

    fn metadata(&self, function: &Function) -> Value {
        let mut labels = function.meta.labels.clone();
        labels.extend(self.meta.labels.clone());
        let (label, ours) = function::CREATED_BY;
        labels.insert(label.to_owned(), ours.to_owned());
        let mut annotations = function.annotations.clone();
        annotations.extend(self.annotations.clone());
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        let kind = trigger::cron_job().gvk.kind;
        json!({
            "name": self.name(), "namespace": self.meta.namespace, "labels": labels,
            "annotations": annotations, "ownerReferences": [owner(&kind, &self.meta)]})
    }
}

impl Call {
    /// The variable by which a container is told its call.
    pub(crate) const VARIABLE: &'static str = "WINDLASS_CALL";

    /// Returns the request of the call.
    pub(crate) fn request(&self, id: &str, now: Timestamp) -> Request<Bytes> {
        let body = self.payload.clone().map_or_else(Bytes::new, Bytes::from);
        let mut request = Request::new(body);
        if self.payload.is_some() {
            *request.method_mut() = Method::POST;
        }
        *request.uri_mut() = self.url.parse().unwrap_or_default();
        let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for (name, value) in [
            ("event-id", id),
            ("event-time", time.as_str()),
            ("event-namespace", "cronjobtrigger.kubeless.io"),
            ("event-type", "application/json"),
            (header::CONTENT_TYPE.as_str(), "application/json"),
        ] {
            if let (Ok(name), Ok(value)) =
                (header::HeaderName::try_from(name), HeaderValue::from_str(value))
            {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

impl std::fmt::Display for Call {
    /// Writes the call so that the kubelet, which replaces `$(NAME)` in variables, finds nothing to replace.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&text.replace('$', "\\u0024"))
    }
}

/// Returns the resource of CronJobs.
pub(crate) fn cron_jobs() -> Resource {
    Resource::namespaced("batch/v1", "CronJob", "cronjobs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, spec: &Value) -> Result<CronJobTrigger, CronRefusal> {
        let mut all = json!({"function-name": "f", "schedule": "@hourly"});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "CronJobTrigger",
            "metadata": {"name": name, "namespace": "ops", "labels": {"team": "b"},
                "annotations": {"trigger": "1", trigger::CRON_MODE: "direct"}}, "spec": all});
        CronJobTrigger::check(&Object::from_value(&object).unwrap())
    }

    fn function() -> Function {
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "Function",
            "metadata": {"name": "f", "namespace": "ops", "labels": {"team": "a", "x": "y"},
                "annotations": {"function": "1"}},
            "spec": {"runtime": "python3", "handler": "a.b", "function": "x", "timeout": 7}});
        Function::check(&Object::from_value(&object).unwrap()).unwrap()
    }

    #[test]
    fn what_cannot_be_followed_has_a_reason() {
        for (spec, reason) in [
            (json!({"function-name": ""}), "InvalidSpec"),
            (json!({"function-name": 7}), "InvalidSpec"),
            (json!({"schedule": "soon"}), "InvalidSchedule"),
            (json!({"timeZone": "Mars"}), "InvalidSchedule"),
            (json!({"concurrencyPolicy": "Maybe"}), "InvalidSpec"),
            (json!({"startingDeadlineSeconds": -1}), "InvalidSpec"),
        ] {
            assert_eq!(check("t", &spec).unwrap_err().reason(), reason, "{spec}");
        }
    }

    #[test]
    fn a_call_has_a_body_only_with_a_payload() {
        let request = |payload: Value| {
            let trigger = check("t", &json!({"payload": payload})).unwrap();
            let request = trigger.call(&function(), 80).request("1", Timestamp::UNIX_EPOCH);
            format!("{} {} {:?}", request.method(), request.uri(), request.body())
        };
        let url = "http://f.ops.svc.cluster.local:80/";
        assert_eq!(request(Value::Null), format!("GET {url} b\"\""));
        assert_eq!(
            request(json!({"q": "it's"})),
            format!("POST {url} b\"{{\\\"q\\\":\\\"it's\\\"}}\"")
        );
        assert_eq!(request(json!(false)), format!("POST {url} b\"false\""));
    }

    #[test]
    fn a_call_says_what_event_it_is() {
        let call = Call { url: "http://f/".to_owned(), payload: None, seconds: 1 };
        let request = call.request("17", Timestamp::UNIX_EPOCH);
        let text = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!((text("event-id"), text("event-time")), ("17", "1970-01-01T00:00:00Z"));
        assert_eq!(text("event-namespace"), "cronjobtrigger.kubeless.io");
        assert_eq!(
            (text("event-type"), text("content-type")),
            ("application/json", "application/json")
        );
    }

    #[test]
    fn no_payload_is_changed_on_its_way() {
        let trigger = check("t", &json!({"payload": {"q": "it's $(HOME) \"$$\""}})).unwrap();
        let call = trigger.call(&function(), 80);
        assert!(!call.to_string().contains('$'));
        assert_eq!(serde_json::from_str::<Call>(&call.to_string()).unwrap(), call);
    }

    #[test]
    fn names_are_of_triggers_and_short_enough() {
        assert_eq!(check("t", &json!({})).unwrap().name(), "trigger-t");
        let long = check(&"a".repeat(60), &json!({})).unwrap().name();
        assert_eq!(long.len(), LONGEST_NAME);
        let fits = "a".repeat(LONGEST_NAME - 8);
        assert_eq!(check(&fits, &json!({})).unwrap().name(), format!("trigger-{fits}"));
        // A name may not end in a dot before the hash either.
        let dotted = check(&format!("{}.{}", "a".repeat(32), "b".repeat(20)), &json!({})).unwrap();
        assert!(dotted.name().starts_with(&format!("trigger-{}-", "a".repeat(32))));
        assert_ne!(long, check(&"a".repeat(61), &json!({})).unwrap().name());
    }

    #[test]
    fn a_cron_job_makes_each_call_once() {
        let spec = json!({"timeZone": "Europe/Berlin", "startingDeadlineSeconds": 5});
        let job = check("t", &spec).unwrap().cron_job(&function(), 80, "windlass");
        assert_eq!(
            job["metadata"]["labels"],
            json!({"team": "b", "x": "y", "created-by": "kubeless"})
        );
        assert_eq!(job["metadata"]["annotations"], json!({"function": "1", "trigger": "1"}));
        for (pointer, expected) in [
            ("/spec/schedule", json!("@hourly")),
            ("/spec/timeZone", json!("Europe/Berlin")),
            ("/spec/startingDeadlineSeconds", json!(5)),
            ("/spec/concurrencyPolicy", json!("Allow")),
            ("/spec/suspend", json!(false)),
            ("/spec/successfulJobsHistoryLimit", json!(3)),
            ("/spec/failedJobsHistoryLimit", json!(1)),
            ("/spec/jobTemplate/spec/activeDeadlineSeconds", json!(7)),
            ("/spec/jobTemplate/spec/backoffLimit", json!(0)),
            ("/spec/jobTemplate/spec/template/spec/restartPolicy", json!("Never")),
            ("/spec/jobTemplate/spec/template/spec/containers/0/args", json!([CALL_ARGUMENT])),
        ] {
            assert_eq!(job.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert_eq!(job.pointer("/spec/jobTemplate/spec/template/metadata"), None);
    }
}
