//! Pure: reads the query form of label selectors.

use std::collections::BTreeSet;

use super::{Operator, Requirement, SelectorError};

/// Reads all requirements of a query.
pub(super) fn selector(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    if parser.peek() == Token::End {
        return Ok(requirements);
    }
    let mut expected = "a label key or `!`";
    loop {
        requirements.push(parser.requirement(expected)?);
        expected = "a label key after `,`";
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Comma => {}
            other => return Err(other.instead_of("`,` or the end")),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'a str),
    Comma,
    Open,
    Close,
    End,
}

impl Token<'_> {
    fn instead_of(self, expected: &'static str) -> SelectorError {
        let found = match self {
            Self::Word(text) | Self::Sign(text) => text,
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::End => "",
        };
        SelectorError::Unexpected { found: found.to_owned(), expected }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn requirement(&mut self, expected: &'static str) -> Result<Requirement, SelectorError> {
        if self.peek() == Token::Sign("!") {
            self.next();
            let key = self.word("a label key")?;
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        let key = self.word(expected)?;
        if matches!(self.peek(), Token::Comma | Token::End) {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let (operator, values) = match self.next() {
            Token::Sign("=" | "==") => (Operator::Equals, self.one_value()?),
            Token::Sign("!=") => (Operator::NotEquals, self.one_value()?),
            Token::Sign(">") => (Operator::GreaterThan, self.one_value()?),
            Token::Sign("<") => (Operator::LessThan, self.one_value()?),
            Token::Word("in") => (Operator::In, self.values()?),
            Token::Word("notin") => (Operator::NotIn, self.values()?),
            other => return Err(other.instead_of("an operator")),
        };
        Requirement::new(key, operator, values)
    }

    /// Reads one value, which may be empty: `a=` selects empty labels.
    fn one_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let value = match self.peek() {
            Token::Comma | Token::End => "",
            _ => self.word("a value")?,
        };
        Ok(BTreeSet::from([value.to_owned()]))
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.next() {
            Token::Open => {}
            other => return Err(other.instead_of("`(`")),
        }
        let mut values = BTreeSet::new();
        let mut expected = "`,`, `)` or a value";
        loop {
            // A place left empty stands for the empty value, even the only one.
            let value = match self.peek() {
                Token::Comma | Token::Close => "",
                _ => self.word(expected)?,
            };
            values.insert(value.to_owned());
            match self.next() {
                Token::Comma => expected = "a value",
                Token::Close => return Ok(values),
                other => return Err(other.instead_of("`,` or `)`")),
            }
        }
    }

    fn word(&mut self, expected: &'static str) -> Result<&'a str, SelectorError> {
        match self.peek() {
            Token::Word(word) => {
                self.next();
                Ok(word)
            }
            other => Err(other.instead_of(expected)),
        }
    }

    fn peek(&self) -> Token<'a> {
        self.token().0
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.token();
        self.rest = rest;
        token
    }

    fn token(&self) -> (Token<'a>, &'a str) {
        let text = self.rest.trim_ascii_start();
        let Some(first) = text.chars().next() else {
            return (Token::End, "");
        };
        let length = match first {
            ',' | '(' | ')' | '>' | '<' => 1,
            '=' | '!' => 1 + usize::from(text[1..].starts_with('=')),
            _ => text.find(is_boundary).unwrap_or(text.len()),
        };
        let (word, rest) = text.split_at(length);
        let token = match word {
            "," => Token::Comma,
            "(" => Token::Open,
            ")" => Token::Close,
            ">" | "<" | "=" | "==" | "!" | "!=" => Token::Sign(word),
            _ => Token::Word(word),
        };
        (token, rest)
    }
}

fn is_boundary(c: char) -> bool {
    c.is_ascii_whitespace() || "=!(),><".contains(c)
}
