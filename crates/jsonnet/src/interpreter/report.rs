//! Pure: the texts of the interpreter's errors.

use std::fmt::Write;

use rsjsonnet_lang::{
    lexer::LexError,
    parser::{ActualToken, ExpectedToken, ParseError},
    program::{
        AnalyzeError, EvalErrorKind as Kind, EvalErrorValueType as Type,
        EvalStackTraceItem as Item, LoadError,
    },
    span::SpanId,
    token::STokenKind,
};

use crate::failure::ErrorKind;

/// How many lines of a stack trace are shown.
const MAX_FRAMES: usize = 20;

/// A place in a file: lines and columns count from one, the last column belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) start: (usize, usize),
    pub(super) end: (usize, usize),
}

impl Place {
    /// Returns the place that `start..end` covers in `text`.
    pub(super) fn new(file: &str, text: &[u8], start: usize, end: usize) -> Self {
        let last = end.saturating_sub(1).max(start);
        Self { file: file.to_owned(), start: position(text, start), end: position(text, last) }
    }

    /// Returns `file:line:col`.
    pub(super) fn point(&self) -> String {
        format!("{}:{}:{}", self.file, self.start.0, self.start.1)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, start, end } = self;
        if start == end {
            write!(f, "{file}:{}:{}", start.0, start.1)
        } else if start.0 == end.0 {
            write!(f, "{file}:{}:{}-{}", start.0, start.1, end.1)
        } else {
            write!(f, "{file}:({}:{})-({}:{})", start.0, start.1, end.0, end.1)
        }
    }
}

fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.split(|byte| *byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    (line, column + 1)
}

/// Returns what kind of failure an error is.
pub(super) fn kind(error: &Kind) -> ErrorKind {
    match error {
        Kind::StackOverflow => ErrorKind::Stack,
        Kind::ImportFailed { .. } => ErrorKind::Import,
        Kind::ManifestFunction => ErrorKind::Manifest,
        _ => ErrorKind::Runtime,
    }
}

/// Returns the error's own place, which the stack trace may lack.
pub(super) fn span(error: &Kind) -> Option<SpanId> {
    match error {
        Kind::InvalidIndexedType { span, .. }
        | Kind::InvalidSlicedType { span, .. }
        | Kind::SliceIndexOrStepIsNotNumber { span, .. }
        | Kind::StringIndexIsNotNumber { span, .. }
        | Kind::ArrayIndexIsNotNumber { span, .. }
        | Kind::NumericIndexIsNotValid { span, .. }
        | Kind::NumericIndexOutOfRange { span, .. }
        | Kind::ObjectIndexIsNotString { span, .. }
        | Kind::RepeatedFieldName { span, .. }
        | Kind::FieldNameIsNotString { span, .. }
        | Kind::UnknownObjectField { span, .. }
        | Kind::FieldOfNonObject { span }
        | Kind::SuperWithoutSuperObject { span }
        | Kind::ForSpecValueIsNotArray { span, .. }
        | Kind::CondIsNotBool { span, .. }
        | Kind::InvalidUnaryOpType { span, .. }
        | Kind::AssertFailed { span, .. }
        | Kind::ExplicitError { span, .. }
        | Kind::ImportFailed { span, .. } => Some(*span),
        Kind::CalleeIsNotFunction { span, .. }
        | Kind::TooManyCallArgs { span, .. }
        | Kind::UnknownCallParam { span, .. }
        | Kind::RepeatedCallParam { span, .. }
        | Kind::CallParamNotBound { span, .. }
        | Kind::InvalidBinaryOpTypes { span, .. }
        | Kind::NumberNotBitwiseSafe { span }
        | Kind::NumberOverflow { span }
        | Kind::NumberNan { span }
        | Kind::DivByZero { span }
        | Kind::ShiftByNegative { span }
        | Kind::Other { span, .. } => *span,
        _ => None,
    }
}

