use proptest::prelude::*;

use super::*;

/// Returns a field that holds bytes, or a message.
fn bytes(number: u8, contents: impl AsRef<[u8]>) -> Vec<u8> {
    let contents = contents.as_ref();
    let length = u8::try_from(contents.len()).expect("a short test message");
    assert!(length < 128);
    [&tag(number, 2)[..], &[length], contents].concat()
}

/// Returns a field that holds a small number.
fn number(field: u8, value: u8) -> Vec<u8> {
    [&tag(field, 0)[..], &[value]].concat()
}

/// Returns the number and wire type of a field, in two bytes from the sixteenth on.
fn tag(number: u8, wire: u8) -> Vec<u8> {
    if number < 16 {
        vec![number << 3 | wire]
    } else {
        vec![(number << 3 | wire) | 0x80, number >> 4]
    }
}

fn framed(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version), bytes(2, kind)].concat();
    [MAGIC, &bytes(1, meta), &bytes(2, raw), &bytes(3, ""), &bytes(4, "")].concat()
}

#[test]
fn a_lease_is_decoded() {
    let renew = [number(1, 60), vec![2 << 3, 0xc0, 0x84, 0x3d]].concat();
    let spec = [bytes(1, "me"), number(2, 15), bytes(4, renew), number(5, 0)].concat();
    let labels = [bytes(1, "k"), bytes(2, "v")].concat();
    let metadata = [
        bytes(1, "a"),
        bytes(2, ""),
        bytes(3, "b"),
        bytes(8, ""),
        bytes(11, labels),
        bytes(14, "f"),
    ]
    .concat();
    let raw = [bytes(1, metadata), bytes(2, spec)].concat();
    assert_eq!(
        decode(&framed("coordination.k8s.io/v1", "Lease", &raw)),
        Ok(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "a", "namespace": "b", "labels": {"k": "v"}, "finalizers": ["f"]},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "renewTime": "1970-01-01T00:01:00.001000Z"}}))
    );
}

#[test]
fn inlined_messages_and_ports_are_decoded() {
    let port = [number(1, 1), bytes(3, "web")].concat();
    let get = [bytes(1, "/"), bytes(2, port)].concat();
    let probe = [bytes(1, bytes(2, get)), number(3, 1)].concat();
    let resources = bytes(1, [bytes(1, "cpu"), bytes(2, bytes(1, "1"))].concat());
    let container = [bytes(1, "c"), bytes(8, resources), bytes(10, probe)].concat();
    let raw = bytes(2, bytes(2, container));
    assert_eq!(
        decode(&framed("v1", "Pod", &raw)).unwrap()["spec"],
        json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "timeoutSeconds": 1}}]})
    );
}

#[test]
fn options_come_in_any_version() {
    let options = decode(&framed("apps/v1", "DeleteOptions", &bytes(4, "Foreground"))).unwrap();
    assert_eq!(options["propagationPolicy"], "Foreground");
}

#[test]
fn binary_data_becomes_base64() {
    let entry = [bytes(1, "k"), bytes(2, [0, 255])].concat();
    let secret = decode(&framed("v1", "Secret", &bytes(2, entry))).unwrap();
    assert_eq!(secret["data"], json!({"k": "AP8="}));
}

#[test]
fn schemas_take_their_forms() {
    let text = bytes(5, "string");
    let fields = [bytes(24, bytes(1, &text)), bytes(30, number(1, 1))];
    for (field, expected) in fields
        .iter()
        .zip([json!({"items": {"type": "string"}}), json!({"additionalProperties": true})])
    {
        let version = [bytes(1, "v1"), bytes(4, bytes(1, field))].concat();
        let raw = bytes(2, bytes(7, version));
        let crd =
            decode(&framed("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw)).unwrap();
        assert_eq!(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], expected);
    }
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(decode(b"{}"), Err(ProtobufError::Malformed("the magic is missing")));
    let custom = GroupVersionKind::new("a.b/v1", "C");
    assert_eq!(decode(&framed("a.b/v1", "C", &[])), Err(ProtobufError::UnknownKind(custom)));
    let cut = framed("v1", "Pod", &[1 << 3 | 2, 9]);
    assert_eq!(decode(&cut), Err(ProtobufError::Malformed("the bytes are cut short")));
}

proptest! {
    #[test]
    fn no_bytes_break_the_decoder(raw in prop::collection::vec(any::<u8>(), 0..120), kind in 0_usize..4) {
        let (api_version, kind) = [
            ("v1", "Pod"), ("v1", "Event"), ("coordination.k8s.io/v1", "Lease"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition")][kind];
        let _ = decode(&framed(api_version, kind, &raw));
        let _ = decode(&[MAGIC, &raw].concat());
    }
}
