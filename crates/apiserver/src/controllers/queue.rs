//! Pure: the keyed set of work: what is to be done now, what later, and how often it failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s::{ObjectKey, Timestamp};

use super::action::Target;

/// One thing to look at. What comes first is done first: pods before what counts them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// An object, by its UID, whose owners or finalizers matter.
    Garbage(String),
    /// An object, by its UID, that names an executor nobody registered.
    Unclaimed(String),
    /// A namespace that lost what every namespace holds.
    Furniture(String),
    Pod(ObjectKey),
    ReplicaSet(ObjectKey),
    Deployment(ObjectKey),
    StatefulSet(ObjectKey),
    Job(ObjectKey),
    Service(ObjectKey),
    Volume(String),
    Claim(ObjectKey),
    CustomResource(String),
    Namespace(String),
}

/// The set of work. Each thing is in it once, now and at one later moment at most.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    now: BTreeSet<Work>,
    later: BTreeSet<(Timestamp, Work)>,
    due: BTreeMap<Work, Timestamp>,
    failures: BTreeMap<Work, u32>,
}

/// The wait after a first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// How often the wait is doubled at most, to a little over ten minutes.
const MOST_DOUBLINGS: u32 = 16;

impl Queue {
    /// Adds work to do now.
    pub(crate) fn add(&mut self, work: Work) {
        self.now.insert(work);
    }

    /// Returns how much there is to do now.
    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    /// Adds several pieces of work to do now.
    pub(crate) fn extend(&mut self, work: impl IntoIterator<Item = Work>) {
        self.now.extend(work);
    }

    /// Takes out the first thing to do, at `now`; a look planned for later is forgotten with it.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Work> {
        while let Some((due, _)) = self.later.first().filter(|(due, _)| *due <= now) {
            let due = *due;
            let (_, work) = self.later.pop_first().expect("the first was just seen");
            debug_assert_eq!(self.due.get(&work), Some(&due));
            self.due.remove(&work);
            self.now.insert(work);
        }
        let work = self.now.pop_first()?;
        self.cancel(&work);
        Some(work)
    }

    /// Looks at `work` again at `due`, in place of any other moment.
    pub(crate) fn again_at(&mut self, work: Work, due: Timestamp) {
        self.cancel(&work);
        self.due.insert(work.clone(), due);
        self.later.insert((due, work));
    }

    /// Notes that `work` failed, and looks at it again after a wait that grows.
    pub(crate) fn failed(&mut self, work: Work, now: Timestamp) {
        let failures = self.failures.entry(work.clone()).or_default();
        let wait = FIRST_WAIT * 2_u32.pow((*failures).min(MOST_DOUBLINGS));
        *failures += 1;
        self.again_at(work, now.checked_add(wait).unwrap_or(Timestamp::MAX));
    }

    /// Notes that `work` went well.
    pub(crate) fn succeeded(&mut self, work: &Work) {
        self.failures.remove(work);
    }

    /// Returns when there is something to do again, if nothing is to be done now.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.later.first().map(|(due, _)| *due)
    }

    fn cancel(&mut self, work: &Work) {
        if let Some(due) = self.due.remove(work) {
            self.later.remove(&(due, work.clone()));
        }
    }
}

impl Work {
    /// Returns the work on an object whose references matter.
    pub(crate) fn garbage(target: &Target) -> Self {
        Self::Garbage(target.uid.clone())
    }
}

#[cfg(test)]
mod tests {
    use k8s::SignedDuration;

    use super::*;

    fn pod(name: &str) -> Work {
        Work::Pod(ObjectKey::new("a", name))
    }

    #[test]
    fn pods_come_before_what_counts_them() {
        let mut queue = Queue::default();
        let key = ObjectKey::new("a", "a");
        for work in [Work::Deployment(key.clone()), Work::ReplicaSet(key), pod("z"), pod("z")] {
            queue.add(work);
        }
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(queue.next(now), Some(pod("z")));
        assert!(matches!(queue.next(now), Some(Work::ReplicaSet(_))));
        assert!(matches!(queue.next(now), Some(Work::Deployment(_))));
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn waits_double_until_success() {
        let mut queue = Queue::default();
        let now = Timestamp::UNIX_EPOCH;
        for millis in [10, 20, 40] {
            queue.failed(pod("a"), now);
            let due = now + SignedDuration::from_millis(millis);
            assert_eq!(queue.earliest(), Some(due));
            assert_eq!(queue.next(now), None);
            assert_eq!(queue.next(due), Some(pod("a")));
        }
        queue.succeeded(&pod("a"));
        queue.failed(pod("a"), now);
        assert_eq!(queue.earliest(), Some(now + SignedDuration::from_millis(10)));
    }
}
