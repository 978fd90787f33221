//! Pure: which controllers run.

use std::{collections::BTreeSet, str::FromStr};

use thiserror::Error;

/// The controllers that run. Their names are those of the kinds they look after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controllers(BTreeSet<&'static str>);

/// A list names a controller that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no controller `{name}`; there are {}", NAMES.join(", "))]
pub struct UnknownController {
    /// The name.
    pub name: String,
}

pub(crate) const CRD: &str = "crd";
pub(crate) const DEPLOYMENT: &str = "deployment";
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const GARBAGE: &str = "gc";
pub(crate) const JOB: &str = "job";
pub(crate) const NAMESPACE: &str = "namespace";
pub(crate) const PODS: &str = "pods";
pub(crate) const REPLICA_SET: &str = "replicaset";
pub(crate) const SCHEDULER: &str = "scheduler";
pub(crate) const STATEFUL_SET: &str = "statefulset";
pub(crate) const EXECUTOR: &str = "executor";
pub(crate) const VOLUME: &str = "volume";

const NAMES: [&str; 12] = [
    CRD,
    DEPLOYMENT,
    ENDPOINTS,
    EXECUTOR,
    GARBAGE,
    JOB,
    NAMESPACE,
    PODS,
    REPLICA_SET,
    SCHEDULER,
    STATEFUL_SET,
    VOLUME,
];

impl Default for Controllers {
    /// Returns all of them.
    fn default() -> Self {
        Self(NAMES.into())
    }
}

impl Controllers {
    /// Leaves out what makes bound pods run.
    pub fn leave_out_pods(&mut self) {
        self.0.remove(PODS);
    }

    pub(crate) fn run(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl FromStr for Controllers {
    type Err = UnknownController;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut chosen = BTreeSet::new();
        for item in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            if item == "*" {
                chosen.extend(NAMES);
                continue;
            }
            let (out, name) = item.strip_prefix('-').map_or((false, item), |name| (true, name));
            let known = NAMES.into_iter().find(|it| *it == name);
            let known = known.ok_or_else(|| UnknownController { name: name.to_owned() })?;
            if out {
                chosen.remove(known);
            } else {
                chosen.insert(known);
            }
        }
        Ok(Self(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_adds_and_takes_away() {
        let chosen =
            |text: &str| text.parse::<Controllers>().unwrap().0.into_iter().collect::<Vec<_>>();
        assert_eq!(chosen("job,gc"), ["gc", "job"]);
        assert_eq!(chosen("*").len(), NAMES.len());
        assert_eq!(chosen("*,-job,-gc").len(), NAMES.len() - 2);
        assert!(chosen("").is_empty());
        let error = "*,-jobs".parse::<Controllers>().unwrap_err();
        assert!(error.to_string().starts_with("no controller `jobs`; there are crd, deployment, "));
    }
}
