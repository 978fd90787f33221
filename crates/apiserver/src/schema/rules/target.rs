//! Pure: the field that a rule tells its errors at.

use crate::{field::FieldPath, schema::Schema};

/// Returns the path that a rule's `fieldPath` means below its node, if there is such a field.
pub(super) fn resolve(schema: &Schema, source: &str) -> Option<FieldPath> {
    let mut path = FieldPath::default();
    let (mut schema, mut rest) = (schema, source);
    while !rest.is_empty() {
        let (name, after) = segment(rest)?;
        path = if schema.property(&name).is_some() { path.child(&name) } else { path.key(&name) };
        schema = schema.child(&name)?;
        rest = after;
    }
    Some(path)
}

/// Splits off one `.name` or `['name']`.
fn segment(source: &str) -> Option<(String, &str)> {
    if let Some(rest) = source.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    }
    let mut name = String::new();
    let mut chars = source.strip_prefix("['")?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '\'' => {
                let rest = source.get(at + 3..)?;
                return Some((name, rest.strip_prefix(']')?));
            }
            c => name.push(c),
        }
    }
    None
}
