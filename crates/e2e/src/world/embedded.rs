//! The embedded API server, in process.

use std::sync::Arc;

use api::{definition, names};
use apiserver::{ApiServer, User};
use k8s::{Activity, SharedClock, VirtualClock};
use runtime::{Client, ClientOptions};

use super::{Clients, Server};

/// As whom the engine of an embedded world acts.
pub(super) const ENGINE: &str = "windlass-engine";

/// Returns clients of an embedded server of their own.
pub(super) async fn clients() -> Clients {
    let clock: SharedClock = Arc::new(VirtualClock::default());
    let activity = Activity::default();
    let server = ApiServer::builder().clock(Arc::clone(&clock)).activity(activity.clone());
    let server = server.start().await.unwrap();
    let revisions = Some(Arc::new(server.clone()) as Arc<dyn k8s::Revisions>);
    let options = ClientOptions { clock, activity, agent: names::COMPONENT, revisions };
    let client_of = |user| {
        let transport = kube::Client::new(server.service_as(user), "default");
        Client::new(transport, options.clone())
    };
    let client = client_of(User::admin());
    for definition in definition::all() {
        client.create(&definition::definitions(), "", definition.to_string()).await.unwrap();
    }
    let engine = client_of(User::new(ENGINE, &[]));
    Clients { server: Server::Embedded, admin: client, engine, api: Some(server) }
}
