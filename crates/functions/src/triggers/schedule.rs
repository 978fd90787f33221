//! Pure: the moments at which something is due, as cron writes them.
//!
//! What is taken is what the CronJobs of a cluster take, no more: the same text must mean the same there.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::{Cron, parser::CronParser};
use k8s::{SignedDuration, Timestamp, parse_duration};
use thiserror::Error;

/// Names for what could be written in five fields.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The moments at which something is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Schedule {
    /// In equal steps from a moment on.
    Every(SignedDuration),
    /// As five fields say, in a time zone.
    Cron(Box<Cron>, Tz),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ScheduleError {
    /// The fields mean nothing.
    #[error(
        "`{0}` is no schedule: give five fields as cron has them, `@every 1m` or a name such as `@hourly`"
    )]
    Form(String),
    /// There is no such time zone.
    #[error("time zone `{0}` is unknown")]
    Zone(String),
}

impl Schedule {
    /// Reads a schedule; without a time zone it is in UTC.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] if schedule or time zone mean nothing.
    pub(crate) fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let unreadable = || ScheduleError::Form(text.to_owned());
        let zone = match zone.filter(|zone| !zone.is_empty()) {
            Some(name) => name.parse().map_err(|_| ScheduleError::Zone(name.to_owned()))?,
            None => Tz::UTC,
        };
        let trimmed = text.trim();
        if let Some(step) = trimmed.strip_prefix("@every ") {
            let step = parse_duration(step.trim()).map_err(|_| unreadable())?;
            let seconds = i64::try_from(step.as_secs()).map_err(|_| unreadable())?;
            return Ok(Self::Every(SignedDuration::from_secs(seconds.max(1))));
        }
        let name = NAMES.iter().find(|(name, _)| *name == trimmed);
        let fields = name.map_or(trimmed, |(_, fields)| fields);
        let fields = usual_fields(fields).ok_or_else(unreadable)?;
        let cron = CronParser::new().parse(&fields).map_err(|_| unreadable())?;
        Ok(Self::Cron(Box::new(cron), zone))
    }

    /// Returns the first moment after another; `start` is where equal steps begin.
    pub(crate) fn next(&self, start: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(step) => {
                let steps = steps(start, after, *step) + 1;
                start.checked_add(step.checked_mul(i32::try_from(steps).ok()?)?).ok()
            }
            Self::Cron(cron, zone) => {
                let after = zoned(after, *zone)?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Timestamp::from_second(next.timestamp()).ok()
            }
        }
    }

    /// Returns the last moment up to another, if there is one after `since`.
    pub(crate) fn last(
        &self,
        start: Timestamp,
        since: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        let last = match self {
            Self::Every(step) => {
                let steps = i32::try_from(steps(start, until, *step)).ok()?;
                start.checked_add(step.checked_mul(steps)?).ok()?
            }
            Self::Cron(cron, zone) => {
                let until = zoned(until, *zone)?;
                let last = cron.find_previous_occurrence(&until, true).ok()?;
                Timestamp::from_second(last.timestamp()).ok()?
            }
        };
        (since < last && last <= until).then_some(last)
    }
}

/// Returns how many whole steps lie between two moments; none if they are the wrong way round.
fn steps(start: Timestamp, end: Timestamp, step: SignedDuration) -> i64 {
    let passed = end.duration_since(start).as_secs();
    passed.max(0) / step.as_secs().max(1)
}

fn zoned(at: Timestamp, zone: Tz) -> Option<DateTime<Tz>> {
    let at = DateTime::<Utc>::from_timestamp(at.as_second(), 0)?;
    Some(at.with_timezone(&zone))
}

/// Returns five fields without what only some crons understand.
fn usual_fields(text: &str) -> Option<String> {
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return None;
    }
    let mut usual = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        let names: &[&str] = match place {
            3 => &MONTHS,
            4 => &DAYS,
            _ => &[],
        };
        if !field.split(',').all(|part| is_usual(part, names, place == 4)) {
            return None;
        }
        // Here a question mark is another way to write a star.
        usual.push(field.replace('?', "*"));
    }
    Some(usual.join(" "))
}

