//! Pure: stories as text: the lines to run, how their output is written down, and what is alike.

use std::sync::LazyLock;

use regex::Regex;

/// What stands for the number of a run, in inputs and in what is written down.
pub(super) const ANY_RUN: &str = "-000000";

/// A story: words about it, then lines and what came of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Story {
    about: String,
    pub(super) steps: Vec<Step>,
}

/// A line of a story and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) line: String,
    pub(super) output: String,
}

/// A line of a story, ready to be run.
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    pub(super) args: Vec<String>,
    pub(super) stdin: Option<String>,
    /// After how many lines of output a command that goes on beside the others is stopped.
    pub(super) stop_after: Option<usize>,
}

/// One place where the embedded server differs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    line: String,
    reason: String,
    recorded: Vec<String>,
    own: Vec<String>,
}

impl Story {
    pub(super) fn parse(text: &str) -> Self {
        let mut story = Self { about: String::new(), steps: Vec::new() };
        for line in text.split_inclusive('\n') {
            if let Some(line) = line.strip_prefix("$ ") {
                let line = line.trim_end().to_owned();
                story.steps.push(Step { line, output: String::new() });
            } else if let Some(step) = story.steps.last_mut() {
                step.output.push_str(line);
            } else {
                story.about.push_str(line);
            }
        }
        for step in &mut story.steps {
            step.output.truncate(step.output.trim_end_matches('\n').len());
        }
        story
    }

    pub(super) fn text(&self) -> String {
        let text = |step: &Step| format!("$ {}\n{}\n", step.line, step.output);
        let steps: Vec<_> = self.steps.iter().map(text).collect();
        self.about.clone() + &steps.join("\n")
    }

    /// Returns the story as a server that differs in this tells it.
    pub(super) fn with(mut self, difference: &Difference) -> Result<Self, String> {
        let Difference { line, reason, recorded, own } = difference;
        if reason.is_empty() {
            return Err(format!("a difference of `{line}` has no reason"));
        }
        let step = self.steps.iter_mut().find(|step| step.line == *line);
        let step = step.ok_or_else(|| format!("there is no line `{line}`"))?;
        let lines: Vec<_> = step.output.lines().collect();
        let is_here = |at: &usize| lines[*at..].starts_with(&as_slices(recorded));
        let [at] = (0..=lines.len()).filter(is_here).collect::<Vec<_>>()[..] else {
            return Err(format!("{recorded:?} is not once in the output of `{line}`"));
        };
        let after = lines[at + recorded.len()..].to_vec();
        let own = [lines[..at].to_vec(), as_slices(own), after];
        step.output = own.concat().join("\n");
        Ok(self)
    }
}

fn as_slices(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

/// Reads the list of differences.
pub(super) fn differences(text: &str) -> Vec<Difference> {
    let mut all: Vec<Difference> = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_at_checked(1).unwrap_or_default();
        match (mark, all.last_mut()) {
            ("$", _) => {
                let line = rest.trim().to_owned();
                all.push(Difference { line, ..Difference::default() });
            }
            ("#", Some(last)) => last.reason.push_str(rest),
            ("-", Some(last)) => last.recorded.push(rest.to_owned()),
            ("+", Some(last)) => last.own.push(rest.to_owned()),
            _ => {}
        }
    }
    all
}

impl Command {
    /// Reads a line as a shell would, as far as stories need one.
    pub(super) fn parse(line: &str) -> Self {
        let mut words = words(line).into_iter();
        assert_eq!(words.next().as_deref(), Some("kubectl"), "not a line to run: {line}");
        let mut command = Self { args: Vec::new(), stdin: None, stop_after: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "<" => command.stdin = words.next(),
                "&" => command.stop_after = words.next().and_then(|count| count.parse().ok()),
                "lines" if command.stop_after.is_some() => {}
                _ => command.args.push(word),
            }
        }
        command
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('\'').enumerate() {
        let is_quoted = index % 2 == 1;
        for (index, piece) in part.split(' ').enumerate() {
            match words.last_mut() {
                Some(last) if is_quoted && 0 < index => last.extend([" ", piece]),
                Some(last) if index == 0 => last.push_str(piece),
                _ => words.push(piece.to_owned()),
            }
        }
    }
    words
}

