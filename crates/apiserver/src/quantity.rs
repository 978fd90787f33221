//! Pure: amounts of resources such as `500m`, `1Gi` or `2e3`, in the one form the API writes.

/// How the unit of an amount is written.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];
const NANO: i128 = 1_000_000_000;
const MALFORMED: &str = "quantities must match the regular expression \
    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Returns an amount in its one form: `1000m` becomes `1`, `1024Mi` becomes `1Gi`.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    let (nanos, format) = parse(text).ok_or_else(|| MALFORMED.to_owned())?;
    Ok(written(nanos, format))
}

/// Returns an amount in billionths, rounded up.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    Some(parse(text)?.0)
}

fn parse(text: &str) -> Option<(i128, Format)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = -i32::try_from(fraction.len()).ok()?;
    let (nanos, format) =
        if let Some(power) = BINARY.iter().skip(1).position(|unit| *unit == suffix) {
            let unit = 1_i128 << (10 * (power + 1));
            (scaled(mantissa.checked_mul(unit)?, shift)?, Format::Binary)
        } else if let Some((_, exponent)) = DECIMAL.iter().find(|(unit, _)| *unit == suffix) {
            (scaled(mantissa, shift + exponent)?, Format::Decimal)
        } else {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (scaled(mantissa, shift.checked_add(exponent)?)?, Format::Exponent)
        };
    Some((if negative { -nanos } else { nanos }, format))
}

/// Returns `mantissa` times ten to the power, in billionths, rounded up.
fn scaled(mantissa: i128, exponent: i32) -> Option<i128> {
    let exponent = exponent.checked_add(9)?;
    if mantissa == 0 {
        return Some(0);
    }
    if let Ok(up) = u32::try_from(exponent) {
        return mantissa.checked_mul(10_i128.checked_pow(up)?);
    }
    let divisor = 10_i128.checked_pow(exponent.unsigned_abs());
    Some(divisor.map_or(1, |divisor| mantissa / divisor + i128::from(mantissa % divisor != 0)))
}

fn written(nanos: i128, format: Format) -> String {
    // Parts of a byte cannot be written in binary units.
    let whole_kibibytes = nanos % NANO == 0 && nanos.unsigned_abs() >= 1024 * NANO.unsigned_abs();
    match format {
        _ if nanos == 0 => "0".to_owned(),
        Format::Binary if whole_kibibytes => {
            let mut number = nanos / NANO;
            let mut unit = 0;
            while number % 1024 == 0 && unit + 1 < BINARY.len() {
                number /= 1024;
                unit += 1;
            }
            format!("{number}{}", BINARY[unit])
        }
        Format::Binary | Format::Decimal | Format::Exponent => {
            let fits = |exponent: i32| {
                let unit = 10_i128.pow(u32::try_from(exponent + 9).unwrap_or_default());
                (nanos % unit == 0).then(|| nanos / unit)
            };
            let found = DECIMAL
                .iter()
                .find_map(|(unit, exponent)| Some((fits(*exponent)?, *unit, *exponent)));
            match found {
                Some((number, _, exponent)) if format == Format::Exponent && exponent != 0 => {
                    format!("{number}e{exponent}")
                }
                Some((number, unit, _)) => format!("{number}{unit}"),
                None => nanos.to_string(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_one_form() {
        for (text, expected) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1k", "1k"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("512", "512"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("-5", "-5"),
            ("0Mi", "0"),
            (".5", "500m"),
            ("1.0000000001", "1000000001n"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "x", "1x", "1.2.3", "Mi", "1 Mi", "1e"] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9.eE+-]{0,12}[a-zA-Z0-9]{0,4}") {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Ok(once.clone()));
            }
        }
    }
}
