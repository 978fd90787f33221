//! Pure: keeps a program that kills workers away from them for a while.

use std::collections::VecDeque;

use k8s::{SignedDuration, Timestamp};

/// So many deaths within the window close the fence.
const DEATHS: usize = 5;
const WINDOW: SignedDuration = SignedDuration::from_secs(60);
const CLOSED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// The recent workers that died of one program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence {
    deaths: VecDeque<Timestamp>,
    closed_until: Option<Timestamp>,
}

impl Fence {
    /// Notes that a worker died.
    pub(crate) fn note_death(&mut self, now: Timestamp) {
        self.deaths.push_back(now);
        self.deaths.retain(|death| now.duration_since(*death) < WINDOW);
        if DEATHS <= self.deaths.len() {
            self.closed_until = now.checked_add(CLOSED_FOR).ok();
            self.deaths.clear();
        }
    }

    /// Returns whether the program may not run now.
    pub(crate) fn is_closed(&self, now: Timestamp) -> bool {
        self.closed_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000 + seconds).unwrap()
    }

    #[test]
    fn five_deaths_in_a_minute_close_for_half_a_minute() {
        let mut fence = Fence::default();
        for second in [0, 10, 20, 30] {
            fence.note_death(after(second));
        }
        assert!(!fence.is_closed(after(30)));
        fence.note_death(after(59));
        assert!(fence.is_closed(after(60)));
        assert!(!fence.is_closed(after(89)));
    }

    #[test]
    fn old_deaths_do_not_count() {
        let mut fence = Fence::default();
        for second in [0, 10, 20, 30, 61] {
            fence.note_death(after(second));
        }
        assert!(!fence.is_closed(after(62)));
    }
}
