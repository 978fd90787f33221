//! The same writes without an engine, under as many watches: the limit of the API server itself.

use std::cell::Cell;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use http::Method;
use serde_json::{Value, json};

use super::{
    Sizes, Times,
    census::Census,
    ground::{Ground, object},
};
use crate::{
    load::{CONNECTIONS, Shot},
    server::Server,
    table::median,
    timing::Stopwatch,
    wire::Connection,
};

/// What writes one parent and all that belongs to it, one after the other.
struct Lane {
    parent: Connection,
    children: Vec<Connection>,
}

/// Writes everything once, and puts it away.
pub(crate) async fn round(server: &Server, sizes: Sizes) -> anyhow::Result<Times> {
    let ground = Ground::new(server).await?;
    let times = write(&ground, sizes).await;
    ground.clear().await?;
    times
}

/// Returns how long a single parent took until its last child was seen, in milliseconds.
pub(crate) async fn singles(server: &Server, sizes: Sizes) -> anyhow::Result<f64> {
    let ground = Ground::new(server).await?;
    let time = one_by_one(&ground, sizes).await;
    ground.clear().await?;
    time
}

async fn write(ground: &Ground<'_>, sizes: Sizes) -> anyhow::Result<Times> {
    let Sizes { parents, children, .. } = sizes;
    let mut lanes = lanes(ground, CONNECTIONS, children).await?;

    let watch = Stopwatch::start();
    each(&mut lanes, parents, async |lane, number| {
        let parent = object(&mut lane.parent, ground.creation(number)).await?;
        lane.create_children(ground, &parent).await?;
        lane.write_statuses(ground, &parent, children).await
    })
    .await?;
    ground.settled("p", "a", children, parents).await?;
    let created = watch.elapsed().as_secs_f64();

    let watch = Stopwatch::start();
    each(&mut lanes, parents, async |lane, number| lane.change(ground, number, children).await)
        .await?;
    ground.settled("p", "b", children, parents).await?;
    let updated = watch.elapsed().as_secs_f64();
    Ok(Times { created, updated })
}

async fn one_by_one(ground: &Ground<'_>, sizes: Sizes) -> anyhow::Result<f64> {
    let mut lanes = lanes(ground, 1, sizes.children).await?;
    let lane = lanes.first_mut().context("there are no lanes")?;
    let mut times = vec![];
    for number in 0..sizes.singles {
        times.push(lane.single(ground, sizes, number).await?);
    }
    Ok(median(&times).unwrap_or_default())
}

/// Opens so many lanes, beside the watches that an engine would have.
async fn lanes(ground: &Ground<'_>, count: usize, children: usize) -> anyhow::Result<Vec<Lane>> {
    for path in &ground.everywhere {
        Census::follow(ground.server, path).await?;
    }
    let lane = || async {
        let parent = ground.server.connect().await?;
        let children = try_join_all((0..children).map(|_| ground.server.connect())).await?;
        anyhow::Ok(Lane { parent, children })
    };
    try_join_all((0..count).map(|_| lane())).await
}

impl Lane {
    /// Creates the children of a parent, all at once.
    async fn create_children(&mut self, ground: &Ground<'_>, parent: &Value) -> anyhow::Result<()> {
        let create = |(number, connection)| create_child(connection, ground, parent, number);
        try_join_all(self.children.iter_mut().enumerate().map(create)).await?;
        Ok(())
    }

    /// Writes what a hook says before it sees the children, and after.
    async fn write_statuses(
        &mut self,
        ground: &Ground<'_>,
        parent: &Value,
        children: usize,
    ) -> anyhow::Result<()> {
        let path = format!("{}/{}/status", ground.things, text(parent, "name"));
        let mut parent = parent.clone();
        for observed in [0, children] {
            parent["status"] = json!({"value": parent["spec"]["value"], "observed": observed});
            let body = Bytes::from(parent.to_string());
            let shot = Shot { method: Method::PUT, path: path.clone(), body };
            parent = object(&mut self.parent, shot).await?;
        }
        Ok(())
    }

    /// Changes a parent, its children and its status.
    async fn change(
        &mut self,
        ground: &Ground<'_>,
        number: usize,
        children: usize,
    ) -> anyhow::Result<()> {
        let Shot { method, path, body } = ground.change(number);
        self.parent.must(method, &path, body).await?;
        for child in 0..children {
            let child = format!("{}/p{number}-{child}", ground.configmaps);
            let body = Bytes::from_static(br#"{"data":{"value":"b"}}"#);
            self.parent.must(Method::PATCH, &child, body).await?;
        }
        let body = Bytes::from_static(br#"{"status":{"value":"b"}}"#);
        self.parent.must(Method::PATCH, &format!("{path}/status"), body).await?;
        Ok(())
    }

    /// Returns how long a parent took until it was seen, and then its children, in milliseconds.
    async fn single(
        &mut self,
        ground: &Ground<'_>,
        sizes: Sizes,
        number: usize,
    ) -> anyhow::Result<f64> {
        let name = format!("s{number}");
        let shot =
            Shot { method: Method::POST, path: ground.things.clone(), body: ground.thing(&name) };
        let watch = Stopwatch::start();
        let parent = object(&mut self.parent, shot).await?;
        ground.parents.reach(&name, 1).await?;
        self.create_children(ground, &parent).await?;
        ground.children.reach(&name, sizes.children).await?;
        let time = watch.millis();
        self.write_statuses(ground, &parent, sizes.children).await?;
        ground.settled("s", "a", sizes.children, number + 1).await?;
        Ok(time)
    }
}

async fn create_child(
    connection: &mut Connection,
    ground: &Ground<'_>,
    parent: &Value,
    number: usize,
) -> anyhow::Result<()> {
    let (name, uid) = (text(parent, "name"), text(parent, "uid"));
    let owner = json!({"apiVersion": parent["apiVersion"], "kind": parent["kind"], "name": name,
        "uid": uid, "controller": true, "blockOwnerDeletion": true});
    let metadata = json!({"name": format!("{name}-{number}"), "labels": {"controller-uid": uid},
        "ownerReferences": [owner]});
    let data = json!({"value": parent["spec"]["value"]});
    let child =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    connection.create(&ground.configmaps, &child).await.map(|_| ())
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Does work for each of so many parents, on all lanes.
async fn each(
    lanes: &mut [Lane],
    count: usize,
    work: impl AsyncFn(&mut Lane, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (next, work) = (Cell::new(0), &work);
    let next = &next;
    let lanes = lanes.iter_mut().map(|lane| async move {
        while next.get() < count {
            work(lane, next.replace(next.get() + 1)).await?;
        }
        Ok(())
    });
    join_all(lanes).await.into_iter().collect()
}
