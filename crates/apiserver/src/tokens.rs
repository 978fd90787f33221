//! The tokens of ServiceAccounts: signed by a key that lives as long as the server, and nowhere else.

mod claims;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub(crate) use crate::tokens::claims::{AUDIENCE, Bound, Claims, ISSUER, Named};

/// Why a token could not be made. The errors of `ring` say nothing of why, on purpose.
#[derive(Debug, Error)]
pub enum TokenError {
    /// There was no key, or no signature, for want of random bytes.
    #[error("no key or signature could be made")]
    Random,
    /// A key was made that the same library does not take.
    #[error("a key was refused")]
    Key,
}

/// The key that signs tokens.
///
/// It has no text form on purpose: it must not turn up in a log.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// The name of the key.
    id: String,
}

/// What stands before the point in the DER form of a public key on P-256.
const KEY_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl Signer {
    /// Makes a new key.
    pub(crate) fn new() -> Result<Self, TokenError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(random_error)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        let key = key.map_err(|_| TokenError::Key)?;
        // The reference names its keys in the same way.
        let digest = Sha256::new().chain_update(KEY_PREFIX).chain_update(key.public_key());
        Ok(Self { id: BASE64.encode(digest.finalize()), key, random })
    }

    /// Returns the claims as a signed token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let encode = |value: Value| BASE64.encode(value.to_string());
        let header = json!({"alg": "ES256", "kid": self.id});
        let signed = format!("{}.{}", encode(header), encode(claims.to_value()));
        let signature = self.key.sign(&self.random, signed.as_bytes()).map_err(random_error)?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// Returns what a token claims, nothing if it was not signed by this key.
    pub(crate) fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = BASE64.decode(signature).ok()?;
        let point = self.key.public_key().as_ref();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(signed.as_bytes(), &signature).ok()?;
        // Whatever this key signed is a token, so the header need not be read.
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }

    /// Returns the public key as a JSON Web Key Set.
    pub(crate) fn key_set(&self) -> Value {
        // The first byte says that both coordinates follow.
        let point = self.key.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256",
            "alg": "ES256", "x": x, "y": y}]})
    }
}

fn random_error(_: Unspecified) -> TokenError {
    TokenError::Random
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    fn claims() -> Claims {
        let value = json!({"aud": ["a"], "exp": 20, "iat": 10, "nbf": 10, "iss": ISSUER, "jti": "j",
            "sub": "system:serviceaccount:n:s",
            "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s", "uid": "u"}}});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_token_is_read_back_by_its_key_alone() {
        let signer = Signer::new().unwrap();
        let token = signer.sign(&claims()).unwrap();
        assert_eq!(signer.verify(&token), Some(claims()));
        assert_eq!(Signer::new().unwrap().verify(&token), None);
    }

    #[test]
    fn the_key_set_holds_what_verifies_a_token() {
        let signer = Signer::new().unwrap();
        let set = signer.key_set();
        let part = |name: &str| BASE64.decode(set["keys"][0][name].as_str().unwrap()).unwrap();
        let point = [vec![4], part("x"), part("y")].concat();
        let token = signer.sign(&claims()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(key.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_no_token_is_refused(text in ".{0,40}", at in 0_usize..400) {
            static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new().unwrap());
            let signer = &*SIGNER;
            prop_assert_eq!(signer.verify(&text), None);
            let mut token = signer.sign(&claims()).unwrap();
            let at = at % token.len();
            let other = if token.get(at..=at) == Some("A") { "B" } else { "A" };
            token.replace_range(at..=at, other);
            // The last letter of a signature has bits that say nothing; they must be zero.
            prop_assert_eq!(signer.verify(&token), None);
        }
    }
}
