//! What calls functions: by HTTP, by the clock, through the API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{definition, function, trigger};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use e2e::{World, story};
use functions::{
    ExecutorOptions, Fleet, FunctionExecutor, Functions, Gateway, Interpreters, Launcher, Offer,
    Options, Routes, Surroundings, TriggerMeans, Triggers,
};
use hooks::Webhooks;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use k8s::{Resource, SharedClock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The user `ann` with the password `secret`, as htpasswd writes her.
const USERS: &str = "ann:$apr1$w9rKdOAl$dgkK3NuarFFWvSv0wQUfE0\n";
/// Answers what it was called with, or fails if the path asks for that.
const ECHO: &str = "import json
seen = []
def f(event, context):
    request = event['extensions']['request']
    if request.path == '/seen':
        return json.dumps(seen)
    call = {'method': request.method, 'path': request.path, 'query': request.query_string,
            'own': request.get_header('x-own'), 'type': event['event-type'],
            'namespace': event['event-namespace'], 'id': event['event-id'],
            'data': event['data'] if isinstance(event['data'], dict) else str(event['data'])}
    seen.append(call)
    if isinstance(event['data'], dict) and event['data'].get('fail'):
        raise ValueError('as you like')
    return call
";

fn ingresses() -> Resource {
    Resource::namespaced("networking.k8s.io/v1", "Ingress", "ingresses")
}

fn cron_jobs() -> Resource {
    Resource::namespaced("batch/v1", "CronJob", "cronjobs")
}

/// Installs the resources of functions, on a server that may have them already.
async fn install(world: &World) {
    for definition in definition::of_functions() {
        let name = definition["metadata"]["name"].as_str().unwrap();
        let key = k8s::ObjectKey::new("", name);
        let (client, resource) = (&world.client, definition::definitions());
        client.apply(&resource, &key, "windlass-e2e", definition.to_string()).await.unwrap();
    }
    let all = [function::resource(), trigger::http(), trigger::cron_job(), trigger::kafka()];
    for resource in all.into_iter().chain([trigger::nats(), trigger::kinesis()]) {
        let path = resource.collection_path(&world.id);
        let is_served = || async { world.client.get_raw(&path).await.is_ok() };
        world.eventually("the resource is served", is_served).await;
    }
}

/// Works on triggers as in a cluster, with the account that functions have in production.
async fn in_a_cluster(world: &World) -> Triggers {
    let client = world.functions_client().await;
    Triggers::start(&client, TriggerMeans::Cluster { image: "windlass".to_owned() })
}

/// Returns the UID of the only owner of an object.
fn owner(object: &Value) -> Value {
    let owners = object["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "{owners:?}");
    owners[0]["uid"].clone()
}

/// Creates the Function `f`, whose Service has another port than its pods.
async fn function(world: &World) {
    // In one process, which remembers all calls.
    let env = json!([{"name": "FUNC_CONCURRENCY", "value": "1"}]);
    let spec = json!({"runtime": "python3", "handler": "a.f", "function": ECHO, "timeout": "20",
        "deployment": {"spec": {"template": {"spec": {"containers": [{"env": env}]}}}},
        "service": {"ports": [{"name": "http", "port": 80, "targetPort": 9000}]}});
    world.create(&function::resource(), json!({"metadata": {"name": "f"}, "spec": spec})).await;
}

async fn trigger(world: &World, resource: &Resource, name: &str, spec: Value) {
    let mut spec = spec;
    if *resource == trigger::http() || *resource == trigger::cron_job() {
        spec["function-name"] = json!("f");
    }
    world.create(resource, json!({"metadata": {"name": name}, "spec": spec})).await;
}

/// Waits until a trigger has this reason.
async fn told(world: &World, resource: &Resource, name: &str, reason: &str) {
    let is_told = || async {
        world.get(resource, name).await.pointer("/status/conditions/0/reason")
            == Some(&json!(reason))
    };
    world.eventually(&format!("{name} tells {reason}"), is_told).await;
}

/// Breaks when calls are routed to the port of the pods, and when a Function that appears heals no trigger.
async fn acceptance_19_an_ingress_leads_to_the_port_of_the_service(world: &World) {
    let _triggers = in_a_cluster(world).await;
    let spec = json!({"host-name": "f.test", "path": "x", "gateway": "nginx"});
    trigger(world, &trigger::http(), "t", spec).await;
    told(world, &trigger::http(), "t", "FunctionNotFound").await;
    function(world).await;
    told(world, &trigger::http(), "t", "TriggerReady").await;
    let ingress = world.get(&ingresses(), "t").await;
    let path = &ingress["spec"]["rules"][0]["http"]["paths"][0];
    assert_eq!(path["path"], "/x");
    assert_eq!(path["backend"]["service"], json!({"name": "f", "port": {"number": 80}}));
    assert_eq!(ingress["spec"]["rules"][0]["host"], "f.test");
    assert_eq!(ingress["spec"]["ingressClassName"], "nginx");
    assert_eq!(owner(&ingress), world.get(&trigger::http(), "t").await["metadata"]["uid"]);
}
story!(acceptance_19_an_ingress_leads_to_the_port_of_the_service);

async fn an_ingress_follows_its_trigger(world: &World) {
    let _triggers = in_a_cluster(world).await;
    function(world).await;
    trigger(world, &trigger::http(), "t", json!({"gateway": "nginx"})).await;
    let rewrite = "nginx.ingress.kubernetes.io/rewrite-target";
    let changes = [
        (json!({"metadata": {"annotations": {"a": "b"}}}), json!({"a": "b", rewrite: "/"})),
        (json!({"metadata": {"annotations": {"a": "c"}}}), json!({"a": "c", rewrite: "/"})),
        (json!({"metadata": {"annotations": {"a": null}}}), json!({rewrite: "/"})),
        (json!({"spec": {"gateway": null}}), Value::Null),
    ];
    for (change, expected) in changes {
        world.patch(&trigger::http(), "t", &change).await;
        let follows = || async {
            let ingress = world.get(&ingresses(), "t").await;
            !ingress.is_null() && ingress["metadata"]["annotations"] == expected
        };
        world.eventually(&format!("annotations are {expected}"), follows).await;
    }
    let class = world.get(&ingresses(), "t").await["spec"]["ingressClassName"].take();
    assert_eq!(class, Value::Null);
    // What others change is put right again.
    let host = json!({"spec": {"rules": [{"host": "else.test"}]}});
    world.patch(&ingresses(), "t", &host).await;
    let is_right =
        || async { world.get(&ingresses(), "t").await["spec"]["rules"][0]["host"].is_null() };
    world.eventually("the rule is as it was", is_right).await;

    for spec in [json!({"host-name": "not a host"}), json!({"path": "/a//b"})] {
        world.patch(&trigger::http(), "t", &json!({"spec": spec})).await;
        told(world, &trigger::http(), "t", "InvalidSpec").await;
        world
            .patch(&trigger::http(), "t", &json!({"spec": {"host-name": null, "path": null}}))
            .await;
        told(world, &trigger::http(), "t", "TriggerReady").await;
    }
}
story!(an_ingress_follows_its_trigger);

async fn what_others_made_stands_in_the_way(world: &World) {
    let _triggers = in_a_cluster(world).await;
    function(world).await;
    let backend = json!({"service": {"name": "else", "port": {"number": 1}}});
    let ingress = json!({"metadata": {"name": "t"}, "spec": {"defaultBackend": backend}});
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "curl"}]});
    let job = json!({"metadata": {"name": "trigger-t"}, "spec": {"schedule": "@yearly",
        "jobTemplate": {"spec": {"template": {"spec": pod}}}}});
    for (made, object, resource, spec) in [
        (ingresses(), ingress, trigger::http(), json!({})),
        (cron_jobs(), job, trigger::cron_job(), json!({"schedule": "@daily"})),
    ] {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let before = world.create(&made, object).await;
        trigger(world, &resource, "t", spec).await;
        told(world, &resource, "t", "Conflict").await;
        assert_eq!(world.get(&made, &name).await, before);
        world.delete(&made, &name).await;
        told(world, &resource, "t", "TriggerReady").await;
    }
}
story!(what_others_made_stands_in_the_way);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_reached_by_a_route() {
    let world = World::embedded("a_route").await;
    let _triggers = in_a_cluster(&world).await;
    function(&world).await;
    let reference =
        |gateway: Value| json!({"metadata": {"annotations": {trigger::GATEWAY_REF: gateway}}});
    trigger(&world, &trigger::http(), "t", json!({"path": "x"})).await;
    told(&world, &trigger::http(), "t", "TriggerReady").await;
    world.patch(&trigger::http(), "t", &reference(json!("infra/edge"))).await;
    told(&world, &trigger::http(), "t", "Unsupported").await;

    let routes = Resource::namespaced("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes");
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any}}}});
    let definition = json!({
        "metadata": {"name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}},
        "spec": {"group": routes.gvk.group, "scope": "Namespaced", "versions": [version],
            "names": {"plural": routes.plural, "singular": "httproute", "kind": routes.gvk.kind,
                "listKind": "HTTPRouteList"}}});
    world.create(&definition::definitions(), definition).await;
    world.patch(&trigger::http(), "t", &reference(json!("infra/edge/web"))).await;
    told(&world, &trigger::http(), "t", "TriggerReady").await;
    let route = world.get(&routes, "t").await;
    assert_eq!(route["spec"]["parentRefs"][0]["sectionName"], "web");
    assert_eq!(route["spec"]["rules"][0]["backendRefs"], json!([{"name": "f", "port": 80}]));
    assert!(world.get(&ingresses(), "t").await.is_null(), "one of both routes");
    world.patch(&trigger::http(), "t", &reference(Value::Null)).await;
    let is_back = || async { world.get(&ingresses(), "t").await.is_object() };
    world.eventually("the Ingress is back", is_back).await;
    world.settle().await;
    assert!(world.get(&routes, "t").await.is_null(), "one of both routes");
    world.end().await;
}

