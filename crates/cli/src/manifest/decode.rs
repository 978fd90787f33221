//! Pure: reads the manifests of one file.

use std::path::Path;

use k8s::{
    GroupVersionKind, ObjectKey,
    json::{self, JsonError},
    yaml::{self, Document, YamlError},
};
use serde_json::Value;

use super::{Manifest, ManifestError, Source};

/// Reads all manifests of a file: JSON if it is named so, else YAML.
///
/// Lists give their items. Empty documents and Kustomizations, which no API server takes, give nothing.
pub fn decode(file: &Path, text: &str) -> (Vec<Manifest>, Vec<ManifestError>) {
    let documents = match documents(file, text) {
        Ok(documents) => documents,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let mut decoded = Decoded::default();
    for (index, Document { value, line, .. }) in documents.into_iter().enumerate() {
        if !value.is_null() {
            let source = Source { file: file.to_owned(), document: index + 1, line };
            decoded.add(&source, "", value);
        }
    }
    (decoded.manifests, decoded.errors)
}

fn documents(file: &Path, text: &str) -> Result<Vec<Document>, ManifestError> {
    if file.extension().is_some_and(|extension| extension == "json") {
        let json = |source: JsonError| ManifestError::Json { file: file.to_owned(), source };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let value = json::parse(text.as_bytes()).map_err(json)?;
        let line = text.bytes().take_while(u8::is_ascii_whitespace).filter(|byte| *byte == b'\n');
        return Ok(vec![Document { value, line: line.count() + 1, repeated: vec![] }]);
    }
    yaml::documents(text).map_err(|source: YamlError| ManifestError::Yaml {
        file: file.to_owned(),
        document: document_at(text, source.line),
        source,
    })
}

/// Returns which document a line belongs to: one more than there are before its `---`.
fn document_at(text: &str, line: usize) -> usize {
    let (mut start, mut end) = (0, 0);
    for line in text.split_inclusive('\n').take(line) {
        if line.starts_with("---") {
            start = end;
        }
        end += line.len();
    }
    let before = text.get(..start).map(yaml::documents);
    before.and_then(Result::ok).map_or(0, |documents| documents.len()) + 1
}

#[derive(Default)]
struct Decoded {
    manifests: Vec<Manifest>,
    errors: Vec<ManifestError>,
}

impl Decoded {
    /// Adds a value, or the items of a list; `place` says which item of the document it is.
    fn add(&mut self, source: &Source, place: &str, mut value: Value) {
        if let Some(items) = list_items(&mut value) {
            for (index, item) in items.into_iter().enumerate() {
                self.add(source, &format!("{place}.items[{index}]"), item);
            }
            return;
        }
        if is_kustomization(&value) {
            return;
        }
        match manifest(source, value) {
            Ok(manifest) => self.manifests.push(manifest),
            Err(flaw) if place.is_empty() => {
                self.errors.push(ManifestError::Invalid { at: source.clone(), flaw });
            }
            Err(flaw) => {
                let flaw = format!("has an object at `{place}` that {flaw}");
                self.errors.push(ManifestError::Invalid { at: source.clone(), flaw });
            }
        }
    }
}

fn list_items(value: &mut Value) -> Option<Vec<Value>> {
    let is_list = text(value, "/kind").is_some_and(|kind| kind.ends_with("List"))
        && text(value, "/apiVersion").is_some();
    match value.get_mut("items")?.take() {
        Value::Array(items) if is_list => Some(items),
        other => {
            value["items"] = other;
            None
        }
    }
}

fn is_kustomization(value: &Value) -> bool {
    let group = text(value, "/apiVersion").unwrap_or_default();
    group.starts_with("kustomize.config.k8s.io/")
}

fn manifest(source: &Source, value: Value) -> Result<Manifest, String> {
    if !value.is_object() {
        return Err("is not an object".to_owned());
    }
    let required = |pointer| {
        text(&value, pointer).ok_or_else(|| format!("has no `{}`", pointer[1..].replace('/', ".")))
    };
    let gvk = GroupVersionKind::new(required("/apiVersion")?, required("/kind")?);
    let name = required("/metadata/name")?;
    let namespace = match value.pointer("/metadata/namespace") {
        None | Some(Value::Null) => "",
        Some(Value::String(namespace)) => namespace,
        Some(_) => return Err("has a `metadata.namespace` that is not a string".to_owned()),
    };
    let key = ObjectKey::new(namespace, name);
    Ok(Manifest { source: source.clone(), gvk, key, value })
}

/// Returns the text at a path, if there is one that is not empty.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    /// Returns the manifests and errors of a file, one a line.
    fn decoded(file: &str, text: &str) -> String {
        let (manifests, errors) = decode(file.as_ref(), text);
        let manifests = manifests
            .iter()
            .map(|Manifest { source, gvk, key, .. }| format!("{gvk} {key} in {source}\n"));
        let errors = errors.iter().map(|error| match error.source() {
            Some(source) => format!("error: {error}: {source}\n"),
            None => format!("error: {error}\n"),
        });
        manifests.chain(errors).collect()
    }

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "\
# comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: b}
items: none
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: c}}
- {apiVersion: v1, kind: PodList, items: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}]}
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
";
        insta::assert_snapshot!(decoded("x.yaml", text), @r"
        v1 ConfigMap b/a in document 1 of `x.yaml` (line 3)
        v1 Pod c in document 3 of `x.yaml` (line 9)
        apps/v1 Deployment d in document 3 of `x.yaml` (line 9)
        ");
        let text = "\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}";
        insta::assert_snapshot!(
            decoded("x.json", text),
            @"v1 Pod a in document 1 of `x.json` (line 2)"
        );
    }

    #[test]
    fn what_is_no_object_is_told_with_its_place() {
        let text = "\
- 1
---
kind: Pod
metadata: {name: a}
---
apiVersion: v1
metadata: {name: a}
---
{apiVersion: v1, kind: Pod, metadata: {generateName: a}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: 1}}
---
{apiVersion: v1, kind: List, items: [{apiVersion: v1}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: fine}}
";
        insta::assert_snapshot!(decoded("x.yaml", text), @r"
        v1 Pod fine in document 7 of `x.yaml` (line 15)
        error: document 1 of `x.yaml` (line 1) is not an object
        error: document 2 of `x.yaml` (line 3) has no `apiVersion`
        error: document 3 of `x.yaml` (line 6) has no `kind`
        error: document 4 of `x.yaml` (line 9) has no `metadata.name`
        error: document 5 of `x.yaml` (line 11) has a `metadata.namespace` that is not a string
        error: document 6 of `x.yaml` (line 13) has an object at `.items[0]` that has no `kind`
        ");
    }

    #[test]
    fn wrong_syntax_is_told_with_its_place() {
        insta::assert_snapshot!(
            decoded("x.yaml", "# a\n---\na: 1\n---\n---\nb: &b !!int x\n"),
            @"error: failed to parse document 3 of `x.yaml`: `x` is not of type `!!int` at line 6 column 4"
        );
        insta::assert_snapshot!(
            decoded("x.json", "{\n  \"a\": }"),
            @"error: failed to parse document 1 of `x.json`: expected value at line 2 column 8"
        );
        insta::assert_snapshot!(decoded("x.yaml", ""), @"");
    }
}
