//! Pure: what can be set when a server is made.

use std::time::Duration;

use k8s::ServiceEntry;

use crate::{controllers::chosen::Controllers, network::Networks};

/// How a server differs from others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where addresses and ports come from.
    pub networks: Networks,
    /// Whether endpoints may be on this machine: then Services lead to programs on a laptop.
    pub loopback_endpoints: bool,
    /// Where Services are reached, instead of by their endpoints.
    pub services: Vec<ServiceEntry>,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The longest text of an object, in bytes.
    pub max_object: usize,
    /// For how long history is kept.
    pub history_age: Duration,
    /// How many events are kept even if they are older; four times as many are kept at most.
    pub history_events: usize,
    /// For how long events are kept.
    pub event_ttl: Duration,
    /// How many simulated nodes there are.
    pub nodes: u16,
    /// Which controllers run, if any do.
    pub controllers: Controllers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            networks: Networks::default(),
            loopback_endpoints: false,
            services: vec![],
            max_body: 3_145_728,
            max_object: 1_572_864,
            history_age: Duration::from_mins(5),
            history_events: 100_000,
            event_ttl: Duration::from_hours(1),
            nodes: 1,
            controllers: Controllers::default(),
        }
    }
}
