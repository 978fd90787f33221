//! Pure: one expression of a rule, from its source to what is evaluated.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators},
    parser::Parser,
};

use crate::schema::rules::scope::{self, Scope, Token, Wrong};

/// The parser recurses per operator; its stack is made for this much source.
const MAX_SOURCE: usize = 16 << 10;
/// Evaluation recurses on the stack of whoever writes an object.
const MAX_DEPTH: usize = 60;

/// An expression that can be evaluated.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) root: IdedExpr,
    uses_old: bool,
    /// With n values around, evaluation takes about n to this power steps.
    pub(super) degree: u32,
}

impl Expression {
    /// Compiles a source whose result must be of the JSON type `wanted`.
    pub(super) fn compile(source: &str, scope: &Scope<'_>, wanted: &str) -> Result<Self, String> {
        if source.len() > MAX_SOURCE {
            return Err(failed("the expression is too long to be supported"));
        }
        let parsed = Parser::new().enable_optional_syntax(true).parse(source);
        let mut root = parsed.map_err(|errors| {
            let texts: Vec<_> = errors
                .errors
                .iter()
                .map(|error| shown(source, error.pos.0, error.pos.1, &error.msg))
                .collect();
            failed(&texts.join("\n"))
        })?;
        if depth(&root) > MAX_DEPTH {
            return Err(failed("the expression is nested too deeply to be supported"));
        }
        let (found, wrong) = scope::check(scope, &root);
        if !wrong.is_empty() {
            let texts: Vec<_> = wrong.iter().map(|wrong| told(source, wrong)).collect();
            return Err(failed(&texts.join("\n")));
        }
        if !["", wanted].contains(&found.name()) {
            return Err(match wanted {
                "boolean" => "cel expression must evaluate to a bool".to_owned(),
                _ => "must evaluate to a string".to_owned(),
            });
        }
        let uses_old = root.references().has_variable("oldSelf");
        rewrite(&mut root);
        let degree = degree(&root);
        Ok(Self { root, uses_old, degree })
    }

    /// Returns whether the expression looks at the value before the change.
    pub(super) fn uses_old(&self) -> bool {
        self.uses_old
    }
}

fn failed(why: &str) -> String {
    format!("compilation failed: {why}")
}

fn told(source: &str, wrong: &Wrong) -> String {
    let offset = find(source, &wrong.name, &wrong.token).unwrap_or_default();
    let before = source.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    shown(source, line.cast_signed(), column.cast_signed(), &wrong.message)
}

/// Returns an error with the line it is in and a mark below it.
fn shown(source: &str, line: isize, column: isize, message: &str) -> String {
    let text = source.lines().nth(usize::try_from(line - 1).unwrap_or_default());
    let dots = ".".repeat(usize::try_from(column - 1).unwrap_or_default());
    let text = text.unwrap_or_default();
    format!("ERROR: <input>:{line}:{column}: {message}\n | {text}\n | {dots}^")
}

/// Returns where a name stands. The syntax tree does not tell, once it is there.
fn find(source: &str, name: &str, token: &Token) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(name).find_map(|(at, _)| {
        let (before, after) = (source.get(..at)?, source.get(at + name.len()..)?);
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        let dotted = before.ends_with('.') || before.ends_with(".?");
        match token {
            Token::Name => (whole && !dotted).then_some(at),
            Token::Field => (whole && dotted).then(|| at - 1),
            Token::Call => (whole && after.starts_with('(')).then_some(at + name.len()),
            Token::Argument => (whole && after.starts_with('(')).then_some(at + name.len() + 1),
        }
    })
}

/// Turns what the evaluator does wrong into what it does right.
///
/// It takes a field of what is no map for false, and the optional field of a map that lacks it for an error; an
/// index has neither fault.
fn rewrite(expression: &mut IdedExpr) {
    for_each_child(expression, &mut rewrite);
    let id = expression.id;
    let take = |place: &mut IdedExpr| std::mem::take(place);
    match &mut expression.expr {
        Expr::Select(select) if !select.test => {
            let field = IdedExpr {
                id,
                expr: Expr::Literal(LiteralValue::String(select.field.as_str().into())),
            };
            let args = vec![take(&mut select.operand), field];
            let func_name = operators::INDEX.to_owned();
            expression.expr = Expr::Call(CallExpr { func_name, target: None, args });
        }
        Expr::Call(call) if call.func_name == operators::OPT_SELECT => {
            operators::OPT_INDEX.clone_into(&mut call.func_name);
        }
        Expr::Call(call) if call.func_name == "dyn" && call.args.len() == 1 => {
            *expression = take(&mut call.args[0]);
        }
        _ => {}
    }
}

fn for_each_child(expression: &mut IdedExpr, visit: &mut dyn FnMut(&mut IdedExpr)) {
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(visit);
        }
        Expr::Comprehension(comprehension) => {
            visit(&mut comprehension.iter_range);
            visit(&mut comprehension.accu_init);
            visit(&mut comprehension.loop_cond);
            visit(&mut comprehension.loop_step);
            visit(&mut comprehension.result);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(visit),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    visit(&mut entry.key);
                    visit(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => visit(&mut select.operand),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => {}
    }
}

fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(each) => {
            vec![&each.iter_range, &each.accu_init, &each.loop_cond, &each.loop_step, &each.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => {
            let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                EntryExpr::StructField(_) => None,
            });
            entries.flatten().collect()
        }
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => vec![],
    }
}

fn depth(expression: &IdedExpr) -> usize {
    children(expression).into_iter().map(depth).max().unwrap_or_default() + 1
}

fn degree(expression: &IdedExpr) -> u32 {
    let below = children(expression).into_iter().map(degree).max().unwrap_or_default();
    match &expression.expr {
        Expr::Comprehension(comprehension) => {
            // A list is copied for each item that is put at its end.
            let copies = u32::from(matches!(comprehension.accu_init.expr, Expr::List(_)));
            let inner = degree(&comprehension.loop_step) + 1 + copies;
            inner.max(degree(&comprehension.iter_range))
        }
        Expr::Call(call) => {
            let grows = ["replace", "split", "join", "findAll", "flatten", "distinct", "format"]
                .contains(&call.func_name.as_str());
            below + u32::from(grows)
        }
        _ => below,
    }
}
