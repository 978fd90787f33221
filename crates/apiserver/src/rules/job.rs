//! Pure: the rules of Jobs.

use std::collections::BTreeSet;

use k8s::selector::Selector;
use serde_json::{Value, json};

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, number, text},
    rules::{Errors, given, go_shown, pod},
};

/// What the reference calls the indexes that a status names.
const LISTED: &str = "indexes in the specified succeededIndexes field";

/// How many pods with indexes may run at once.
const MOST_AT_ONCE: i64 = 100_000;

/// The label by which a Job finds its pods.
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

pub(super) fn job(path: &FieldPath, new: &Value, old: Option<&Value>, errors: &mut Errors) {
    generated_selector(path, new, errors);
    job_spec(path, &new["spec"], errors);
    if let Some(old) = old {
        // The reference looks at the whole spec again when it is updated, and says everything twice.
        job_spec(path, &new["spec"], errors);
        update(path, new, old, errors);
    }
}

fn job_spec(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    counts(path, spec, errors);
    failure_policy(&path.child("podFailurePolicy"), spec, errors);
    success_policy(&path.child("successPolicy"), spec, errors);
    replacement(path, spec, errors);
    labels(path, spec, errors);
    let template = path.child("template");
    pod::template(&template, spec.get("template"), errors);
    let policy = text(spec, "/template/spec/restartPolicy");
    let restart = template.child("spec").child("restartPolicy");
    if !["OnFailure", "Never"].contains(&policy) {
        errors.push(FieldError::required(&restart, "valid values: \"OnFailure\", \"Never\""));
    } else if policy != "Never" && given(spec, "podFailurePolicy").is_some() {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.invalid(&restart, policy, detail);
    }
}

/// A selector that nobody vouches for must be the one that finds only the Job's own pods.
fn generated_selector(path: &FieldPath, new: &Value, errors: &mut Errors) {
    let spec = &new["spec"];
    let labels = path.child("template").child("metadata").child("labels");
    let path = path.child("selector");
    let Some(selector) = given(spec, "selector") else { return errors.required(&path) };
    if spec.get("manualSelector") == Some(&json!(true)) {
        return;
    }
    let (uid, name) = (text(new, "/metadata/uid"), text(new, "/metadata/name"));
    for prefix in ["", "batch.kubernetes.io/"] {
        for (label, value) in [("controller-uid", uid), ("job-name", name)] {
            let label = format!("{prefix}{label}");
            let given = spec.pointer("/template/metadata/labels").and_then(|it| it.get(&label));
            if given.is_none_or(|given| given != value) {
                let detail = format!("must be '{value}'");
                errors.push(FieldError::required(labels.key(&label), detail));
            }
        }
    }
    let generated = json!({"matchLabels": {CONTROLLER_UID: uid}});
    let is_old = selector["matchLabels"]["controller-uid"] == uid;
    if *selector != generated && !is_old {
        errors.invalid(&path, selector.clone(), "`selector` not auto-generated");
    }
}

fn counts(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    for name in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ] {
        errors.not_negative(path, spec, name);
    }
    let mode = text(spec, "/completionMode");
    errors.one_of(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    let (per_index, most) = (given(spec, "backoffLimitPerIndex"), given(spec, "maxFailedIndexes"));
    if most.is_some() && per_index.is_none() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(path.child("backoffLimitPerIndex"), detail));
    }
    if mode == "Indexed" {
        let parallelism = number(spec, "/parallelism");
        if MOST_AT_ONCE < parallelism {
            let detail = format!(
                "must be less than or equal to {MOST_AT_ONCE} when completion mode is Indexed"
            );
            errors.invalid(&path.child("parallelism"), parallelism, detail);
        }
        if given(spec, "completions").is_none() {
            let detail = "when completion mode is Indexed";
            errors.push(FieldError::required(path.child("completions"), detail));
        }
        if let Some(most) = most.and_then(Value::as_i64)
            && number(spec, "/completions") < most
        {
            let detail = "must be less than or equal to completions";
            errors.invalid(&path.child("maxFailedIndexes"), most, detail);
        }
    } else {
        for (name, value) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", most)] {
            if let Some(value) = value.filter(|_| mode == "NonIndexed") {
                errors.invalid(
                    &path.child(name),
                    value.clone(),
                    "requires indexed completion mode",
                );
            }
        }
    }
    if let Some(manager) = given(spec, "managedBy").and_then(Value::as_str)
        && !manager
            .split_once('/')
            .is_some_and(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.invalid(&path.child("managedBy"), manager, detail);
    }
}

