//! Random bytes for UIDs and names, or ones that a seed decides, so that a test finds the same each time.

use std::sync::Mutex;

use uuid::{Builder, Uuid};

/// Where random bytes come from.
#[derive(Debug)]
pub(crate) enum Entropy {
    System,
    Seeded(Mutex<u64>),
}

/// By how much the state of the generator grows each time (SplitMix64).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Entropy {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        seed.map_or(Self::System, |seed| Self::Seeded(Mutex::new(seed)))
    }

    pub(crate) fn bytes(&self) -> [u8; 16] {
        match self {
            Self::System => Uuid::new_v4().into_bytes(),
            Self::Seeded(state) => {
                let mut state = state.lock().expect("the lock of the generator is never poisoned");
                let mut half = || {
                    *state = state.wrapping_add(STEP);
                    u128::from(mix(*state))
                };
                ((half() << 64) | half()).to_be_bytes()
            }
        }
    }

    pub(crate) fn uid(&self) -> String {
        Builder::from_random_bytes(self.bytes()).into_uuid().to_string()
    }
}

/// Turns numbers in a row into ones that look random.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let uids = |seed| {
            let entropy = Entropy::new(seed);
            [entropy.uid(), entropy.uid()]
        };
        assert_eq!(uids(Some(1)), uids(Some(1)));
        assert_ne!(uids(Some(1)), uids(Some(2)));
        assert_ne!(uids(None), uids(None));
        let [first, second] = uids(Some(1));
        assert_ne!(first, second);
        assert_eq!(first.as_bytes().get(14), Some(&b'4'), "it is of the random version");
    }
}
