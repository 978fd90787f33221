//! Pure: which part of a pod's log is wanted, and how it is written.

use k8s::{LogLine, LoggedRun, SignedDuration, Timestamp};

use crate::{error::ApiError, field::FieldError, http::query::Query};

/// The part of a log that is wanted, less what was written of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// Whose lines.
    pub(crate) run: LoggedRun,
    /// Whether the lines to come are wanted too.
    pub(crate) follow: bool,
    /// The first moment.
    since: Option<Timestamp>,
    /// How many of the last lines that are there.
    tail: Option<usize>,
    /// How many more bytes.
    left: Option<usize>,
    /// Whether each line begins with its time.
    timestamps: bool,
}

impl Wanted {
    /// Reads the parameters of a request for the log of the pod `name`.
    pub(crate) fn parse(query: &Query, name: &str, now: Timestamp) -> Result<Self, ApiError> {
        let (tail, limit) = (query.number("tailLines")?, query.number("limitBytes")?);
        let seconds = query.number("sinceSeconds")?;
        let time = time(query.get("sinceTime"))?;
        let mut errors = vec![];
        if let Some(tail) = tail.filter(|tail| *tail < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid("tailLines", tail, detail));
        }
        if let Some(limit) = limit.filter(|limit| *limit < 1) {
            errors.push(FieldError::invalid("limitBytes", limit, "must be greater than 0"));
        }
        match (seconds, time) {
            (Some(_), Some(_)) => errors.push(FieldError::forbidden(
                // The reference gives no field for two that exclude each other.
                "[]",
                "at most one of `sinceTime` or `sinceSeconds` may be specified",
            )),
            (Some(seconds), None) if seconds < 1 => {
                errors.push(FieldError::invalid("sinceSeconds", seconds, "must be greater than 0"));
            }
            _ => {}
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid_kind("PodLogOptions", "", name, &errors));
        }
        let ago = |seconds| now.checked_sub(SignedDuration::from_secs(seconds));
        let since = seconds.map(|seconds| ago(seconds).unwrap_or(Timestamp::MIN)).or(time);
        let is_previous = query.is_true("previous");
        Ok(Self {
            run: if is_previous { LoggedRun::Previous } else { LoggedRun::Latest },
            follow: query.is_true("follow") && !is_previous,
            since,
            tail: tail.and_then(|tail| usize::try_from(tail).ok()),
            left: limit.and_then(|limit| usize::try_from(limit).ok()),
            timestamps: query.is_true("timestamps"),
        })
    }

    /// Writes what is wanted of the lines that are there.
    pub(crate) fn kept(&mut self, lines: &[LogLine]) -> String {
        let first = lines.partition_point(|line| self.since.is_some_and(|since| line.time < since));
        let first = self.tail.map_or(first, |tail| first.max(lines.len().saturating_sub(tail)));
        lines.iter().skip(first).map(|line| self.line(line)).collect()
    }

    /// Writes a line, as far as it may be written.
    pub(crate) fn line(&mut self, line: &LogLine) -> String {
        let mut text = if self.timestamps {
            format!("{} {}\n", line.time.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"), line.text)
        } else {
            format!("{}\n", line.text)
        };
        if let Some(left) = &mut self.left {
            // A reader of bytes takes letters apart; here the last one is left out instead.
            let end = (0..=text.len().min(*left)).rev().find(|end| text.is_char_boundary(*end));
            let is_cut = *left < text.len();
            text.truncate(end.unwrap_or(0));
            *left = if is_cut { 0 } else { *left - text.len() };
        }
        text
    }

    /// Returns whether nothing more may be written.
    pub(crate) fn is_over(&self) -> bool {
        self.left == Some(0)
    }
}

fn time(text: &str) -> Result<Option<Timestamp>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let layout = "2006-01-02T15:04:05Z07:00";
        ApiError::bad_request(format!(
            "parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(query: &str) -> Result<Wanted, String> {
        Wanted::parse(&Query::parse(query), "p", at(100)).map_err(|error| error.to_string())
    }

    fn written(query: &str) -> String {
        let texts = [(10, "one"), (95, "two"), (99, "drei")];
        let lines = texts.map(|(second, text)| LogLine { time: at(second), text: text.into() });
        wanted(query).unwrap().kept(&lines)
    }

    #[test]
    fn each_parameter_leaves_something_out() {
        for (query, expected) in [
            ("", "one\ntwo\ndrei\n"),
            ("tailLines=2", "two\ndrei\n"),
            ("tailLines=0", ""),
            ("sinceSeconds=5", "two\ndrei\n"),
            ("sinceTime=1970-01-01T00:01:36Z", "drei\n"),
            ("sinceSeconds=5&tailLines=1", "drei\n"),
            ("limitBytes=6", "one\ntw"),
            ("tailLines=1&timestamps=true", "1970-01-01T00:01:39.000000000Z drei\n"),
        ] {
            assert_eq!(written(query), expected, "{query}");
        }
    }

    #[test]
    fn a_limit_ends_what_is_followed() {
        let mut followed = wanted("follow=true&limitBytes=5").unwrap();
        let line = LogLine { time: at(1), text: "aßb".into() };
        assert_eq!(followed.line(&line), "aßb\n");
        assert!(followed.is_over());
        let mut cut = wanted("limitBytes=2").unwrap();
        assert_eq!((cut.line(&line).as_str(), cut.is_over()), ("a", true));
    }

    #[test]
    fn what_cannot_be_is_refused_as_the_reference_does() {
        for (query, message) in [
            (
                "tailLines=-1&limitBytes=0",
                "PodLogOptions \"p\" is invalid: [tailLines: Invalid value: -1: must be greater than or \
                 equal to 0, limitBytes: Invalid value: 0: must be greater than 0]",
            ),
            (
                "sinceSeconds=0",
                "PodLogOptions \"p\" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0",
            ),
            (
                "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
                "PodLogOptions \"p\" is invalid: []: Forbidden: at most one of `sinceTime` or \
                 `sinceSeconds` may be specified",
            ),
            ("tailLines=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (
                "sinceTime=x",
                "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
            ),
        ] {
            assert_eq!(wanted(query).unwrap_err(), message, "{query}");
        }
        // Of a run that is over nothing more comes.
        assert!(!wanted("previous=true&follow=true").unwrap().follow);
    }
}
