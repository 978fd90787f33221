//! Pure: hashes and name suffixes in the alphabet of generated names.

use std::hash::{Hash, Hasher};

use serde_json::Value;

/// No vowels and nothing that looks alike, so that no words come about.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The length of a generated suffix.
const SUFFIX: usize = 5;

/// The length of a template's hash.
const TEMPLATE_HASH: usize = 10;

/// Returns a suffix that is always the same for the same seed.
pub(crate) fn suffix(seed: &impl Hash) -> String {
    encode(hash(seed), SUFFIX)
}

/// Returns the hash of a pod template, told apart by `collisions` from equal hashes of other templates.
pub(crate) fn template_hash(template: &Value, collisions: i64) -> String {
    encode(hash(&(template.to_string(), collisions)), TEMPLATE_HASH)
}

/// Returns a number that is the same on every machine and in every version, unlike std's hasher.
pub(crate) fn hash(seed: &impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    seed.hash(&mut hasher);
    // FNV's low bits vary little for short input: fold the high ones in.
    hasher.0 ^ (hasher.0 >> 29)
}

fn encode(mut number: u64, length: usize) -> String {
    let base = ALPHABET.len() as u64;
    let mut digits = String::with_capacity(length);
    for _ in 0..length {
        let digit = usize::try_from(number % base).expect("a digit is small");
        digits.push(char::from(ALPHABET[digit]));
        number /= base;
    }
    digits
}

/// The 64-bit FNV-1a hash.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn suffixes_of_neighbours_differ() {
        let suffixes: BTreeSet<_> = (0..1000).map(|seed| suffix(&("uid", 7_u64, seed))).collect();
        assert_eq!(suffixes.len(), 1000);
        assert!(suffixes.iter().all(|suffix| suffix.len() == SUFFIX));
    }

    #[test]
    fn a_template_hash_depends_on_the_template_and_the_collisions() {
        let (one, two) = (json!({"a": 1}), json!({"a": 2}));
        assert_eq!(template_hash(&one, 0), template_hash(&json!({"a": 1}), 0));
        assert_ne!(template_hash(&one, 0), template_hash(&two, 0));
        assert_ne!(template_hash(&one, 0), template_hash(&one, 1));
    }
}
