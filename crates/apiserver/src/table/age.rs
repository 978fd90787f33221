//! Pure: spans of time in the short form of tables, such as `5m20s`.

use jiff::Timestamp;
use serde_json::Value;

/// Returns how long ago a moment was, `<unknown>` without one.
pub(super) fn since(moment: Option<&Value>, now: Timestamp) -> String {
    match moment.and_then(Value::as_str) {
        None => "<unknown>".to_owned(),
        Some(text) => since_text(text, now).unwrap_or_else(|| "<invalid>".to_owned()),
    }
}

/// Returns how long ago a moment was, nothing if the text is none.
pub(super) fn since_text(moment: &str, now: Timestamp) -> Option<String> {
    let at: Timestamp = moment.parse().ok()?;
    let between = now.duration_since(at);
    // Clocks differ a little; so little that it is now, not the future.
    let seconds = between.as_secs();
    Some(match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ => short(seconds),
    })
}

/// Returns a span of some seconds in its short form.
pub(super) fn short(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, 'd', hours % 24, 'h')
    } else if days < 2 * 365 {
        format!("{days}d")
    } else if days < 8 * 365 {
        two(days / 365, 'y', days % 365, 'd')
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR + 60, "3h1m"),
            (8 * HOUR, "8h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (8 * DAY, "8d"),
            (2 * 365 * DAY, "2y"),
            (2 * 365 * DAY + DAY, "2y1d"),
            (9 * 365 * DAY, "9y"),
        ] {
            assert_eq!(short(seconds), expected);
        }
    }

    #[test]
    fn moments_that_are_none_are_marked() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        for (moment, expected) in [
            (Some("2026-01-01T00:00:00Z"), "10s"),
            (Some("2026-01-01T00:00:11Z"), "0s"),
            (Some("2026-01-02T00:00:00Z"), "<invalid>"),
            (Some("soon"), "<invalid>"),
            (None, "<unknown>"),
        ] {
            assert_eq!(since(moment.map(Value::from).as_ref(), now), expected);
        }
    }
}