/// Returns whether a part of a field is a star, a value or a range, with a step or without.
fn is_usual(part: &str, names: &[&str], are_days: bool) -> bool {
    let (range, step) =
        part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let is_step = |step: &str| step.parse::<u8>().is_ok_and(|step| 0 < step);
    let is_value = |value: &str| {
        let is_name = names.iter().any(|name| value.eq_ignore_ascii_case(name));
        let is_number = value.bytes().all(|digit| digit.is_ascii_digit())
            // Some crons call Sunday 7; those of clusters do not.
            && value.parse::<u8>().is_ok_and(|number| !are_days || number < 7);
        is_name || is_number
    };
    let is_range = matches!(range, "*" | "?") || range.splitn(2, '-').all(is_value);
    is_range && step.is_none_or(is_step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule, Some(zone)).unwrap();
        schedule.next(at("2026-01-01T00:00:00Z"), at(after)).unwrap().to_string()
    }

    #[test]
    fn the_next_moment_is_after_this_one() {
        for (schedule, zone, after, expected) in [
            ("*/15 * * * *", "", "2026-03-01T10:15:00Z", "2026-03-01T10:30:00Z"),
            ("0 9 * * MON-fri", "", "2026-11-20T09:00:00Z", "2026-11-23T09:00:00Z"),
            ("0 0 13 * 5", "", "2026-11-14T00:00:00Z", "2026-11-20T00:00:00Z"),
            ("30 8 ? jan *", "Europe/Berlin", "2026-02-01T00:00:00Z", "2027-01-01T07:30:00Z"),
            ("@weekly", "", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
            (" @annually ", "", "2026-11-21T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@every 1m30s", "", "2026-01-01T00:03:00Z", "2026-01-01T00:04:30Z"),
            ("@every 2s", "", "2026-01-01T00:00:02.5Z", "2026-01-01T00:00:04Z"),
            ("@every 10ms", "", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ] {
            assert_eq!(next(schedule, zone, after), expected, "{schedule} {zone}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_counts_in_its_zone() {
        let after = "2026-10-25T00:00:00Z";
        assert_eq!(next("0 4 * * *", "Europe/Berlin", after), "2026-10-25T03:00:00Z");
        assert_eq!(
            next("0 4 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z"),
            "2026-10-24T02:00:00Z"
        );
    }

    #[test]
    fn the_last_moment_counts_only_if_it_is_new() {
        let start = at("2026-01-01T00:00:00Z");
        for (schedule, since, until, expected) in [
            ("0 * * * *", "2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z", None),
            (
                "0 * * * *",
                "2026-01-01T10:00:00Z",
                "2026-01-01T11:00:00Z",
                Some("2026-01-01T11:00:00Z"),
            ),
            (
                "0 * * * *",
                "2026-01-01T10:00:00Z",
                "2026-01-02T11:30:00Z",
                Some("2026-01-02T11:00:00Z"),
            ),
            ("@every 2s", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z", None),
            (
                "@every 2s",
                "2026-01-01T00:00:02Z",
                "2026-01-01T00:00:09Z",
                Some("2026-01-01T00:00:08Z"),
            ),
        ] {
            let schedule = Schedule::parse(schedule, None).unwrap();
            assert_eq!(schedule.last(start, at(since), at(until)), expected.map(at));
        }
    }

    #[test]
    fn what_a_cluster_refuses_is_no_schedule() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* * * * 7",
            "* * L * *",
            "* * * * 1#2",
            "5-1 * * * *",
            "*/0 * * * *",
            "* * * foo *",
            "jan * * * *",
            "@often",
            "@every",
            "@every x",
            "@every 1x",
            "+1 * * * *",
            "1-2-3 * * * *",
            "1,, * * * *",
        ] {
            let error = Schedule::parse(text, None).err();
            assert_eq!(error, Some(ScheduleError::Form(text.to_owned())), "{text}");
        }
        let error = Schedule::parse("* * * * *", Some("Mars/Base")).err();
        assert_eq!(error, Some(ScheduleError::Zone("Mars/Base".to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(@every )?[0-9*,/?a-zL# -]{0,24}") {
            if let Ok(schedule) = Schedule::parse(&text, None) {
                let start = at("2026-01-01T00:00:00Z");
                let next = schedule.next(start, start);
                prop_assert!(next.is_none_or(|next| start < next));
            }
        }

        #[test]
        fn the_next_moment_is_the_last_one_then(
            minute in "(\\*|[0-5]?[0-9]|\\*/[1-9])", hour in "(\\*|1?[0-9])", seconds in 0_i64..100_000_000,
        ) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), None).unwrap();
            let start = at("2026-01-01T00:00:00Z");
            let after = start + SignedDuration::from_secs(seconds);
            let next = schedule.next(start, after).unwrap();
            prop_assert_eq!(schedule.last(start, after, next), Some(next));
            prop_assert_eq!(schedule.last(start, after, next - SignedDuration::from_secs(1)), None);
        }
    }
}
