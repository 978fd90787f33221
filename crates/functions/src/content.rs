//! Pure: what the `function` field of a Function holds, and what its checksum says.

use std::fmt::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// What the `function` field holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// How the bytes are written there.
    pub source: Source,
    /// What the bytes are packed in; nothing means one file.
    pub archive: Option<Archive>,
    /// Whether the file of dependencies is in the archive.
    pub deps: bool,
}

/// How the bytes of a program are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// As they are.
    #[default]
    Text,
    /// In base64.
    Base64,
    /// Elsewhere: the field says where.
    Url,
}

/// What a program is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    /// A zip file.
    Zip,
    /// A tar file, compressed in any of the usual ways or not at all.
    CompressedTar,
}

/// Why a content type is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ContentTypeError {
    /// A token has no meaning.
    #[error(
        "`{token}` in content type `{text}` is unknown: it is one of `text`, `base64`, `url`, \
         perhaps with `+zip` or `+compressedtar`, perhaps with `+deps`"
    )]
    Unknown {
        /// The token.
        token: String,
        /// The whole text.
        text: String,
    },
    /// Two tokens contradict each other.
    #[error("content type `{0}` says twice where the source is, or what it is packed in")]
    Twice(String),
}

/// The SHA-256 digest of a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// Why a checksum is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("checksum `{0}` is not of the form `sha256:` and 64 hexadecimal digits")]
pub(crate) struct DigestError(String);

/// Why base64 text has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`spec.function` is not base64")]
pub(crate) struct Base64Error(#[from] base64::DecodeError);

impl ContentType {
    /// Reads tokens joined by `+`, in any order; a text without tokens means `text`.
    pub(crate) fn parse(text: &str) -> Result<Self, ContentTypeError> {
        let (mut source, mut archive, mut deps) = (None, None, false);
        let tokens = text.split('+').map(str::trim);
        for token in tokens.filter(|_| !text.trim().is_empty()) {
            let is_new = match token {
                "text" => source.replace(Source::Text).is_none(),
                "base64" => source.replace(Source::Base64).is_none(),
                "url" => source.replace(Source::Url).is_none(),
                "zip" => archive.replace(Archive::Zip).is_none(),
                "compressedtar" => archive.replace(Archive::CompressedTar).is_none(),
                "deps" => !std::mem::replace(&mut deps, true),
                token => {
                    let (token, text) = (token.to_owned(), text.to_owned());
                    return Err(ContentTypeError::Unknown { token, text });
                }
            };
            if !is_new {
                return Err(ContentTypeError::Twice(text.to_owned()));
            }
        }
        Ok(Self { source: source.unwrap_or_default(), archive, deps })
    }
}

impl Digest {
    /// Reads `sha256:` and 64 hexadecimal digits of either case.
    pub(crate) fn parse(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError(text.to_owned());
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64);
        let digits = digits.filter(|digits| digits.is_ascii()).ok_or_else(error)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            // A sign would be taken for part of the number.
            let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex).ok_or_else(error)?;
        }
        Ok(Self(bytes))
    }

    /// Returns the digest of bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the bytes of base64 text, which may be broken into lines.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Error> {
    let text: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    Ok(STANDARD.decode(text)?)
}

/// Returns the hexadecimal SHA-256 over texts; where one ends and the next begins counts.
pub(crate) fn hash(texts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.len().to_le_bytes());
        hasher.update(text);
    }
    hasher.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_stand_in_any_order() {
        let zip = Some(Archive::Zip);
        for (text, source, archive, deps) in [
            ("", Source::Text, None, false),
            ("text", Source::Text, None, false),
            ("zip+base64", Source::Base64, zip, false),
            ("deps + url + compressedtar", Source::Url, Some(Archive::CompressedTar), true),
            ("zip", Source::Text, zip, false),
        ] {
            assert_eq!(
                ContentType::parse(text),
                Ok(ContentType { source, archive, deps }),
                "{text}"
            );
        }
    }

    #[test]
    fn tokens_that_mean_nothing_or_contradict_are_refused() {
        for text in ["zip+rar", "Text", "text+", "+", "base64,zip"] {
            let error = ContentType::parse(text);
            assert!(matches!(error, Err(ContentTypeError::Unknown { .. })), "{text}");
        }
        for text in ["text+url", "zip+compressedtar", "text+text", "deps+deps"] {
            assert_eq!(ContentType::parse(text), Err(ContentTypeError::Twice(text.to_owned())));
        }
    }

    #[test]
    fn a_digest_is_read_in_either_case() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        let upper = format!("sha256:{}", digest.to_string()[7..].to_uppercase());
        assert_eq!(Digest::parse(&upper), Ok(digest));
        for text in ["", "md5:00", "sha256:00", &format!("sha256:{}", "+1".repeat(32))] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        assert_eq!(decode_base64("aGVs\n bG8=").unwrap(), b"hello");
        assert!(decode_base64("a!").is_err());
    }
    proptest! {
        /// Breaks when a token counts that contradicts another, or when their order does.
        #[test]
        fn a_content_type_is_what_its_tokens_say(
            tokens in proptest::collection::vec(prop::sample::select(&TOKENS[..]), 1..5),
            blanks in " {0,2}",
        ) {
            let count = |of: &[&str]| tokens.iter().filter(|token| of.contains(*token)).count();
            let all = [&TOKENS[..3], &TOKENS[3..5], &TOKENS[5..6]].map(count);
            let is_one = count(&TOKENS[6..]) == 0 && all.iter().all(|count| *count <= 1);
            let parsed = ContentType::parse(&tokens.join(&format!("{blanks}+{blanks}")));
            prop_assert_eq!(parsed.is_ok(), is_one, "{:?}", tokens);
            let turned: Vec<_> = tokens.iter().rev().copied().collect();
            let turned = ContentType::parse(&turned.join("+"));
            if let Ok(parsed) = parsed {
                prop_assert_eq!(Ok(parsed), turned);
                prop_assert_eq!(parsed.archive.is_some(), all[1] == 1);
            }
        }

        #[test]
        fn any_bytes_are_read_from_base64(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            let mut text = STANDARD.encode(&bytes);
            text.insert_str(at.index(text.len() + 1), " \r\n\t");
            prop_assert_eq!(decode_base64(&text), Ok(bytes));
        }

        #[test]
        fn a_checksum_is_read_or_refused(text in "(sha256:)?[0-9a-fA-F+]{63,65}") {
            let digits = text.strip_prefix("sha256:").unwrap_or_default();
            let is_one = digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_hexdigit());
            let parsed = Digest::parse(&text);
            prop_assert_eq!(parsed.is_ok(), is_one);
            let again = parsed.map(|digest| digest.to_string());
            prop_assert!(again.is_err() || again == Ok(text.to_lowercase()));
        }
    }

    /// Three sources, two archives, one more, and what means nothing.
    const TOKENS: [&str; 8] =
        ["text", "base64", "url", "zip", "compressedtar", "deps", "rar", "Zip"];
}
