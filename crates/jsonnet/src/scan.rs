//! Pure: finds the imports that a Jsonnet text names, without parsing it.
//!
//! This runs outside the workers, where nothing bounds it: it takes time proportional to the text, which
//! the interpreter's own lexer does not (a long run of operator characters is read again and again).

/// How a file is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportKind {
    /// `import`: as a program.
    Code,
    /// `importstr`: as text.
    Text,
    /// `importbin`: as bytes.
    Bytes,
}

/// One import, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: ImportKind,
    pub(crate) path: String,
}

/// Returns the imports of `text` in the order they are written.
///
/// What comes after an error is not searched: the interpreter says what is wrong there.
pub(crate) fn imports(text: &[u8]) -> Vec<Found> {
    let mut scanner = Scanner { rest: text };
    let mut found = Vec::new();
    let mut keyword = None;
    while let Some(token) = scanner.token() {
        match (keyword, token) {
            (Some(kind), Token::String(path)) => {
                found.push(Found { kind, path });
                keyword = None;
            }
            (_, Token::Word(word)) => keyword = import_kind(word),
            _ => keyword = None,
        }
    }
    found
}

fn import_kind(word: &[u8]) -> Option<ImportKind> {
    match word {
        b"import" => Some(ImportKind::Code),
        b"importstr" => Some(ImportKind::Text),
        b"importbin" => Some(ImportKind::Bytes),
        _ => None,
    }
}

