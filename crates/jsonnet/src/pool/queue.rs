//! Pure: whose call runs next: first come first served per route, in turn across routes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Calls that wait, and how many run.
#[derive(Debug)]
pub(super) struct Queue<T> {
    lanes: VecDeque<Lane<T>>,
    busy: BTreeMap<Arc<str>, usize>,
    running: usize,
    waiting: usize,
    workers: usize,
    limit: usize,
}

#[derive(Debug)]
struct Lane<T> {
    route: Arc<str>,
    tickets: VecDeque<T>,
}

/// Whether the bound on waiting calls holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// It does.
    Limited,
    /// It does not: loading a program is not a call.
    Unlimited,
}

/// So many calls wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<T> Queue<T> {
    pub(super) fn new(workers: usize, limit: usize) -> Self {
        Self {
            lanes: VecDeque::new(),
            busy: BTreeMap::new(),
            running: 0,
            waiting: 0,
            workers: workers.max(1),
            limit,
        }
    }

    /// Lets `ticket` wait; [`Queue::pop`] follows.
    pub(super) fn push(&mut self, route: &Arc<str>, ticket: T, bound: Bound) -> Result<(), Full> {
        let room = self.limit + self.workers.saturating_sub(self.running);
        if bound == Bound::Limited && room <= self.waiting {
            return Err(Full);
        }
        self.waiting += 1;
        match self.lanes.iter_mut().find(|lane| lane.route == *route) {
            Some(lane) => lane.tickets.push_back(ticket),
            None => {
                self.lanes.push_back(Lane { route: Arc::clone(route), tickets: [ticket].into() });
            }
        }
        Ok(())
    }

    /// Takes the ticket of the call to run now, if there is one and a worker for it.
    pub(super) fn pop(&mut self) -> Option<(Arc<str>, T)> {
        if self.running == self.workers {
            return None;
        }
        // One route must leave a worker to the others while one of them waits.
        let most = (self.workers - 1).max(1);
        let alone = self.lanes.len() == 1;
        let index = self.lanes.iter().position(|lane| {
            alone || self.busy.get(&lane.route).is_none_or(|running| *running < most)
        })?;
        let mut lane = self.lanes.remove(index)?;
        let ticket = lane.tickets.pop_front()?;
        let route = Arc::clone(&lane.route);
        if !lane.tickets.is_empty() {
            self.lanes.push_back(lane);
        }
        self.waiting -= 1;
        self.running += 1;
        *self.busy.entry(Arc::clone(&route)).or_default() += 1;
        Some((route, ticket))
    }

    /// Notes that a call of `route` has ended.
    pub(super) fn done(&mut self, route: &Arc<str>) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.busy.get_mut(route) {
            *running -= 1;
            if *running == 0 {
                self.busy.remove(route);
            }
        }
    }

    /// Returns how many calls wait and how many run.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.waiting, self.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script: `a` adds a call of route a, `-a` ends one; returns what ran, in order.
    fn ran(workers: usize, limit: usize, script: &str) -> String {
        let mut queue = Queue::new(workers, limit);
        let mut ran = Vec::new();
        for step in script.split(' ') {
            let outcome = match step.strip_prefix('-') {
                Some(route) => {
                    queue.done(&route.into());
                    Ok(())
                }
                None => queue.push(&step.get(..1).unwrap().into(), step, Bound::Limited),
            };
            if outcome == Err(Full) {
                ran.push("full");
            }
            while let Some((_, ticket)) = queue.pop() {
                ran.push(ticket);
            }
        }
        ran.join(" ")
    }

    #[test]
    fn routes_take_turns_and_keep_their_order() {
        assert_eq!(ran(1, 9, "a1 a2 a3 b1 b2 -a -a -b -a"), "a1 a2 b1 a3 b2");
    }

    #[test]
    fn one_route_leaves_a_worker_while_another_waits() {
        assert_eq!(ran(3, 9, "a1 a2 a3 a4 b1 -a"), "a1 a2 a3 b1");
        assert_eq!(ran(2, 9, "a1 b1 a2 b2 -a -b"), "a1 b1 a2 b2");
    }

    #[test]
    fn too_many_waiting_calls_are_refused() {
        assert_eq!(ran(1, 1, "a1 a2 a3 -a a4"), "a1 full a2");
        assert_eq!(ran(2, 0, "a1 a2 a3"), "a1 a2 full");
    }
}
