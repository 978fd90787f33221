//! One of several processes leads, by holding a Lease.

use k8s::{Object, ObjectKey, Resource, TimerKind, Timestamp};
use serde_json::json;
use tracing::{error, info, warn};

use crate::{
    ApiError, Client, Metric, MetricKind, Part,
    lease::{Candidate, DURATION, RENEW_DEADLINE, RETRY, Record},
};

/// Whether this process leads, as client-go tells it.
const STATUS: Metric = Metric::new(
    "leader_election_master_status",
    "Whether this process holds the lease: 1, or else 0",
    MetricKind::Gauge,
);

/// The wish to lead. It does nothing but when it is waited for.
#[derive(Debug)]
pub struct Election {
    client: Client,
    key: ObjectKey,
    candidate: Candidate,
    /// The Lease as it was last read or written: who leads need not read it before each renewal.
    live: Option<Object>,
}

/// The lead, as long as it is held.
#[derive(Debug)]
pub struct Leadership {
    election: Election,
    renewed: Timestamp,
}

impl Election {
    /// Returns a candidate for the Lease of a name, whose identity must be nobody else's.
    pub fn new(client: &Client, namespace: &str, name: &str, identity: String) -> Self {
        let key = ObjectKey::new(namespace, name);
        let candidate = Candidate::new(identity);
        let election = Self { client: client.clone(), key, candidate, live: None };
        election.tell(false);
        election
    }

    /// Waits until this process leads.
    pub async fn acquire(mut self) -> Leadership {
        info!(lock = %self.key, "Attempting to acquire leader lease...");
        loop {
            let tried = self.client.clock().now();
            let acquired = self.once().await.unwrap_or_else(|error| {
                // Somebody else was faster, which is no failure.
                if !error.is_conflict() && !error.is_already_exists() {
                    error!(lock = %self.key, %error, "failed to acquire the lease");
                }
                false
            });
            if acquired {
                info!(lock = %self.key, "Successfully acquired lease");
                self.tell(true);
                return Leadership { election: self, renewed: tried };
            }
            // Who waits has time to read it anew.
            self.live = None;
            self.client.pause(RETRY, TimerKind::Periodic, "lease").await;
        }
    }

    /// Tries to get or keep the Lease, and tells whether it is ours now.
    async fn once(&mut self) -> Result<bool, ApiError> {
        if self.live.is_none() {
            self.live = match self.client.get(&leases(), &self.key).await {
                Err(error) if error.is_not_found() => None,
                live => Some(live?),
            };
        }
        let record = self.live.as_ref().map(|live| Record::read(&live.to_value()["spec"]));
        let now = self.client.clock().now();
        let Some(bid) = self.candidate.bid(record.as_ref(), now) else { return Ok(false) };
        self.write(&bid).await.map(|()| true)
    }

    async fn write(&mut self, record: &Record) -> Result<(), ApiError> {
        // Whatever becomes of the write, what is known of the Lease is old.
        let written = if let Some(live) = self.live.take() {
            let mut value = live.to_value();
            value["spec"] = record.spec();
            self.client.update(&leases(), &self.key, Part::Main, value.to_string()).await?
        } else {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": self.key.name, "namespace": self.key.namespace},
                "spec": record.spec()});
            self.client.create(&leases(), &self.key.namespace, lease.to_string()).await?
        };
        self.live = Some(written);
        Ok(())
    }

    fn tell(&self, leads: bool) {
        let labels = vec![("name", self.key.name.clone())];
        self.client.metrics().set(&STATUS, labels, u8::from(leads).into());
    }
}

impl Leadership {
    /// Keeps the lead, and ends when it is lost: it may not have been renewed for so long that others will
    /// take over, or somebody else has it already.
    pub async fn hold(&mut self) {
        loop {
            let client = self.election.client.clone();
            client.pause(RETRY, TimerKind::Periodic, "lease").await;
            let tried = client.clock().now();
            let deadline = client.clock().sleep_until(self.renewed + RENEW_DEADLINE);
            let renewed = tokio::select! {
                biased;
                () = deadline => break,
                renewed = self.election.once() => renewed,
            };
            match renewed {
                Ok(true) => self.renewed = tried,
                Ok(false) => break,
                Err(error) => warn!(lock = %self.election.key, %error, "failed to renew the lease"),
            }
        }
        self.election.tell(false);
    }

    /// Gives the lead up, so that others need not wait until it runs out.
    pub async fn release(mut self) {
        self.election.tell(false);
        // A server that does not answer must not keep the process from its end.
        let deadline = self.election.client.after(DURATION);
        tokio::select! {
            () = self.election.give_up() => {}
            () = deadline => {}
        }
    }
}

impl Election {
    async fn give_up(&mut self) {
        let live = self.client.get(&leases(), &self.key).await;
        let Ok(live) = live else { return };
        let record = Record::read(&live.to_value()["spec"]);
        let Some(released) = self.candidate.release(&record, self.client.clock().now()) else {
            return;
        };
        self.live = Some(live);
        if let Err(error) = self.write(&released).await {
            warn!(lock = %self.key, %error, "failed to release the lease");
        }
    }
}

fn leases() -> Resource {
    Resource::namespaced("coordination.k8s.io/v1", "Lease", "leases")
}
