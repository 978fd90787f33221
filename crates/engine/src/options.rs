//! Pure: how the engine is set up.

use std::{sync::Arc, time::Duration};

use api::{NoReport, SharedHook, SharedReport};
use k8s::selector::Selector;
use runtime::{EventLimits, ManagedFields};

use crate::strategy::ApplyStrategy;

/// How the engine works.
#[derive(Clone)]
pub struct EngineOptions {
    /// How hooks are called.
    pub hook: SharedHook,
    /// Who is told what happens.
    pub report: SharedReport,
    /// How many parents of one controller are synced at once.
    pub workers: Workers,
    /// The labels of the controller objects that are run; others are left alone.
    pub targets: Selector,
    /// The engine's own namespace, where the versions of cluster-scoped parents are kept.
    pub namespace: String,
    /// How often all parents are synced again if their controller does not say so more often.
    pub flush: Duration,
    /// How long it counts which resources the server offers.
    pub discovery: Duration,
    /// How many events an object may have.
    pub events: EventLimits,
    /// Whether hooks see the managedFields of objects.
    pub managed_fields: ManagedFields,
    /// How children are made what the hooks want.
    pub strategy: ApplyStrategy,
    /// Whether the last sync of each parent is kept for those who ask.
    pub record: Record,
}

/// Whether the last sync of each parent is kept: what was asked, answered and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It is, as far as there is room.
    Kept,
    /// It is not, because nobody can ask.
    Nothing,
}

/// How many parents of one controller are synced at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many.
    Exactly(usize),
    /// A few, and more while parents have to wait.
    Growing,
}

/// How many workers a controller begins with where their number grows.
const FEWEST: usize = 5;
/// How many it has at most.
const MOST: usize = 32;
/// How long a parent may wait before there is one worker more.
const PATIENCE: Duration = Duration::from_millis(50);

impl EngineOptions {
    /// Returns the defaults, under which nobody is told what happens.
    pub fn new(hook: SharedHook) -> Self {
        Self {
            hook,
            report: Arc::new(NoReport),
            workers: Workers::Growing,
            targets: Selector::default(),
            namespace: "default".to_owned(),
            flush: Duration::from_mins(30),
            discovery: Duration::from_secs(30),
            events: EventLimits::default(),
            managed_fields: ManagedFields::Dropped,
            strategy: ApplyStrategy::default(),
            record: Record::Kept,
        }
    }
}

impl Workers {
    /// Returns with how many to begin.
    pub(crate) fn first(self) -> usize {
        match self {
            Self::Exactly(count) => count.max(1),
            Self::Growing => FEWEST,
        }
    }

    /// Returns how many there are at most.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Exactly(count) => count.max(1),
            Self::Growing => MOST,
        }
    }

    /// Returns how many there should be, now that a parent waited so long while there were `count`.
    pub(crate) fn after(self, count: usize, waited: Duration) -> usize {
        if PATIENCE < waited { (count + 1).min(self.most()) } else { count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_grow_while_parents_wait_unless_their_number_was_given() {
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(51));
        let after = |workers: Workers, waits: &[Duration]| {
            waits.iter().fold(workers.first(), |count, waited| workers.after(count, *waited))
        };
        assert_eq!(after(Workers::Growing, &[]), 5);
        assert_eq!(after(Workers::Growing, &[short, long, short, long]), 7);
        assert_eq!(after(Workers::Growing, &[long; 100]), 32);
        assert_eq!(after(Workers::Exactly(3), &[long; 100]), 3);
        assert_eq!(after(Workers::Exactly(0), &[]), 1);
    }
}