/// Returns the message of an error, without its trace.
pub(super) fn message(error: &Kind) -> String {
    match error {
        Kind::StackOverflow => "max stack frames exceeded.".to_owned(),
        Kind::InfiniteRecursion => "infinite recursion: a value depends on itself".to_owned(),
        Kind::ExplicitError { message, .. } | Kind::Other { message, .. } => message.clone(),
        Kind::AssertFailed { message, .. } => {
            message.clone().unwrap_or_else(|| "Assertion failed".to_owned())
        }
        Kind::AssertEqualFailed { lhs, rhs } => {
            format!("Assertion failed. {lhs} != {rhs}")
        }
        Kind::ImportFailed { path, .. } => format!("Couldn't open import \"{path}\""),
        Kind::UnknownExtVar { name } => format!("Undefined external variable: {name}"),
        Kind::ManifestFunction => "couldn't manifest function as JSON".to_owned(),
        Kind::NativeCallFailed => "native function failed".to_owned(),
        Kind::NumberNotBitwiseSafe { .. } => {
            "number outside the safe integer range of bitwise operations".to_owned()
        }
        Kind::NumberOverflow { .. } => "Overflow".to_owned(),
        Kind::NumberNan { .. } => "Not a number".to_owned(),
        Kind::DivByZero { .. } => "Division by zero.".to_owned(),
        Kind::ShiftByNegative { .. } => "shift by a negative number".to_owned(),
        error => index_message(error)
            .or_else(|| call_message(error))
            .or_else(|| compare_message(error))
            .unwrap_or_else(|| "evaluation failed".to_owned()),
    }
}

fn index_message(error: &Kind) -> Option<String> {
    Some(match error {
        Kind::UnknownObjectField { field_name, .. } => {
            format!("Field does not exist: {field_name}")
        }
        Kind::InvalidIndexedType { got_type, .. } => format!("cannot index {}", name(*got_type)),
        Kind::InvalidSlicedType { got_type, .. } => format!("cannot slice {}", name(*got_type)),
        Kind::SliceIndexOrStepIsNotNumber { got_type, .. } => {
            format!("slice bounds and step must be numbers, got {}", name(*got_type))
        }
        Kind::StringIndexIsNotNumber { got_type, .. } => {
            format!("string index must be a number, got {}", name(*got_type))
        }
        Kind::ArrayIndexIsNotNumber { got_type, .. } => {
            format!("array index must be a number, got {}", name(*got_type))
        }
        Kind::ObjectIndexIsNotString { got_type, .. } => {
            format!("object index must be a string, got {}", name(*got_type))
        }
        Kind::NumericIndexIsNotValid { index, .. } => format!("invalid index: {index}"),
        Kind::NumericIndexOutOfRange { index, length, .. } => {
            format!("Index {index} out of bounds, not within [0, {length})")
        }
        Kind::RepeatedFieldName { name, .. } => format!("Duplicate field name: \"{name}\""),
        Kind::FieldNameIsNotString { got_type, .. } => {
            format!("Field name must be string, got {}", name(*got_type))
        }
        Kind::FieldOfNonObject { .. } => {
            "cannot take a field of something else than an object".to_owned()
        }
        Kind::SuperWithoutSuperObject { .. } => {
            "Attempt to use super when there is no super class.".to_owned()
        }
        Kind::ForSpecValueIsNotArray { got_type, .. } => {
            format!("a comprehension needs an array, got {}", name(*got_type))
        }
        _ => return None,
    })
}

fn call_message(error: &Kind) -> Option<String> {
    Some(match error {
        Kind::CalleeIsNotFunction { got_type, .. } => format!("cannot call {}", name(*got_type)),
        Kind::TooManyCallArgs { num_params, .. } => {
            format!("too many arguments, the function has {num_params} parameter(s)")
        }
        Kind::UnknownCallParam { param_name, .. } => {
            format!("function has no parameter {param_name}")
        }
        Kind::RepeatedCallParam { param_name, .. } => {
            format!("Argument {param_name} already provided")
        }
        Kind::CallParamNotBound { param_name, .. } => format!("Missing argument: {param_name}"),
        Kind::CondIsNotBool { got_type, .. } => {
            format!("condition must be a boolean, got {}", name(*got_type))
        }
        Kind::InvalidUnaryOpType { op, rhs_type, .. } => {
            format!("unary operator {op:?} does not take {}", name(*rhs_type))
        }
        Kind::InvalidBinaryOpTypes { op, lhs_type, rhs_type, .. } => {
            format!("operator {op:?} does not take {} and {}", name(*lhs_type), name(*rhs_type))
        }
        Kind::InvalidStdFuncArgType { func_name, arg_index, expected_types, got_type } => {
            let expected: Vec<_> = expected_types.iter().copied().map(name).collect();
            format!(
                "std.{func_name}: argument {} must be {}, got {}",
                arg_index + 1,
                expected.join(" or "),
                name(*got_type)
            )
        }
        _ => return None,
    })
}

