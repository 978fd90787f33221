//! Pure: the formats of texts that schemas can ask for.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::LazyLock,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::civil;
use regex::Regex;

use crate::dns;

/// Returns whether `text` has the format; formats nobody knows are never broken.
pub(super) fn holds(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "byte" => BASE64_STANDARD.decode(text).is_ok(),
        "date" => is_date(text),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "ipv4" => Ipv4Addr::from_str(text).is_ok(),
        "ipv6" => Ipv6Addr::from_str(text).is_ok(),
        "cidr" => is_cidr(text),
        "mac" => matches(&MAC, text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "uri" => is_uri(text),
        "email" => matches(&EMAIL, text),
        "hostname" => is_hostname(text),
        "bsonobjectid" => text.len() == 24 && text.chars().all(|c| c.is_ascii_hexdigit()),
        "hexcolor" => matches(&HEX_COLOR, text),
        "rgbcolor" => matches(&RGB_COLOR, text),
        "ssn" => matches(&SSN, text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "k8sshortname" => dns::label(text).is_empty(),
        "k8slongname" => dns::subdomain(text).is_empty(),
        _ => true,
    }
}

/// Returns whether texts can be checked against the format.
pub(super) fn is_known(format: &str) -> bool {
    matches!(
        format.replace('-', "").as_str(),
        "byte"
            | "date"
            | "datetime"
            | "duration"
            | "ipv4"
            | "ipv6"
            | "cidr"
            | "mac"
            | "uuid"
            | "uuid3"
            | "uuid4"
            | "uuid5"
            | "uri"
            | "email"
            | "hostname"
            | "bsonobjectid"
            | "hexcolor"
            | "rgbcolor"
            | "ssn"
            | "isbn"
            | "isbn10"
            | "isbn13"
            | "password"
            | "creditcard"
            | "k8sshortname"
            | "k8slongname"
    )
}

static MAC: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)^([0-9a-f]{2}([:-][0-9a-f]{2}){5}|[0-9a-f]{2}([:-][0-9a-f]{2}){7}|[0-9a-f]{4}(\.[0-9a-f]{4}){2,3})$",
    )
});
static EMAIL: LazyLock<Regex> = LazyLock::new(|| regex(r"^([^@<>]*<)?[^@\s<>]+@[^@\s<>]+>?$"));
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| regex(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static SSN: LazyLock<Regex> = LazyLock::new(|| regex(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static RGB_COLOR: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"\s*([01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])\s*";
    regex(&format!(r"^rgb\({part},{part},{part}\)$"))
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$")
});
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^([\p{S}\p{L}0-9]([\p{S}\p{L}0-9-]*[\p{S}\p{L}0-9])?)(\.[\p{S}\p{L}0-9]([\p{S}\p{L}0-9-]*[\p{S}\p{L}0-9])?)*$",
    )
});
static DURATION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"));
static WORDY_DURATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?i)[0-9]+\s*(ns|nanos|us|micros|µs|ms|milli|s\b|sec|m\b|min|h\b|hr|hour|d\b|day|w\b|week|wk)",
    )
});

fn regex(source: &str) -> Regex {
    Regex::new(source).expect("our own patterns are regular expressions")
}

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text)
}

fn is_date(text: &str) -> bool {
    // The parser takes more forms than the format allows, all of other lengths.
    text.len() == 10 && civil::Date::from_str(text).is_ok()
}

fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let Some((date, time)) = text.split_once('t') else { return false };
    let in_range = |time: &str| {
        TIME.captures(time)
            .is_some_and(|parts| &parts[1] <= "23" && &parts[2] <= "59" && &parts[3] <= "59")
    };
    is_date(date) && in_range(time)
}

fn is_duration(text: &str) -> bool {
    matches(&DURATION, text) || matches(&WORDY_DURATION, text)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = IpAddr::from_str(address) else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    let dashes_fit = text.char_indices().filter(|(_, c)| *c == '-').count() <= 4;
    let variant_fits = match version {
        Some('4' | '5') => digits
            .get(16)
            .is_some_and(|digit| matches!(digit.to_ascii_lowercase(), '8' | '9' | 'a' | 'b')),
        _ => true,
    };
    digits.len() == 32
        && dashes_fit
        && variant_fits
        && digits.iter().all(char::is_ascii_hexdigit)
        && version.is_none_or(|version| digits.get(12) == Some(&version))
}

fn is_uri(text: &str) -> bool {
    let is_absolute = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    (text.starts_with('/') || is_absolute) && !text.chars().any(|c| c.is_control() || c == ' ')
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255
        && text.split('.').all(|label| label.len() <= 63)
        && text.parse::<Ipv4Addr>().is_err()
        && matches(&HOST, text)
}

fn is_isbn10(text: &str) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| if c == 'X' { 10 } else { c.to_digit(10).unwrap_or(11) })
        .collect();
    digits.len() == 10
        && digits.iter().all(|digit| *digit <= 10)
        && digits.iter().zip((1..=10).rev()).map(|(digit, weight)| digit * weight).sum::<u32>() % 11
            == 0
}

fn is_isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> =
        text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| {
        let sum: u32 = digits.iter().zip([1, 3].iter().cycle()).map(|(digit, by)| digit * by).sum();
        digits.len() == 13 && sum.is_multiple_of(10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_formats_or_not() {
        for (format, text, expected) in [
            ("byte", "YQ==", true),
            ("byte", "Y", false),
            ("date", "2026-02-28", true),
            ("date", "2026-02-30", false),
            ("date-time", "2026-01-01T00:00:00Z", true),
            ("date-time", "2026-01-01T00:00:00.5+01:00", true),
            ("date-time", "2026-01-01", false),
            ("date-time", "2026-01-01T24:00:00Z", false),
            ("duration", "1h30m", true),
            ("duration", "3 days", true),
            ("duration", "soon", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "::1", false),
            ("ipv6", "::1", true),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("mac", "00:00:5e:00:53:01", true),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", true),
            ("uuid4", "123e4567-e89b-12d3-a456-426614174000", false),
            ("uri", "https://x/y", true),
            ("uri", "x y", false),
            ("hostname", "a-b.example", true),
            ("hostname", "-a", false),
            ("email", "a@b.c", true),
            ("email", "a", false),
            ("isbn", "0321751043", true),
            ("isbn13", "978-0321751041", true),
            ("unheard-of", "x", true),
        ] {
            assert_eq!(holds(format, text), expected, "{format} of {text}");
        }
    }
}
