//! Pure: lists of names with values, as flags give them.

use thiserror::Error;

/// A name and its value.
pub type Pair = (String, String);

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no amount such as `128Mi` or `100m`")]
pub struct QuantityError(String);

/// What may stand behind the number of an amount.
const UNITS: [&str; 16] =
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Reads a list of pairs joined by commas.
///
/// The first `=` or `:` parts a name from its value; without either the value is empty.
pub fn pairs(texts: &[String]) -> Vec<Pair> {
    words(texts).iter().map(|word| pair(word)).collect()
}

/// Parts a name from its value.
pub fn pair(word: &str) -> Pair {
    let (name, value) = word.split_once(['=', ':']).unwrap_or((word, ""));
    (name.to_owned(), value.to_owned())
}

/// Reads lists joined by commas, of which one in double quotes does not count: values have some, too.
pub fn words(texts: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for text in texts {
        let (mut word, mut is_quoted) = (String::new(), false);
        for letter in text.chars() {
            match letter {
                '"' if is_quoted || word.is_empty() => is_quoted = !is_quoted,
                ',' if !is_quoted => words.push(std::mem::take(&mut word)),
                letter => word.push(letter),
            }
        }
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Checks an amount of memory or computing power; the server sees it too late to tell who typed it.
///
/// # Errors
///
/// [`QuantityError`] if it is none.
pub fn quantity(text: &str) -> Result<String, QuantityError> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (number, unit) = text.split_at(text.find(|it| !is_number(it)).unwrap_or(text.len()));
    if number.parse::<f64>().is_ok() && UNITS.contains(&unit) {
        Ok(text.to_owned())
    } else {
        Err(QuantityError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_parts_a_name_from_its_value() {
        for (text, name, value) in [
            ("a=b", "a", "b"),
            ("a:b", "a", "b"),
            ("url=http://h:80", "url", "http://h:80"),
            ("a:b=c", "a", "b=c"),
            ("a", "a", ""),
            ("a=", "a", ""),
        ] {
            assert_eq!(pair(text), (name.to_owned(), value.to_owned()), "{text}");
        }
    }

    #[test]
    fn commas_part_pairs_unless_they_are_quoted() {
        let read = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            words(&texts).join("|")
        };
        assert_eq!(read(&["a=1,b:2", "c=3"]), "a=1|b:2|c=3");
        assert_eq!(read(&["\"a=1,2\",b"]), "a=1,2|b");
        assert_eq!(read(&["a=\"x\""]), "a=\"x\"");
        assert_eq!(read(&["", ","]), "");
    }

    #[test]
    fn amounts_have_a_number_and_perhaps_a_unit() {
        for text in ["128Mi", "100m", "1", "0.5", "2G"] {
            assert_eq!(quantity(text).as_deref(), Ok(text));
        }
        for text in ["", "Mi", "128MB", "1 Gi", "-1", "1.2.3"] {
            assert!(quantity(text).is_err(), "{text}");
        }
    }
}
