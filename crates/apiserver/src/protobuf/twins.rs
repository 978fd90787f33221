//! Objects that are sent as JSON and as protobuf: the server makes the same of both.

use std::{env, fs, path::PathBuf, sync::Arc};

use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use k8s::VirtualClock;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tower::ServiceExt as _;

use super::*;
use crate::{ApiServer, registry::Registry};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Encodes an object as Go does: fields by their numbers, zero values of what is no pointer included.
fn encode(object: &Value) -> Vec<u8> {
    let word = |name: &str| object[name].as_str().unwrap_or_default();
    let gvk = GroupVersionKind::new(word("apiVersion"), word("kind"));
    let root = type_of(&gvk).unwrap_or_else(|| panic!("{gvk} is not built in"));
    let meta = [bytes(1, word("apiVersion")), bytes(2, word("kind"))].concat();
    let raw = encode_message(root, object);
    [MAGIC, &bytes(1, meta), &bytes(2, raw), &bytes(3, ""), &bytes(4, "")].concat()
}

fn encode_message(owner: &'static Type, value: &Value) -> Vec<u8> {
    let mut fields: Vec<_> = owner.fields.iter().filter(|field| field.number != 0).collect();
    fields.sort_by_key(|field| field.number);
    fields.into_iter().flat_map(|field| encode_field(field, value)).collect()
}

fn encode_field(field: &'static Field, owner: &Value) -> Vec<u8> {
    if let (true, Shape::Struct(name)) = (field.inline, &field.shape) {
        return bytes(field.number, encode_message(pack::named(name).unwrap(), owner));
    }
    let value = &owner[field.name];
    match &field.shape {
        Shape::List(item) => {
            let items = value.as_array().into_iter().flatten();
            items.flat_map(|value| encode_value(field.number, item, value)).collect()
        }
        Shape::Map(entry) => {
            let entries = value.as_object().into_iter().flatten();
            entries.flat_map(|(key, value)| encode_entry(field.number, key, entry, value)).collect()
        }
        shape if value.is_null() && (field.pointer || has_no_zero(shape)) => vec![],
        shape => encode_value(field.number, shape, value),
    }
}

/// Returns whether Go writes nothing for what was never set, although it is no pointer.
fn has_no_zero(shape: &Shape) -> bool {
    matches!(shape, Shape::Leaf(Leaf::Bytes))
}

fn encode_entry(number: u32, key: &str, entry: &'static Shape, value: &Value) -> Vec<u8> {
    let held = match entry {
        Shape::List(item) => {
            let items = value.as_array().into_iter().flatten();
            bytes(2, items.flat_map(|value| encode_value(1, item, value)).collect::<Vec<_>>())
        }
        shape => encode_value(2, shape, value),
    };
    bytes(number, [bytes(1, key), held].concat())
}

fn encode_value(at: u32, shape: &'static Shape, value: &Value) -> Vec<u8> {
    let text = || value.as_str().unwrap_or_default();
    let json = || if value.is_null() { vec![] } else { bytes(1, value.to_string()) };
    let leaf = match shape {
        Shape::Struct(name) => {
            return bytes(at, encode_message(pack::named(name).unwrap(), value));
        }
        Shape::Leaf(leaf) => *leaf,
        Shape::List(_) | Shape::Map(_) => unreachable!("a list in a list"),
    };
    match leaf {
        Leaf::String => bytes(at, text()),
        Leaf::Bool => varint_field(at, u64::from(value.as_bool().unwrap_or_default())),
        Leaf::Int32 | Leaf::Int64 => {
            varint_field(at, value.as_i64().unwrap_or_default().cast_unsigned())
        }
        Leaf::Float => {
            let bits = value.as_f64().unwrap_or_default().to_le_bytes();
            [varint(u64::from(at) << 3 | 1), bits.to_vec()].concat()
        }
        Leaf::Bytes => bytes(at, BASE64_STANDARD.decode(text()).unwrap()),
        Leaf::Time | Leaf::MicroTime => bytes(at, encode_moment(text())),
        Leaf::Quantity => bytes(at, bytes(1, if value.is_null() { "0" } else { text() })),
        Leaf::IntOrString => {
            let number = value.as_i64().unwrap_or_default().cast_unsigned();
            let kind = varint_field(1, u64::from(value.is_string()));
            bytes(at, [kind, varint_field(2, number), bytes(3, text())].concat())
        }
        Leaf::Fields | Leaf::Raw | Leaf::Json => bytes(at, json()),
        Leaf::SchemaOrList | Leaf::SchemaOrBool | Leaf::SchemaOrNames => {
            bytes(at, encode_schema_or(leaf, value))
        }
        Leaf::Duration => unreachable!("no built-in object that is served has one"),
    }
}

