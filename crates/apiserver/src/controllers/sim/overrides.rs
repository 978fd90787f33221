//! Pure: the annotations that change what the simulated node does.

use k8s::SignedDuration;
use serde_json::Value;

/// What the annotations of one pod ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    pub(super) ready_after: Option<SignedDuration>,
    pub(super) complete_after: Option<SignedDuration>,
    pub(super) exit_code: Option<i64>,
    pub(super) restart_count: Option<i64>,
    pub(super) fail: Option<Failure>,
}

/// How a pod fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    ImagePull,
    CrashLoop,
    OutOfMemory,
    Unready,
    Evicted,
    /// Its containers are never created, and deleting it takes all of its grace.
    Stuck,
}

const PREFIX: &str = "sim.windlass.dev/";

impl Overrides {
    /// Reads the annotations of a pod, and says which are no good.
    pub(super) fn read(pod: &Value) -> (Self, Vec<String>) {
        let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
        let mut overrides = Self::default();
        let mut mistakes = Vec::new();
        for (key, value) in annotations.into_iter().flatten() {
            let (Some(name), Some(text)) = (key.strip_prefix(PREFIX), value.as_str()) else {
                continue;
            };
            if let Err(expected) = overrides.set(name, text) {
                mistakes.push(format!("annotation `{key}` is `{text}`, expected {expected}"));
            }
        }
        (overrides, mistakes)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
        match name {
            "ready-after" => self.ready_after = Some(duration(text)?),
            "complete-after" => self.complete_after = Some(duration(text)?),
            "exit-code" => self.exit_code = Some(whole(text, 255)?),
            "restart-count" => self.restart_count = Some(whole(text, i64::from(i32::MAX))?),
            "fail" => self.fail = Some(Failure::parse(text)?),
            // Served by the `log` subresource as it is.
            "logs" => {}
            _ => {
                return Err(
                    "no such annotation: use `ready-after`, `complete-after`, `exit-code`, \
                            `fail`, `restart-count` or `logs`",
                );
            }
        }
        Ok(())
    }
}

impl Failure {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(match text {
            "ImagePullBackOff" => Self::ImagePull,
            "CrashLoopBackOff" => Self::CrashLoop,
            "OOMKilled" => Self::OutOfMemory,
            "Unready" => Self::Unready,
            "Evicted" => Self::Evicted,
            "Stuck" => Self::Stuck,
            _ => {
                return Err("`ImagePullBackOff`, `CrashLoopBackOff`, `OOMKilled`, `Unready`, \
                            `Evicted` or `Stuck`");
            }
        })
    }
}

fn whole(text: &str, most: i64) -> Result<i64, &'static str> {
    let number = text.parse().ok().filter(|number| (0..=most).contains(number));
    number.ok_or("a whole number in range")
}

/// Parses a duration such as `1m30s` or `250ms`.
fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    let mistake = "a duration such as `1m30s` or `250ms`";
    let mut rest = text;
    let mut total = SignedDuration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.').ok_or(mistake)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(mistake),
        };
        let number: f64 = number.parse().map_err(|_| mistake)?;
        let part = SignedDuration::try_from_secs_f64(number * seconds).map_err(|_| mistake)?;
        total = total.checked_add(part).ok_or(mistake)?;
        rest = tail;
    }
    if text.is_empty() { Err(mistake) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1m30s"), Ok(SignedDuration::from_secs(90)));
        assert_eq!(duration("1.5s"), Ok(SignedDuration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(SignedDuration::from_millis(250)));
        for wrong in ["", "5", "5 s", "-5s", "s", "1.2.3s", "9e999s", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_good_is_named_and_ignored() {
        let (overrides, mistakes) = Overrides::read(&json!({"metadata": {"annotations": {
            "sim.windlass.dev/exit-code": "256", "sim.windlass.dev/fail": "Unready",
            "sim.windlass.dev/logs": "hello", "other": "x"}}}));
        assert_eq!(overrides, Overrides { fail: Some(Failure::Unready), ..Overrides::default() });
        assert_eq!(
            mistakes,
            ["annotation `sim.windlass.dev/exit-code` is `256`, expected a whole number in range"]
        );
    }
}
