//! Keeps book of what works and what fails, and prints each thing that happens.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use api::{Happening, Outcome, Report};

use super::line::{Line, subject};

/// Prints lines, and knows which things are failing now.
///
/// A failing thing is printed once, and again only when the cause changes.
pub(super) struct Ledger(Mutex<State>);

struct State {
    out: Box<dyn Write + Send + Sync>,
    /// The cause of each failing thing, by the thing and by who says so: several controllers may sync one
    /// parent, and what works for one must not hide what fails for another.
    failing: BTreeMap<(String, String), String>,
}

impl Ledger {
    pub(super) fn new(out: Box<dyn Write + Send + Sync>) -> Self {
        Self(Mutex::new(State { out, failing: BTreeMap::new() }))
    }

    /// Prints text as it is.
    pub(super) fn print(&self, text: &str) {
        self.state().print(text);
    }

    /// Notes that a thing failed.
    pub(super) fn failed(&self, subject: &str, cause: &str) {
        self.failed_by("", subject, cause);
    }

    /// Notes that something was done to a thing; nothing done is only news after a failure.
    pub(super) fn done(&self, line: &Line) {
        self.done_by("", line);
    }

    fn failed_by(&self, controller: &str, subject: &str, cause: &str) {
        let mut state = self.state();
        let thing = (subject.to_owned(), controller.to_owned());
        let known = state.failing.insert(thing, cause.to_owned());
        if known.as_deref() != Some(cause) {
            let line = Line::new("failed", subject.to_owned(), cause);
            state.print(&line.to_string());
        }
    }

    fn done_by(&self, controller: &str, line: &Line) {
        let mut state = self.state();
        let thing = (line.subject.clone(), controller.to_owned());
        let had_failed = state.failing.remove(&thing).is_some();
        if had_failed || !line.detail.is_empty() || line.verb != "synced" {
            state.print(&line.to_string());
        }
    }

    /// Notes that a thing is no longer there, or no longer asked for.
    pub(super) fn forget(&self, subject: &str) {
        self.forget_by("", subject);
    }

    fn forget_by(&self, controller: &str, subject: &str) {
        self.state().failing.remove(&(subject.to_owned(), controller.to_owned()));
    }

    /// Returns the things that are failing, each with its cause.
    pub(super) fn failing(&self) -> Vec<String> {
        let state = self.state();
        state.failing.iter().map(|((subject, _), cause)| format!("{subject}: {cause}")).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the lock of the ledger is never poisoned")
    }
}

impl State {
    fn print(&mut self, text: &str) {
        // Whoever closed the other end of a pipe wants to read no more.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

impl Report for Ledger {
    fn report(&self, happening: Happening) {
        let (verb, by, subject, outcome, took) = match happening {
            Happening::Controller { kind, name, outcome } => {
                ("ready", String::new(), format!("{} {name}", kind.kind), outcome, Duration::ZERO)
            }
            Happening::Sync { controller, kind, parent, outcome, took } => {
                ("synced", controller, subject(&kind, &parent), outcome, took)
            }
        };
        match outcome {
            Outcome::Done(detail) => {
                let took = (verb == "synced" && !detail.is_empty()).then_some(took);
                self.done_by(&by, &Line { verb, subject, detail, took });
            }
            Outcome::Failed(cause) => self.failed_by(&by, &subject, &cause),
            Outcome::Gone => self.forget_by(&by, &subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_works_for_one_controller_hides_no_failure_of_another() {
        let ledger = Ledger::new(Box::new(Page::default()));
        let sync = |controller: &str, outcome: Outcome| Happening::Sync {
            controller: controller.to_owned(),
            kind: k8s::GroupVersionKind::new("v1", "A"),
            parent: k8s::ObjectKey::new("", "a"),
            outcome,
            took: Duration::ZERO,
        };
        ledger.report(sync("one", Outcome::Failed("boom".to_owned())));
        ledger.report(sync("two", Outcome::Done(String::new())));
        assert_eq!(ledger.failing(), ["A a: boom"]);
        ledger.report(sync("one", Outcome::Done(String::new())));
        assert!(ledger.failing().is_empty());
    }

    #[test]
    fn a_failure_is_told_once_and_its_end_too() {
        let page = Page::default();
        let ledger = Ledger::new(Box::new(page.clone()));
        ledger.failed("A a", "boom");
        ledger.failed("A a", "boom");
        ledger.failed("A a", "bang");
        assert_eq!(ledger.failing(), ["A a: bang"]);
        let synced = Line::new("synced", "A a".to_owned(), "");
        ledger.done(&synced);
        ledger.done(&synced);
        assert!(ledger.failing().is_empty());
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let words: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(words, ["failed A a boom", "failed A a bang", "synced A a"]);
    }
}