async fn triggers_go_with_their_function(world: &World) {
    let _triggers = in_a_cluster(world).await;
    function(world).await;
    trigger(world, &trigger::http(), "h", json!({})).await;
    // Kubeless is not there any more to take its finalizer off.
    let old = json!({"metadata": {"name": "c", "finalizers": ["kubeless.io/cronjobtrigger"]},
        "spec": {"function-name": "f", "schedule": "@yearly"}});
    world.create(&trigger::cron_job(), old).await;
    trigger(world, &trigger::nats(), "n", json!({"topic": "t"})).await;
    let other = json!({"metadata": {"name": "other"}, "spec": {"function-name": "g"}});
    world.create(&trigger::http(), other).await;
    told(world, &trigger::http(), "h", "TriggerReady").await;
    told(world, &trigger::cron_job(), "c", "TriggerReady").await;
    world.delete(&function::resource(), "f").await;
    for (resource, name) in [(trigger::http(), "h"), (trigger::cron_job(), "c")] {
        let is_gone = || async { world.get(&resource, name).await.is_null() };
        world.eventually("the trigger goes with its Function", is_gone).await;
    }
    // Other stories work on triggers of the same server, and each of them may tell.
    let is_told = || async {
        let told = world.events("FunctionDeleted").await;
        2 <= told.len() && told.iter().all(|it| it == "Function `f` was deleted")
    };
    world.eventually("events tell why", is_told).await;
    assert!(world.get(&trigger::nats(), "n").await.is_object());
    assert!(world.get(&trigger::http(), "other").await.is_object());
}
story!(triggers_go_with_their_function);

