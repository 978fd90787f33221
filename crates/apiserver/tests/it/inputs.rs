//! Every reader of foreign input gets what it does not expect: rules, tokens, selectors, options, headers,
//! paths, and bodies that are deep or grow. Each is answered, and the server goes on.

use bytes::Bytes;
use http::Method;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    mutated::{edited, edits},
    objects::deployment,
    world::{Reply, World},
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ANYS: &str = "/apis/x.io/v1/namespaces/default/anys";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// A server with a ConfigMap, a Pod, a Deployment, and a kind `Any` with an object `a`.
async fn world() -> World {
    let world = World::new().await;
    let pod =
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    for (path, body) in [
        (MAPS, json!({"metadata": {"name": "a"}, "data": {"a": "1"}})),
        (PODS, pod),
        (WEB.trim_end_matches("/web"), deployment("web")),
        (CRDS, definition("self == self", "'odd'")),
        (ANYS, json!({"apiVersion": "x.io/v1", "kind": "Any", "metadata": {"name": "a"}})),
    ] {
        let created = world.post(path, body).await;
        assert_eq!(created.code, 201, "{path} {}", created.body);
    }
    world
}

/// Returns a definition of objects that may hold anything, with a rule and what is said when it is broken.
fn definition(rule: &str, message: &str) -> Value {
    json!({"metadata": {"name": "anys.x.io"}, "spec": {"group": "x.io",
        "scope": "Namespaced", "names": {"plural": "anys", "kind": "Any"}, "versions": [{
            "name": "v1", "served": true, "storage": true,
            "additionalPrinterColumns": [{"name": "X", "type": "string", "jsonPath": ".spec.x"}],
            "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {"x": {"type": "string"}, "l": {"type": "array",
                            "items": {"type": "integer"}}},
                        "x-kubernetes-validations": [
                            {"rule": rule, "messageExpression": message}]}}}}}]}})
}

/// Runs `cases` against one server. Whatever waits for time to pass gets it.
fn run<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    request: impl Fn(T) -> Vec<(Method, String, Vec<(&'static str, String)>, Vec<u8>)>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(world());
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&strategy, |case| {
        request(case).into_iter().try_for_each(|request| check(&runtime, &world, request))
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(world.get("/readyz")).code, 200);
}

fn check(
    runtime: &Runtime,
    world: &World,
    (method, path, headers, body): (Method, String, Vec<(&str, String)>, Vec<u8>),
) -> Result<(), TestCaseError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = runtime.block_on(answer(world, (method, &path), &headers, body));
    let known = matches!(
        reply.code,
        200 | 201 | 400 | 404..=406 | 409 | 410 | 413 | 415 | 422 | 500 | 501 | 504
    );
    prop_assert!(known, "{path} {reply:?}");
    let text = reply.body.as_str().unwrap_or_default();
    let is_status = reply.body["kind"] == "Status" || text.contains("kind: Status\n");
    prop_assert!(reply.code < 400 || is_status || text == "404 page not found\n", "{reply:?}");
    Ok(())
}

async fn answer(
    world: &World,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let sent = world.send(method, path, headers, Bytes::from(body));
    let settle = k8s::Settle::within(std::time::Duration::from_mins(1));
    let (reply, settled) = tokio::join!(sent, world.activity.settle(&world.clock, settle));
    settled.unwrap();
    reply
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"))
}

/// Breaks when a panic of the thread that compiles rules is not caught.
#[test]
fn any_rule_is_compiled_or_refused() {
    let rules = [
        "self.l.all(x, x > 0) && self.x.matches('^a+$') || !has(self.x)",
        "self.l.map(i, i * 2).exists_one(i, i == 4) ? 'a' + string(1.5) : b\"x\"",
        "cel.bind(y, self.x, y.size() < 3) && quantity('1Gi').isGreaterThan(quantity('1Mi'))",
        "oldSelf.x == self.x && {'a': [1, 2u, null]}['a'][0] in self.l",
        "self.x.split(',').join('é').lowerAscii().format([self.l])",
    ];
    let random = "[a-z0-9 .,'\"()\\[\\]{}?:!&|<>=+*/%\\\\-]{0,60}";
    let edited_rule = (0..rules.len(), edits()).prop_map(move |(index, edits)| {
        String::from_utf8_lossy(&edited(rules[index], &edits)).into_owned()
    });
    run(150, prop_oneof![edited_rule, random.prop_map(|it| it)], |rule| {
        let mut definition = definition(&rule, &rule);
        definition["metadata"]["name"] = json!("others.x.io");
        definition["spec"]["names"] = json!({"plural": "others", "kind": "Other"});
        let body = definition.to_string().into_bytes();
        let object = json!({"apiVersion": "x.io/v1", "kind": "Other", "metadata": {"name": "a"},
            "spec": {"x": "aé", "l": [1, 2, i64::MAX]}});
        let others = ANYS.replace("anys", "others");
        vec![
            (Method::POST, CRDS.to_owned(), vec![], body),
            (Method::POST, others.clone(), vec![], object.to_string().into_bytes()),
            (Method::DELETE, others, vec![], vec![]),
            (Method::DELETE, format!("{CRDS}/others.x.io"), vec![], vec![]),
        ]
    });
}

