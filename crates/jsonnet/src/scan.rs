//! Pure: finds the imports that a Jsonnet text names, without parsing it.

use rsjsonnet_lang::{
    arena::Arena,
    interner::StrInterner,
    lexer::Lexer,
    span::SpanManager,
    token::{STokenKind, TokenKind},
};

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
/// Text that does not lex has none: the interpreter says what is wrong with it.
pub(crate) fn imports(text: &[u8]) -> Vec<Found> {
    let (arena, ast_arena) = (Arena::new(), Arena::new());
    let interner = StrInterner::new();
    let mut spans = SpanManager::new();
    let (context, _) = spans.insert_source_context(text.len());
    let lexer = Lexer::new(&arena, &ast_arena, &interner, &mut spans, context, text);
    let Ok(tokens) = lexer.lex_to_eof(false) else {
        return Vec::new();
    };
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    pairs
        .filter_map(|(keyword, path)| {
            let kind = match keyword.kind {
                TokenKind::Simple(STokenKind::Import) => ImportKind::Code,
                TokenKind::Simple(STokenKind::Importstr) => ImportKind::Text,
                TokenKind::Simple(STokenKind::Importbin) => ImportKind::Bytes,
                _ => return None,
            };
            match path.kind {
                TokenKind::String(path) => Some(Found { kind, path: path.to_owned() }),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(text: &str) -> Vec<(ImportKind, String)> {
        imports(text.as_bytes()).into_iter().map(|found| (found.kind, found.path)).collect()
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
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            imports(&text);
        }

        #[test]
        fn any_text_is_survived(text in "[\\[\\]{}(),;:'\"@|$+a-z0-9.eE\\\\_ \n#/*-]{0,80}") {
            imports(text.as_bytes());
        }
    }
}
