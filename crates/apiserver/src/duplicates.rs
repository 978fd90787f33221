//! Pure: finds the fields that occur twice in an object of a JSON text.

use std::{collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// Returns the paths of the fields that occur again, in the order of the text.
pub(crate) fn find(json: &[u8]) -> Vec<String> {
    let mut walk = Walk::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // The text was read before, with a bound on how deep it is.
    deserializer.disable_recursion_limit();
    // What is no JSON at all was refused before; up to there duplicates count.
    let _ = (&mut walk).deserialize(&mut deserializer);
    walk.found
}

#[derive(Default)]
struct Walk {
    path: String,
    found: Vec<String>,
}

impl Walk {
    /// Walks on below a field or an item.
    fn below<T>(&mut self, step: &str, visit: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let result = visit(self);
        self.path.truncate(length);
        result
    }

    fn step(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!(".{key}") }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let step = self.step(&key);
            if !seen.insert(key) {
                self.found.push(format!("{}{step}", self.path));
            }
            self.below(&step, |walk| map.next_value_seed(walk))?;
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
        assert_eq!(find(text.as_bytes()), ["spec.x", "spec.list[0].y", "a"]);
        assert_eq!(find(b"[1, true"), Vec::<String>::new());
    }
}