fn encode_moment(text: &str) -> Vec<u8> {
    let Ok(at) = text.parse::<Timestamp>() else { return vec![] };
    let nanos = i64::from(at.subsec_nanosecond()).cast_unsigned();
    [varint_field(1, at.as_second().cast_unsigned()), varint_field(2, nanos)].concat()
}

fn encode_schema_or(leaf: Leaf, value: &Value) -> Vec<u8> {
    let schema = &Shape::Struct("apiextensions.v1.JSONSchemaProps");
    let allows = |allows: bool| varint_field(1, u64::from(allows));
    match (leaf, value) {
        (Leaf::SchemaOrBool, Value::Bool(allowed)) => allows(*allowed),
        (Leaf::SchemaOrBool, schema_value) => {
            [allows(true), encode_value(2, schema, schema_value)].concat()
        }
        (Leaf::SchemaOrList, Value::Array(list)) => {
            list.iter().flat_map(|it| encode_value(2, schema, it)).collect()
        }
        (Leaf::SchemaOrNames, Value::Array(list)) => {
            list.iter().flat_map(|it| bytes(2, it.as_str().unwrap())).collect()
        }
        (_, schema_value) => encode_value(1, schema, schema_value),
    }
}

fn bytes(number: u32, contents: impl AsRef<[u8]>) -> Vec<u8> {
    let contents = contents.as_ref();
    [varint(u64::from(number) << 3 | 2), varint(contents.len() as u64), contents.to_vec()].concat()
}

fn varint_field(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut digits = vec![];
    loop {
        let [digit, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            digits.push(digit);
            return digits;
        }
        digits.push(digit | 0x80);
    }
}

/// Returns an object, or its twin, as the server would write it.
fn normal(mut object: Value) -> Value {
    let word = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let gvk = GroupVersionKind::new(&word("apiVersion"), &word("kind"));
    assert_eq!(typed::normalise(&gvk, &mut object), Ok(vec![]), "{gvk}");
    object
}

/// Returns the folder of the objects that the Go module of the types carries, if it was downloaded.
fn published() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join("go/pkg/mod"));
    let cache = env::var_os("GOMODCACHE").map(PathBuf::from).or_else(home)?;
    Some(cache.join("k8s.io/api@v0.36.3/testdata/HEAD")).filter(|folder| folder.is_dir())
}

/// The objects that the reference's own types are tested with, every field of each kind set.
///
/// Breaks when `moment` leaves out the fractions of a second, or a field has another number in the pack.
#[test]
fn acceptance_2_published_objects_equal_their_twins() {
    let Some(folder) = published() else {
        let is_required = env::var("WINDLASS_REAL").as_deref() == Ok("required");
        assert!(!is_required, "WINDLASS_REAL=required, but `k8s.io/api` was not downloaded");
        return;
    };
    let mut compared = 0;
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|it| it != "pb") {
            continue;
        }
        let twin: Value =
            serde_json::from_slice(&fs::read(file.with_extension("json")).unwrap()).unwrap();
        let word = |name: &str| twin[name].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::new(word("apiVersion"), word("kind"));
        if pack::of(&gvk).is_none() || gvk.kind.ends_with("Options") {
            continue;
        }
        let encoded = fs::read(&file).unwrap();
        let decoded = decode(&encoded).unwrap_or_else(|error| panic!("{gvk}: {error}"));
        assert_eq!(normal(decoded), normal(twin.clone()), "{gvk}");
        assert_eq!(decode(&encode(&twin)).map(normal), Ok(normal(twin)), "{gvk} encoded here");
        compared += 1;
    }
    assert!(50 < compared, "only {compared} kinds were compared");
}

