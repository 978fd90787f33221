//! Pure: how often something may happen: a burst at once, then so many a second.

use std::time::Duration;

use k8s::Timestamp;

/// A bucket of tokens that fills with time. One that is overdrawn says how long its debt lasts.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    burst: f64,
    per_second: f64,
    left: f64,
    since: Timestamp,
}

impl Bucket {
    /// Returns a full bucket.
    pub(crate) fn new(burst: u32, per_second: f64, now: Timestamp) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_second, left: burst, since: now }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        let is_left = 1.0 <= self.left;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }

    /// Takes a token, even one that is still to come, and returns how long to wait for it.
    pub(crate) fn reserve(&mut self, now: Timestamp) -> Duration {
        self.refill(now);
        self.left -= 1.0;
        let debt = (-self.left).max(0.0) / self.per_second;
        Duration::try_from_secs_f64(debt).unwrap_or(Duration::MAX)
    }

    fn refill(&mut self, now: Timestamp) {
        let gained = now.duration_since(self.since).as_secs_f64() * self.per_second;
        (self.left, self.since) = ((self.left + gained).min(self.burst), now);
    }
}

#[cfg(test)]
mod tests {
    use k8s::SignedDuration;

    use super::*;

    #[test]
    fn a_burst_is_let_through_then_one_in_a_while() {
        let start = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::new(25, 1.0 / 300.0, start);
        assert_eq!((0..40).filter(|_| bucket.take(start)).count(), 25);
        let later = start + SignedDuration::from_mins(5);
        assert_eq!((0..40).filter(|_| bucket.take(later)).count(), 1);
    }

    #[test]
    fn who_reserves_waits_for_those_before() {
        let start = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::new(2, 5.0, start);
        let waits: Vec<_> = (0..4).map(|_| bucket.reserve(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 200, 400]);
        let later = start + SignedDuration::from_secs(1);
        assert_eq!(bucket.reserve(later).as_millis(), 0);
    }
}
