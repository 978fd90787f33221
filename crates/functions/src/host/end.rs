//! Pure: how the process of a worker ended, as far as people want to know.

/// How a process ended that should not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// What the system says of it, or the program said of itself.
    pub message: String,
    /// Whether it wanted more memory than it may have.
    pub is_out_of_memory: bool,
}

/// What runtimes print when they get no more memory, just before they end.
///
/// The limit makes allocations fail; no killer of the system leaves its mark on the process, as with containers.
const OUT_OF_MEMORY: &[&str] = &[
    "MemoryError",
    "JavaScript heap out of memory",
    "Fatal process out of memory",
    "runtime: out of memory",
    "runtime: cannot allocate memory",
    "memory allocation of",
];

/// Returns how a process ended that could use so much memory, from the last it printed.
pub(super) fn end(message: String, words: &str, has_limit: bool) -> End {
    let is_out_of_memory = has_limit && OUT_OF_MEMORY.iter().any(|sign| words.contains(sign));
    End { message, is_out_of_memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_limit_can_reach_it() {
        for (words, has_limit, expected) in [
            ("Traceback:\n  f()\nMemoryError\n", true, true),
            ("Traceback:\n  f()\nMemoryError\n", false, false),
            ("FATAL ERROR: Reached heap limit - JavaScript heap out of memory", true, true),
            ("fatal error: runtime: out of memory", true, true),
            ("memory allocation of 8 bytes failed", true, true),
            ("KeyError: 'a'", true, false),
        ] {
            let end = end("killed".to_owned(), words, has_limit);
            assert_eq!(end.is_out_of_memory, expected, "{words}");
        }
    }
}