/// Breaks when neither the length nor the nesting of rules is bounded: the stack runs out.
#[tokio::test]
async fn rules_that_are_deep_or_long_are_refused() {
    let world = world().await;
    for (open, middle, close, count) in [
        ("(", "true", ")", 20_000),
        ("!", "true", "", 20_000),
        ("-", "1", " == 1", 20_000),
        ("[", "1", "]", 20_000),
        ("{'a': ", "1", "}", 20_000),
        ("true ? ", "true", " : true", 5_000),
        ("size(", "self.x", ")", 20_000),
        ("self.l.all(x, ", "true", ")", 2_000),
        ("true && ", "true", "", 5_000),
        ("self.x + ", "self.x == 'a'", "", 5_000),
    ] {
        let rule = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
        let path = format!("{CRDS}?dryRun=All");
        let mut definition = definition(&rule, "'odd'");
        definition["metadata"]["name"] = json!("others.x.io");
        definition["spec"]["names"] = json!({"plural": "others", "kind": "Other"});
        let reply = world.post(&path, definition).await;
        assert!(matches!(reply.code, 201 | 422), "{open} {}", reply.code);
    }
}

/// Breaks when the key in a token is taken for ASCII.
#[test]
fn edited_tokens_are_answered() {
    let tokens = [
        r#"{"v":"meta.k8s.io/v1","rv":4,"start":"default/a"}"#,
        r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"../../é"}"#,
        r#"{"v":"meta.k8s.io/v1","start":"a\u0000"}"#,
        r#"{"v":"v2","rv":99999999999999999999,"start":""}"#,
    ];
    run(300, (0..tokens.len(), edits(), any::<bool>()), |(index, edits, pad)| {
        let mut token = base64url(&edited(tokens[index], &edits));
        if pad {
            token.push('=');
        }
        let query = |more: &str| {
            (
                Method::GET,
                format!("{MAPS}?continue={}{more}", escaped(token.as_bytes())),
                vec![],
                vec![],
            )
        };
        vec![query(""), query("&limit=1"), query("&resourceVersion=0&labelSelector=a")]
    });
}

