//! Pure: decides whether a function is to be called by the clock now, and when to look again.

use k8s::{SignedDuration, Timestamp};

use super::cron::{Concurrency, CronJobTrigger};

/// What is known of the calls that were made for a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    /// When the trigger was created.
    pub created: Timestamp,
    /// The moment for which a call was made last.
    pub last: Option<Timestamp>,
    /// Whether a call is under way.
    pub is_busy: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Firing {
    /// The moment for which a call is to be made now.
    pub due: Option<Timestamp>,
    /// Whether calls that are under way do not count any more.
    pub replaces: bool,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// Decides what is to be done; of several moments that were missed only the last counts.
pub(crate) fn decide(trigger: &CronJobTrigger, past: Past, now: Timestamp) -> Firing {
    if trigger.suspend {
        return Firing::default();
    }
    let next = trigger.schedule.next(past.created, now);
    let since = past.last.map_or(past.created, |last| last.max(past.created));
    let missed = trigger.schedule.last(past.created, since, now);
    let is_in_time = |due: &Timestamp| {
        let late = now.duration_since(*due);
        trigger.deadline.is_none_or(|seconds| late <= SignedDuration::from_secs(seconds))
    };
    let may_start = !past.is_busy || trigger.concurrency != Concurrency::Forbid;
    let due = missed.filter(is_in_time).filter(|_| may_start);
    let replaces = due.is_some() && trigger.concurrency == Concurrency::Replace;
    Firing { due, replaces, next }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CREATED: &str = "2026-01-01T00:00:00Z";

    fn told(spec: &serde_json::Value, (last, is_busy): (Option<&str>, bool), now: &str) -> String {
        let mut all = json!({"function-name": "f", "schedule": "*/10 * * * *"});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = json!({"apiVersion": "kubeless.io/v1beta1", "kind": "CronJobTrigger",
            "metadata": {"name": "t", "namespace": "ops"}, "spec": all});
        let object = k8s::Object::from_value(&object).unwrap();
        let trigger = CronJobTrigger::check(&object).unwrap();
        let last = last.map(|last| last.parse().unwrap());
        let past = Past { created: CREATED.parse().unwrap(), last, is_busy };
        let Firing { due, replaces, next } = decide(&trigger, past, now.parse().unwrap());
        let text = |at: Option<Timestamp>| {
            at.map_or("-".to_owned(), |at| at.strftime("%H:%M").to_string())
        };
        let how = if replaces { "replacing" } else { "due" };
        format!("{how} {}, next {}", text(due), text(next))
    }

    #[test]
    fn calls_are_made_once_and_in_time() {
        let (now, late) = ("2026-01-01T00:30:00Z", "2026-01-01T00:39:00Z");
        let last = Some("2026-01-01T00:20:00Z");
        for (spec, past, now, expected) in [
            (json!({}), (None, false), "2026-01-01T00:09:59Z", "due -, next 00:10"),
            (json!({}), (last, false), now, "due 00:30, next 00:40"),
            (json!({}), (Some(now), false), now, "due -, next 00:40"),
            // What was missed for long is made up for once.
            (json!({}), (None, false), late, "due 00:30, next 00:40"),
            (json!({"startingDeadlineSeconds": 540}), (last, false), late, "due 00:30, next 00:40"),
            (json!({"startingDeadlineSeconds": 539}), (last, false), late, "due -, next 00:40"),
            (json!({"suspend": true}), (last, false), now, "due -, next -"),
            (json!({"concurrencyPolicy": "Allow"}), (last, true), now, "due 00:30, next 00:40"),
            (json!({"concurrencyPolicy": "Forbid"}), (last, true), now, "due -, next 00:40"),
            (json!({"concurrencyPolicy": "Forbid"}), (last, false), now, "due 00:30, next 00:40"),
            (
                json!({"concurrencyPolicy": "Replace"}),
                (last, true),
                now,
                "replacing 00:30, next 00:40",
            ),
        ] {
            assert_eq!(told(&spec, past, now), expected, "{spec} {past:?} {now}");
        }
    }

    #[test]
    fn calls_follow_the_clocks_of_a_time_zone() {
        // In Berlin clocks go from 02:00 to 03:00 on the 29th of March, and back on the 25th of October.
        let daily = json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"});
        let in_time = json!({"schedule": "30 2 * * *", "timeZone": "Europe/Berlin",
            "startingDeadlineSeconds": 3600});
        for (spec, last, now, expected) in [
            (&daily, "2026-03-28T01:30:00Z", "2026-03-29T12:00:00Z", "due -, next 00:30"),
            (&daily, "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "due 00:30, next 00:30"),
            (&daily, "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "due -, next 01:30"),
            (&daily, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "due 01:30, next 01:30"),
            (&in_time, "2026-10-24T00:30:00Z", "2026-10-25T02:30:00Z", "due 01:30, next 01:30"),
            (&in_time, "2026-10-24T00:30:00Z", "2026-10-25T02:30:01Z", "due -, next 01:30"),
        ] {
            assert_eq!(told(spec, (Some(last), false), now), expected, "{spec} {last} {now}");
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_once_within_its_deadline() {
        let every =
            |seconds: i64| json!({"schedule": "@every 600s", "startingDeadlineSeconds": seconds});
        let last = "2026-01-01T00:10:00Z";
        for (deadline, now, expected) in [
            // Five were missed.
            (120, "2026-01-01T01:02:00Z", "due 01:00, next 01:10"),
            (119, "2026-01-01T01:02:00Z", "due -, next 01:10"),
            (0, "2026-01-01T01:00:00Z", "due 01:00, next 01:10"),
        ] {
            assert_eq!(told(&every(deadline), (Some(last), false), now), expected, "{now}");
        }
    }
}
