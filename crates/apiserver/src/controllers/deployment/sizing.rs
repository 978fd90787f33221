//! Pure: spreads a changed size over the sets of a rollout that is under way.

use super::{Rollout, bounds::Strategy};
use crate::controllers::{action::Plan, replicaset::ReplicaSet};

impl<'a> Rollout<'a> {
    /// Returns whether the Deployment was given another size since it last wrote to its sets.
    pub(super) fn is_resized(&self) -> bool {
        let wanted = self.deployment.spec.replicas;
        let mut active = self.all().filter(|set| set.spec.replicas > 0);
        active.any(|set| {
            let desired = set.annotations.desired.as_deref();
            desired.and_then(|desired| desired.parse().ok()).is_some_and(|it: i64| it != wanted)
        })
    }

    /// Brings the sets to the new size together, each in proportion.
    pub(super) fn resize(&self, plan: &mut Plan) {
        let wanted = self.deployment.spec.replicas;
        if let Some(only) = self.only_active() {
            if only.spec.replicas != wanted || !self.is_noted(only) {
                self.scale(only, wanted, plan);
            }
            return;
        }
        if self.new.is_some_and(|new| self.is_saturated(new)) {
            for set in self.old.iter().filter(|set| set.spec.replicas > 0) {
                self.scale(set, 0, plan);
            }
            return;
        }
        if matches!(self.deployment.spec.strategy, Strategy::RollingUpdate { .. }) {
            self.spread(plan);
        }
    }

    /// Returns the one set with replicas, or the newest if none has any.
    fn only_active(&self) -> Option<&'a ReplicaSet> {
        let active: Vec<_> = self.all().filter(|set| set.spec.replicas > 0).collect();
        match active.as_slice() {
            [] => self.new.or(self.old.last().copied()),
            [only] => Some(only),
            _ => None,
        }
    }

    /// Returns whether the set alone is all the Deployment asks for.
    fn is_saturated(&self, set: &ReplicaSet) -> bool {
        let wanted = self.deployment.spec.replicas;
        self.is_noted(set) && set.spec.replicas == wanted && set.status.available_replicas == wanted
    }

    fn is_noted(&self, set: &ReplicaSet) -> bool {
        let (desired, max) = (self.deployment.spec.replicas, self.most());
        set.annotations.desired.as_deref() == Some(&desired.to_string())
            && set.annotations.max.as_deref() == Some(&max.to_string())
    }

    fn most(&self) -> i64 {
        self.deployment.spec.replicas + self.max_surge()
    }

    fn spread(&self, plan: &mut Plan) {
        let mut sets: Vec<_> = self.all().filter(|set| set.spec.replicas > 0).collect();
        let all: i64 = sets.iter().map(|set| set.spec.replicas).sum();
        let allowed = if self.deployment.spec.replicas > 0 { self.most() } else { 0 };
        let change = allowed - all;
        // The largest first; among equals the newest gains and the oldest loses.
        if change > 0 {
            sets.reverse();
        }
        sets.sort_by_key(|set| -set.spec.replicas);
        let mut left = change;
        let mut sizes = Vec::new();
        for set in sets {
            let part = self.part(set);
            let part =
                if change > 0 { part.clamp(0, left.max(0)) } else { part.clamp(left.min(0), 0) };
            left -= part;
            sizes.push((set, set.spec.replicas + part));
        }
        if let Some((_, size)) = sizes.first_mut() {
            *size = (*size + left).max(0);
        }
        for (set, size) in sizes {
            if size != set.spec.replicas || !self.is_noted(set) {
                self.scale(set, size, plan);
            }
        }
    }

    /// Returns by how much a set changes if its part of the whole stays.
    fn part(&self, set: &ReplicaSet) -> i64 {
        let size = set.spec.replicas;
        if self.deployment.spec.replicas == 0 {
            return -size;
        }
        let before = set.annotations.max.as_deref().and_then(|max| max.parse().ok());
        let before: i64 = before.unwrap_or(self.deployment.status.replicas).max(1);
        let most = self.most();
        // Rounded to the nearest whole number.
        (2 * size * most + before) / (2 * before) - size
    }
}
