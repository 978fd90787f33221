//! The embedded API server, in process.

use std::sync::Arc;

use apiserver::ApiServer;
use k8s::{Activity, SharedClock, VirtualClock};
use runtime::{Client, ClientOptions};

use super::{Clients, Server};

/// Returns clients of an embedded server of their own.
pub(super) async fn clients() -> Clients {
    let clock: SharedClock = Arc::new(VirtualClock::default());
    let activity = Activity::default();
    let server = ApiServer::builder().clock(Arc::clone(&clock)).activity(activity.clone());
    let server = server.start().await.unwrap();
    let transport = kube::Client::new(server.service(), "default");
    let revisions = Some(Arc::new(server.clone()) as Arc<dyn k8s::Revisions>);
    let client = Client::new(transport, ClientOptions { clock, activity, revisions });
    for object in cli::install::engine("windlass:test") {
        if object["kind"] == "CustomResourceDefinition" {
            let definitions = super::definitions();
            client.create(&definitions, "", object.to_string()).await.unwrap();
        }
    }
    let engine = client.clone();
    Clients { server: Server::Embedded, admin: client, engine, keep: Box::new(server) }
}
