//! Flags of the embedded API server, alone or in `dev`.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use apiserver::{Cidr, Controllers, Networks, Settings};
use clap::Args;
use k8s::ServiceEntry;

use super::duration;

/// What `dev` and `apiserver` have in common.
#[derive(Args, Debug)]
pub(crate) struct EmbeddedArgs {
    /// Where a Service is reached, such as default/web=http://127.0.0.1:8080; repeatable
    #[arg(long, value_name = "NS/NAME[:PORT]=URL")]
    service_map: Vec<ServiceEntry>,
    /// How many simulated nodes there are
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(0..=1000))]
    nodes: u16,
    /// Which controllers run: `*` for all, NAME for one, -NAME to leave one out
    #[arg(long, value_name = "LIST", default_value = "*", allow_hyphen_values = true)]
    controllers: Controllers,
    /// For how long, and how many, past events can be watched from
    #[arg(long, value_name = "DURATION,EVENTS", default_value = "5m,100000", value_parser = history)]
    history: (Duration, usize),
    /// The addresses of Services
    #[arg(long, value_name = "CIDR", default_value_t = Networks::default().services)]
    service_cidr: Cidr,
    /// The addresses of pods
    #[arg(long, value_name = "CIDR", default_value_t = Networks::default().pods)]
    pod_cidr: Cidr,
    /// The ports of nodes that Services get
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767",
        value_parser = apiserver::parse_ports)]
    node_port_range: RangeInclusive<u16>,
    /// The largest request body, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 3_145_728)]
    max_body: usize,
    /// The largest object, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1_572_864)]
    max_object: usize,
    /// Allow endpoints on this machine [default: true in dev, false in apiserver]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    allow_loopback_endpoints: Option<bool>,
    /// For how long Events are kept
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    event_ttl: Duration,
    /// Where each request is noted as a line of JSON; `-` is standard error
    #[arg(long, value_name = "FILE|-")]
    pub(crate) audit_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) later: LaterArgs,
}

/// Flags that have a meaning, but not yet.
#[derive(Args, Debug)]
pub(crate) struct LaterArgs {
    #[arg(long, hide = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[arg(long, hide = true, value_name = "MODE")]
    durability: Option<String>,
    #[arg(long, hide = true, value_name = "MODE", default_value = "always-allow",
        value_parser = ["always-allow", "rbac"])]
    auth: String,
    #[arg(long, hide = true, value_name = "RUNTIME", default_value = "sim",
        value_parser = ["sim", "podman", "none", "auto"])]
    runtime: String,
    #[arg(long, hide = true)]
    merge_kubeconfig: bool,
}

impl LaterArgs {
    /// Returns the first flag that asks for what is not there yet.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--data-dir", self.data_dir.is_some()),
            ("--durability", self.durability.is_some()),
            ("--auth rbac", self.auth == "rbac"),
            ("--runtime podman", self.runtime == "podman"),
            ("--merge-kubeconfig", self.merge_kubeconfig),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

impl EmbeddedArgs {
    /// Returns how the server is set up.
    pub(crate) fn settings(&self, loopback_endpoints: bool) -> Settings {
        let (history_age, history_events) = self.history;
        let mut controllers = self.controllers.clone();
        // Without a runtime pods are bound to nodes and stay pending.
        if self.later.runtime == "none" {
            controllers.leave_out_pods();
        }
        Settings {
            networks: Networks {
                services: self.service_cidr,
                pods: self.pod_cidr,
                node_ports: self.node_port_range.clone(),
            },
            loopback_endpoints: self.allow_loopback_endpoints.unwrap_or(loopback_endpoints),
            services: self.service_map.clone(),
            max_body: self.max_body,
            max_object: self.max_object,
            history_age,
            history_events,
            event_ttl: self.event_ttl,
            nodes: self.nodes,
            controllers,
        }
    }
}

fn history(text: &str) -> Result<(Duration, usize), String> {
    let (age, events) = text.split_once(',').ok_or("it has no comma")?;
    let events = events.parse().map_err(|_| format!("`{events}` is no number of events"))?;
    Ok((duration(age)?, events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_a_duration_and_a_count() {
        assert_eq!(history("5m,10"), Ok((Duration::from_mins(5), 10)));
        for text in ["", "5m", "5m,x", "x,1"] {
            assert!(history(text).is_err(), "{text}");
        }
    }
}
