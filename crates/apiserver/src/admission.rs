//! Pure: normalises, defaults and validates what is about to be written, by the rules of its kind.

pub(crate) mod pods;

use serde_json::{Number, Value};

use crate::{
    backend::Part,
    crd, defaults,
    field::FieldError,
    lifecycle::{self, metadata, template_generation},
    registry::Registered,
    rules,
    sent::Unreadable,
    typed,
};

/// Brings a decoded body into the form of its kind and returns the paths of the unknown fields it drops.
pub(crate) fn normalise(
    registered: &Registered,
    value: &mut Value,
) -> Result<Vec<String>, Unreadable> {
    let unknown = match &registered.custom {
        Some(custom) => {
            normalise_numbers(value);
            let mut unknown = typed::normalise_metadata(value).map_err(Unreadable::Typed)?;
            unknown.extend(custom.schema.prune(value));
            unknown
        }
        None => typed::normalise(&registered.resource.gvk, value).map_err(Unreadable::Typed)?,
    };
    lifecycle::tidy(value).map_err(Unreadable::Said)?;
    template_generation::check(registered, value).map_err(Unreadable::Said)?;
    template_generation::show(registered, value);
    Ok(unknown)
}

/// Fills in what the kind fills in.
pub(crate) fn complete(registered: &Registered, value: &mut Value, is_new: bool) {
    let gvk = &registered.resource.gvk;
    if let Some(custom) = &registered.custom {
        custom.schema.apply_defaults(value);
        return;
    }
    if is_new {
        defaults::give_birth(gvk, value);
        template_generation::start(registered, value);
    }
    defaults::apply(gvk, value);
    if is_definition(registered) {
        crd::apply_defaults(value);
    }
}

/// Returns everything that is wrong with an object that is about to be written.
pub(crate) fn validate(
    registered: &Registered,
    part: Part,
    value: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = metadata::validate(registered, value);
    errors.extend(old.map(|old| lifecycle::update::finalizers(old, value)).unwrap_or_default());
    match &registered.custom {
        Some(custom) if part == Part::Status => errors.extend(custom.schema.validate_status(value)),
        Some(custom) => errors.extend(custom.schema.validate(value)),
        None if part == Part::Main => {
            errors.extend(rules::validate(&registered.resource.gvk, value, old));
        }
        None if part == Part::Status => {
            let old = old.into_iter();
            errors.extend(
                old.flat_map(|old| rules::validate_status(&registered.resource.gvk, value, old)),
            );
        }
        None => {}
    }
    if registered.is_custom() {
        let scale = registered.scale.iter();
        errors.extend(scale.flat_map(|paths| crd::scale::check(paths, part, value)));
    }
    if let Some(custom) = &registered.custom {
        errors.extend(custom.schema.check_rules(value, old, &errors));
    }
    if is_definition(registered) && part == Part::Main {
        errors.extend(crd::validate(value, old));
    }
    errors
}

/// Returns what the writer of an object is told although nothing is wrong with it.
pub(crate) fn warnings(
    registered: &Registered,
    part: Part,
    value: &Value,
    old: Option<&Value>,
) -> Vec<String> {
    match (part, registered.is_custom()) {
        (Part::Main, false) => rules::warnings(&registered.resource.gvk, value, old),
        (Part::Main, true) => metadata::warnings(registered, value),
        _ => vec![],
    }
}

/// Returns whether objects of the resource define other resources.
pub(crate) fn is_definition(registered: &Registered) -> bool {
    registered.is("apiextensions.k8s.io", "customresourcedefinitions")
}

/// Custom resources keep integers of 64 bits; every other number passes through a float, as in Go.
fn normalise_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(normalise_numbers),
        Value::Array(items) => items.iter_mut().for_each(normalise_numbers),
        Value::Number(number) if !number.is_i64() => {
            if let Some(whole) = number.as_f64().and_then(whole) {
                *number = whole;
            }
        }
        _ => {}
    }
}

/// Returns a float without a fraction as Go writes it: as an integer, with zeros after its digits.
fn whole(float: f64) -> Option<Number> {
    if float.fract() != 0.0 || 1e21 <= float.abs() {
        return None;
    }
    let shortest = format!("{float}");
    let number: Number = shortest.parse().ok()?;
    (!number.is_f64()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_custom_resources_are_written_as_go_does() {
        for (text, expected) in [
            ("1.0", "1"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567000"),
            ("9223372036854775807", "9223372036854775807"),
            ("1.5", "1.5"),
            ("-3.0", "-3"),
        ] {
            let mut value = serde_json::from_str(text).unwrap();
            normalise_numbers(&mut value);
            assert_eq!(value.to_string(), expected, "{text}");
        }
    }
}