/// Writes down what came of a line.
pub(super) fn output(stdout: &str, stderr: &str, code: i32) -> String {
    let mut text = stdout.to_owned();
    if !stdout.is_empty() && !stdout.ends_with('\n') {
        text.push_str("[no newline]\n");
    }
    for line in stderr.lines() {
        text.extend(["! ", line, "\n"]);
    }
    if code != 0 {
        text.extend(["[exit ", &code.to_string(), "]"]);
    }
    text.trim_end_matches('\n').to_owned()
}

/// Replaces what is different in every run.
pub(super) fn mask(text: &str, run: &str) -> String {
    let text = text.replace(run, ANY_RUN);
    MASKS.iter().fold(text, |text, (from, to)| from.replace_all(&text, *to).into_owned())
}

static MASKS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let masks = [
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "<time>"),
        (r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uid>"),
        (r#"(resourceVersion: |Resource Version: +)"?\d+"?"#, "$1<version>"),
        (r"\b\d+\.\d+\.\d+\.\d+(:\d+)?\b", "<ip>"),
        (r"\b(LIVE|MERGED)-\d+", "$1-<number>"),
        // Names of pods and of sets of them end in letters that are no vowels.
        (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}\b", "-<hash>"),
        // Columns are as wide as what is in them.
        (r"(?m)(\s)\d+[smhd](?:\d+[smh])?(?:(  ) +|$)", "$1<age>$2"),
        (r"\bAGE {2,}", "AGE    "),
    ];
    masks.map(|(from, to)| (Regex::new(from).unwrap(), to)).into()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_written_as_it_was_read() {
        let text = "# About.\n\n$ kubectl a\nout\n\n! wrong\n[exit 1]\n\n$ kubectl b\n\n$ kubectl c\nend\n";
        let story = Story::parse(text);
        assert_eq!(story.steps[0].output, "out\n\n! wrong\n[exit 1]");
        assert_eq!(story.text(), text.replace("b\n\n", "b\n\n\n"));
        assert_eq!(Story::parse(&story.text()), story);
    }

    #[test]
    fn lines_are_read_as_by_a_shell() {
        let command = Command::parse("kubectl patch -p '{\"a\": 1}' --for='x y'=z - < in.yaml");
        assert_eq!(command.args, ["patch", "-p", "{\"a\": 1}", "--for=x y=z", "-"]);
        assert_eq!(command.stdin.as_deref(), Some("in.yaml"));
        assert_eq!(Command::parse("kubectl get --watch & 8 lines").stop_after, Some(8));
    }

    #[test]
    fn what_differs_in_every_run_is_masked() {
        for (text, masked) in [
            ("  uid: 5d442009-bef8-4d66-868d-b1298cb40622", "  uid: <uid>"),
            ("  resourceVersion: \"41\"", "  resourceVersion: <version>"),
            ("web   0/0   3s    web", "web   0/0   <age>  web"),
            ("web   0/0   2m10s   web", "web   0/0   <age>  web"),
            ("big   3      red      48s\n", "big   3      red      <age>\n"),
            ("NewReplicaSet:   web-65k5fn6zgd (0/0)", "NewReplicaSet:   web-<hash> (0/0)"),
            ("at 10.0.0.1:443, 25% max", "at <ip>, 25% max"),
            ("kubectl-012345.example.com", "kubectl-000000.example.com"),
        ] {
            assert_eq!(mask(text, "-012345"), masked);
        }
    }

    #[test]
    fn a_difference_must_have_a_reason_and_apply_once() {
        let story = Story::parse("$ kubectl a\none\ntwo\none\n");
        let with = |text: &str| story.clone().with(&differences(text)[0]);
        let text = with("# None.\n$ kubectl a\n# a reason\n-two\n+2\n").unwrap().text();
        assert_eq!(text, "$ kubectl a\none\n2\none\n");
        assert!(with("$ kubectl a\n-two\n+2\n").is_err());
        assert!(with("$ kubectl a\n# a reason\n-one\n+1\n").is_err());
        assert!(with("$ kubectl b\n# a reason\n-one\n+1\n").is_err());
    }
}
