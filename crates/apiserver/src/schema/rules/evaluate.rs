//! Pure: evaluates the rules of a schema on objects.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kube_cel::{
    KubeCelExt as _,
    cel::{Context, ExecutionError, Value as Cel},
};
use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath, FieldReason},
    schema::{
        Schema,
        rules::{Compiled, Rule, expression::Expression, value},
    },
};

/// About how many steps one rule may take on one value.
const BUDGET: u64 = 30_000_000;
const MAX_MESSAGE: usize = 5 << 10;

thread_local! {
    /// The functions that rules may call; to register them takes longer than to evaluate most rules.
    static FUNCTIONS: Context<'static> = Context::default().with_all();
}

/// Returns which rules of the schema an object breaks, by what it was before if it was there.
pub(crate) fn check(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if schema.has_rules() {
        let at = At { path: FieldPath::root(), root: true };
        node(schema, &at, object, old, &mut errors);
    }
    errors
}

struct At {
    path: FieldPath,
    root: bool,
}

fn node(
    schema: &Schema,
    at: &At,
    value: &Value,
    old: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    // Null is checked by no rule: it stands for a missing value where it may stand at all.
    if value.is_null() {
        return;
    }
    if !schema.rules.is_empty() {
        let subject = Subject::new(schema, at, value, old);
        errors.extend(schema.rules.iter().filter_map(|rule| subject.broken(rule)));
    }
    let below = |path| At { path, root: false };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let old = old.and_then(|old| old.get(name));
                if let Some(property) = schema.property(name) {
                    node(property, &below(at.path.child(name)), field, old, errors);
                } else if let Some(additional) = schema.additional() {
                    node(additional, &below(at.path.key(name)), field, old, errors);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = schema.items() else { return };
            for (index, item) in list.iter().enumerate() {
                let old = correlated(schema, item, index, list.len(), old);
                node(items, &below(at.path.index(index)), item, old, errors);
            }
        }
        _ => {}
    }
}

/// Returns the old item that a new one stands for.
fn correlated<'o>(
    schema: &Schema,
    item: &Value,
    index: usize,
    length: usize,
    old: Option<&'o Value>,
) -> Option<&'o Value> {
    let old = old?.as_array()?;
    match schema.list_type.as_deref() {
        Some("map") => old
            .iter()
            .find(|each| schema.list_map_keys.iter().all(|key| each.get(key) == item.get(key))),
        Some("set") => old.iter().find(|each| *each == item),
        // Nothing looks at the old item of such a list, but what did not change is not told of again.
        _ => old.get(index).filter(|_| old.len() == length),
    }
}

/// A value that rules are checked on.
struct Subject<'a> {
    schema: &'a Schema,
    path: &'a FieldPath,
    value: &'a Value,
    new: Cel,
    old: Option<Cel>,
    unchanged: bool,
    size: u64,
}

impl<'a> Subject<'a> {
    fn new(schema: &'a Schema, at: &'a At, value: &'a Value, old: Option<&Value>) -> Self {
        Self {
            schema,
            path: &at.path,
            value,
            new: value::of(schema, value, at.root),
            old: old.filter(|old| !old.is_null()).map(|old| value::of(schema, old, at.root)),
            unchanged: old.is_some_and(|old| k8s::json::same(old, value)),
            size: value::size(value) + old.map_or(0, value::size),
        }
    }

    /// Returns what is told of a rule, if it is broken.
    fn broken(&self, rule: &Rule) -> Option<FieldError> {
        // A rule that was not compiled would otherwise pass in silence.
        let Some(compiled) = &rule.compiled else {
            return Some(self.failed("the rule was not compiled", rule));
        };
        let is_transition = compiled.rule.uses_old();
        if is_transition && self.old.is_none() && !rule.is_optional() {
            return None;
        }
        // What was wrong before the rule came may stay as it is.
        if self.unchanged && !is_transition {
            return None;
        }
        match self.evaluate(&compiled.rule, rule.is_optional()) {
            Ok(Cel::Bool(true)) => None,
            Ok(Cel::Bool(false)) => Some(self.violation(rule, compiled)),
            Ok(_) => Some(self.failed("no such overload", rule)),
            Err(why) => Some(self.failed(&why, rule)),
        }
    }

    fn evaluate(&self, expression: &Expression, optional_old: bool) -> Result<Cel, String> {
        let steps = self.size.saturating_pow(expression.degree);
        if steps > BUDGET {
            return Err(OVER_BUDGET.to_owned());
        }
        FUNCTIONS.with(|functions| {
            let mut context = functions.new_inner_scope();
            context.add_variable_from_value("self", self.new.clone());
            if optional_old {
                context.add_variable_from_value("oldSelf", value::optional(self.old.clone()));
            } else if let Some(old) = &self.old {
                context.add_variable_from_value("oldSelf", old.clone());
            }
            // The evaluator is foreign and panics on some of what it does not know.
            catch_unwind(AssertUnwindSafe(|| context.resolve(&expression.root)))
                .unwrap_or_else(|_| Err(ExecutionError::NoSuchOverload))
                .map_err(|error| told(&error))
        })
    }

    fn violation(&self, rule: &Rule, compiled: &Compiled) -> FieldError {
        let path = self.path.join(&compiled.target);
        let message = compiled.message.as_ref().and_then(|message| {
            match self.evaluate(message, rule.is_optional()) {
                Ok(Cel::String(text)) if is_message(&text) => Some(text.trim().to_owned()),
                _ => None,
            }
        });
        let message = message.unwrap_or_else(|| rule.text());
        let is_scalar = !matches!(self.value, Value::Object(_) | Value::Array(_));
        match rule.reason.as_deref() {
            Some("FieldValueRequired") => FieldError::required(path, message),
            Some("FieldValueForbidden") => FieldError::forbidden(path, message),
            Some("FieldValueDuplicate") if is_scalar => {
                FieldError::duplicate(path, self.value.clone())
            }
            Some("FieldValueDuplicate") => FieldError {
                reason: FieldReason::Duplicate,
                field: path.to_string(),
                message: "Duplicate value".to_owned(),
            },
            _ if is_scalar => FieldError::invalid(path, self.value.clone(), message),
            _ => FieldError::invalid_without_value(path, message),
        }
    }

    /// Returns the error of a rule that could not be evaluated, which is as bad as a broken one.
    fn failed(&self, why: &str, rule: &Rule) -> FieldError {
        let detail = match why {
            "no such overload" => format!(
                "'{why}': call arguments did not match a supported operator, function or macro \
                 signature for rule: {}",
                rule.text()
            ),
            OVER_BUDGET => format!(
                "'{why}': no further validation rules will be run due to call cost exceeds limit for \
                 rule: {}",
                rule.text()
            ),
            _ => format!("{why} evaluating rule: {}", rule.text()),
        };
        FieldError::invalid(self.path, self.schema.json_type(), detail)
    }
}

const OVER_BUDGET: &str = "operation cancelled: actual cost limit exceeded";

fn is_message(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains(['\n', '\r'])
}

/// Returns why an evaluation failed, in the words of the reference.
fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(index) => {
            let shown = match index {
                Cel::Int(index) => index.to_string(),
                Cel::UInt(index) => index.to_string(),
                other => format!("{other:?}"),
            };
            format!("index out of bounds: {shown}")
        }
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        _ => "no such overload".to_owned(),
    }
}