fn compare_message(error: &Kind) -> Option<String> {
    Some(match error {
        Kind::CompareNullInequality => "cannot order null values".to_owned(),
        Kind::CompareBooleanInequality => "cannot order booleans".to_owned(),
        Kind::CompareObjectInequality => "cannot order objects".to_owned(),
        Kind::CompareFunctions => "cannot test equality of functions".to_owned(),
        Kind::CompareDifferentTypesInequality { lhs_type, rhs_type } => {
            format!("cannot order {} and {}", name(*lhs_type), name(*rhs_type))
        }
        Kind::PrimitiveEqualsNonPrimitive { got_type } => {
            format!("primitiveEquals operates on primitive types, got {}", name(*got_type))
        }
        _ => return None,
    })
}

fn name(value_type: Type) -> &'static str {
    match value_type {
        Type::Null => "null",
        Type::Bool => "boolean",
        Type::Number => "number",
        Type::String => "string",
        Type::Array => "array",
        Type::Object => "object",
        Type::Function => "function",
    }
}

/// Returns the lines below an error's message, innermost first.
///
/// `place` says where a span is, or nothing if the author did not write that text.
pub(super) fn trace(
    error: Option<SpanId>,
    stack: &[Item],
    place: impl Fn(SpanId) -> Option<Place>,
) -> String {
    let own = error.and_then(&place).map(|place| (place, String::new()));
    let frames = stack.iter().rev().filter_map(|item| {
        let (span, what) = frame(item)?;
        Some((place(span)?, what))
    });
    let mut lines: Vec<(Place, String)> = Vec::new();
    for (place, what) in own.into_iter().chain(frames) {
        if MAX_FRAMES < lines.len() {
            break;
        }
        match lines.last_mut() {
            Some(last) if last.0 == place && (last.1.is_empty() || what.is_empty()) => {
                last.1.push_str(&what);
            }
            _ => lines.push((place, what)),
        }
    }
    let mut text = String::new();
    for (place, what) in lines.iter().take(MAX_FRAMES) {
        let _ = write!(text, "\n\t{place}\t{what}");
    }
    if MAX_FRAMES < lines.len() {
        text.push_str("\n\t...");
    }
    text
}

fn frame(item: &Item) -> Option<(SpanId, String)> {
    Some(match item {
        Item::Expr { span } => (*span, String::new()),
        Item::Call { span, name } => {
            ((*span)?, format!("function <{}>", name.as_deref().unwrap_or("anonymous")))
        }
        Item::Variable { span, name } => (*span, format!("variable <{name}>")),
        Item::ArrayItem { span, index } => ((*span)?, format!("array item {index}")),
        Item::ObjectField { span, name } => ((*span)?, format!("field <{name}>")),
        Item::Import { span } => (*span, "import".to_owned()),
        Item::CompareArrayItem { .. }
        | Item::CompareObjectField { .. }
        | Item::ManifestArrayItem { .. }
        | Item::ManifestObjectField { .. } => return None,
    })
}

/// Returns where a file fails to load, and why.
pub(super) fn load(error: &LoadError) -> (SpanId, String) {
    match error {
        LoadError::Lex(error) => lex(error),
        LoadError::Parse(ParseError::Expected { span, expected, instead }) => {
            let expected: Vec<_> = expected.iter().copied().map(expected_token).collect();
            (*span, format!("expected {}, got {}", expected.join(" or "), actual_token(instead)))
        }
        LoadError::Analyze(error) => analyze(error),
    }
}

fn lex(error: &LexError) -> (SpanId, String) {
    let (span, message) = match error {
        LexError::InvalidChar { span, chr } => (span, format!("unexpected character {chr:?}")),
        LexError::InvalidUtf8 { span, .. } => (span, "invalid UTF-8".to_owned()),
        LexError::UnfinishedMultilineComment { span } => (span, "unfinished comment".to_owned()),
        LexError::LeadingZeroInNumber { span } => (span, "number with a leading zero".to_owned()),
        LexError::MissingFracDigits { span } => (span, "no digits after the point".to_owned()),
        LexError::MissingExpDigits { span } => (span, "no digits in the exponent".to_owned()),
        LexError::MissingDigitAfterUnderscore { span } => {
            (span, "no digit after the underscore".to_owned())
        }
        LexError::ExpOverflow { span } => (span, "exponent out of range".to_owned()),
        LexError::InvalidEscapeInString { span, chr } => {
            (span, format!("unknown escape \\{chr} in a string"))
        }
        LexError::IncompleteUnicodeEscape { span }
        | LexError::InvalidUtf16EscapeSequence { span, .. } => {
            (span, "invalid unicode escape in a string".to_owned())
        }
        LexError::UnfinishedString { span } => (span, "unterminated string".to_owned()),
        LexError::MissingLineBreakAfterTextBlockStart { span } => {
            (span, "text block needs a line break after |||".to_owned())
        }
        LexError::MissingWhitespaceTextBlockStart { span } => {
            (span, "text block's first line must be indented".to_owned())
        }
        LexError::InvalidTextBlockTermination { span } => {
            (span, "text block is not terminated by |||".to_owned())
        }
    };
    (*span, message)
}

