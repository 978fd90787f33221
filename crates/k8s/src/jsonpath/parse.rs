//! Pure: reads the text of a JSONPath.

use serde_json::Value;

use super::{Comparison, Filter, JsonPath, JsonPathError, Step};

/// Where a path stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Outside,
    InFilter,
}

/// Reads a whole path.
pub(super) fn path(text: &str) -> Result<JsonPath, JsonPathError> {
    let text = text.trim();
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut parser = Parser { rest: inner.trim() };
    if !parser.takes("$") {
        parser.takes("@");
    }
    let path = parser.steps(Place::Outside)?;
    if parser.rest.is_empty() { Ok(path) } else { Err(parser.instead_of("`.` or `[`")) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn steps(&mut self, place: Place) -> Result<JsonPath, JsonPathError> {
        let mut steps = Vec::new();
        loop {
            if self.takes("..") {
                if steps.contains(&Step::Descent) {
                    return Err(JsonPathError::RepeatedDescent);
                }
                steps.push(Step::Descent);
                if !self.rest.starts_with('[') {
                    steps.push(self.name(place)?);
                }
            } else if self.takes(".") {
                // A lone dot is the root, as in `.[0]`.
                if !self.rest.is_empty() && !self.rest.starts_with('[') {
                    steps.push(self.name(place)?);
                }
            } else if self.takes("[") {
                steps.push(self.bracket(place)?);
            } else {
                return Ok(JsonPath(steps));
            }
        }
    }

    fn name(&mut self, place: Place) -> Result<Step, JsonPathError> {
        if self.takes("*") {
            return Ok(Step::Wildcard);
        }
        let mut name = String::new();
        let mut chars = self.rest.chars();
        loop {
            let before = chars.as_str();
            match chars.next() {
                Some('\\') => name.extend(chars.next()),
                Some(c) if !ends_name(c, place) => name.push(c),
                _ => {
                    self.rest = before;
                    break;
                }
            }
        }
        if name.is_empty() { Err(self.instead_of("a field name")) } else { Ok(Step::Field(name)) }
    }

    fn bracket(&mut self, place: Place) -> Result<Step, JsonPathError> {
        self.skip_space();
        let step = if self.takes("*") {
            Step::Wildcard
        } else if self.takes("?(") {
            if place == Place::InFilter {
                return Err(JsonPathError::NestedFilter);
            }
            Step::Filter(self.filter()?)
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Field(self.quoted()?)
        } else {
            Step::Index(self.integer()?)
        };
        self.skip_space();
        if self.takes("]") { Ok(step) } else { Err(self.instead_of("`]`")) }
    }

    fn filter(&mut self) -> Result<Filter, JsonPathError> {
        self.skip_space();
        if !self.takes("@") {
            return Err(self.instead_of("`@`"));
        }
        let path = self.steps(Place::InFilter)?;
        self.skip_space();
        let test = match self.comparison() {
            Some(comparison) => Some((comparison, self.literal()?)),
            None => None,
        };
        self.skip_space();
        if self.takes(")") {
            Ok(Filter { path, test })
        } else {
            Err(self.instead_of("a comparison or `)`"))
        }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        signs.into_iter().find_map(|(sign, comparison)| self.takes(sign).then_some(comparison))
    }

    fn literal(&mut self) -> Result<Value, JsonPathError> {
        self.skip_space();
        if self.rest.starts_with(['\'', '"']) {
            return self.quoted().map(Value::from);
        }
        let end = self.rest.find(|c: char| c == ')' || c.is_whitespace());
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        match serde_json::from_str(word) {
            Ok(value @ (Value::Bool(_) | Value::Number(_))) => {
                self.rest = rest;
                Ok(value)
            }
            _ => Err(self.instead_of("a text in quotes, a number or a boolean")),
        }
    }

    fn quoted(&mut self) -> Result<String, JsonPathError> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut text = String::new();
        loop {
            match chars.next() {
                Some('\\') => text.extend(chars.next()),
                Some(c) if Some(c) == quote => break,
                Some(c) => text.push(c),
                None => return Err(self.instead_of("a text with a closing quote")),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }

    fn integer(&mut self) -> Result<i64, JsonPathError> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-');
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let expected = "an index, `*`, a filter or a field in quotes";
        let index = digits.parse().map_err(|_| self.instead_of(expected))?;
        self.rest = rest;
        Ok(index)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn instead_of(&self, expected: &'static str) -> JsonPathError {
        JsonPathError::Unexpected { found: self.rest.to_owned(), expected }
    }
}

fn ends_name(c: char, place: Place) -> bool {
    match place {
        Place::Outside => ".[]{}".contains(c),
        Place::InFilter => ".[]{}()=!<>".contains(c) || c.is_whitespace(),
    }
}