/// Breaks when `moment` leaves out the fractions of a second.
#[tokio::test]
async fn acceptance_2_a_lease_with_all_fields_comes_as_protobuf() {
    let fixture = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "full", "namespace": "default", "labels": {"a": "b"},
            "annotations": {"c": "d"}, "finalizers": ["x.io/hold"]},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 2,
            "acquireTime": "2020-01-01T00:00:00.000001Z", "renewTime": "2020-01-01T00:00:01.500000Z",
            "preferredHolder": "you", "strategy": "OldestEmulationVersion"}});
    let server = server().await;
    let all = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let (code, created) = send(&server, (Method::POST, all), PROTOBUF, encode(&fixture)).await;
    assert_eq!(code, 201, "{created}");
    let one = format!("{all}/full");
    let (_, mut read) = send(&server, (Method::GET, &one), "", vec![]).await;
    let metadata = read["metadata"].as_object_mut().unwrap();
    for set in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        assert!(metadata.remove(set).is_some(), "{set}");
    }
    assert_eq!(read, fixture);
}

/// Breaks when `insert` adds no field of an inlined message, so that volumes have no source.
#[tokio::test]
async fn acceptance_2_every_full_object_becomes_the_same_as_its_twin() {
    let mut created = 0;
    for (collection, object) in full_objects() {
        let (as_json, as_protobuf) = (server().await, server().await);
        let twin =
            send(&as_json, (Method::POST, &collection), "application/json", object.to_string());
        let encoded = send(&as_protobuf, (Method::POST, &collection), PROTOBUF, encode(&object));
        let (twin, encoded) = (twin.await, encoded.await);
        created += usize::from(twin.0 == 201);
        assert_eq!(encoded, twin, "{collection}");
    }
    assert!(24 < created, "only {created} were created");
}

/// Returns an object of each built-in kind with all that the comparison of servers sets in it.
fn full_objects() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tests/differential/kinds");
    let registry = Registry::new(vec![]);
    let mut objects = vec![];
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let text = text.replace("$RUN", "default").replace("$NAME", "full");
        let facts = k8s::yaml::documents(&text).unwrap().swap_remove(0).value;
        let word = |name: &str| facts[name].as_str().unwrap_or_default();
        let gvk = GroupVersionKind::new(word("apiVersion"), word("kind"));
        if pack::of(&gvk).is_none() {
            continue;
        }
        let mut object = json!({"apiVersion": word("apiVersion"), "kind": word("kind"),
            "metadata": {"name": if word("name").is_empty() { "full" } else { word("name") }}});
        k8s::patch::merge(&mut object, &facts["full"]);
        let registered = registry.all().iter().find(|it| it.resource.gvk == gvk && it.is_stored());
        let namespace = if facts["cluster"] == true { "" } else { "default" };
        objects.push((registered.unwrap().resource.collection_path(namespace), object));
    }
    objects
}

/// Returns a server that gives the same UIDs and names to the same requests.
async fn server() -> ApiServer {
    let clock = Arc::new(VirtualClock::default());
    ApiServer::builder().clock(clock).controllers(false).seed(1).start().await.unwrap()
}

async fn send(
    server: &ApiServer,
    (method, path): (Method, &str),
    media_type: &str,
    body: impl Into<Vec<u8>>,
) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", media_type);
    let request = request.body(Full::new(bytes::Bytes::from(body.into()))).unwrap();
    let answer = server.service().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

/// Breaks when the reader takes a length for granted.
#[test]
fn edited_protobuf_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(server());
    let bodies: Vec<_> =
        full_objects().into_iter().map(|(path, object)| (path, encode(&object))).collect();
    let edits = vec((any::<usize>(), any::<u8>(), 0..3_u8), 1..4);
    let mut runner =
        TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let cases = (0..bodies.len(), edits);
    let outcome = runner.run(&cases, |(index, edits)| {
        let (path, mut body) = bodies[index].clone();
        for (at, byte, how) in edits {
            // What comes before is the frame, without which nothing is looked at.
            let at = 4 + at % (body.len() - 4);
            match how {
                0 => body[at] = byte,
                1 => body.truncate(at.max(5)),
                _ => body.insert(at, byte),
            }
        }
        let path = format!("{path}?dryRun=All");
        let (code, answer) = runtime.block_on(send(&server, (Method::POST, &path), PROTOBUF, body));
        prop_assert!(matches!(code, 201 | 400 | 404 | 409 | 422 | 500), "{code} {answer}");
        prop_assert!(code == 201 || answer["kind"] == "Status", "{answer}");
        Ok(())
    });
    outcome.unwrap();
}
