//! Pure: the moments at which something is due, as cron writes them.
//!
//! What is taken is what the CronJobs of a cluster take, and it means the same: an hour that clocks leave out has
//! no moments, one that comes twice has them twice.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
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
/// Sunday is 0, never 7 as some crons have it.
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How far ahead or back is looked: some dates, such as the 30th of February, never come.
const REACH: TimeDelta = TimeDelta::days(5 * 366);

/// The moments at which something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// In equal steps from a moment on.
    Every(SignedDuration),
    /// As five fields say, in a time zone.
    Cron(Fields, Tz),
}

/// Five fields of cron: each is a set of numbers, whose bits are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must be in both sets of days: one of them has a star. Otherwise one is enough.
    needs_both: bool,
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

/// The first part of a moment that does not fit.
enum Misfit {
    Day,
    Hour,
    Minute,
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
        if let Some(step) = text.strip_prefix("@every ") {
            let step = parse_duration(step).map_err(|_| unreadable())?;
            let seconds = i64::try_from(step.as_secs()).map_err(|_| unreadable())?;
            return Ok(Self::Every(SignedDuration::from_secs(seconds.max(1))));
        }
        let name = NAMES.iter().find(|(name, _)| *name == text);
        let fields = Fields::parse(name.map_or(text, |(_, fields)| fields));
        Ok(Self::Cron(fields.ok_or_else(unreadable)?, zone))
    }

    /// Returns the first moment after another; `start` is where equal steps begin.
    pub(crate) fn next(&self, start: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(step) => {
                let steps = steps(start, after, *step) + 1;
                start.checked_add(step.checked_mul(i32::try_from(steps).ok()?)?).ok()
            }
            Self::Cron(fields, zone) => timestamp(fields.next(zoned(after, *zone)?)?),
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
            Self::Cron(fields, zone) => {
                let since = zoned(since, *zone)?;
                timestamp(fields.last(since, zoned(until, *zone)?)?)?
            }
        };
        (since < last && last <= until).then_some(last)
    }
}

impl Fields {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let (days, any_day) = numbers(days, (1, 31), &[])?;
        let (weekdays, any_weekday) = numbers(weekdays, (0, 6), &DAYS)?;
        Some(Self {
            minutes: numbers(minutes, (0, 59), &[])?.0,
            hours: numbers(hours, (0, 23), &[])?.0,
            days,
            months: numbers(months, (1, 12), &MONTHS)?.0,
            weekdays,
            needs_both: any_day || any_weekday,
        })
    }

    fn next(&self, after: DateTime<Tz>) -> Option<DateTime<Tz>> {
        let end = after.checked_add_signed(REACH)?;
        let mut at = full_minute(after)? + TimeDelta::minutes(1);
        while at <= end {
            at = match self.misfit(at) {
                None => return Some(at),
                Some(Misfit::Day) => start_of(at.date_naive().succ_opt()?, at.timezone())?,
                Some(Misfit::Hour) => at + TimeDelta::minutes(60 - i64::from(at.minute())),
                Some(Misfit::Minute) => at + TimeDelta::minutes(1),
            };
        }
        None
    }

    fn last(&self, since: DateTime<Tz>, until: DateTime<Tz>) -> Option<DateTime<Tz>> {
        let end = since.max(until.checked_sub_signed(REACH)?);
        let mut at = full_minute(until)?;
        while end < at {
            at = match self.misfit(at) {
                None => return Some(at),
                Some(Misfit::Day) => {
                    start_of(at.date_naive(), at.timezone())? - TimeDelta::minutes(1)
                }
                Some(Misfit::Hour) => at - TimeDelta::minutes(1 + i64::from(at.minute())),
                Some(Misfit::Minute) => at - TimeDelta::minutes(1),
            };
        }
        None
    }

    fn misfit(&self, at: DateTime<Tz>) -> Option<Misfit> {
        let of_month = has(self.days, at.day());
        let of_week = has(self.weekdays, at.weekday().num_days_from_sunday());
        let is_day = if self.needs_both { of_month && of_week } else { of_month || of_week };
        if !is_day || !has(self.months, at.month()) {
            return Some(Misfit::Day);
        }
        if !has(self.hours, at.hour()) {
            return Some(Misfit::Hour);
        }
        (!has(self.minutes, at.minute())).then_some(Misfit::Minute)
    }
}

