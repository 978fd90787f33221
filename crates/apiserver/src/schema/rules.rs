//! The validation rules that stand in a schema: what they say, and what they may not say.
//!
//! Not pure: the parser recurses, so it runs on a thread with a deep stack.

mod evaluate;
mod expression;
mod names;
mod scope;
mod target;
#[cfg(test)]
mod tests;
mod value;

use std::{sync::Arc, thread};

use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use crate::schema::rules::evaluate::check;
use crate::{
    field::{FieldError, FieldPath, FieldReason},
    schema::{
        Schema, nullable,
        rules::{expression::Expression, scope::Scope},
    },
};

/// Where rules stand in a schema.
pub(super) const KEYWORD: &str = "x-kubernetes-validations";

/// The parser recurses per operator, so a long rule needs a deep stack. It is mapped, not touched, until used.
const STACK_SIZE: usize = 256 << 20;

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What must hold for the values of one node of a schema.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    #[serde(rename = "rule", deserialize_with = "nullable")]
    source: String,
    message: Option<String>,
    message_expression: Option<String>,
    reason: Option<String>,
    #[serde(deserialize_with = "nullable")]
    field_path: String,
    optional_old_self: Option<bool>,
    #[serde(skip)]
    compiled: Option<Arc<Compiled>>,
}

/// A rule as it is evaluated.
#[derive(Debug)]
struct Compiled {
    rule: Expression,
    message: Option<Expression>,
    /// Below the node, where errors are told.
    target: FieldPath,
}

impl Rule {
    /// Returns what the rule says about broken values, if nothing was said at evaluation.
    fn text(&self) -> String {
        let given = self.message.as_deref().unwrap_or_default().trim();
        if given.is_empty() {
            format!("failed rule: {}", self.source.trim())
        } else {
            given.to_owned()
        }
    }

    fn is_optional(&self) -> bool {
        self.optional_old_self == Some(true)
    }

    /// Returns an error at this rule that shows it whole, as Go's JSON of its type.
    fn error(&self, path: &FieldPath, detail: &str) -> FieldError {
        let text = |text: &str| {
            json!(text)
                .to_string()
                .replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
        };
        let given = |given: &Option<String>| text(given.as_deref().unwrap_or_default());
        let reason = self.reason.as_deref().map_or("null".to_owned(), text);
        let optional = self.optional_old_self.map_or("null".to_owned(), |flag| flag.to_string());
        let message = format!(
            "Invalid value: {{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{reason},\
             \"FieldPath\":{},\"OptionalOldSelf\":{optional}}}: {detail}",
            text(&self.source),
            given(&self.message),
            given(&self.message_expression),
            text(&self.field_path),
        );
        FieldError { reason: FieldReason::Invalid, field: path.to_string(), message }
    }
}

/// Returns what is wrong with a rule whatever the schema around it; `path` is that of the rule.
pub(super) fn check_form(path: &FieldPath, rule: &Value) -> Vec<FieldError> {
    // A rule of the wrong type is told of when the whole schema is read.
    let Ok(rule) = Rule::deserialize(rule) else { return Vec::new() };
    let mut errors = Vec::new();
    if rule.source.trim().is_empty() {
        errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
    }
    let message_path = path.child("message");
    match rule.message.as_deref().filter(|message| !message.is_empty()) {
        Some(message) if message.trim().is_empty() => {
            errors.push(FieldError::invalid(
                message_path,
                message,
                "must be non-empty if specified",
            ));
        }
        Some(message) if message.trim().contains(['\n', '\r']) => {
            errors.push(FieldError::invalid(message_path, message, "must not contain line breaks"));
        }
        None if rule.source.trim().contains(['\n', '\r']) => {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(message_path, detail));
        }
        _ => {}
    }
    let given = rule.message_expression.as_deref().unwrap_or_default();
    if !given.is_empty() && given.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(path.child("reason"), reason, &REASONS));
    }
    errors
}

