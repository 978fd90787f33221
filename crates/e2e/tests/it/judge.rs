//! Judges an engine by the log of requests of the server it worked on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use apiserver::RequestRecord;
use e2e::{Server, World, real_kubeconfig};
use k8s::{SignedDuration, Timestamp};

mod audit;

/// What an engine asked to change, under trouble and without.
pub(crate) struct Judge<'a> {
    /// As whom it acts.
    pub(crate) engine: &'a str,
    /// How many writes the same story takes without trouble.
    pub(crate) least: usize,
}

/// Fails if the engine did what it should not, now or in the time to come: `least` is how many writes the
/// story takes without trouble.
pub(crate) async fn assert_spared(world: &World, least: usize) {
    let (engine, quiet) = match world.server {
        Server::Embedded => ("windlass-engine", Duration::from_mins(1)),
        Server::Real => (audit::ENGINE, Duration::from_secs(30)),
    };
    judge(world, &Judge { engine, least }, quiet).await;
}

/// The same of engines in processes of their own.
pub(crate) async fn assert_others_spared(world: &World, least: usize) {
    judge(world, &Judge { engine: audit::ENGINE, least }, Duration::from_secs(30)).await;
}

async fn judge(world: &World, judge: &Judge<'_>, quiet: Duration) {
    let Some(log) = requests(world) else { return };
    let calls = world.hook.calls();
    world.pass(quiet).await;
    let quiet = requests(world).unwrap_or_default().split_off(log.len());
    let faults = judge.faults(&log, &quiet);
    let told: Vec<_> = judge.writes(&log).map(line).collect();
    assert!(faults.is_empty(), "{}\n\nall writes:\n{}", faults.join("\n"), told.join("\n"));
    assert_eq!(world.hook.calls(), calls, "asked without need");
}

/// Returns what was asked in the world's namespace, oldest first; nothing if the server keeps no log.
fn requests(world: &World) -> Option<Vec<RequestRecord>> {
    match world.server {
        Server::Embedded => Some(world.api().requests()),
        Server::Real => {
            let log = real_kubeconfig(&world.id)?.with_file_name("audit.log");
            Some(audit::requests(&std::fs::read_to_string(log).ok()?, &world.id))
        }
    }
}

impl Judge<'_> {
    /// Returns what is wrong with a story that `log` tells, the end of which is `quiet`: nothing at best.
    pub(crate) fn faults(&self, log: &[RequestRecord], quiet: &[RequestRecord]) -> Vec<String> {
        let mut faults = created_twice(self.engine, log);
        faults.extend(moved_together(self.engine, log));
        let count = self.writes(log).count();
        if 2 * self.least < count {
            faults.push(format!("{count} writes, with no trouble {}", self.least));
        }
        faults.extend(self.writes(quiet).map(|it| format!("written without need: {}", line(it))));
        faults
    }

    /// Returns the engine's writes, without events, the lease and what is only asked.
    pub(crate) fn writes<'a>(
        &'a self,
        log: &'a [RequestRecord],
    ) -> impl Iterator<Item = &'a RequestRecord> {
        log.iter().filter(|it| it.user == self.engine && is_write(it))
    }
}

fn is_write(request: &RequestRecord) -> bool {
    let reads = matches!(request.verb.as_str(), "get" | "list" | "watch");
    let is_housekeeping = matches!(request.resource.as_str(), "events" | "leases");
    !reads && !is_housekeeping && !request.dry_run
}

/// Returns the objects that the engine tried to create although it had just done so.
///
/// Whoever did not hear what became of a create may ask once more, and so may whoever was not shown its own
/// write for a second.
fn created_twice(engine: &str, log: &[RequestRecord]) -> Vec<String> {
    let (mut there, mut unheard, mut faults) = (BTreeMap::new(), 0_usize, vec![]);
    for request in log.iter().filter(|it| is_write(it) && it.subresource.is_empty()) {
        let RequestRecord { user, resource, namespace, name, time, .. } = request;
        let object = (resource, namespace, name);
        match (request.verb.as_str(), request.code) {
            ("create", 500..) if user == engine => unheard += 1,
            ("create", 409) if user == engine && 0 < unheard => unheard -= 1,
            ("create", 409) if user == engine => {
                let is_shown = |since: &Timestamp| time.duration_since(*since) < OWN_WRITES;
                if there.get(&object).is_some_and(is_shown) {
                    faults.push(format!("created although it was there: {}", line(request)));
                }
            }
            ("create", 201) if user == engine => drop(there.insert(object, *time)),
            ("delete", 200 | 202 | 404) => drop(there.remove(&object)),
            _ => {}
        }
    }
    faults
}