fn analyze(error: &AnalyzeError) -> (SpanId, String) {
    let (span, message) = match error {
        AnalyzeError::UnknownVariable { span, name } => (span, format!("Unknown variable: {name}")),
        AnalyzeError::SelfOutsideObject { self_span } => {
            (self_span, "can't use self outside of an object".to_owned())
        }
        AnalyzeError::SuperOutsideObject { super_span } => {
            (super_span, "can't use super outside of an object".to_owned())
        }
        AnalyzeError::DollarOutsideObject { dollar_span } => {
            (dollar_span, "no top-level object found for $".to_owned())
        }
        AnalyzeError::RepeatedLocalName { repeated_span, name, .. } => {
            (repeated_span, format!("duplicate local variable: {name}"))
        }
        AnalyzeError::RepeatedFieldName { repeated_span, name, .. } => {
            (repeated_span, format!("duplicate field: {name}"))
        }
        AnalyzeError::RepeatedParamName { repeated_span, name, .. } => {
            (repeated_span, format!("duplicate function parameter: {name}"))
        }
        AnalyzeError::PositionalArgAfterNamed { arg_span } => {
            (arg_span, "positional argument after a named one".to_owned())
        }
        AnalyzeError::TextBlockAsImportPath { span } => {
            (span, "text blocks cannot be import paths".to_owned())
        }
        AnalyzeError::ComputedImportPath { span } => {
            (span, "computed imports are not allowed".to_owned())
        }
    };
    (*span, message)
}

fn expected_token(token: ExpectedToken) -> String {
    match token {
        ExpectedToken::EndOfFile => "end of file".to_owned(),
        ExpectedToken::Simple(kind) => simple_token(kind),
        ExpectedToken::Ident => "an identifier".to_owned(),
        ExpectedToken::Number => "a number".to_owned(),
        ExpectedToken::String => "a string".to_owned(),
        ExpectedToken::TextBlock => "a text block".to_owned(),
        ExpectedToken::Expr => "an expression".to_owned(),
        ExpectedToken::BinaryOp => "an operator".to_owned(),
    }
}

fn actual_token(token: &ActualToken) -> String {
    match token {
        ActualToken::EndOfFile => "end of file".to_owned(),
        ActualToken::Simple(kind) => simple_token(*kind),
        ActualToken::OtherOp(text) | ActualToken::Ident(text) => format!("\"{text}\""),
        ActualToken::Number => "a number".to_owned(),
        ActualToken::String => "a string".to_owned(),
        ActualToken::TextBlock => "a text block".to_owned(),
    }
}

fn simple_token(kind: STokenKind) -> String {
    use STokenKind as T;
    let symbol = match kind {
        T::Exclam => "!",
        T::ExclamEq => "!=",
        T::Dollar => "$",
        T::Percent => "%",
        T::Amp => "&",
        T::AmpAmp => "&&",
        T::LeftParen => "(",
        T::RightParen => ")",
        T::Asterisk => "*",
        T::Plus => "+",
        T::PlusColon => "+:",
        T::PlusColonColon => "+::",
        T::PlusColonColonColon => "+:::",
        T::Comma => ",",
        T::Minus => "-",
        T::Dot => ".",
        T::Slash => "/",
        T::Colon => ":",
        T::ColonColon => "::",
        T::ColonColonColon => ":::",
        T::Semicolon => ";",
        T::Lt => "<",
        T::LtLt => "<<",
        T::LtEq => "<=",
        T::Eq => "=",
        T::EqEq => "==",
        T::Gt => ">",
        T::GtEq => ">=",
        T::GtGt => ">>",
        T::LeftBracket => "[",
        T::RightBracket => "]",
        T::Hat => "^",
        T::LeftBrace => "{",
        T::Pipe => "|",
        T::PipePipe => "||",
        T::RightBrace => "}",
        T::Tilde => "~",
        keyword => {
            return format!("\"{}\"", format!("{keyword:?}").trim_end_matches('_').to_lowercase());
        }
    };
    format!("\"{symbol}\"")
}