fn has(numbers: u64, number: u32) -> bool {
    numbers >> number & 1 == 1
}

/// Returns the numbers of a field, and whether one of its parts is a star.
fn numbers(field: &str, limits: (u32, u32), names: &[&str]) -> Option<(u64, bool)> {
    let parts = field.split(',').filter(|part| !part.is_empty());
    let mut all = parts.map(|part| numbers_of_part(part, limits, names));
    let all = all.try_fold((0, false), |(numbers, has_star), part| {
        let (more, is_star) = part?;
        Some((numbers | more, has_star || is_star))
    });
    all.filter(|(numbers, _)| *numbers != 0)
}

/// Returns the numbers of a star, a value or a range, with a step or without, and whether it is a star without one.
fn numbers_of_part(part: &str, (least, most): (u32, u32), names: &[&str]) -> Option<(u64, bool)> {
    let (range, step) =
        part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
    let number = |text: &str| {
        let name = names.iter().zip(least..).find(|(name, _)| text.eq_ignore_ascii_case(name));
        name.map(|(_, number)| number).or_else(|| text.parse().ok())
    };
    // A question mark is another way to write a star.
    let is_star = matches!(low, "*" | "?");
    let (first, last) = match (is_star, high, step) {
        (true, ..) => (least, most),
        (_, Some(high), _) => (number(low)?, number(high)?),
        // `5/10` is short for `5-59/10`.
        (_, None, Some(_)) => (number(low)?, most),
        (_, None, None) => (number(low)?, number(low)?),
    };
    let step = step.map_or(Some(1), |step| step.parse::<usize>().ok()).filter(|step| 0 < *step)?;
    let is_valid = least <= first && first <= last && last <= most;
    let numbers = || (first..=last).step_by(step).fold(0, |all, number| all | 1 << number);
    is_valid.then(|| (numbers(), is_star && step == 1))
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

fn timestamp(at: DateTime<Tz>) -> Option<Timestamp> {
    Timestamp::from_second(at.timestamp()).ok()
}

fn full_minute(at: DateTime<Tz>) -> Option<DateTime<Tz>> {
    at.checked_sub_signed(TimeDelta::seconds(at.second().into()))
}

/// Returns when a day begins, which is later than midnight where clocks leave that out.
fn start_of(day: NaiveDate, zone: Tz) -> Option<DateTime<Tz>> {
    let midnight = day.and_time(NaiveTime::MIN);
    let mut moments = (0..48).map(|halves| midnight + TimeDelta::minutes(30 * halves));
    moments.find_map(|moment| zone.from_local_datetime(&moment).earliest())
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
            ("@annually", "", "2026-11-21T00:00:00Z", "2027-01-01T00:00:00Z"),
            (" 5/20  0,, * * sun-sat ", "", "2026-11-21T00:05:00Z", "2026-11-21T00:25:00Z"),
            ("+1 0 29 FEB ?", "", "2026-11-21T00:00:00Z", "2028-02-29T00:01:00Z"),
            ("@every 1m30s", "", "2026-01-01T00:03:00Z", "2026-01-01T00:04:30Z"),
            ("@every 2s", "", "2026-01-01T00:00:02.5Z", "2026-01-01T00:00:04Z"),
            ("@every 10ms", "", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ] {
            assert_eq!(next(schedule, zone, after), expected, "{schedule} {zone}");
        }
    }

    #[test]
    fn days_need_both_sets_only_where_one_is_a_star() {
        // Sunday the 1st of November, then Mondays, then the 15th.
        for (schedule, expected) in [
            ("0 0 15 * *", "2026-11-15"),
            ("0 0 * * 2", "2026-11-03"),
            ("0 0 15 * 2", "2026-11-03"),
            ("0 0 */15 * 2", "2026-11-03"),
            ("0 0 */15 * *", "2026-11-16"),
        ] {
            let expected = format!("{expected}T00:00:00Z");
            assert_eq!(next(schedule, "", "2026-11-01T00:00:00Z"), expected, "{schedule}");
        }
    }

    #[test]
    fn clocks_that_change_leave_moments_out_and_have_others_twice() {
        for (schedule, zone, after, expected) in [
            // From 02:00 to 03:00 and back, in Berlin.
            ("0 4 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-24T02:00:00Z"),
            ("0 4 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
            ("0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
            // From midnight to 01:00, in Cairo.
            ("0 0 24 4 *", "Africa/Cairo", "2026-01-01T00:00:00Z", "2027-04-23T22:00:00Z"),
            ("5 1 24 4 *", "Africa/Cairo", "2026-01-01T00:00:00Z", "2026-04-23T22:05:00Z"),
            // By half an hour, on Lord Howe Island.
            ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T15:15:00Z"),
        ] {
            assert_eq!(next(schedule, zone, after), expected, "{schedule} {zone} {after}");
        }
    }

    #[test]
    fn dates_that_never_come_have_no_moment() {
        let (start, late) = (at("2026-01-01T00:00:00Z"), at("2036-01-01T00:00:00Z"));
        for schedule in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let schedule = Schedule::parse(schedule, None).unwrap();
            assert_eq!(
                (schedule.next(start, start), schedule.last(start, start, late)),
                (None, None)
            );
        }
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
            "-1 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "@Daily",
            " @daily",
            "@every  2s",
            "@every 1d",
            "TZ=UTC * * * * *",
            // A cluster takes it for a schedule without moments.
            ", * * * *",
        ] {
            let error = Schedule::parse(text, None).err();
            assert_eq!(error, Some(ScheduleError::Form(text.to_owned())), "{text}");
        }
        let error = Schedule::parse("* * * * *", Some("Mars/Base")).err();
        assert_eq!(error, Some(ScheduleError::Zone("Mars/Base".to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(@every )?[0-9*,/?a-zL# -]{0,24}", zone in "|UTC|[A-Z][a-z/_]{0,9}") {
            if let Ok(schedule) = Schedule::parse(&text, Some(&zone)) {
                let start = at("2026-01-01T00:00:00Z");
                let next = schedule.next(start, start);
                prop_assert!(next.is_none_or(|next| start < next));
            }
        }

        #[test]
        fn any_five_fields_are_read_or_refused(
            fields in prop::collection::vec("[*?]|[0-9]{1,2}|[0-9]{1,2}[-/,][0-9]{1,2}|[*]/[0-9]{1,2}|(jan|FEB|sun|Sat)", 5),
        ) {
            if let Ok(schedule) = Schedule::parse(&fields.join(" "), Some("Europe/Berlin")) {
                let start = at("2026-01-01T00:00:00Z");
                if let Some(next) = schedule.next(start, start) {
                    prop_assert_eq!(schedule.last(start, start, next), Some(next));
                }
            }
        }

        #[test]
        fn the_next_moment_is_the_first_that_fits(
            minute in "([*]|[0-5]?[0-9]|[*]/[1-9]|[0-9]-[1-5][0-9])", hour in "([*]|1?[0-9]|[*]/[2-9])",
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]),
            hours in 0_i64..20_000, seconds in 0_i64..7200,
        ) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), Some(zone)).unwrap();
            let Schedule::Cron(fields, zone) = schedule.clone() else { unreachable!() };
            let start = at("2026-01-01T00:00:00Z");
            let after = start + SignedDuration::from_secs(hours * 3600 + seconds);
            let mut minutes = (1..3000).map(|minutes| {
                after + SignedDuration::from_secs(minutes * 60 - (hours * 3600 + seconds) % 60)
            });
            let first = minutes.find(|minute| fields.misfit(zoned(*minute, zone).unwrap()).is_none());
            let next = schedule.next(start, after).unwrap();
            prop_assert_eq!(Some(next), first.or(Some(next)));
            prop_assert_eq!(schedule.last(start, after, next), Some(next));
            prop_assert_eq!(schedule.last(start, after, next - SignedDuration::from_secs(1)), None);
        }
    }
}