/// What the search tells apart.
enum Token<'a> {
    Word(&'a [u8]),
    String(String),
    Other,
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// Returns the next token; nothing at the end or at an error.
    fn token(&mut self) -> Option<Token<'a>> {
        self.skip_blanks()?;
        match *self.rest.first()? {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                Some(Token::Word(self.take_while(|b| b == b'_' || b.is_ascii_alphanumeric())))
            }
            quote @ (b'"' | b'\'') => {
                self.skip(1);
                self.quoted(quote).map(Token::String)
            }
            b'@' => {
                let quote = *self.rest.get(1)?;
                self.skip(2);
                matches!(quote, b'"' | b'\'').then_some(())?;
                self.verbatim(quote).map(Token::String)
            }
            b'|' if self.rest.starts_with(b"|||") => self.text_block().map(|()| Token::Other),
            _ => {
                self.skip(1);
                Some(Token::Other)
            }
        }
    }

    /// Skips white space and comments; nothing if a comment does not end.
    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            self.take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
            if self.rest.starts_with(b"#") || self.rest.starts_with(b"//") {
                self.take_while(|b| b != b'\n');
            } else if self.rest.starts_with(b"/*") {
                self.skip(2);
                let end = self.rest.windows(2).position(|pair| pair == b"*/")?;
                self.skip(end + 2);
            } else {
                return Some(());
            }
        }
    }

    /// Reads a string up to its quote and resolves its escapes.
    fn quoted(&mut self, quote: u8) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            bytes.extend(self.take_while(|b| b != quote && b != b'\\'));
            if self.next()? == quote {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            match self.next()? {
                b'u' => {
                    let c = self.unicode()?;
                    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                }
                b'b' => bytes.push(8),
                b'f' => bytes.push(12),
                b'n' => bytes.push(b'\n'),
                b'r' => bytes.push(b'\r'),
                b't' => bytes.push(b'\t'),
                b @ (b'"' | b'\'' | b'\\' | b'/') => bytes.push(b),
                _ => return None,
            }
        }
    }

    /// Reads the digits of a `\u` escape, and of a second one if the two belong together.
    fn unicode(&mut self) -> Option<char> {
        let mut units = vec![self.hex()?];
        if (0xd800..0xdc00).contains(units.first()?) && self.rest.starts_with(b"\\u") {
            self.skip(2);
            units.push(self.hex()?);
        }
        char::decode_utf16(units).next()?.ok()
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = std::str::from_utf8(self.rest.get(..4)?).ok()?;
        let unit = u16::from_str_radix(digits, 16).ok()?;
        self.skip(4);
        Some(unit)
    }

    /// Reads a string in which only the quote itself is special, by being doubled.
    fn verbatim(&mut self, quote: u8) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            bytes.extend(self.take_while(|b| b != quote));
            self.next()?;
            if self.rest.first() != Some(&quote) {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            bytes.extend(self.next());
        }
    }

    /// Skips a text block, whose first line says by its indentation which lines belong to it.
    fn text_block(&mut self) -> Option<()> {
        self.take_while(|b| b != b'\n');
        self.next()?;
        self.take_while(|b| matches!(b, b'\n' | b'\r'));
        let before = self.rest;
        let indentation = self.take_while(|b| matches!(b, b' ' | b'\t'));
        self.rest = before;
        if indentation.is_empty() {
            return None;
        }
        loop {
            let empty = self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n");
            if !empty && !self.rest.starts_with(indentation) {
                self.take_while(|b| matches!(b, b' ' | b'\t'));
                self.rest = self.rest.strip_prefix(b"|||")?;
                return Some(());
            }
            self.take_while(|b| b != b'\n');
            self.next()?;
        }
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !belongs(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rsjsonnet_lang::{
        arena::Arena,
        interner::StrInterner,
        lexer::Lexer,
        span::SpanManager,
        token::{STokenKind, TokenKind},
    };

    use super::*;

    fn paths(text: &str) -> Vec<(ImportKind, String)> {
        imports(text.as_bytes()).into_iter().map(|found| (found.kind, found.path)).collect()
    }

    /// Finds imports with the interpreter's lexer; nothing if the text does not lex.
    fn lexed(text: &[u8]) -> Option<Vec<Found>> {
        let (arena, ast_arena, interner) = (Arena::new(), Arena::new(), StrInterner::new());
        let mut spans = SpanManager::new();
        let (context, _) = spans.insert_source_context(text.len());
        let lexer = Lexer::new(&arena, &ast_arena, &interner, &mut spans, context, text);
        let tokens = lexer.lex_to_eof(false).ok()?;
        let found = tokens.windows(2).filter_map(|pair| {
            let kind = match pair[0].kind {
                TokenKind::Simple(STokenKind::Import) => ImportKind::Code,
                TokenKind::Simple(STokenKind::Importstr) => ImportKind::Text,
                TokenKind::Simple(STokenKind::Importbin) => ImportKind::Bytes,
                _ => return None,
            };
            match pair[1].kind {
                TokenKind::String(path) => Some(Found { kind, path: path.to_owned() }),
                _ => None,
            }
        });
        Some(found.collect())
    }

    #[test]
    fn imports_are_found_by_keyword() {
        let text = "local a = import 'a.libsonnet'; [importstr \"b\", importbin @'c', a.import_]";
        let found = paths(text);
        assert_eq!(found[0], (ImportKind::Code, "a.libsonnet".to_owned()));
        assert_eq!(found[1], (ImportKind::Text, "b".to_owned()));
        assert_eq!(found[2], (ImportKind::Bytes, "c".to_owned()));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(paths("// import 'a'\n/* import 'b' */ \"import 'c'\" # import 'd'"), []);
        let block = "|||\n\n  import 'a'\n import 'no'\n|||";
        assert_eq!(paths(block), []);
        let block = "[|||\n  import 'a'\n\n  |||, import /* here */ 'b']";
        let block = block.replace("\n  |||", "\n |||");
        assert_eq!(paths(&block), [(ImportKind::Code, "b".to_owned())]);
    }

    #[test]
    fn long_runs_of_operators_take_no_time() {
        let text = "!".repeat(1 << 20) + " import 'a'";
        assert_eq!(paths(&text).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_same_is_found_as_by_the_interpreter(
            words in proptest::collection::vec(prop_oneof![
                Just("import ".to_owned()),
                Just("importstr".to_owned()),
                Just("'a'".to_owned()),
                Just("\"b\\u00e9\\n\"".to_owned()),
                Just("@'c''d'".to_owned()),
                Just("|||\n".to_owned()),
                Just("|||".to_owned()),
                Just(" \n".to_owned()),
                Just("  ".to_owned()),
                Just("\r\n".to_owned()),
                Just("// x".to_owned()),
                Just("/*".to_owned()),
                Just("*/".to_owned()),
                "[ -~]{1,3}",
            ], 0..12)
        ) {
            let text = words.concat();
            if let Some(expected) = lexed(text.as_bytes()) {
                prop_assert_eq!(imports(text.as_bytes()), expected);
            }
        }

        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            imports(&text);
        }
    }
}