/// Compiles every rule of a schema and returns what is wrong with them.
pub(super) fn compile(path: &FieldPath, schema: &mut Schema) -> Vec<FieldError> {
    if !schema.has_rules() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let finished = thread::scope(|scope| {
        let work =
            || node(&Place { path: path.clone(), root: true, loose: None }, schema, &mut errors);
        let thread = thread::Builder::new().stack_size(STACK_SIZE).spawn_scoped(scope, work);
        thread.is_ok_and(|thread| thread.join().is_ok())
    });
    if !finished {
        errors.push(FieldError::invalid_without_value(path, "the rules cannot be compiled"));
    }
    errors
}

/// Where in a schema a node stands.
struct Place {
    path: FieldPath,
    root: bool,
    /// The list around that does not say which old item belongs to which new one.
    loose: Option<FieldPath>,
}

impl Place {
    fn below(&self, path: FieldPath) -> Self {
        Self { path, root: false, loose: self.loose.clone() }
    }
}

fn node(place: &Place, schema: &mut Schema, errors: &mut Vec<FieldError>) {
    let mut rules = std::mem::take(&mut schema.rules);
    for (index, rule) in rules.iter_mut().enumerate() {
        let path = place.path.child(KEYWORD).index(index);
        compile_rule(&path, place, schema, rule, errors);
    }
    schema.rules = rules;
    let is_map = schema.list_type.as_deref() == Some("map");
    if let Some(items) = &mut schema.items {
        let mut below = place.below(place.path.child("items"));
        if !is_map {
            below.loose.get_or_insert_with(|| place.path.clone());
        }
        node(&below, items, errors);
    }
    for (name, property) in &mut schema.properties {
        node(&place.below(place.path.child("properties").key(name)), property, errors);
    }
    if let Some(super::Additional::Schema(additional)) = &mut schema.additional_properties {
        node(&place.below(place.path.child("additionalProperties")), additional, errors);
    }
}

fn compile_rule(
    path: &FieldPath,
    place: &Place,
    schema: &Schema,
    rule: &mut Rule,
    errors: &mut Vec<FieldError>,
) {
    let before = errors.len();
    let scope = Scope { schema, root: place.root, optional_old: rule.is_optional() };
    let compiled = Expression::compile(rule.source.trim(), &scope, "boolean");
    let expression = match compiled {
        Ok(expression) => Some(expression),
        Err(detail) => {
            errors.push(rule.error(&path.child("rule"), &detail));
            None
        }
    };
    let uses_old = expression.as_ref().is_some_and(Expression::uses_old);
    if rule.optional_old_self.is_some() && !uses_old {
        let detail = "may not be set if oldSelf is not used in rule";
        errors.push(FieldError::invalid(
            path.child("optionalOldSelf"),
            rule.optional_old_self,
            detail,
        ));
    }
    let mut message = None;
    if let Some(source) = rule.message_expression.as_deref().filter(|source| !source.is_empty()) {
        match Expression::compile(source.trim(), &scope, "string") {
            Ok(compiled) => message = Some(compiled),
            Err(detail) => {
                errors.push(rule.error(
                    &path.child("messageExpression"),
                    &format!("messageExpression {detail}"),
                ));
            }
        }
    }
    let target = target::resolve(schema, &rule.field_path);
    if target.is_none() {
        let detail = "must be a valid path";
        errors.push(FieldError::invalid(path.child("fieldPath"), rule.field_path.as_str(), detail));
    }
    if let (true, Some(list)) = (uses_old, &place.loose) {
        let detail = format!(
            "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
        );
        errors.push(FieldError::invalid(path.child("rule"), rule.source.as_str(), detail));
    }
    if let (true, Some(expression), Some(target)) = (errors.len() == before, expression, target) {
        rule.compiled = Some(Arc::new(Compiled { rule: expression, message, target }));
    }
}

impl Schema {
    /// Returns whether any node has rules.
    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.items().is_some_and(Self::has_rules)
            || self.additional().is_some_and(Self::has_rules)
            || self.properties.values().any(Self::has_rules)
    }
}
