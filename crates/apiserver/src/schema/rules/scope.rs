//! Pure: what the names in a rule mean, and which of them mean nothing.

use std::collections::BTreeMap;

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators},
};
use regex::Regex;

use crate::schema::{
    Schema,
    rules::names::{self, Known},
};

/// What a rule can see.
pub(super) struct Scope<'s> {
    /// The node the rule stands at.
    pub(super) schema: &'s Schema,
    /// Whether that is the whole object.
    pub(super) root: bool,
    /// Whether `oldSelf` may be absent.
    pub(super) optional_old: bool,
}

/// What is known about the value of an expression.
#[derive(Clone, Copy)]
pub(super) enum Type<'s> {
    Unknown,
    /// A value of a node; true for whole objects, which have more fields than their schema says.
    Node(&'s Schema, bool),
    /// The metadata of an object.
    Metadata,
    /// A JSON type.
    Plain(&'static str),
}

/// Which part of the source an error points at.
pub(super) enum Token {
    Name,
    /// The dot before a field.
    Field,
    /// The parenthesis of a call.
    Call,
    /// What stands in it.
    Argument,
}

/// What is wrong with a name.
pub(super) struct Wrong {
    pub(super) name: String,
    pub(super) token: Token,
    pub(super) message: String,
}

impl Type<'_> {
    /// Returns the JSON type, empty if it is not known.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Metadata => "object",
            Self::Plain(name) => name,
            Self::Node(schema, _) => {
                let known = ["array", "boolean", "integer", "number", "object", "string"];
                known.into_iter().find(|name| *name == schema.json_type()).unwrap_or_default()
            }
        }
    }
}

/// Returns the type of an expression, and what is wrong with the names in it.
pub(super) fn check<'s>(scope: &Scope<'s>, expression: &IdedExpr) -> (Type<'s>, Vec<Wrong>) {
    let mut walk = Walk { scope, locals: BTreeMap::new(), wrong: Vec::new() };
    let found = walk.infer(expression);
    (found, walk.wrong)
}

struct Walk<'w, 's> {
    scope: &'w Scope<'s>,
    locals: BTreeMap<String, Type<'s>>,
    wrong: Vec<Wrong>,
}

