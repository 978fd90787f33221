use super::*;
use crate::{crd, registry::Registry};

fn built_in(path: &str) -> Value {
    let openapi = OpenApi::new(Registry::new(vec![]).all());
    serde_json::from_slice(&openapi.document(path).unwrap().json).unwrap()
}

fn custom() -> Value {
    let definition = json!({"spec": {"group": "stable.example.com", "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
            "description": "A thing.", "type": "object", "properties": {"spec": {"type": "object"}}}}}]}});
    let version = crd::versions(&definition).unwrap().remove(0);
    let storage = Arc::new(version.resource.clone());
    document(&[Arc::new(Registered::custom(version, storage))])
}

#[test]
fn patches_tell_that_fields_are_validated() {
    for (document, path, kind) in [
        (
            built_in("apis/apps/v1"),
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            "Deployment",
        ),
        (custom(), "/apis/stable.example.com/v1/namespaces/{namespace}/things/{name}", "Thing"),
    ] {
        let patch = &document["paths"][path]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], kind);
        let names: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| each["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for path in ["api/v1", "apis/apps/v1", "apis/apiextensions.k8s.io/v1"] {
        let document = built_in(path);
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}

#[test]
fn built_in_types_carry_how_they_merge() {
    let document = built_in("apis/apps/v1");
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"],
        json!({"type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name"})
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
}

#[test]
fn custom_schemas_get_the_fields_of_all_objects() {
    let document = custom();
    let thing = &document["components"]["schemas"]["com.example.stable.v1.Thing"];
    assert_eq!(thing["description"], "A thing.");
    assert!(thing["properties"]["kind"]["description"].as_str().unwrap().starts_with("Kind is"));
    assert_eq!(
        thing["properties"]["metadata"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
}

#[test]
fn the_index_names_documents_by_hash() {
    let openapi = OpenApi::new(Registry::new(vec![]).all());
    let index = openapi.index();
    let hash = &openapi.document("apis/apps/v1").unwrap().hash;
    assert_eq!(
        index["paths"]["apis/apps/v1"]["serverRelativeURL"],
        format!("/openapi/v3/apis/apps/v1?hash={hash}")
    );
    assert!(openapi.document("apis/nope/v1").is_none());
    assert!(self::hash(b"").starts_with("CF83E1357EEFB8BD"));
}
