//! Pure: what the simulated node makes of a pod: its stages and how each looks.

mod overrides;
mod stage;
#[cfg(test)]
mod tests;

use k8s::{SignedDuration, Timestamp};
use serde_json::Value;

use self::{
    overrides::{Failure, Overrides},
    stage::{Stage, State},
};
use super::{
    action::{Action, Deletion, Note, Plan, Severity},
    kinds,
    pod::Pod,
};
use crate::fields;

/// The component its Events name.
const COMPONENT: &str = "windlass-sim";

/// How long a pod runs that is to end.
const RUN: SignedDuration = SignedDuration::from_secs(1);

/// How long a pod runs that is to be evicted: what replaces it is evicted as well.
const RUN_BEFORE_EVICTION: SignedDuration = SignedDuration::from_secs(10);

/// What a plan is made from.
pub(crate) struct Observed<'a> {
    pub(crate) pod: &'a Pod,
    /// The address the pod gets if it has none.
    pub(crate) address: &'a str,
    /// The address of its node.
    pub(crate) host: &'a str,
    /// When its containers were started, if that is known better than by the second.
    pub(crate) started: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// Plans the next stage of a pod on the simulated node.
pub(crate) fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let pod = observed.pod.object.to_value();
    let (overrides, mistakes) = Overrides::read(&pod);
    if observed.pod.object.meta().is_deleting() {
        end(observed, &pod, &overrides, &mut plan);
        return plan;
    }
    let Some(state) = State::of(&pod) else { return plan };
    if state == State::Bound {
        let notes = mistakes.into_iter().map(|mistake| note(observed.pod, mistake));
        plan.actions.extend(notes);
    }
    match next(observed, &pod, &overrides, state) {
        Next::Now(stage) => {
            let object = stage.write(pod, observed);
            plan.push(Action::Status { resource: kinds::PODS.clone(), object });
        }
        Next::At(due) => plan.look_at(due),
        Next::Never => {}
    }
    plan
}

/// What comes after the present stage.
enum Next {
    Now(Stage),
    At(Timestamp),
    Never,
}

/// Removes a pod that is being deleted: at once, or when its grace is over if it is stuck.
fn end(observed: &Observed<'_>, pod: &Value, overrides: &Overrides, plan: &mut Plan) {
    let due = fields::text(pod, "/metadata/deletionTimestamp").parse::<Timestamp>();
    let stuck = overrides.fail == Some(Failure::Stuck) && !observed.pod.is_terminal();
    match due {
        Ok(due) if stuck && observed.now < due => plan.look_at(due),
        // A pod that only waits for its finalizers has no grace left: there is nothing to end.
        _ if pod.pointer("/metadata/deletionGracePeriodSeconds") == Some(&Value::from(0)) => {}
        _ => plan.push(Action::Delete { target: observed.pod.target(), how: Deletion::Now }),
    }
}

fn next(observed: &Observed<'_>, pod: &Value, overrides: &Overrides, state: State) -> Next {
    let started = observed.started.or_else(|| stage::started(pod)).unwrap_or(observed.now);
    let after = |wait: SignedDuration, stage: Stage| {
        let due = started.saturating_add(wait).unwrap_or(Timestamp::MAX);
        if due <= observed.now { Next::Now(stage) } else { Next::At(due) }
    };
    match (state, overrides.fail) {
        (State::Running | State::Ready, Some(Failure::Evicted)) => {
            after(overrides.complete_after.unwrap_or(RUN_BEFORE_EVICTION), Stage::Evicted)
        }
        (State::Bound, Some(Failure::Stuck)) => Next::Now(Stage::Creating),
        (State::Bound, Some(Failure::ImagePull)) => Next::Now(Stage::ImagePull),
        (State::Creating, Some(Failure::Stuck | Failure::ImagePull))
        | (State::Running, Some(_))
        | (State::Crashed, _) => Next::Never,
        (State::Bound | State::Creating, _) => Next::Now(Stage::first(pod, overrides)),
        (State::Initialising(done), _) => Next::Now(Stage::after_init(pod, overrides, done)),
        (State::Running, None) => progress(pod, overrides, after),
        (State::Ready, _) => completion(pod, overrides, after),
    }
}

/// Returns what follows while the containers run, but are not ready.
fn progress(
    pod: &Value,
    overrides: &Overrides,
    after: impl Fn(SignedDuration, Stage) -> Next,
) -> Next {
    let ready_after = overrides.ready_after.unwrap_or_default();
    let complete_after = overrides.complete_after.unwrap_or(RUN);
    if ends(pod) && complete_after < ready_after {
        completion(pod, overrides, after)
    } else {
        after(ready_after, Stage::Ready)
    }
}

/// Returns how a pod ends that does not run for ever.
fn completion(
    pod: &Value,
    overrides: &Overrides,
    after: impl Fn(SignedDuration, Stage) -> Next,
) -> Next {
    if !ends(pod) {
        return Next::Never;
    }
    let code = overrides.exit_code.unwrap_or(0);
    let again = code != 0 && fields::text(pod, "/spec/restartPolicy") == "OnFailure";
    let stage = if again { Stage::Crashed(code) } else { Stage::Ended(code) };
    after(overrides.complete_after.unwrap_or(RUN), stage)
}

fn ends(pod: &Value) -> bool {
    matches!(fields::text(pod, "/spec/restartPolicy"), "Never" | "OnFailure")
}

fn note(pod: &Pod, message: String) -> Action {
    Action::Note(Note {
        about: pod.target(),
        severity: Severity::Warning,
        component: COMPONENT,
        reason: "SimInvalidAnnotation",
        message,
    })
}