/// How long an engine waits to be shown its own writes.
const OWN_WRITES: SignedDuration = SignedDuration::from_secs(1);

/// Returns the pods that the engine began to move before the one it moved last was ready.
///
/// Others, who play the node, say in the status that a pod is ready.
fn moved_together(engine: &str, log: &[RequestRecord]) -> Vec<String> {
    let pods = log.iter().filter(|it| it.resource == "pods" && !it.dry_run && it.code < 300);
    let (mut ready, mut moving, mut faults) = (BTreeSet::new(), BTreeSet::new(), vec![]);
    for request in pods {
        let name = &request.name;
        let is_engine = request.user == engine;
        match (request.verb.as_str(), request.subresource.as_str()) {
            ("patch" | "update", "status") if !is_engine => {
                ready.insert(name);
                moving.remove(name);
            }
            ("delete" | "update" | "patch", "") if is_engine && ready.remove(name) => {
                moving.insert(name);
                if 1 < moving.len() {
                    faults.push(format!("moved before another was ready: {}", line(request)));
                }
            }
            _ => {}
        }
    }
    faults
}

/// Shows a request.
pub(crate) fn line(request: &RequestRecord) -> String {
    let RequestRecord { verb, resource, subresource, name, code, .. } = request;
    format!("{verb} {resource}/{name} {subresource} {code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads requests such as `engine create pods/a 201; node patch pods/a/status 200`.
    fn log(text: &str) -> Vec<RequestRecord> {
        let requests = text.split("; ").filter(|it| !it.is_empty()).map(|request| {
            let mut words = request.split(' ').map(ToOwned::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (user, verb, path, code) = (word(), word(), word(), word());
            let mut path = path.split('/').map(ToOwned::to_owned);
            let mut part = || path.next().unwrap_or_default();
            let (resource, name, subresource) = (part(), part(), part());
            let code = code.parse().unwrap();
            RequestRecord { user, verb, resource, name, subresource, code, ..<_>::default() }
        });
        requests.collect()
    }

    fn faults(least: usize, text: &str, quiet: &str) -> Vec<String> {
        Judge { engine: "engine", least }.faults(&log(text), &log(quiet))
    }

    #[test]
    fn a_name_is_created_once_between_deletes() {
        let none: [&str; 0] = [];
        let again = "engine create c/a 201; gc delete c/a 200; engine create c/a 201";
        assert_eq!(faults(9, again, ""), none);
        let unheard = "engine create c/a 201; engine create c/ 500; engine create c/b 409";
        assert_eq!(faults(9, unheard, ""), none);
        let twice = "engine create c/a 201; engine create c/a 409";
        assert_eq!(faults(9, twice, ""), ["created although it was there: create c/a  409"]);
    }

    #[test]
    fn writes_are_counted_and_quiet_is_quiet() {
        let text = "engine update c/a 200; engine update c/a 200; engine get c/a 200";
        assert_eq!(faults(1, text, "engine watch c/ 200"), [""; 0]);
        let more = format!("{text}; engine update c/a 409");
        assert_eq!(
            faults(1, &more, "engine update c/a 200"),
            ["3 writes, with no trouble 1", "written without need: update c/a  200"]
        );
    }

    #[test]
    fn the_next_child_moves_when_the_last_one_is_ready() {
        let start = "node patch pods/a/status 200; node patch pods/b/status 200";
        let one = "engine delete pods/a 200; engine create pods/a 201";
        let right =
            format!("{start}; {one}; node patch pods/a/status 200; engine delete pods/b 200");
        assert_eq!(faults(9, &right, ""), [""; 0]);
        let wrong = format!("{start}; {one}; engine delete pods/b 200");
        assert_eq!(faults(9, &wrong, ""), ["moved before another was ready: delete pods/b  200"]);
    }
}
