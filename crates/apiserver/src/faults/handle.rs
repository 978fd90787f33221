//! The rules in force, shared by all requests.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{
    faults::{Fault, FaultRule, Harm, Rules},
    requests::RequestRecord,
};

/// What goes wrong in one server. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Rules>>);

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rules::new(seed))))
    }

    /// Puts a rule in force and returns its number.
    pub fn add(&self, rule: FaultRule) -> u64 {
        self.rules().add(rule)
    }

    /// Removes a rule and returns whether there was one.
    pub fn remove(&self, id: u64) -> bool {
        self.rules().remove(id)
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Returns the rules in force and how often each one hit, in the order they were added.
    pub fn list(&self) -> Vec<Fault> {
        self.rules().all().to_vec()
    }

    pub(crate) fn strike(&self, request: &RequestRecord) -> Harm {
        self.rules().strike(request)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().expect("the lock of the rules is never poisoned")
    }
}