fn failure_policy(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let containers = ["/template/spec/containers", "/template/spec/initContainers"];
    let names = containers.iter().flat_map(|it| list(spec, it)).map(|it| text(it, "/name"));
    let names: BTreeSet<_> = names.collect();
    for (index, rule) in list(spec, "/podFailurePolicy/rules").iter().enumerate() {
        let path = path.child("rules").index(index);
        let action = text(rule, "/action");
        errors.one_of(&path.child("action"), action, &["Count", "FailIndex", "FailJob", "Ignore"]);
        if action == "FailIndex" && given(spec, "backoffLimitPerIndex").is_none() {
            let detail = "requires the backoffLimitPerIndex to be set";
            errors.invalid(&path.child("action"), action, detail);
        }
        let (codes, conditions) = (given(rule, "onExitCodes"), list(rule, "/onPodConditions"));
        if let Some(codes) = codes {
            exit_codes(&path.child("onExitCodes"), codes, &names, errors);
        }
        for (index, condition) in conditions.iter().enumerate() {
            let path = path.child("onPodConditions").index(index);
            let statuses = ["False", "True", "Unknown"];
            errors.one_of(&path.child("status"), text(condition, "/status"), &statuses);
        }
        let detail = match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(FieldError::invalid_without_value(&path, detail));
    }
}

fn exit_codes(path: &FieldPath, codes: &Value, names: &BTreeSet<&str>, errors: &mut Errors) {
    let operator = text(codes, "/operator");
    errors.one_of(&path.child("operator"), operator, &["In", "NotIn"]);
    if let Some(name) = given(codes, "containerName").and_then(Value::as_str)
        && !names.contains(name)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.invalid(&path.child("containerName"), name, detail);
    }
    let path = path.child("values");
    let values: Vec<_> = list(codes, "/values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        errors.invalid(&path, json!([]), "at least one value is required");
    }
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.invalid(&path.index(index), 0, "must not be 0 for the In operator");
        }
        if !seen.insert(value) {
            errors.push(FieldError::duplicate(path.index(index), *value));
        }
    }
    if !values.is_sorted() {
        errors.invalid(&path, values, "must be ordered");
    }
}

fn success_policy(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let Some(policy) = given(spec, "successPolicy") else { return };
    if text(spec, "/completionMode") != "Indexed" {
        let rules = list(policy, "/rules").iter().map(|rule| {
            let field = |name: &str| rule.get(name).cloned().unwrap_or_default();
            let (indexes, count) = (field("succeededIndexes"), field("succeededCount"));
            format!("{{\"SucceededIndexes\":{indexes},\"SucceededCount\":{count}}}")
        });
        let shown = format!("{{\"Rules\":[{}]}}", rules.collect::<Vec<_>>().join(","));
        let detail = "requires indexed completion mode";
        return errors.push(FieldError::shown_invalid(path, &shown, detail));
    }
    let completions = number(spec, "/completions");
    for (index, rule) in list(policy, "/rules").iter().enumerate() {
        let path = path.child("rules").index(index);
        let (count, written) = (given(rule, "succeededCount"), given(rule, "succeededIndexes"));
        if count.is_none() && written.is_none() {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&path, detail));
        }
        let (most, what) =
            match written.and_then(Value::as_str).map(|it| (it, indexes(it, completions))) {
                None => (completions, "specified completions"),
                Some((_, Ok(count))) => (count, LISTED),
                Some((written, Err(why))) => {
                    let detail = format!("error parsing succeededIndexes: {why}");
                    errors.invalid(&path.child("succeededIndexes"), written, detail);
                    (0, LISTED)
                }
            };
        if let Some(count) = count.and_then(Value::as_i64).filter(|it| most < *it) {
            let detail = format!("must be less than or equal to {most} (the number of {what})");
            errors.invalid(&path.child("succeededCount"), count, detail);
        }
    }
}

