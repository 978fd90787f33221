//! Pure: what the simulated node remembers of its pods: their addresses and when they were started.

use std::collections::{BTreeSet, HashMap};

use k8s::Timestamp;

use crate::network::Cidr;

/// The addresses in use, and those set aside for pods that have none yet.
#[derive(Debug)]
pub(crate) struct Addresses {
    network: Cidr,
    used: BTreeSet<u16>,
    pods: HashMap<String, Memory>,
    /// The last address given out: the next is looked for after it.
    last: u16,
}

#[derive(Debug, Default)]
struct Memory {
    address: u16,
    started: Option<Timestamp>,
}

impl Addresses {
    /// Returns the addresses of a network, none of them in use.
    pub(crate) fn of_network(network: Cidr) -> Self {
        Self { network, used: BTreeSet::new(), pods: HashMap::new(), last: 0 }
    }

    /// Returns the address of a pod, choosing one at the first call, and when it was started.
    pub(crate) fn of(&mut self, uid: &str) -> (String, Option<Timestamp>) {
        if !self.pods.contains_key(uid) {
            let address = self.free();
            self.take(uid, address);
        }
        let memory = &self.pods[uid];
        (self.network.address(memory.address).to_string(), memory.started)
    }

    /// Notes the address that a pod shows.
    pub(crate) fn note(&mut self, uid: &str, address: &str) {
        let number = address.parse().ok().and_then(|address| self.network.number(address));
        if let Some(number) = number.filter(|_| !self.pods.contains_key(uid)) {
            self.take(uid, number);
        }
    }

    /// Notes when a pod was started, once.
    pub(crate) fn started(&mut self, uid: &str, at: Timestamp) {
        if let Some(memory) = self.pods.get_mut(uid) {
            memory.started.get_or_insert(at);
        }
    }

    /// Forgets a pod that is gone, and frees its address.
    pub(crate) fn forget(&mut self, uid: &str) {
        if let Some(memory) = self.pods.remove(uid) {
            self.used.remove(&memory.address);
        }
    }

    fn take(&mut self, uid: &str, address: u16) {
        self.used.insert(address);
        self.last = address;
        self.pods.insert(uid.to_owned(), Memory { address, started: None });
    }

    /// Returns the next address that is not in use; the first and the last of the range never are.
    fn free(&self) -> u16 {
        let last = self.network.last();
        let after = (self.last.saturating_add(1)..last).chain(1..last);
        after.into_iter().find(|it| !self.used.contains(it)).unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Networks;

    #[test]
    fn addresses_are_not_shared_while_in_use() {
        let mut addresses = Addresses::of_network(Networks::default().pods);
        assert_eq!(addresses.of("a").0, "10.244.0.1");
        addresses.note("b", "10.244.1.0");
        assert_eq!(addresses.of("c").0, "10.244.1.1");
        assert_eq!(addresses.of("a").0, "10.244.0.1");
        addresses.forget("a");
        addresses.note("d", "10.244.255.254");
        assert_eq!(addresses.of("e").0, "10.244.0.1");
        assert_eq!(addresses.of("f").0, "10.244.0.2");
    }

    #[test]
    fn the_first_start_counts() {
        let mut addresses = Addresses::of_network(Networks::default().pods);
        let (_, started) = addresses.of("a");
        assert_eq!(started, None);
        addresses.started("a", Timestamp::UNIX_EPOCH);
        addresses.started("a", Timestamp::MAX);
        assert_eq!(addresses.of("a").1, Some(Timestamp::UNIX_EPOCH));
    }
}
