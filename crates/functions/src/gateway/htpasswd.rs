//! Pure: who may call, as the program htpasswd writes it down.

use std::{collections::HashMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use sha1::Sha1;

/// The alphabet of passwords that are hashed by MD5, which is not that of base64.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How Apache marks its variant of MD5.
const APR1: &str = "$apr1$";
/// How often MD5 is taken.
const ROUNDS: usize = 1000;
/// The places of a digest's bytes in its text, three for each four letters.
const PLACES: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// Names with the hashes of their passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Users(HashMap<String, Password>);

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
enum Password {
    Bcrypt(String),
    /// With its salt.
    Apr1(String, String),
    Sha1(String),
}

impl Users {
    /// Reads a file; lines that say nothing, or hash in another way, let nobody in.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let user = |line: &str| {
            let (name, hash) = line.split_once(':')?;
            Some((name.to_owned(), Password::parse(hash)?))
        };
        Self(lines.filter_map(user).collect())
    }

    /// Returns whether an `Authorization` header is that of a user. This takes long, as it should.
    pub(crate) fn let_in(&self, authorization: &str) -> bool {
        let Some((scheme, credentials)) = authorization.split_once(' ') else { return false };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let credentials = STANDARD.decode(credentials.trim()).ok();
        let credentials = credentials.and_then(|bytes| String::from_utf8(bytes).ok());
        credentials.as_deref().and_then(|text| text.split_once(':')).is_some_and(
            |(name, password)| self.0.get(name).is_some_and(|hash| hash.is_of(password)),
        )
    }
}

impl fmt::Debug for Users {
    /// Writes how many there are, not who.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

impl Password {
    fn parse(hash: &str) -> Option<Self> {
        if let Some(rest) = hash.strip_prefix(APR1) {
            let (salt, digest) = rest.split_once('$')?;
            return Some(Self::Apr1(salt.chars().take(8).collect(), digest.to_owned()));
        }
        if let Some(digest) = hash.strip_prefix("{SHA}") {
            return Some(Self::Sha1(digest.to_owned()));
        }
        hash.starts_with("$2").then(|| Self::Bcrypt(hash.to_owned()))
    }

    fn is_of(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Apr1(salt, digest) => apr1(password.as_bytes(), salt.as_bytes()) == *digest,
            Self::Sha1(digest) => STANDARD.encode(Sha1::digest(password.as_bytes())) == *digest,
        }
    }
}

/// Returns the text of a password's hash as Apache makes it: MD5 a thousand times over, in ever new mixtures.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let inner =
        Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first =
        Md5::new().chain_update(password).chain_update(APR1.as_bytes()).chain_update(salt);
    for piece in password.chunks(inner.len()) {
        first.update(inner.get(..piece.len()).unwrap_or_default());
    }
    let mut length = password.len();
    while 0 < length {
        first.update(if length & 1 == 1 {
            &[0][..]
        } else {
            password.get(..1).unwrap_or_default()
        });
        length >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..ROUNDS {
        let (is_odd, mut next) = (round % 2 == 1, Md5::new());
        next.update(if is_odd { password } else { digest.as_slice() });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if is_odd { digest.as_slice() } else { password });
        digest = next.finalize();
    }
    text(&digest)
}

fn text(digest: &[u8]) -> String {
    let byte = |place: usize| digest.get(place).copied().map_or(0, u32::from);
    let groups = PLACES
        .iter()
        .map(|[high, middle, low]| (byte(*high) << 16 | byte(*middle) << 8 | byte(*low), 4));
    let letter = |bits: u32| ALPHABET.get((bits & 0x3f) as usize).copied().map_or('.', char::from);
    let groups = groups.chain([(byte(11), 2)]);
    groups
        .flat_map(|(bits, letters)| (0..letters).map(move |at| letter(bits >> (6 * at))))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `htpasswd` and `openssl passwd -apr1` wrote them.
    const FILE: &str = "# who\n\
        ann:$apr1$w9rKdOAl$dgkK3NuarFFWvSv0wQUfE0\n\
        bob:$2y$05$abcdefghijklmnopqrstuuHmWBvP7qEGtE3QR9nVB9.XCJgT5GrRi\n\
        eve:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\r\n\
        old:rl0uE3c8XkHyI\n\
        nobody\n";

    fn header(name: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }

    #[test]
    fn each_way_to_hash_lets_the_right_password_in() {
        let users = Users::parse(FILE);
        assert_eq!(users.0.len(), 3);
        for (name, password, expected) in [
            ("ann", "secret", true),
            ("ann", "Secret", false),
            ("ann", "", false),
            ("bob", "a:b", true),
            ("bob", "a", false),
            ("eve", "password", true),
            ("eve", "passwort", false),
            ("old", "old", false),
            ("nobody", "", false),
        ] {
            assert_eq!(users.let_in(&header(name, password)), expected, "{name} {password}");
        }
    }

    #[test]
    fn other_headers_let_nobody_in() {
        let users = Users::parse(FILE);
        let credentials = STANDARD.encode("eve:password");
        assert!(users.let_in(&format!("basic  {credentials}")));
        for header in ["", "Basic", "Basic !", &format!("Bearer {credentials}"), &credentials] {
            assert!(!users.let_in(header), "{header}");
        }
    }

    #[test]
    fn long_passwords_are_hashed_whole() {
        let long = "0123456789abcdefghijklmnopqrstuvwxyz";
        assert_eq!(apr1(long.as_bytes(), b"saltsalt"), "oh3sufotW1rfYFo2hYIAx0");
    }

    proptest! {
        // A hash takes its time, as it should.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_file_and_header_are_read(file in "([a-z]:(\\$apr1\\$|\\{SHA\\}|\\$2y\\$)?.{0,20}\n?){0,4}", header in "(Basic )?.{0,20}") {
            let _ = Users::parse(&file).let_in(&header);
        }

        #[test]
        fn what_is_hashed_is_let_in(password in ".{0,40}", salt in "[./0-9A-Za-z]{0,8}") {
            let hash = apr1(password.as_bytes(), salt.as_bytes());
            prop_assert_eq!(hash.len(), 22);
            let users = Users::parse(&format!("u:{APR1}{salt}${hash}"));
            prop_assert!(users.let_in(&header("u", &password)));
            let other = format!("{password}x");
            prop_assert!(!users.let_in(&header("u", &other)));
        }
    }
}
