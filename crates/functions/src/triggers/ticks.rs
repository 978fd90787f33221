//! Has functions called by the clock: by this process, or by a CronJob whose pods make the calls.

use std::sync::Arc;

use k8s::{Object, ObjectKey, TimerKind, Timestamp, in_one_line};
use runtime::EventKind;
use serde_json::Value;
use tokio::task::AbortHandle;

use super::{
    Halt, Kind, Means, Shared, Work,
    caller::Caller,
    cron::{Call, CronJobTrigger, cron_jobs},
    firing::{Past, decide},
    is_owned,
    status::Calls,
};
use crate::writes::WriteError;

/// The calls that were made for one trigger.
#[derive(Debug, Default)]
pub(super) struct Runs {
    uid: String,
    last: Option<Timestamp>,
    number: u64,
    active: Vec<(u64, AbortHandle)>,
    ended: Option<Result<(), String>>,
}

impl Shared {
    pub(super) async fn sync_cron(self: &Arc<Self>, object: &Object) -> Result<(), WriteError> {
        let (outcome, calls) = match self.follow_cron(object).await {
            Ok(calls) => (Ok(""), calls),
            Err(Halt::Write(error)) => return Err(error),
            Err(Halt::Trouble(trouble)) => {
                let last = Calls::last_of(object);
                (Err(trouble), Calls { last, ..Calls::default() })
            }
        };
        self.tell(Kind::CronJob, object, outcome.as_ref().copied(), calls.fields(object)).await
    }

    async fn follow_cron(self: &Arc<Self>, object: &Object) -> Result<Calls, Halt> {
        let trigger = CronJobTrigger::check(object)
            .map_err(|refusal| Halt::Trouble((refusal.reason(), refusal.to_string())))?;
        let function = self.function(&object.meta().namespace, &trigger.function);
        let (function, port) = function.map_err(Halt::Trouble)?;
        let call = trigger.call(&function, port);
        match &self.means {
            Means::Here(fleet, _) => {
                Ok(self.fire(object, &trigger, (&Caller::Fleet(fleet.clone()), call)))
            }
            Means::Cluster { .. } if trigger.is_direct => {
                self.remove_cron_job(object, &trigger.name()).await?;
                self.remove_cron_job(object, &trigger.old_name()).await?;
                Ok(self.fire(object, &trigger, (&Caller::Network, call)))
            }
            Means::Cluster { image } => {
                let wanted = trigger.cron_job(&function, port, image);
                self.follow_cron_job(object, &trigger, &wanted).await
            }
        }
    }

    /// Makes the call that is due, if any, and looks again when the next one is.
    fn fire(
        self: &Arc<Self>,
        object: &Object,
        trigger: &CronJobTrigger,
        (caller, call): (&Caller, Call),
    ) -> Calls {
        let (key, now) = (object.key(), self.client.clock().now());
        let mut all = self.runs();
        let runs = all.entry(key.clone()).or_default();
        if runs.uid != object.meta().uid {
            *runs = Runs { uid: object.meta().uid.clone(), ..Runs::default() };
        }
        // What the cache says may be older than the last call.
        runs.last = runs.last.max(Calls::last_of(object));
        let is_busy = !runs.active.is_empty();
        let past = Past { created: created(object, now), last: runs.last, is_busy };
        let firing = decide(trigger, past, now);
        if firing.replaces {
            runs.active.drain(..).for_each(|(_, task)| task.abort());
        }
        if let Some(due) = firing.due {
            runs.last = Some(due);
            let function = ObjectKey::new(&key.namespace, &trigger.function);
            self.start(runs, &key, (caller.clone(), function, call));
        }
        if let Some(next) = firing.next {
            self.queue.add_at(Work(Kind::CronJob, key), next, TimerKind::Periodic);
        }
        Calls { last: runs.last, ended: runs.ended.clone(), next: firing.next }
    }

    fn start(
        self: &Arc<Self>,
        runs: &mut Runs,
        key: &ObjectKey,
        (caller, function, call): (Caller, ObjectKey, Call),
    ) {
        runs.number += 1;
        let (shared, key, number) = (Arc::clone(self), key.clone(), runs.number);
        let token = self.client.activity().hold(format!("call of {function} by the clock"));
        let task = tokio::spawn(async move {
            let outcome = caller.call(&function, &call, shared.client.clock().as_ref()).await;
            let outcome = outcome.map_err(|error| in_one_line(&error));
            if let Some(runs) = shared.runs().get_mut(&key) {
                let before = runs.active.len();
                runs.active.retain(|(active, _)| *active != number);
                // One that was replaced has nothing to say any more.
                if runs.active.len() < before {
                    runs.ended = Some(outcome.clone());
                }
            }
            if let (Err(why), Some(trigger)) = (outcome, shared.triggers[1].get(&key)) {
                shared.events.tell(&trigger, EventKind::Warning, "CallFailed", why);
            }
            shared.queue.add(Work(Kind::CronJob, key));
            drop(token);
        });
        runs.active.push((number, task.abort_handle()));
    }

    async fn follow_cron_job(
        &self,
        object: &Object,
        trigger: &CronJobTrigger,
        wanted: &Value,
    ) -> Result<Calls, Halt> {
        let key = ObjectKey::new(&object.meta().namespace, &trigger.name());
        let made = self.cron_jobs.as_ref().and_then(|cache| cache.get(&key));
        self.make(object, (&cron_jobs(), wanted), made.as_deref()).await?;
        if trigger.old_name() != trigger.name() {
            self.remove_cron_job(object, &trigger.old_name()).await?;
        }
        let now = self.client.clock().now();
        let next = Some(trigger).filter(|trigger| !trigger.suspend);
        let next = next.and_then(|trigger| trigger.schedule.next(created(object, now), now));
        Ok(Calls::of_cron_job(made.as_deref(), next))
    }

    /// Removes a CronJob that was made for this trigger and is not needed any more.
    async fn remove_cron_job(&self, object: &Object, name: &str) -> Result<(), WriteError> {
        let key = ObjectKey::new(&object.meta().namespace, name);
        match self.cron_jobs.as_ref().and_then(|cache| cache.get(&key)) {
            Some(old) if is_owned(object, &old) => self.delete(&cron_jobs(), &old).await.map(drop),
            _ => Ok(()),
        }
    }
}

/// Returns when a trigger was created: equal steps count from then on, so that the next one is always the same.
fn created(object: &Object, now: Timestamp) -> Timestamp {
    let created = object.meta().creation_timestamp.as_deref();
    created.and_then(|text| text.parse().ok()).unwrap_or(now)
}
