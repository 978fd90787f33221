//! Pure: JSON text and trees to the interpreter's values and back.

use std::{collections::BTreeMap, fmt};

use rsjsonnet_lang::program::{Program, Value, ValueKind};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deeply JSON may be nested.
const MAX_DEPTH: usize = 512;

/// Reads JSON text straight into a value, without a tree between the two.
pub(super) fn parse<'p>(
    program: &mut Program<'p>,
    text: &[u8],
) -> Result<Value<'p>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    let value = Seed { program, depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Turns a tree into a value.
pub(super) fn from_json<'p>(program: &mut Program<'p>, value: &serde_json::Value) -> Value<'p> {
    match value {
        serde_json::Value::Null => Value::null(),
        serde_json::Value::Bool(value) => Value::bool(*value),
        serde_json::Value::Number(number) => Value::number(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Value::string(text),
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| from_json(program, item)).collect();
            program.make_array(&items)
        }
        serde_json::Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (program.intern_str(name), from_json(program, value)))
                .collect();
            program.make_object(&fields)
        }
    }
}

/// Turns an evaluated value into a tree; nothing if it holds a function.
pub(super) fn to_json(value: &Value<'_>) -> Option<serde_json::Value> {
    Some(match value.kind() {
        ValueKind::Null => serde_json::Value::Null,
        ValueKind::Bool(value) => value.into(),
        ValueKind::Number(number) => number_to_json(number),
        ValueKind::String(text) => text.into(),
        ValueKind::Array(items) => items.iter().map(to_json).collect::<Option<Vec<_>>>()?.into(),
        ValueKind::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| to_json(value).map(|value| (name.value().to_owned(), value)));
            serde_json::Value::Object(fields.collect::<Option<_>>()?)
        }
        ValueKind::Function => return None,
    })
}

/// Integers that a double holds exactly become integers.
fn number_to_json(number: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
        return (number as i64).into();
    }
    number.into()
}

struct Seed<'a, 'p> {
    program: &'a mut Program<'p>,
    depth: usize,
}

impl<'p> Seed<'_, 'p> {
    fn child(&mut self) -> Seed<'_, 'p> {
        Seed { program: self.program, depth: self.depth + 1 }
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            Ok(())
        } else {
            Err(E::custom(format_args!("nested more than {MAX_DEPTH} levels deep")))
        }
    }
}

impl<'de, 'p> DeserializeSeed<'de> for Seed<'_, 'p> {
    type Value = Value<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'p>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'p> Visitor<'de> for Seed<'_, 'p> {
    type Value = Value<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'p>, E> {
        Ok(Value::null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'p>, E> {
        Ok(Value::bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "the language has doubles only")]
    fn visit_i64<E>(self, value: i64) -> Result<Value<'p>, E> {
        Ok(Value::number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "the language has doubles only")]
    fn visit_u64<E>(self, value: u64) -> Result<Value<'p>, E> {
        Ok(Value::number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'p>, E> {
        Ok(Value::number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'p>, E> {
        Ok(Value::string(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value<'p>, A::Error> {
        self.check_depth()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.child())? {
            items.push(item);
        }
        Ok(self.program.make_array(&items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value<'p>, A::Error> {
        self.check_depth()?;
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let name = self.program.intern_str(&name);
            fields.insert(name, map.next_value_seed(self.child())?);
        }
        let fields: Vec<_> = fields.into_iter().collect();
        Ok(self.program.make_object(&fields))
    }
}
