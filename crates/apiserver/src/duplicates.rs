//! Pure: finds the fields of a JSON text that a strict decoder minds.

use std::{collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::field::quote;

/// Returns what is wrong with the fields that occur again, in the order of the text.
pub(crate) fn find(json: &[u8]) -> Vec<String> {
    walk(json, Walk { minds_repeats: true, ..Walk::default() })
}

/// Returns what is wrong with unknown fields, and with those that occur again, in the order of the text.
///
/// Nobody looks below an unknown field.
pub(crate) fn in_order(json: &[u8], unknown: &[String], minds_repeats: bool) -> Vec<String> {
    let unknown = unknown.iter().map(String::as_str).collect();
    walk(json, Walk { minds_repeats, unknown, ..Walk::default() })
}

fn walk(json: &[u8], mut walk: Walk<'_>) -> Vec<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // The text was read before, with a bound on how deep it is.
    deserializer.disable_recursion_limit();
    // What is no JSON at all was refused before; up to there it counts.
    let _ = (&mut walk).deserialize(&mut deserializer);
    walk.found.truncate(MOST);
    walk.found
}

/// How many flaws a decoder tells of.
const MOST: usize = 100;

#[derive(Default)]
struct Walk<'u> {
    minds_repeats: bool,
    unknown: HashSet<&'u str>,
    path: String,
    found: Vec<String>,
}

impl Walk<'_> {
    /// Walks on below a field or an item.
    fn below<T>(&mut self, step: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let result = visit(self);
        self.path.truncate(length);
        result
    }

    /// Notes what is wrong with the field at `path`; returns whether it is unknown.
    fn look(&mut self, path: &str, is_repeated: bool) -> bool {
        let is_unknown = self.unknown.contains(path);
        let flaw = if is_unknown {
            format!("unknown field {}", quote(path))
        } else if is_repeated && self.minds_repeats {
            format!("duplicate field {}", quote(path))
        } else {
            return false;
        };
        if !self.found.contains(&flaw) {
            self.found.push(flaw);
        }
        is_unknown
    }

    fn step(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!(".{key}") }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let step = self.step(&key);
            let path = format!("{}{step}", self.path);
            if self.look(&path, !seen.insert(key)) {
                map.next_value::<IgnoredAny>()?;
            } else {
                self.below(&step, |walk| map.next_value_seed(walk))?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while self.below(&format!("[{index}]"), |walk| items.next_element_seed(walk))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_occur_again_are_named_by_their_path() {
        let text = r#"{"a": 1, "spec": {"x": 1, "x": 2, "list": [{"y": 1, "y": null}]}, "a": "b"}"#;
        let expected = ["spec.x", "spec.list[0].y", "a"];
        assert_eq!(
            find(text.as_bytes()),
            expected.map(|path| format!("duplicate field \"{path}\""))
        );
        assert_eq!(find(b"[1, true"), Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_stand_among_those_that_occur_again() {
        let text = r#"{"z": 1, "m": {"q": 1, "n": 1, "n": 2}, "a": {"u": 1, "u": 2}, "a": 1}"#;
        let unknown = ["a", "m.q", "z"].map(ToOwned::to_owned);
        let expected = [
            "unknown field \"z\"",
            "unknown field \"m.q\"",
            "duplicate field \"m.n\"",
            "unknown field \"a\"",
        ];
        assert_eq!(in_order(text.as_bytes(), &unknown, true), expected);
    }
}
