//! Pure: the latest lines that a pod printed, each with a number.

use std::collections::VecDeque;

use k8s::LogLine;

/// How many bytes of lines are kept at least, once there were so many.
pub(crate) const KEPT: usize = 1 << 20;
/// What a line takes besides its text.
const EACH: usize = 48;

/// The latest lines of a log.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: VecDeque<LogLine>,
    /// How much the lines take.
    size: usize,
    /// The number of the first line that is kept.
    first: u64,
    /// The number of the first line since the program was started again.
    restarted: Option<u64>,
}

impl Ring {
    /// Adds a line; the oldest ones make room for it.
    pub(crate) fn push(&mut self, line: LogLine) {
        self.size += size(&line);
        self.lines.push_back(line);
        while let Some(oldest) = self.lines.front().map(size)
            && KEPT + oldest <= self.size
        {
            self.lines.pop_front();
            self.size -= oldest;
            self.first += 1;
        }
    }

    /// Notes that the program was started again: what it printed up to now is its former run.
    pub(crate) fn restart(&mut self) {
        self.restarted = Some(self.next());
    }

    /// Returns the number that the next line gets.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Returns all lines.
    pub(crate) fn all(&self) -> Vec<LogLine> {
        self.lines.iter().cloned().collect()
    }

    /// Returns the lines of the runs before the latest one; nothing if there was no other.
    pub(crate) fn previous(&self) -> Option<Vec<LogLine>> {
        let count = usize::try_from(self.restarted?.saturating_sub(self.first)).ok()?;
        Some(self.lines.iter().take(count).cloned().collect())
    }

    /// Returns the line of a number, or the oldest one after it, and the number of the next.
    pub(crate) fn after(&self, number: u64) -> Option<(LogLine, u64)> {
        let place = number.saturating_sub(self.first);
        let line = self.lines.get(usize::try_from(place).ok()?)?;
        Some((line.clone(), self.first + place + 1))
    }
}

fn size(line: &LogLine) -> usize {
    line.text.len() + EACH
}

#[cfg(test)]
mod tests {
    use k8s::Timestamp;

    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine { time: Timestamp::UNIX_EPOCH, text: text.into() }
    }

    fn ring(texts: &[&str]) -> Ring {
        let mut ring = Ring::default();
        for text in texts {
            ring.push(line(text));
        }
        ring
    }

    #[test]
    fn a_mebibyte_is_kept_and_not_much_more() {
        let mut ring = Ring::default();
        let text = "x".repeat(1000);
        (0..3000).for_each(|_| ring.push(line(&text)));
        assert!(KEPT <= ring.size && ring.size < KEPT + 2 * (1000 + EACH), "{}", ring.size);
        assert_eq!(ring.next(), 3000);
        // A line that alone is too long is kept until the next one comes.
        ring.push(line(&"y".repeat(2 * KEPT)));
        assert_eq!(ring.all().len(), 1);
        ring.push(line("z"));
        assert_eq!(ring.all().len(), 2);
    }

    #[test]
    fn who_is_slow_misses_the_oldest_lines() {
        let mut ring = ring(&["a", "b"]);
        assert_eq!(ring.after(0), Some((line("a"), 1)));
        assert_eq!(ring.after(1), Some((line("b"), 2)));
        assert_eq!(ring.after(2), None);
        ring.push(line(&"c".repeat(KEPT)));
        assert_eq!(ring.after(0).unwrap().1, 3);
    }

    #[test]
    fn a_restart_parts_the_runs() {
        let mut ring = ring(&["a"]);
        assert_eq!(ring.previous(), None);
        ring.restart();
        ring.push(line("b"));
        assert_eq!(ring.previous(), Some(vec![line("a")]));
        assert_eq!(ring.all(), [line("a"), line("b")]);
        ring.restart();
        assert_eq!(ring.previous().unwrap().len(), 2);
    }
}