impl<'s> Walk<'_, 's> {
    fn infer(&mut self, expression: &IdedExpr) -> Type<'s> {
        match &expression.expr {
            Expr::Unspecified => Type::Unknown,
            Expr::Literal(literal) => Type::Plain(literal_type(literal)),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => {
                let operand = self.infer(&select.operand);
                let found = self.field(operand, &select.field);
                if select.test { Type::Plain("boolean") } else { found }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                list.elements.iter().for_each(|each| {
                    self.infer(each);
                });
                Type::Plain("array")
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.infer(&entry.key);
                        self.infer(&entry.value);
                    }
                }
                Type::Plain("object")
            }
            Expr::Struct(made) => {
                self.unsupported(&made.type_name, Token::Name, "messages are");
                Type::Unknown
            }
        }
    }

    fn ident(&mut self, name: &str) -> Type<'s> {
        match name {
            _ if self.locals.contains_key(name) => self.locals[name],
            "oldSelf" if self.scope.optional_old => Type::Unknown,
            "self" | "oldSelf" => Type::Node(self.scope.schema, self.scope.root),
            _ if names::is_type(name) => {
                self.unsupported(name, Token::Name, "types as values are");
                Type::Unknown
            }
            _ => {
                self.undeclared(name, Token::Name);
                Type::Unknown
            }
        }
    }

    fn field(&mut self, operand: Type<'s>, field: &str) -> Type<'s> {
        let (schema, is_object) = match operand {
            Type::Metadata if ["name", "generateName"].contains(&field) => {
                return Type::Plain("string");
            }
            Type::Metadata => return self.undefined(field),
            Type::Unknown | Type::Plain("object") => return Type::Unknown,
            Type::Plain(_) => return self.scalar(operand, field),
            Type::Node(schema, is_object) => (schema, is_object || schema.embedded),
        };
        match field {
            "metadata" if is_object => return Type::Metadata,
            "apiVersion" | "kind" if is_object => return Type::Plain("string"),
            _ => {}
        }
        let named = |(name, _): &(&String, &Schema)| names::escape(name).as_deref() == Some(field);
        if let Some((_, property)) = schema.properties.iter().find(named) {
            Type::Node(property, false)
        } else if let Some(additional) = schema.additional() {
            Type::Node(additional, false)
        } else {
            match schema.json_type() {
                "object" => self.undefined(field),
                "" => Type::Unknown,
                _ => self.scalar(operand, field),
            }
        }
    }

    fn call(&mut self, call: &CallExpr) -> Type<'s> {
        let name = call.func_name.as_str();
        if let Some(target) = &call.target {
            return self.member_call(call, target);
        }
        let types: Vec<_> = call.args.iter().map(|arg| self.infer(arg)).collect();
        match name {
            operators::CONDITIONAL => types.get(1).copied().unwrap_or(Type::Unknown),
            operators::INDEX => match types.first() {
                Some(Type::Node(schema, _)) => schema
                    .items()
                    .or_else(|| schema.additional())
                    .map_or(Type::Unknown, |below| Type::Node(below, false)),
                _ => Type::Unknown,
            },
            operators::ADD => types.first().copied().map_or(Type::Unknown, |first| match first {
                Type::Plain("string") => first,
                _ => Type::Unknown,
            }),
            operators::OPT_INDEX | operators::OPT_SELECT | "dyn" => Type::Unknown,
            "matches" => self.matches(call),
            _ if names::is_boolean_operator(name) => Type::Plain("boolean"),
            _ if names::is_operator(name) => Type::Unknown,
            _ => self.function(name, Known::Global),
        }
    }

    fn member_call(&mut self, call: &CallExpr, target: &IdedExpr) -> Type<'s> {
        let name = call.func_name.as_str();
        if names::is_macro(name) {
            let what =
                if name == "sortBy" { "sortBy is" } else { "two-variable comprehensions are" };
            self.unsupported(name, Token::Call, what);
            return Type::Unknown;
        }
        let qualified = match &target.expr {
            Expr::Ident(prefix) if !self.locals.contains_key(prefix) => {
                Some(format!("{prefix}.{name}")).filter(|name| Known::Qualified.has(name))
            }
            _ => None,
        };
        if qualified.is_none() {
            self.infer(target);
        }
        for arg in &call.args {
            self.infer(arg);
        }
        match (qualified, name) {
            (Some(_), _) => Type::Unknown,
            (None, "matches") => self.matches(call),
            (None, _) => self.function(name, Known::Member),
        }
    }

    fn matches(&mut self, call: &CallExpr) -> Type<'s> {
        if let Some(Expr::Literal(LiteralValue::String(pattern))) =
            call.args.last().map(|arg| &arg.expr)
            && Regex::new(pattern.inner()).is_err()
        {
            self.report("matches", Token::Argument, "invalid matches argument".to_owned());
        }
        Type::Plain("boolean")
    }

    fn function(&mut self, name: &str, known: Known) -> Type<'s> {
        if ["type", "bool"].contains(&name) {
            self.unsupported(name, Token::Call, "types as values are");
        } else if !known.has(name) {
            self.undeclared(name, Token::Call);
        }
        match name {
            "size" | "int" | "indexOf" => Type::Plain("integer"),
            "string" | "trim" | "join" | "lowerAscii" | "upperAscii" => Type::Plain("string"),
            "startsWith" | "endsWith" | "contains" => Type::Plain("boolean"),
            _ => Type::Unknown,
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type<'s> {
        let item = match self.infer(&comprehension.iter_range) {
            Type::Node(schema, _) => match schema.items() {
                Some(items) => Type::Node(items, false),
                None if schema.json_type() == "object" => Type::Plain("string"),
                None => Type::Unknown,
            },
            _ => Type::Unknown,
        };
        let accumulator = self.infer(&comprehension.accu_init);
        let outer = self.locals.clone();
        self.locals.insert(comprehension.accu_var.clone(), accumulator);
        self.locals.insert(comprehension.iter_var.clone(), item);
        self.infer(&comprehension.loop_cond);
        self.infer(&comprehension.loop_step);
        let found = self.infer(&comprehension.result);
        self.locals = outer;
        found
    }

    fn undeclared(&mut self, name: &str, token: Token) {
        self.report(name, token, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn undefined(&mut self, field: &str) -> Type<'s> {
        self.report(field, Token::Field, format!("undefined field '{field}'"));
        Type::Unknown
    }

    fn scalar(&mut self, operand: Type<'s>, field: &str) -> Type<'s> {
        let name = match operand.name() {
            "integer" => "int",
            "number" => "double",
            "boolean" => "bool",
            "array" => "list",
            other => other,
        };
        self.report(field, Token::Field, format!("type '{name}' does not support field selection"));
        Type::Unknown
    }

    fn unsupported(&mut self, name: &str, token: Token, what: &str) {
        self.report(name, token, format!("'{name}': {what} not supported yet"));
    }

    fn report(&mut self, name: &str, token: Token, message: String) {
        self.wrong.push(Wrong { name: name.to_owned(), token, message });
    }
}

fn literal_type(literal: &LiteralValue) -> &'static str {
    match literal {
        LiteralValue::Boolean(_) => "boolean",
        LiteralValue::Double(_) => "number",
        LiteralValue::Int(_) | LiteralValue::UInt(_) => "integer",
        LiteralValue::String(_) => "string",
        LiteralValue::Bytes(_) | LiteralValue::Null => "",
    }
}
