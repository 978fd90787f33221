//! What clients are warned of, whatever else they are answered.

use std::{collections::HashSet, sync::Mutex};

/// How many characters of warnings are sent before they are cut.
const TOTAL: usize = 4096;

/// To how many characters each warning is cut then.
const EACH: usize = 256;

/// The warnings of one request. They go with the answer even if that is an error.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds warnings.
    pub(crate) fn add(&self, warnings: impl IntoIterator<Item = String>) {
        self.0.lock().expect("the lock of warnings is never poisoned").extend(warnings);
    }

    /// Returns the warnings as they are sent, each once; when they grow long, they are cut and then dropped.
    pub(crate) fn sent(&self) -> Vec<String> {
        shown(&self.0.lock().expect("the lock of warnings is never poisoned"))
    }
}

fn shown(warnings: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut kept: Vec<&str> = vec![];
    let (mut written, mut cuts) = (0, false);
    for text in warnings.iter().map(String::as_str) {
        // A header cannot hold control characters, so that such a warning is never told.
        if text.is_empty() || text.contains(char::is_control) || !seen.insert(text) {
            continue;
        }
        if cuts && TOTAL <= written {
            break;
        }
        kept.push(text);
        written += length(text, cuts);
        if !cuts && TOTAL < written {
            cuts = true;
            // Those that were told in full before are told again, cut.
            written = kept.iter().map(|text| length(text, cuts)).sum();
        }
    }
    let most = if cuts { EACH } else { usize::MAX };
    kept.iter().map(|text| text.chars().take(most).collect()).collect()
}

fn length(text: &str, cuts: bool) -> usize {
    let length = text.chars().count();
    if cuts { length.min(EACH) } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long the warnings are that are sent of these.
    fn lengths(warnings: &[String]) -> Vec<usize> {
        shown(warnings).iter().map(|text| text.chars().count()).collect()
    }

    #[test]
    fn each_warning_is_told_once() {
        let warnings = ["a", "b", "a", "", "c\nd"].map(ToOwned::to_owned);
        assert_eq!(shown(&warnings), ["a", "b"]);
    }

    #[test]
    fn many_words_are_cut_and_then_dropped() {
        let long = |letter: char, count: usize| String::from(letter).repeat(count);
        assert_eq!(lengths(&[long('ä', 4000), long('b', 96)]), [4000, 96]);
        assert_eq!(lengths(&[long('ä', 4000), long('b', 97)]), [256, 97]);
        let many: Vec<_> = (0..40).map(|index| format!("{index} {}", long('x', 300))).collect();
        assert_eq!(lengths(&many), [256; 16]);
    }
}
