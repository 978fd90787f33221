//! Pure: how far a rollout may exceed or fall short of the size it aims at.

use serde::Deserialize;
use serde_json::Value;

use super::Rollout;

/// How old pods are replaced by new ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub(super) enum Strategy {
    Recreate,
    RollingUpdate { max_surge: Share, max_unavailable: Share },
}

/// A number of pods, as such or as a part of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Pods(i64),
    Percent(i64),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    r#type: String,
    rolling_update: Value,
}

impl From<Wire> for Strategy {
    fn from(wire: Wire) -> Self {
        if wire.r#type == "Recreate" {
            return Self::Recreate;
        }
        let share = |name| Share::read(wire.rolling_update.get(name));
        Self::RollingUpdate {
            max_surge: share("maxSurge"),
            max_unavailable: share("maxUnavailable"),
        }
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self::from(Wire::default())
    }
}

impl Share {
    fn read(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Number(pods)) => Self::Pods(pods.as_i64().unwrap_or(0)),
            Some(Value::String(text)) => {
                let percent = text.strip_suffix('%').and_then(|percent| percent.parse().ok());
                Self::Percent(percent.unwrap_or(0))
            }
            _ => Self::Percent(25),
        }
    }

    fn rounded_up(self, of: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => percent.saturating_mul(of).saturating_add(99) / 100,
        }
    }

    fn rounded_down(self, of: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => percent.saturating_mul(of) / 100,
        }
    }
}

impl Strategy {
    /// Returns how many pods there may be too many and too few.
    ///
    /// A rolling update never allows neither, or it could not move.
    pub(super) fn bounds(&self, replicas: i64) -> (i64, i64) {
        match self {
            Self::Recreate => (0, 0),
            Self::RollingUpdate { max_surge, max_unavailable } => {
                match (max_surge.rounded_up(replicas), max_unavailable.rounded_down(replicas)) {
                    (0, 0) => (0, 1.min(replicas)),
                    (surge, unavailable) => (surge, unavailable.min(replicas)),
                }
            }
        }
    }
}

impl Rollout<'_> {
    /// Returns how many pods there may be too many.
    pub(super) fn max_surge(&self) -> i64 {
        let spec = &self.deployment.spec;
        spec.strategy.bounds(spec.replicas).0
    }

    /// Returns how many pods may be unavailable.
    pub(super) fn max_unavailable(&self) -> i64 {
        let spec = &self.deployment.spec;
        spec.strategy.bounds(spec.replicas).1
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        let bounds = |update: Value, replicas| {
            let strategy = json!({"type": "RollingUpdate", "rollingUpdate": update});
            serde_json::from_value::<Strategy>(strategy).unwrap().bounds(replicas)
        };
        assert_eq!(bounds(json!({}), 10), (3, 2));
        assert_eq!(bounds(json!({}), 3), (1, 0));
        assert_eq!(bounds(json!({"maxSurge": 0, "maxUnavailable": "10%"}), 3), (0, 1));
        assert_eq!(bounds(json!({"maxSurge": "100%", "maxUnavailable": 7}), 3), (3, 3));
    }
}
