//! Pure: turns the text of OpenMetrics into the older one of Prometheus, which every scraper reads.

use std::fmt::Write as _;

/// Returns the older text. There, a counter is described by its full name, bounds that are whole numbers
/// have no fraction, and the end is not marked.
pub(super) fn classic(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" {
            break;
        }
        let next = lines.peek().copied().unwrap_or_default();
        let described = described(line, next).or_else(|| bound(line));
        let _ = writeln!(older, "{}", described.as_deref().unwrap_or(line));
    }
    older
}

/// Returns a line that describes a counter with the counter's full name.
fn described(line: &str, next: &str) -> Option<String> {
    let (start, rest) = line.split_at_checked("# HELP ".len())?;
    let (name, rest) = rest.split_once(' ')?;
    let is_counter = match start {
        "# HELP " => next.strip_prefix("# TYPE ")?.strip_prefix(name)? == " counter",
        "# TYPE " => rest == "counter",
        _ => false,
    };
    is_counter.then(|| format!("{start}{name}_total {rest}"))
}

/// Returns a line of a histogram with its bound as Prometheus writes it.
fn bound(line: &str) -> Option<String> {
    let (start, rest) = line.split_once("_bucket{le=\"")?;
    let (bound, rest) = rest.split_once('"')?;
    let bound = bound.strip_suffix(".0")?;
    Some(format!("{start}_bucket{{le=\"{bound}\"{rest}"))
}
