//! Pure: the rows of custom resources, by the columns their definition declares.

use k8s::jsonpath::JsonPath;
use serde_json::{Value, json};

use crate::{
    crd::Column,
    table::{age, row::Row},
};

/// Returns the definitions of the columns; with none declared, the age is shown.
pub(super) fn columns(declared: &[Column]) -> Value {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": "",
        "priority": 0});
    let age = Column { name: "Age".to_owned(), data_type: "date".to_owned(), ..Column::default() };
    let declared = if declared.is_empty() { std::slice::from_ref(&age) } else { declared };
    let others = declared.iter().map(|column| {
        json!({"name": column.name, "type": column.data_type, "format": column.format,
            "description": column.description, "priority": column.priority})
    });
    std::iter::once(name).chain(others).collect()
}

/// Returns the cells of one object.
pub(super) fn cells(declared: &[Column], row: Row<'_>) -> Vec<Value> {
    let mut cells = vec![row.name()];
    if declared.is_empty() {
        cells.push(row.age());
    }
    cells.extend(declared.iter().map(|column| cell(column, row)));
    cells
}

fn cell(column: &Column, row: Row<'_>) -> Value {
    let path = JsonPath::parse(&format!("{{{}}}", column.json_path));
    let Some(value) = path.ok().and_then(|path| path.first(row.object)) else {
        return Value::Null;
    };
    match (column.data_type.as_str(), value) {
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(whole) => json!(whole),
            None => number.as_f64().map_or(Value::Null, |float| json!(truncated(float))),
        },
        ("number", value @ Value::Number(_))
        | ("boolean", value @ Value::Bool(_))
        | ("string", value @ Value::String(_)) => value,
        ("string", Value::Null) => json!(""),
        ("string", value) => json!(value.to_string()),
        ("date", Value::String(text)) => {
            json!(age::since_text(&text, row.now).unwrap_or_else(|| "<invalid>".to_owned()))
        }
        _ => Value::Null,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the fraction is not shown")]
fn truncated(float: f64) -> i64 {
    float as i64
}
