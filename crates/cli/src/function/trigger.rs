//! Pure: the triggers of Functions: what flags make of them, and how they are listed.

use api::function::{API_VERSION, CREATED_BY};
use k8s::{ObjectKey, Resource};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::listing::text;
use crate::views::table::aligned;

/// What triggers a Function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests from outside the cluster.
    Http,
    /// Time.
    Cronjob,
    /// Messages of Kafka.
    Kafka,
    /// Messages of NATS.
    Nats,
}

/// The fields of a trigger's spec that flags set.
pub type Fields = Map<String, Value>;

/// Why flags make no trigger.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TriggerError {
    /// The payload is no object.
    #[error("the payload is no object: {0}")]
    Payload(String),
    /// The name of the payload's file does not say how to read it.
    #[error("`{0}` is neither a .json nor a .yaml file")]
    File(String),
    /// The selector is none.
    #[error("`{0}` is no list of labels such as `team=a,tier=b`")]
    Selector(String),
}

/// What flags say of an HTTPTrigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpWish {
    /// The Function that is called.
    pub function: Option<String>,
    /// The host; all hosts if absent.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// What routes requests.
    pub gateway: Option<String>,
    /// The Secret with the certificate.
    pub tls_secret: Option<String>,
    /// Whether a certificate is to be got.
    pub tls_acme: Option<bool>,
    /// The Secret with users and passwords.
    pub basic_auth_secret: Option<String>,
    /// Whether pages of other origins may call.
    pub cors: Option<bool>,
}

