//! Pure: what pods ask of a node, and what a node has to give.

use std::ops::{Add, AddAssign, SubAssign};

use serde::Deserialize;

use crate::quantity;

/// Amounts of what a scheduler counts, in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub(crate) struct Amounts {
    pub(crate) cpu: i128,
    pub(crate) memory: i128,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    cpu: String,
    memory: String,
}

impl From<Wire> for Amounts {
    /// What is no quantity counts as nothing.
    fn from(wire: Wire) -> Self {
        let read = |text: &str| quantity::nanos(text).unwrap_or(0);
        Self { cpu: read(&wire.cpu), memory: read(&wire.memory) }
    }
}

impl Amounts {
    /// Returns the larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }
}

impl Add for Amounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amounts {
    fn sub_assign(&mut self, other: Self) {
        self.cpu = self.cpu.saturating_sub(other.cpu);
        self.memory = self.memory.saturating_sub(other.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_added() {
        let read = |text| serde_json::from_str::<Amounts>(text).unwrap();
        let sum = read(r#"{"cpu": "500m"}"#) + read(r#"{"cpu": "2", "memory": "1Ki"}"#);
        assert_eq!(sum, read(r#"{"cpu": "2.5", "memory": "1024", "gpu": "1"}"#));
        assert_eq!(read(r#"{"cpu": "many"}"#), Amounts::default());
        assert_eq!(sum.max(read(r#"{"cpu": "3"}"#)), read(r#"{"cpu": "3", "memory": "1Ki"}"#));
    }
}