fn base64url(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..=three.len() {
            text.push(char::from(letters[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

/// Breaks when a selector is taken for ASCII.
#[test]
fn edited_selectors_are_answered() {
    let selectors = [
        ("labelSelector", "app in (a,b),tier notin (c),!x,y=z,w!=v,x.io/a==b"),
        ("labelSelector", "a>1,b<2"),
        ("fieldSelector", "metadata.name=a,status.phase!=Running,spec.nodeName="),
        ("fieldSelector", r"spec.schedulerName=a\,b\=c\\,metadata.namespace==default"),
        ("fieldSelector", "involvedObject.name=x,reason!=y,type=Normal"),
    ];
    let events = "/api/v1/namespaces/default/events";
    run(300, (0..selectors.len(), edits()), |(index, edits)| {
        let (name, value) = selectors[index];
        let value = escaped(&edited(value, &edits));
        let on = |method: Method, path: &str| {
            (method, format!("{path}?{name}={value}&dryRun=All"), vec![], vec![])
        };
        vec![
            on(Method::GET, PODS),
            on(Method::GET, events),
            on(Method::GET, ANYS),
            on(Method::DELETE, MAPS),
        ]
    });
}

/// Breaks when numbers of seconds or objects are taken for granted.
#[test]
fn edited_options_are_answered() {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 30,
        "preconditions": {"uid": "u", "resourceVersion": "5"}, "propagationPolicy": "Foreground",
        "dryRun": ["All"]})
    .to_string();
    let yaml = "kind: DeleteOptions\napiVersion: v1\ngracePeriodSeconds: 5\ndryRun: [All]\n";
    let query = "gracePeriodSeconds=30&orphanDependents=true&propagationPolicy=Orphan&dryRun=All&\
                 fieldManager=m&force=1&fieldValidation=Strict&timeoutSeconds=3&limit=5&pretty=1&\
                 resourceVersion=3&resourceVersionMatch=Exact&timeout=5s&container=c&tailLines=3";
    run(300, (0..3_usize, edits()), |(index, edits)| {
        let text = [options.as_str(), yaml, query][index];
        let bytes = edited(text, &edits);
        if index == 2 {
            // What cannot stand in a URI does not reach the server.
            let query: String = String::from_utf8_lossy(&bytes)
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || "=&%.~-_!*,:;@/?()$'".contains(c) {
                        c
                    } else {
                        '+'
                    }
                })
                .collect();
            let to = |method: Method, path: &str| {
                let body = if method == Method::GET { vec![] } else { b"{}".to_vec() };
                (method, format!("{path}?{query}"), vec![], body)
            };
            return vec![
                to(Method::GET, MAPS),
                to(Method::GET, &format!("{PODS}/a/log")),
                to(Method::POST, MAPS),
                to(Method::DELETE, &format!("{MAPS}/none")),
                to(Method::PATCH, &format!("{MAPS}/none")),
            ];
        }
        let kind = ["application/json", "application/yaml"][index];
        let headers = vec![("content-type", kind.to_owned())];
        let to = |path: String| (Method::DELETE, path, headers.clone(), bytes.clone());
        vec![
            to(format!("{PODS}/a?dryRun=All")),
            to(format!("{WEB}?dryRun=All")),
            to(format!("{ANYS}/none")),
        ]
    });
}

/// Breaks when a quality is taken for a number.
#[test]
fn edited_media_types_are_answered() {
    let accepts = [
        TABLE,
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1;q=0.9, */*;q=0.1",
        "application/vnd.kubernetes.protobuf;stream=watch, application/yaml;pretty=1",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ];
    let patches =
        ["application/merge-patch+json; charset=utf-8", "application/apply-patch+yaml;x=\"y\""];
    run(300, (0..accepts.len(), edits()), |(index, edits)| {
        let header = |text: &str| {
            let text = String::from_utf8_lossy(&edited(text, &edits)).into_owned();
            // What cannot stand in a header does not reach the server.
            text.chars().filter(|c| (' '..='~').contains(c) || *c == 'é').collect::<String>()
        };
        let (accept, kind) = (vec![("accept", header(accepts[index]))], header(patches[index % 2]));
        let get = |path: &str| (Method::GET, path.to_owned(), accept.clone(), vec![]);
        vec![
            get(PODS),
            get(&format!("{ANYS}/a?includeObject=Object")),
            get("/apis"),
            get("/openapi/v3"),
            get(&format!("{MAPS}/none")),
            (
                Method::PATCH,
                format!("{MAPS}/a?dryRun=All"),
                vec![("content-type", kind.clone())],
                b"{}".to_vec(),
            ),
            (
                Method::POST,
                format!("{MAPS}?dryRun=All"),
                vec![("content-type", kind)],
                b"{}".to_vec(),
            ),
        ]
    });
}

/// Breaks when a segment of a path is taken for ASCII.
#[test]
fn edited_paths_are_answered() {
    let paths = [
        MAPS,
        WEB,
        "/apis/apps/v1/namespaces/default/deployments/web/scale",
        "/api/v1/namespaces/default/pods/a/log",
        "/api/v1/namespaces/default/finalize",
        "/openapi/v3/apis/apps/v1",
    ];
    let methods =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    run(300, (0..paths.len(), 0..methods.len(), edits()), |(index, method, edits)| {
        let path: String = edited(paths[index], &edits)
            .iter()
            .map(|byte| match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' => char::from(*byte).to_string(),
                other => format!("%{other:02x}"),
            })
            .collect();
        vec![(methods[method].clone(), format!("/{path}?dryRun=All"), vec![], b"{}".to_vec())]
    });
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

/// What is sent with so many levels is read, with one more it is refused, whatever it is a patch of.
///
/// Breaks when the limit of `k8s::json` is another.
#[tokio::test]
async fn patches_are_as_deep_as_objects() {
    let world = world().await;
    let path = format!("{ANYS}/a?fieldManager=m&force=true");
    let whole = |body: &str| {
        format!(
            r#"{{"apiVersion": "x.io/v1", "kind": "Any", "metadata": {{"name": "a"}}, "deep": {body}}}"#
        )
    };
    // The object, and the list of operations, are levels themselves.
    for (kind, around) in [("merge-patch+json", 1), ("json-patch+json", 2), ("apply-patch+yaml", 1)]
    {
        for (levels, code) in [(511, 200), (512, 200), (513, 400)] {
            let deep = nested(levels - around);
            let body = match kind {
                "merge-patch+json" => format!(r#"{{"deep": {deep}}}"#),
                "json-patch+json" => {
                    format!(r#"[{{"op": "add", "path": "/deep", "value": {deep}}}]"#)
                }
                _ => whole(&deep),
            };
            let query = if kind == "apply-patch+yaml" {
                path.as_str()
            } else {
                path.trim_end_matches("&force=true")
            };
            let media_type = format!("application/{kind}");
            let headers = [("content-type", media_type.as_str())];
            let reply = world.send(Method::PATCH, query, &headers, body.into()).await;
            assert_eq!(reply.code, code, "{kind} {levels} {}", reply.message());
        }
    }
    let options = format!(r#"{{"preconditions": {}}}"#, nested(512));
    let reply = world.send(Method::DELETE, &format!("{ANYS}/a"), &[], options.into()).await;
    assert_eq!(reply.code, 400, "{}", reply.message());
}

/// Breaks when neither the patch nor the commit looks at how deep the result is, which could never be read again.
#[tokio::test]
async fn patches_make_nothing_that_is_too_deep() {
    let world = world().await;
    let path = format!("{ANYS}/a");
    let patch = async |body: String| {
        let headers = [("content-type", "application/json-patch+json")];
        world.send(Method::PATCH, &path, &headers, Bytes::from(body)).await
    };
    let deep = nested(400);
    let add = format!(r#"[{{"op": "add", "path": "/deep", "value": {deep}}}]"#);
    assert_eq!(patch(add).await.code, 200);
    let inside = format!("/deep{}", "/0".repeat(400));
    for operation in [
        format!(r#"[{{"op": "replace", "path": "{inside}", "value": {deep}}}]"#),
        format!(r#"[{{"op": "copy", "from": "/deep", "path": "{inside}"}}]"#),
    ] {
        let reply = patch(operation).await;
        assert!(matches!(reply.code, 400 | 422), "{} {}", reply.code, reply.message());
        assert_eq!(reply.body["kind"], "Status");
    }
    let left = world.get(&path).await.body.to_string();
    assert!(left.contains(&deep), "{left}");
    assert_eq!(world.get_as(ANYS, TABLE).await.code, 200);
}

/// Breaks when copies beyond the bound are called bad syntax.
#[tokio::test]
async fn small_bodies_do_not_become_large_ones() {
    let world = world().await;
    let grow: Vec<_> = (0..40)
        .map(|index| json!({"op": "copy", "from": "/spec", "path": format!("/spec/k{index}")}))
        .collect();
    let start = json!({"spec": {"x": "y".repeat(1000)}});
    assert_eq!(world.patch(&format!("{ANYS}/a"), "merge", start).await.code, 200);
    let reply = world.patch(&format!("{ANYS}/a"), "json", json!(grow)).await;
    let text = "the server rejected our request due to an error in our request";
    assert_eq!(reply.error(), (422, "Invalid", text));
    let mut laughs = String::from(
        "apiVersion: x.io/v1\nkind: Any\nmetadata: {name: a}\nl0: &l0 [x, x, x, x, x, x, x, x, x]\n",
    );
    for level in 1..12 {
        let before = level - 1;
        let aliases = vec![format!("*l{before}"); 9].join(", ");
        laughs.extend([format!("l{level}: &l{level} [{aliases}]\n")]);
    }
    for (method, kind) in
        [(Method::POST, "application/yaml"), (Method::PATCH, "application/apply-patch+yaml")]
    {
        let path = if method == Method::POST {
            ANYS.to_owned()
        } else {
            format!("{ANYS}/a?fieldManager=m")
        };
        let headers = [("content-type", kind)];
        let reply = world.send(method, &path, &headers, Bytes::from(laughs.clone())).await;
        assert_eq!((reply.code, reply.error().1), (400, "BadRequest"), "{kind}");
    }
}

/// Breaks when YAML is taken for granted.
#[test]
fn any_bytes_are_no_apply_patch() {
    run(300, (vec(any::<u8>(), 0..80), any::<bool>()), |(bytes, edit)| {
        let text = "apiVersion: x.io/v1\nkind: Any\nmetadata: {name: a}\n";
        let body = if edit { [text.as_bytes(), &bytes].concat() } else { bytes };
        let headers = vec![("content-type", "application/apply-patch+yaml".to_owned())];
        vec![(Method::PATCH, format!("{ANYS}/a?fieldManager=m&dryRun=All"), headers, body)]
    });
}
