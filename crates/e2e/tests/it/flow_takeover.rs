//! Objects that Metacontroller 4.17 made, as it left them, with its controllers run by this engine.

use e2e::{World, story};
use k8s::{ObjectKey, Resource};
use runtime::Part;
use serde_json::{Value, json};

use crate::{configmaps, controller};

/// What Metacontroller made of one Thing with a Pod and a ConfigMap, and of one decorated Service.
const MADE: &str = include_str!("../takeover/metacontroller.json");

fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

fn services() -> Resource {
    Resource::namespaced("v1", "Service", "services")
}

/// Answers as the hooks did that Metacontroller called.
fn answer(request: &Value) -> Value {
    let finalizing = &request["finalizing"];
    if let Some(service) = request.get("object") {
        let of = &service["metadata"]["name"];
        return json!({"labels": {"decorated": "yes"}, "finalized": finalizing,
            "attachments": [crate::child("beside", &json!({"of": of}))]});
    }
    let container = json!({"name": "c", "image": request["parent"]["spec"]["image"],
        "env": [{"name": "A", "value": "<&>"}], "resources": {"requests": {"cpu": "1"}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a-pod", "labels": {"app": "a"}},
        "spec": {"schedulerName": "nobody", "containers": [container]}});
    json!({"status": {"ready": true}, "finalized": finalizing,
        "children": [pod, crate::child("a-map", &json!({"k": "v"}))]})
}

/// Creates the recorded objects, owned by the parents as they are here; returns all with their types.
async fn recreate(world: &World, things: &Resource) -> Vec<(Resource, String, Value)> {
    let types = [things.clone(), services(), api::revision::resource(), pods(), configmaps()];
    let mut made = MADE.replace("GROUP", &things.gvk.group).replace("WORLD", &world.id);
    // The selector of decorated Services and the names of controllers are those of this world.
    made = made.replace(&format!("d-{}", world.id), &world.controller("d"));
    let count = serde_json::from_str::<Vec<Value>>(&made).unwrap().len();
    let mut created = Vec::new();
    for position in 0..count {
        let object = serde_json::from_str::<Vec<Value>>(&made).unwrap()[position].clone();
        let kind = object["kind"].as_str().unwrap();
        let resource = types.iter().find(|resource| resource.gvk.kind == kind).unwrap();
        let mut there = world.create(resource, object.clone()).await;
        let (name, uid) = (there["metadata"]["name"].clone(), there["metadata"]["uid"].clone());
        made = made.replace(&format!("{}-UID", kind.to_uppercase()), uid.as_str().unwrap());
        let name = name.as_str().unwrap().to_owned();
        if resource == things {
            there["status"] = object["status"].clone();
            let key = ObjectKey::new(&world.id, &name);
            let body = there.to_string();
            let updated = world.client.update(resource, &key, Part::Status, body).await;
            there = updated.unwrap().to_value();
        }
        created.push((resource.clone(), name, there));
    }
    created
}

/// Returns an object without what changes with every write of it.
fn lasting(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| field != "managedFields" && field != "resourceVersion");
    object
}

/// Breaks when `mark` labels nothing.
async fn acceptance_29_what_metacontroller_made_is_taken_over(world: &World) {
    let things = world.things().await;
    let made = recreate(world, &things).await;
    world.hook.answer(answer);
    let mut spec = controller(&things, "InPlace");
    let rolled = json!({"apiVersion": "v1", "resource": "pods",
        "updateStrategy": {"method": "RollingRecreate"}});
    spec["childResources"].as_array_mut().unwrap().push(rolled);
    spec["hooks"]["finalize"] = spec["hooks"]["sync"].clone();
    world.control("c", &spec).await;
    let webhook = json!({"webhook": {"url": "http://hook.test/attach"}});
    let decorator = json!({
        "resources": [{"apiVersion": "v1", "resource": "services",
            "annotationSelector": {"matchAnnotations": {"story": world.controller("d")}}}],
        "attachments": [{"apiVersion": "v1", "resource": "configmaps",
            "updateStrategy": {"method": "InPlace"}}],
        "hooks": {"sync": webhook, "finalize": webhook}});
    world.decorate("d", &decorator).await;
    world.settle().await;
    assert!(2 <= world.hook.calls(), "both controllers were asked");
    for (resource, name, before) in &made {
        let after = world.get(resource, name).await;
        assert_eq!(lasting(&after), lasting(before), "{} {name}", resource.gvk.kind);
        assert_eq!(
            after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "nothing was left to write of {} {name}",
            resource.gvk.kind
        );
    }
    assert_eq!(world.list(&pods()).await.len(), 1);
    assert_eq!(world.list(&api::revision::resource()).await.len(), 1);

    // What was taken over is led on: the next version is rolled, and the last hold is let go of.
    world.patch(&things, "a", &json!({"spec": {"image": "example.com/i:2"}})).await;
    world.settle().await;
    let is_rolled = || async {
        let pod = world.get(&pods(), "a-pod").await;
        pod["spec"]["containers"][0]["image"] == "example.com/i:2"
    };
    world.eventually("the pod is rolled", is_rolled).await;
    world.delete(&things, "a").await;
    let is_gone = || async { world.get(&things, "a").await.is_null() };
    world.eventually("its finalizer is ours to take off", is_gone).await;
}
story!(acceptance_29_what_metacontroller_made_is_taken_over);
