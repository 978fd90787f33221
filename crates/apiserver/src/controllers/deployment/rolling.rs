//! Pure: the steps of a rolling update.

use super::{super::action::Plan, Rollout};
use crate::controllers::replicaset::ReplicaSet;

impl Rollout<'_> {
    /// Makes room for new pods, or takes old ones away.
    pub(super) fn roll(&self, plan: &mut Plan) {
        let Some(new) = self.new else { return self.create(plan) };
        self.keep_up(new, plan);
        if plan.is_idle() {
            self.grow(new, plan);
        }
        if plan.is_idle() {
            self.shrink(new, plan);
        }
    }

    /// Returns how large the new set may be now.
    pub(super) fn room_for(&self, new: Option<&ReplicaSet>) -> i64 {
        let wanted = self.deployment.spec.replicas;
        let present = new.map_or(0, |new| new.spec.replicas);
        let all: i64 = self.all().map(|set| set.spec.replicas).sum();
        let room = wanted + self.max_surge() - all;
        if room <= 0 { present } else { present + room.min(wanted - present) }
    }

    fn grow(&self, new: &ReplicaSet, plan: &mut Plan) {
        let wanted = self.deployment.spec.replicas;
        let size = if wanted < new.spec.replicas { wanted } else { self.room_for(Some(new)) };
        if size != new.spec.replicas {
            self.scale(new, size, plan);
        }
    }

    /// Takes away old pods: first those that are not available, then as many as availability allows.
    fn shrink(&self, new: &ReplicaSet, plan: &mut Plan) {
        let least = self.deployment.spec.replicas - self.max_unavailable();
        let all: i64 = self.all().map(|set| set.spec.replicas).sum();
        let new_unavailable = new.spec.replicas - new.status.available_replicas;
        let mut spare = all - least - new_unavailable;
        let mut sizes: Vec<_> = self.old.iter().map(|set| (*set, set.spec.replicas)).collect();
        for (set, size) in &mut sizes {
            let unavailable = (*size - set.status.available_replicas).max(0);
            let fewer = unavailable.min(spare).max(0);
            *size -= fewer;
            spare -= fewer;
        }
        let available: i64 = self.all().map(|set| set.status.available_replicas).sum();
        let mut spare = spare.min(available - least);
        for (_, size) in &mut sizes {
            let fewer = spare.min(*size).max(0);
            *size -= fewer;
            spare -= fewer;
        }
        for (set, size) in sizes.into_iter().filter(|(set, size)| *size != set.spec.replicas) {
            self.scale(set, size, plan);
        }
    }
}