impl HttpWish {
    /// Returns the fields that were given.
    pub fn fields(&self) -> Fields {
        let texts = [
            ("function-name", &self.function),
            ("host-name", &self.hostname),
            ("path", &self.path),
            ("gateway", &self.gateway),
            ("tls-secret", &self.tls_secret),
            ("basic-auth-secret", &self.basic_auth_secret),
        ];
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
        let switches = [("tls", self.tls_acme), ("cors-enable", self.cors)];
        let switches = switches.into_iter().filter_map(|(name, is_on)| Some((name, json!(is_on?))));
        texts.chain(switches).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What flags say of a CronJobTrigger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CronjobWish {
    /// The Function that is called.
    pub function: Option<String>,
    /// When.
    pub schedule: Option<String>,
    /// What it is called with.
    pub payload: Option<Value>,
}

impl CronjobWish {
    /// Returns the fields that were given.
    pub fn fields(&self) -> Fields {
        let fields = [
            ("function-name", self.function.as_ref().map(|name| json!(name))),
            ("schedule", self.schedule.as_ref().map(|schedule| json!(schedule))),
            ("payload", self.payload.clone()),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Kind {
    /// Returns the resource of its triggers.
    pub fn resource(self) -> Resource {
        let (kind, plural) = match self {
            Self::Http => ("HTTPTrigger", "httptriggers"),
            Self::Cronjob => ("CronJobTrigger", "cronjobtriggers"),
            Self::Kafka => ("KafkaTrigger", "kafkatriggers"),
            Self::Nats => ("NATSTrigger", "natstriggers"),
        };
        Resource::namespaced(API_VERSION, kind, plural)
    }
}

/// Returns a trigger with the fields that were given.
pub fn create(kind: Kind, key: &ObjectKey, fields: Fields) -> Value {
    let labels = json!({CREATED_BY.0: CREATED_BY.1});
    let mut trigger = json!({
        "apiVersion": API_VERSION, "kind": kind.resource().gvk.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels}});
    trigger["spec"] = Value::Object(fields);
    trigger
}

/// Changes in a trigger what was given, and nothing else.
pub fn update(trigger: &mut Value, mut fields: Fields) {
    // Either says where the certificate is from; the one that is given replaces the other.
    for (given, other) in [("tls", "tls-secret"), ("tls-secret", "tls")] {
        if fields.get(given).is_some_and(|value| *value != json!(false)) {
            fields.entry(other).or_insert(Value::Null);
        }
    }
    let spec = &mut trigger["spec"];
    if !spec.is_object() {
        *spec = json!({});
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.extend(fields);
        spec.retain(|_, value| !value.is_null());
    }
}

/// Returns the fields of a trigger by messages.
///
/// # Errors
///
/// [`TriggerError`] if the selector is none.
pub fn topic_fields(topic: Option<&str>, selector: Option<&str>) -> Result<Fields, TriggerError> {
    let mut fields = Fields::new();
    if let Some(topic) = topic {
        fields.insert("topic".to_owned(), json!(topic));
    }
    if let Some(text) = selector {
        let label = |word: &str| {
            let (name, value) = word.split_once('=')?;
            let is_plain = !name.ends_with('!') && !name.trim().is_empty();
            let value = value.trim_start_matches('=').trim();
            is_plain.then(|| (name.trim().to_owned(), json!(value)))
        };
        let words = text.split(',').filter(|word| !word.trim().is_empty());
        let labels: Option<Map<_, _>> = words.map(label).collect();
        let labels = labels.ok_or_else(|| TriggerError::Selector(text.to_owned()))?;
        fields.insert("functionSelector".to_owned(), json!({"matchLabels": labels}));
    }
    Ok(fields)
}

/// Reads a payload that is given on the command line.
///
/// # Errors
///
/// [`TriggerError`] if it is no object.
pub fn payload(text: &str) -> Result<Value, TriggerError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| TriggerError::Payload(error.to_string()))?;
    object(value)
}

/// Reads a payload from a file of this name.
///
/// # Errors
///
/// [`TriggerError`] if it is no object, or the name does not say what it is.
pub fn payload_of_file(name: &str, content: &str) -> Result<Value, TriggerError> {
    let end = name.rsplit('.').next().unwrap_or_default();
    if end == "json" {
        return payload(content);
    }
    if !["yaml", "yml"].contains(&end) {
        return Err(TriggerError::File(name.to_owned()));
    }
    let documents = k8s::yaml::documents(content);
    let documents = documents.map_err(|error| TriggerError::Payload(error.to_string()))?;
    object(documents.into_iter().next().map_or(Value::Null, |document| document.value))
}

fn object(value: Value) -> Result<Value, TriggerError> {
    if value.is_object() { Ok(value) } else { Err(TriggerError::Payload(value.to_string())) }
}

/// Returns a table of triggers.
pub fn table(kind: Kind, triggers: &[Value]) -> String {
    let titles: &[_] = match kind {
        Kind::Http => &["FUNCTION NAME"],
        Kind::Cronjob => &["SCHEDULE", "FUNCTION NAME"],
        Kind::Kafka | Kind::Nats => &["TOPIC", "FUNCTION SELECTOR"],
    };
    let head = ["NAME", "NAMESPACE"].iter().chain(titles).map(|title| (*title).to_owned());
    let rows = triggers.iter().map(|trigger| row(kind, trigger));
    aligned(&std::iter::once(head.collect()).chain(rows).collect::<Vec<_>>())
}

fn row(kind: Kind, trigger: &Value) -> Vec<String> {
    let (meta, spec) = (&trigger["metadata"], &trigger["spec"]);
    let mut row = vec![text(&meta["name"]), text(&meta["namespace"])];
    let function = text(&spec["function-name"]);
    row.extend(match kind {
        Kind::Http => vec![function],
        Kind::Cronjob => vec![text(&spec["schedule"]), function],
        Kind::Kafka | Kind::Nats => {
            vec![text(&spec["topic"]), selector(&spec["functionSelector"])]
        }
    });
    row
}

/// Writes a selector on one line.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<_> = labels.map(|(name, value)| format!("{name}={}", text(value))).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let values = expression["values"].as_array().into_iter().flatten().map(text);
        let values = values.collect::<Vec<_>>().join(",");
        let name = text(&expression["key"]);
        parts.push(match expression["operator"].as_str().unwrap_or_default() {
            "Exists" => name,
            "DoesNotExist" => format!("!{name}"),
            "NotIn" => format!("{name} notin ({values})"),
            _ => format!("{name} in ({values})"),
        });
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_trigger_has_the_fields_that_were_given() {
        let wish = HttpWish {
            function: Some("f".to_owned()),
            gateway: Some("nginx".to_owned()),
            cors: Some(true),
            ..HttpWish::default()
        };
        assert_eq!(
            create(Kind::Http, &ObjectKey::new("ops", "t"), wish.fields()),
            json!({"apiVersion": "kubeless.io/v1beta1", "kind": "HTTPTrigger",
                "metadata": {"name": "t", "namespace": "ops", "labels": {"created-by": "kubeless"}},
                "spec": {"function-name": "f", "gateway": "nginx", "cors-enable": true}})
        );
    }

    #[test]
    fn an_update_keeps_what_is_not_given() {
        let spec = |wish: HttpWish| {
            let mut trigger =
                json!({"spec": {"function-name": "f", "path": "a", "tls-secret": "s"}});
            update(&mut trigger, wish.fields());
            trigger["spec"].take()
        };
        assert_eq!(
            spec(HttpWish { path: Some("b".to_owned()), ..HttpWish::default() }),
            json!({"function-name": "f", "path": "b", "tls-secret": "s"})
        );
        assert_eq!(
            spec(HttpWish { tls_acme: Some(true), ..HttpWish::default() }),
            json!({"function-name": "f", "path": "a", "tls": true})
        );
        let mut empty = json!({});
        let wish = CronjobWish { schedule: Some("@daily".to_owned()), ..CronjobWish::default() };
        update(&mut empty, wish.fields());
        assert_eq!(empty, json!({"spec": {"schedule": "@daily"}}));
    }

    #[test]
    fn a_payload_is_an_object() {
        assert_eq!(payload(r#"{"q": "it's"}"#), Ok(json!({"q": "it's"})));
        assert_eq!(payload_of_file("p.yaml", "q: 1\n"), Ok(json!({"q": 1})));
        assert_eq!(payload_of_file("p.json", "{}"), Ok(json!({})));
        for text in ["[1]", "null", "{", "q: 1"] {
            assert!(matches!(payload(text), Err(TriggerError::Payload(_))), "{text}");
        }
        assert!(payload_of_file("p.yaml", "- 1\n").is_err());
        assert_eq!(payload_of_file("p.txt", "{}"), Err(TriggerError::File("p.txt".to_owned())));
    }

    #[test]
    fn a_selector_is_a_list_of_labels() {
        let read = |text| topic_fields(Some("t"), Some(text));
        let labels = json!({"matchLabels": {"team": "a", "tier": "b"}});
        for text in ["team=a,tier=b", "team==a, tier = b"] {
            assert_eq!(read(text).unwrap()["functionSelector"], labels);
        }
        for text in ["team", "team!=a", "team in (a)", "=a"] {
            assert_eq!(read(text), Err(TriggerError::Selector(text.to_owned())));
        }
    }

    #[test]
    fn triggers_are_listed() {
        let trigger =
            |spec: Value| json!({"metadata": {"name": "t", "namespace": "ops"}, "spec": spec});
        let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "Exists"}]});
        let lists = [
            (Kind::Http, json!({"function-name": "f"})),
            (Kind::Cronjob, json!({"function-name": "f", "schedule": "@every 2s"})),
            (Kind::Kafka, json!({"topic": "t", "functionSelector": selector})),
        ];
        let tables = lists.map(|(kind, spec)| table(kind, &[trigger(spec)]));
        assert_snapshot!(tables.concat(), @r"
        NAME  NAMESPACE  FUNCTION NAME
        t     ops        f
        NAME  NAMESPACE  SCHEDULE   FUNCTION NAME
        t     ops        @every 2s  f
        NAME  NAMESPACE  TOPIC  FUNCTION SELECTOR
        t     ops        t      a=b,c in (d,e),f
        ");
    }
}
