//! Pure: what the status of a trigger says.

use k8s::{Object, Timestamp};
use serde_json::{Map, Value, json};

use crate::status::{condition, finding, stamp};

/// Why a trigger does not do what it is for: a reason and what a person reads.
pub(crate) type Trouble = (&'static str, String);

/// How the calls of a CronJobTrigger went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// The moment for which a call was made last.
    pub last: Option<Timestamp>,
    /// How the call that ended last ended, if any did that is known here.
    pub ended: Option<Result<(), String>>,
    /// The next moment of the schedule.
    pub next: Option<Timestamp>,
}

/// Returns the status of a trigger with fields of its own; equal to the one it has if nothing is new.
pub(crate) fn status(
    object: &Object,
    outcome: Result<&str, &Trouble>,
    own: Map<String, Value>,
    now: Timestamp,
) -> Value {
    let before = object.to_value()["status"].take();
    let generation = object.meta().generation;
    let ready = match outcome {
        Ok(remark) => finding("Ready", true, "TriggerReady", remark),
        Err((reason, message)) => finding("Ready", false, reason, message),
    };
    let conditions = [condition(&ready, &before, generation, now)];
    let mut status = json!({"observedGeneration": generation, "conditions": conditions});
    if let Some(status) = status.as_object_mut() {
        status.extend(own);
    }
    status
}

impl Calls {
    /// Returns the moment for which a call was made last, as a trigger's status says.
    pub(crate) fn last_of(object: &Object) -> Option<Timestamp> {
        object.to_value().pointer("/status/lastScheduleTime")?.as_str()?.parse().ok()
    }

    /// Returns the fields that tell of calls; what is not known any more stays as it was.
    pub(crate) fn fields(&self, object: &Object) -> Map<String, Value> {
        let before = object.to_value()["status"].take();
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        };
        let moment = |at: Option<Timestamp>| at.map_or(Value::Null, |at| json!(stamp(at)));
        set("lastScheduleTime", moment(self.last));
        set("nextScheduleTime", moment(self.next));
        match &self.ended {
            None => {
                set("lastStatus", before["lastStatus"].clone());
                set("lastMessage", before["lastMessage"].clone());
            }
            Some(Ok(())) => set("lastStatus", json!("Succeeded")),
            Some(Err(why)) => {
                set("lastStatus", json!("Failed"));
                set("lastMessage", json!(why));
            }
        }
        fields
    }

    /// Returns how the calls went that a CronJob's pods made.
    pub(crate) fn of_cron_job(job: Option<&Object>, next: Option<Timestamp>) -> Self {
        let job = job.map(Object::to_value).unwrap_or_default();
        let moment = |field: &str| -> Option<Timestamp> {
            job["status"][field].as_str().and_then(|text| text.parse().ok())
        };
        let last = moment("lastScheduleTime");
        let is_busy = job["status"]["active"].as_array().is_some_and(|all| !all.is_empty());
        let ended = last.filter(|_| !is_busy).map(|last| {
            let succeeded = moment("lastSuccessfulTime").is_some_and(|at| last <= at);
            if succeeded { Ok(()) } else { Err("the Job of the call failed".to_owned()) }
        });
        Self { last, ended, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(status: &Value) -> Object {
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "CronJobTrigger",
            "metadata": {"name": "t", "namespace": "ops", "generation": 2}, "status": status});
        Object::from_value(&object).unwrap()
    }

    #[test]
    fn what_is_said_again_is_said_in_the_same_way() {
        let trouble = ("FunctionNotFound", "there is no Function `f`".to_owned());
        let now = Timestamp::UNIX_EPOCH;
        let first = status(&trigger(&json!({})), Err(&trouble), Map::new(), now);
        assert_eq!(first["conditions"][0]["reason"], "FunctionNotFound");
        let later = now + k8s::SignedDuration::from_secs(9);
        assert_eq!(status(&trigger(&first), Err(&trouble), Map::new(), later), first);
        let healed = status(&trigger(&first), Ok(""), Map::new(), later);
        assert_eq!(healed["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:09Z");
    }

    #[test]
    fn the_end_of_a_call_is_told_until_the_next_one_ends() {
        let fields = |calls: Calls, before: &Value| Value::Object(calls.fields(&trigger(before)));
        let failed = Calls { ended: Some(Err("why".to_owned())), ..Calls::default() };
        let told = json!({"lastStatus": "Failed", "lastMessage": "why"});
        assert_eq!(fields(failed, &json!({})), told);
        assert_eq!(fields(Calls::default(), &told), told);
        let done = Calls { ended: Some(Ok(())), ..Calls::default() };
        assert_eq!(fields(done, &told), json!({"lastStatus": "Succeeded"}));
    }

    #[test]
    fn a_cron_job_tells_of_its_last_call() {
        let last = "2026-01-01T00:10:00Z";
        for (status, expected) in [
            (json!({}), None),
            (json!({"lastScheduleTime": last, "active": [{}]}), None),
            (
                json!({"lastScheduleTime": last, "lastSuccessfulTime": "2026-01-01T00:10:03Z"}),
                Some(true),
            ),
            (
                json!({"lastScheduleTime": last, "lastSuccessfulTime": "2026-01-01T00:00:03Z"}),
                Some(false),
            ),
        ] {
            let calls = Calls::of_cron_job(Some(&trigger(&status)), None);
            assert_eq!(calls.ended.map(|ended| ended.is_ok()), expected, "{status}");
        }
    }
}
