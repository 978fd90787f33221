//! Pure: Rust source with everything blanked that is no code: comments, literals and, if asked, tests.

/// Returns `text` with comments, and the contents of strings and characters, replaced by blanks.
///
/// Lines stay where they were, so a line number found in the result is one of the file.
pub(crate) fn blank(text: &str) -> String {
    let mut lexer = Lexer { rest: text, out: String::with_capacity(text.len()) };
    while lexer.step() {}
    lexer.out
}

/// Returns blanked `code` without the items that are only compiled for tests.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, item) = rest.split_at(start);
        let (item, after) = item.split_at(MARK.len() + item_length(&item[MARK.len()..]));
        out.push_str(before);
        out.extend(item.chars().map(blanked));
        rest = after;
    }
    out + rest
}

/// Returns the length of the item that `code` starts with: up to its closing brace or its semicolon.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            ';' if depth == 0 => return at + 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

fn blanked(letter: char) -> char {
    if letter == '\n' { '\n' } else { ' ' }
}

struct Lexer<'a> {
    rest: &'a str,
    out: String,
}

impl Lexer<'_> {
    /// Moves one piece of the source to the output; returns false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        if self.rest.starts_with("//") {
            self.hide(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.hide(comment_length(self.rest));
        } else if first.is_alphanumeric() || first == '_' {
            self.word();
        } else if first == '"' {
            self.hide(1 + string_length(&self.rest[1..]));
        } else if let Some(length) = character_length(self.rest) {
            self.hide(length);
        } else {
            self.show(first.len_utf8());
        }
        true
    }

    /// Moves a word, and the raw string that it may introduce.
    fn word(&mut self) {
        let end = self.rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let end = end.unwrap_or(self.rest.len());
        let is_raw = matches!(&self.rest[..end], "r" | "br" | "cr");
        self.show(end);
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        if is_raw && self.rest[hashes..].starts_with('"') {
            let closing = format!("\"{}", "#".repeat(hashes));
            let body = &self.rest[hashes + 1..];
            let length = body.find(&closing).map_or(body.len(), |end| end + closing.len());
            self.hide(hashes + 1 + length);
        }
    }

    fn show(&mut self, length: usize) {
        let (shown, rest) = self.rest.split_at(length);
        self.out.push_str(shown);
        self.rest = rest;
    }

    fn hide(&mut self, length: usize) {
        let (hidden, rest) = self.rest.split_at(length);
        self.out.extend(hidden.chars().map(blanked));
        self.rest = rest;
    }
}

/// Returns the length of a block comment, whose like may be nested in it.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        let step = match text.get(at..at + 2) {
            Some("/*") => {
                depth += 1;
                2
            }
            Some("*/") => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of a string's contents and its closing quote.
fn string_length(text: &str) -> usize {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of a character literal; `None` for a lifetime and anything else.
fn character_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let mut letters = inner.char_indices();
    let (_, first) = letters.next()?;
    if first == '\\' {
        letters.next();
        return Some(1 + inner[2..].find('\'')? + 3);
    }
    let (at, second) = letters.next()?;
    (second == '\'').then_some(1 + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let code = blank(text);
        assert_eq!(code.lines().count(), text.lines().count());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_code_is_left() {
        for (text, expected) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            (r#"f("a \" b", c)"#, "f( , c)"),
            ("f(r#\"a \" b\"#, c)", "f(r , c)"),
            ("f('\"', 'a, \"b\")", "f( , 'a, )"),
            (r"f('\'', '\u{7f}', b)", "f( , , b)"),
            ("r#type \"a", "r#type"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn items_for_tests_are_cut_out_whole() {
        let code = "a\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nc\n#[cfg(test)]\nmod d;\ne";
        assert_eq!(without_tests(code).split_whitespace().collect::<Vec<_>>(), ["a", "c", "e"]);
        assert_eq!(without_tests(code).lines().count(), code.lines().count());
    }
}