/// Breaks when a CronJob is named after the function, and when the payload is quoted as a shell would.
async fn acceptance_20_each_trigger_has_its_own_cron_job(world: &World) {
    let _triggers = in_a_cluster(world).await;
    function(world).await;
    let spec = json!({"schedule": "@yearly", "payload": {"q": "it's"}});
    trigger(world, &trigger::cron_job(), "one", spec).await;
    let one = world.get(&trigger::cron_job(), "one").await;
    let old = json!({"metadata": {"name": "trigger-f", "ownerReferences": [{
            "apiVersion": function::API_VERSION, "kind": "CronJobTrigger", "name": "one",
            "uid": one["metadata"]["uid"]}]},
        "spec": {"schedule": "@yearly", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": "curl"}]}}}}}});
    world.create(&cron_jobs(), old).await;
    trigger(world, &trigger::cron_job(), "two", json!({"schedule": "0 4 * * 1"})).await;
    told(world, &trigger::cron_job(), "one", "TriggerReady").await;
    told(world, &trigger::cron_job(), "two", "TriggerReady").await;
    world.patch(&trigger::cron_job(), "one", &json!({"spec": {"suspend": true}})).await;
    let names = || async {
        let all = world.list(&cron_jobs()).await;
        let name = |job: &Value| job["metadata"]["name"].as_str().unwrap().to_owned();
        all.iter().map(name).collect::<Vec<_>>()
    };
    let is_replaced = || async { names().await == ["trigger-one", "trigger-two"] };
    world.eventually("the CronJob of old is replaced", is_replaced).await;
    let container = "/spec/jobTemplate/spec/template/spec/containers/0";
    let job = world.get(&cron_jobs(), "trigger-one").await;
    let call = job.pointer(&format!("{container}/env/0/value")).unwrap().as_str().unwrap();
    let call: Value = serde_json::from_str(call).unwrap();
    assert_eq!(call["url"], format!("http://f.{}.svc.cluster.local:80/", world.id));
    assert_eq!(call["payload"], r#"{"q":"it's"}"#);

    for name in ["one", "two"] {
        // The collector of the server takes each with its owner.
        let job = world.get(&cron_jobs(), &format!("trigger-{name}")).await;
        assert_eq!(owner(&job), world.get(&trigger::cron_job(), name).await["metadata"]["uid"]);
    }
    world.delete(&trigger::cron_job(), "one").await;
    let is_alone = || async { names().await == ["trigger-two"] };
    world.eventually("only the CronJob of the trigger goes", is_alone).await;

    let direct = json!({"metadata": {"annotations": {trigger::CRON_MODE: "direct"}}});
    world.patch(&trigger::cron_job(), "two", &direct).await;
    let are_none = || async { names().await.is_empty() };
    world.eventually("what windlass calls itself needs no CronJob", are_none).await;
}
story!(acceptance_20_each_trigger_has_its_own_cron_job);

async fn what_is_not_called_yet_is_told(world: &World) {
    let _triggers = in_a_cluster(world).await;
    function(world).await;
    for (resource, spec, reason) in [
        (trigger::kafka(), json!({"topic": "t", "functionSelector": {}}), "NotImplemented"),
        (trigger::nats(), json!({"topic": "t.>"}), "NotImplemented"),
        (trigger::kinesis(), json!({"stream": "s"}), "Unsupported"),
        (trigger::cron_job(), json!({"schedule": "soon"}), "InvalidSchedule"),
        (
            trigger::cron_job(),
            json!({"schedule": "@daily", "concurrencyPolicy": "x"}),
            "InvalidSpec",
        ),
        (trigger::http(), json!({"tls": true, "tls-secret": "s"}), "InvalidSpec"),
        (trigger::http(), json!({"basic-auth-secret": "s", "gateway": "kong"}), "Unsupported"),
    ] {
        let name = format!("{}-{}", resource.plural, reason.to_lowercase());
        trigger(world, &resource, &name, spec).await;
        told(world, &resource, &name, reason).await;
        world
            .eventually("an event tells", || async { !world.events(reason).await.is_empty() })
            .await;
    }
}
story!(what_is_not_called_yet_is_told);

/// Functions that run on this machine, and who calls them.
struct Here {
    world: World,
    address: String,
    _parts: (Functions, Triggers, Gateway, apiserver::ExecutorRegistration, tempfile::TempDir),
}

/// Runs the Function `f` on this machine, behind a gateway.
async fn here(story: &str) -> Here {
    let world = World::in_real_time(story).await;
    install(&world).await;
    let clock: SharedClock = Arc::new(SystemClock);
    let data = tempfile::tempdir().unwrap();
    // Without our own binary `sh` becomes the program.
    let args = ["-c", "shift; exec \"$@\"", "sh"].map(Into::into).to_vec();
    let launcher = Launcher { program: "sh".into(), args };
    let interpreters = Arc::new(Interpreters::new(Arc::clone(&clock), "windlass".into()));
    let (fleet, routes) = (Fleet::new(Arc::new(world.api().clone())), Routes::default());
    let fetch = Webhooks::new(Arc::clone(&clock), world.client.activity().clone()).unwrap();
    let options = ExecutorOptions {
        data: data.path().to_owned(),
        launcher,
        interpreters: Arc::clone(&interpreters),
        clock,
        fetch: Arc::new(fetch),
        gateway: None,
    };
    let executor = FunctionExecutor::new(world.client.clone(), fleet.clone(), options);
    let executor = world.api().register_executor("functions", Arc::new(executor)).unwrap();
    let options = Options {
        surroundings: Surroundings { image: "windlass".to_owned(), executor: Some("functions") },
        offer: Offer::Machine(interpreters),
        environment: BTreeMap::new(),
        served: Arc::new(|_| {}),
    };
    let functions = Functions::start(&world.client, options);
    let means = TriggerMeans::Here(fleet.clone(), routes.clone());
    let triggers = Triggers::start(&world.client, means);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gateway = Gateway::start(listener, fleet, routes).unwrap();
    function(&world).await;
    let is_ready = || async {
        let status = world.get(&function::resource(), "f").await["status"].take();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    world.eventually("the function answers", is_ready).await;
    Here { world, address, _parts: (functions, triggers, gateway, executor, data) }
}

impl Here {
    /// Calls the gateway and returns the status, the headers and the body.
    async fn call(
        &self,
        (method, path, host): (&str, &str, &str),
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> (u16, HeaderMap, String) {
        let request = Request::builder().method(method).header("host", host);
        let mut request = request.uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = HttpClient::builder(TokioExecutor::new()).build_http();
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
        whole(client.request(request).await.unwrap()).await
    }

    /// Returns what the function was called with.
    async fn seen(&self) -> Vec<Value> {
        let host = format!("f.{}", self.world.id);
        let (status, _, body) = self.call(("GET", "/seen", &host), &[], "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

async fn whole<B: hyper::body::Body<Data = Bytes>>(
    response: Response<B>,
) -> (u16, HeaderMap, String)
where
    B::Error: std::fmt::Debug,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8_lossy(&body).into_owned())
}

/// Breaks when a wrong password is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_19_the_gateway_lets_the_right_callers_in() {
    let here = here("the_gateway").await;
    let world = &here.world;
    let spec = json!({"host-name": "f.test", "path": "/api", "basic-auth-secret": "users",
        "cors-enable": true});
    trigger(world, &trigger::http(), "t", spec).await;
    told(world, &trigger::http(), "t", "SecretNotFound").await;
    let password = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let right = password("ann:secret");
    let (status, ..) = here.call(("GET", "/api", "f.test"), &[("authorization", &right)], "").await;
    assert_eq!(status, 401, "nobody is let in without a Secret");
    let secrets = Resource::namespaced("v1", "Secret", "secrets");
    let secret = json!({"metadata": {"name": "users"}, "data": {"auth": STANDARD.encode(USERS)}});
    world.create(&secrets, secret).await;
    told(world, &trigger::http(), "t", "TriggerReady").await;

    let wrong = password("ann:Secret");
    let (status, headers, _) =
        here.call(("GET", "/api/a", "f.test"), &[("authorization", &wrong)], "").await;
    assert_eq!(status, 401);
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    let headers =
        [("authorization", right.as_str()), ("x-own", "y"), ("content-type", "application/json")];
    let (status, headers, body) =
        here.call(("PUT", "/api/a%20b/?c=d", "F.test:80"), &headers, r#"{"e": 1}"#).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(headers["access-control-allow-origin"], "*");
    let body: Value = serde_json::from_str(&body).unwrap();
    for (field, expected) in [
        ("method", json!("PUT")),
        ("path", json!("/a b/")),
        ("query", json!("c=d")),
        ("own", json!("y")),
        ("data", json!({"e": 1})),
    ] {
        assert_eq!(body[field], expected, "{field}");
    }
    let asks = [("origin", "http://page"), ("access-control-request-method", "PATCH")];
    let (status, headers, _) = here.call(("OPTIONS", "/api", "f.test"), &asks, "").await;
    assert_eq!((status, headers["access-control-allow-methods"].to_str().unwrap()), (200, "PATCH"));

    let own = format!("f.{}.svc.cluster.local:80", world.id);
    let other = format!("f.{}:81", world.id);
    for (host, path, expected) in [
        ("f.test", "/apis", 404),
        ("else.test", "/api", 404),
        (&own, "/api", 200),
        (&other, "/", 404),
    ] {
        let (status, _, body) = here.call(("GET", path, host), &[], "").await;
        assert_eq!(status, expected, "{host} {path}: {body}");
    }

    world.patch(&trigger::http(), "t", &json!({"spec": {"tls-secret": "certificate"}})).await;
    let is_remarked = || async {
        let ready = world.get(&trigger::http(), "t").await["status"]["conditions"][0].take();
        let message = ready["message"].as_str().unwrap_or_default();
        ready["status"] == "True" && message.contains("TLS is not supported yet")
    };
    world.eventually("the trigger tells that TLS is missing", is_remarked).await;
    world.patch(&trigger::http(), "t", &json!({"spec": {"host-name": "no host"}})).await;
    told(world, &trigger::http(), "t", "InvalidSpec").await;
    let (status, ..) = here.call(("GET", "/api", "f.test"), &[("authorization", &right)], "").await;
    assert_eq!(status, 404, "nothing is routed by what is refused");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_called_through_the_api_server() {
    let here = here("through_the_api").await;
    let client = kube::Client::new(here.world.api().service(), "default");
    let base = format!("/api/v1/namespaces/{}/services", here.world.id);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}/http:f:80/proxy/a%20b/?c=d"))
            .header("x-own", "y")
            .header("content-type", "application/json");
        let body = if method == "GET" { vec![] } else { br#"{"e": 1}"#.to_vec() };
        let answer = client.request_text(request.body(body).unwrap()).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let told = ["method", "path", "query", "own"].map(|field| answer[field].clone());
        assert_eq!(json!(told), json!([method, "/a b/", "c=d", "y"]));
        assert_eq!(answer["data"] == json!({"e": 1}), method != "GET", "{method}: {answer}");
    }
    for (name, expected) in [("f", true), ("f:http", true), ("f:81", false), ("f:other", false)] {
        let asked = here.world.client.get_raw(&format!("{base}/{name}/proxy/seen")).await;
        assert_eq!(asked.is_ok(), expected, "{name}: {asked:?}");
    }
    here.world.end().await;
}

/// Breaks when any answer counts as a success, and when the payload is quoted as a shell would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_20_the_clock_calls() {
    let here = here("the_clock").await;
    let world = &here.world;
    let every = |payload: Value| json!({"schedule": "@every 2s", "payload": payload});
    trigger(world, &trigger::cron_job(), "good", every(json!({"q": "it's"}))).await;
    trigger(world, &trigger::cron_job(), "bad", every(json!({"fail": true}))).await;
    trigger(world, &trigger::cron_job(), "bare", json!({"schedule": "@every 2s"})).await;
    for (name, expected) in [("good", "Succeeded"), ("bad", "Failed"), ("bare", "Succeeded")] {
        let is_told = || async {
            let status = world.get(&trigger::cron_job(), name).await["status"].take();
            status["lastStatus"] == expected
                && status["lastScheduleTime"].is_string()
                && status["nextScheduleTime"].is_string()
        };
        world.eventually(&format!("{name} is {expected}"), is_told).await;
    }
    let status = world.get(&trigger::cron_job(), "bad").await["status"].take();
    let why = status["lastMessage"].as_str().unwrap();
    assert!(why.starts_with("the function answered 500 Internal Server Error: "), "{why}");
    assert!(!world.events("CallFailed").await.is_empty());

    let seen = here.seen().await;
    let call = |data: &Value| seen.iter().find(|call| call["data"] == *data).cloned().unwrap();
    let good = call(&json!({"q": "it's"}));
    assert_eq!(good["method"], "POST");
    assert_eq!(good["namespace"], "cronjobtrigger.kubeless.io");
    assert_eq!(good["type"], "application/json");
    let bare: Vec<_> = seen.iter().filter(|call| call["method"] == "GET").collect();
    assert!(!bare.is_empty());
    let ids: BTreeSet<_> = seen.iter().map(|call| call["id"].to_string()).collect();
    assert_eq!(ids.len(), seen.len(), "each call has an id of its own");

    world.delete(&trigger::cron_job(), "good").await;
    let ends = || async { world.get(&trigger::cron_job(), "good").await.is_null() };
    world.eventually("the trigger is gone", ends).await;
    // How many calls were made for the trigger that is gone, and for the others.
    let calls = || async {
        let seen = here.seen().await;
        let good = seen.iter().filter(|call| call["data"] == json!({"q": "it's"})).count();
        (good, seen.len() - good)
    };
    let others_go_on = |from: usize| async move {
        let go_on = || async { from + 4 <= calls().await.1 };
        world.eventually("the others go on", go_on).await;
    };
    // A call that was under way may still come.
    others_go_on(calls().await.1).await;
    let before = calls().await;
    others_go_on(before.1).await;
    assert_eq!(calls().await.0, before.0);
    world.end().await;
}