/// Returns how many indexes a text such as `0,2-4` lists, which all must be below `completions`, or why it lists
/// none.
fn indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut count = 0;
    let mut previous: Option<i64> = None;
    for fragment in text.split(',').filter(|_| !text.is_empty()) {
        let parts: Vec<_> = fragment.split('-').collect();
        if 2 < parts.len() {
            return Err(format!(
                "the fragment \"{fragment}\" violates the requirement that an index interval can have at \
                 most two parts separated by '-'"
            ));
        }
        let mut first = None;
        for part in parts {
            let index: i64 = part
                .parse()
                .map_err(|_| format!("cannot convert string to integer for index: \"{part}\""))?;
            if completions <= index {
                return Err(format!("too large index: \"{part}\""));
            }
            if let Some(previous) = previous.filter(|previous| index <= *previous) {
                return Err(format!(
                    "non-increasing order, previous: {previous}, current: {index}"
                ));
            }
            count += first.map_or(1, |first| index - first);
            (first, previous) = (Some(index), Some(index));
        }
    }
    Ok(count)
}

fn replacement(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let policies: &[&str] = match given(spec, "podFailurePolicy") {
        Some(_) => &["Failed"],
        None => &["Failed", "TerminatingOrFailed"],
    };
    let policy = text(spec, "/podReplacementPolicy");
    errors.one_of(&path.child("podReplacementPolicy"), policy, policies);
}

fn labels(path: &FieldPath, spec: &Value, errors: &mut Errors) {
    let labels = spec.pointer("/template/metadata/labels").cloned().unwrap_or_default();
    let texts = serde_json::from_value(labels.clone()).unwrap_or_default();
    let selector = given(spec, "selector").map(Selector::from_label_selector);
    if !selector.and_then(Result::ok).is_some_and(|it| it.matches(&texts)) {
        let path = path.child("template").child("metadata").child("labels");
        errors.invalid(&path, labels, "`selector` does not match template `labels`");
    }
}

fn update(path: &FieldPath, new: &Value, old: &Value, errors: &mut Errors) {
    let (spec, before) = (&new["spec"], &old["spec"]);
    completions(path, spec, before, errors);
    errors.immutable(&path.child("selector"), spec.get("selector"), before.get("selector"));
    template(&path.child("template"), (spec, before), &old["status"], errors);
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"] {
        errors.immutable(&path.child(name), spec.get(name), before.get(name));
    }
    let policy = spec.get("successPolicy");
    errors.immutable(&path.child("successPolicy"), policy, before.get("successPolicy"));
}

/// What the pods look like may change only where they run, and only while a Job waits for its first start.
fn template(path: &FieldPath, specs: (&Value, &Value), status: &Value, errors: &mut Errors) {
    let (new, old) = (&specs.0["template"], &specs.1["template"]);
    let is_loose = specs.1["suspend"] == true && given(status, "startTime").is_none();
    let (path, is_same, shown) = if is_loose {
        let is_same = scheduled_alike(new) == scheduled_alike(old);
        (path.child("spec"), is_same, &new["spec"])
    } else {
        (path.clone(), new == old, new)
    };
    if !is_same {
        errors.push(FieldError::shown_invalid(path, &go_shown(shown), "field is immutable"));
    }
}

/// Only Jobs with indexes may change how many there are, if as many run at once.
fn completions(path: &FieldPath, spec: &Value, before: &Value, errors: &mut Errors) {
    let path = path.child("completions");
    let (now, was) = (spec.get("completions"), before.get("completions"));
    if text(spec, "/completionMode") != "Indexed" {
        errors.immutable(&path, now, was);
    } else if now != was && (now != spec.get("parallelism") || was != before.get("parallelism")) {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.invalid(&path, now.cloned().unwrap_or_default(), detail);
    }
}

/// Returns the spec of a template without what decides where its pods run, which may still change while
/// the Job is suspended.
fn scheduled_alike(template: &Value) -> Value {
    let mut spec = template["spec"].clone();
    if let Some(fields) = spec.as_object_mut() {
        for name in ["affinity", "nodeSelector", "schedulingGates", "tolerations"] {
            fields.remove(name);
        }
        for name in ["initContainers", "containers"] {
            let containers = fields.get_mut(name).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.remove("resources");
            }
        }
    }
    spec
}
