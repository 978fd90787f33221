//! Pure: what is to become of a Function, from what was seen of it and around it.

use std::sync::Arc;

use k8s::Object;

use crate::{
    choice::{Choice, Offered, choose},
    config::Watched,
    function::Function,
    interpreters::Interpreter,
    live::is_ours,
    objects::{Context, Objects, Surroundings, objects},
    runtimes::{Policy, Resolved, resolve},
    table::Runtime,
};

/// What a plan depends on besides the Function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// The configuration.
    pub watched: &'a Watched,
    /// All runtimes of a cluster.
    pub table: &'a [Runtime],
    /// What there is to run programs.
    pub offered: Offered<'a>,
    /// Where pods run.
    pub surroundings: &'a Surroundings,
    /// The objects that have the name of the Function.
    pub live: &'a Live,
}

/// The objects that have the name of a Function, whoever made them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Its ConfigMap.
    pub config_map: Option<Arc<Object>>,
    /// Its Service.
    pub service: Option<Arc<Object>>,
    /// Its Deployment.
    pub deployment: Option<Arc<Object>>,
    /// Its HorizontalPodAutoscaler.
    pub autoscaler: Option<Arc<Object>>,
}

/// What is to become of a Function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// It cannot run before it, or what is around it, is changed.
    Refuse {
        /// The reason.
        reason: &'static str,
        /// What a person reads.
        message: String,
    },
    /// It could run, but what it needs is not there.
    Wait {
        /// The reason.
        reason: &'static str,
        /// What a person reads.
        message: String,
    },
    /// Its objects are to be there.
    Make(Box<Make>),
}

/// A Function whose objects are to be there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Make {
    /// The Function.
    pub function: Function,
    /// What runs it, unless it has an image of its own.
    pub runs: Option<Runs>,
    /// Its objects.
    pub objects: Objects,
    /// What is wrong with the configuration, of which earlier values apply.
    pub fault: Option<String>,
}

/// What runs a Function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    /// The runtime with its version.
    pub name: String,
    /// Whether another version was asked for.
    pub is_substitute: bool,
    /// What it is, `image` or `interpreter`, and which.
    pub with: (&'static str, String),
}

/// Plans what is to become of a Function.
pub(crate) fn plan(object: &Object, seen: Seen<'_>) -> Plan {
    let function = match Function::check(object) {
        Ok(function) => function,
        Err(refusal) => return refuse(refusal.reason(), refusal.to_string()),
    };
    let config = seen.watched.config();
    let fault = seen.watched.fault_of(&function);
    let told = fault.map(|fault| format!("`{}` of the configuration: {}", fault.key, fault.error));
    if let (Some(false), Some(told)) = (fault.map(|fault| fault.has_good), &told) {
        // What was made under values that nobody remembers is better left alone.
        return refuse("ConfigInvalid", told.clone());
    }
    let choice = match choose(&function, seen.table, seen.offered, config.policy) {
        Ok(choice) => choice,
        Err(unfit) => {
            let (reason, message) = unfit.told();
            return match reason {
                "UnknownRuntime" => refuse(reason, message.to_owned()),
                _ => Plan::Wait { reason, message: message.to_owned() },
            };
        }
    };
    let live = seen.live.deployment.as_ref().filter(|it| is_ours(it)).map(|it| it.to_value());
    let context = Context {
        runtime: match &choice {
            Choice::Image => known(&function, seen.table),
            Choice::Runtime(runtime, _) => Some(runtime),
        },
        config,
        surroundings: seen.surroundings,
        selector: live.as_ref().and_then(|live| live.pointer("/spec/selector/matchLabels")),
    };
    let made = match objects(&function, context) {
        Ok(made) => made,
        Err(error) => return refuse("InvalidService", error.to_string()),
    };
    if let Some(message) = conflict(seen.live, &made) {
        return refuse("Conflict", message);
    }
    let runs = match &choice {
        Choice::Image => None,
        Choice::Runtime(runtime, resolved) => Some(runs(runtime, resolved, seen)),
    };
    Plan::Make(Box::new(Make { function, runs, objects: made, fault: told }))
}

fn refuse(reason: &'static str, message: String) -> Plan {
    Plan::Refuse { reason, message }
}

/// Returns the runtime that a Function with an image of its own names: its files are called as there.
pub(crate) fn known<'a>(function: &Function, table: &'a [Runtime]) -> Option<&'a Runtime> {
    let wanted = function.runtime.as_ref()?;
    let named: Vec<_> = table.iter().filter(|runtime| runtime.id == wanted.id).collect();
    let versions: Vec<_> = named.iter().map(|runtime| &runtime.version).collect();
    let resolved = resolve(&wanted.version, &versions, Policy::Nearest)?;
    named.into_iter().find(|runtime| runtime.version == resolved.version)
}

/// Returns what stands in the way: an object of the Function's name that others made.
fn conflict(live: &Live, made: &Objects) -> Option<String> {
    let autoscaler = live.autoscaler.as_ref().filter(|_| made.autoscaler.is_some());
    let all =
        [live.deployment.as_ref(), live.config_map.as_ref(), live.service.as_ref(), autoscaler];
    let foreign = all.into_iter().flatten().find(|object| !is_ours(object))?;
    let kind = &foreign.gvk().kind;
    Some(format!("Found a conflicting {kind} object {}", foreign.key()))
}

fn runs(runtime: &Runtime, resolved: &Resolved, seen: Seen<'_>) -> Runs {
    let is_used = |interpreter: &&Interpreter| {
        Some(interpreter.language) == runtime.language && interpreter.version == runtime.version
    };
    let with = match seen.offered {
        Offered::Images => {
            let image = runtime.runs.name.as_ref().unwrap_or(&seen.surroundings.image);
            ("image", image.clone())
        }
        Offered::Machine(found) => {
            let path = found.iter().find(is_used).map(|it| it.path.display().to_string());
            ("interpreter", path.unwrap_or_default())
        }
    };
    Runs { name: runtime.name(), is_substitute: resolved.is_substitute, with }
}

#[cfg(test)]
mod tests;
