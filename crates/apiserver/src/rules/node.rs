//! Pure: the rules of nodes.

use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    fields::{list, text},
    lifecycle::metadata,
    rules::{Errors, address},
};

pub(super) fn node(new: &Value, old: Option<&Value>, errors: &mut Errors) {
    taints(list(new, "/spec/taints"), errors);
    networks(list(new, "/spec/podCIDRs"), errors);
    let Some(old) = old else { return };
    let before = text(old, "/spec/providerID");
    if !before.is_empty() && before != text(new, "/spec/providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.providerID", why));
    }
    let before = list(old, "/spec/podCIDRs");
    if !before.is_empty() && before != list(new, "/spec/podCIDRs") {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.podCIDRs", why));
    }
}

fn networks(networks: &[Value], errors: &mut Errors) {
    let path = FieldPath::new("spec.podCIDRs");
    let mut families = vec![];
    for (index, network) in networks.iter().filter_map(Value::as_str).enumerate() {
        families.extend(address::network(&path.index(index), network, errors));
    }
    if !matches!(families.as_slice(), [] | [_] | [true, false] | [false, true]) {
        let why = "may specify no more than one CIDR for each IP family";
        errors.invalid(&path, networks, why);
    }
}

fn taints(taints: &[Value], errors: &mut Errors) {
    let mut seen = vec![];
    for (index, taint) in taints.iter().enumerate() {
        // The reference looks for them where they were before v1.
        let path = FieldPath::new("metadata.taints").index(index);
        let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
        for why in metadata::qualified_name(key) {
            errors.invalid(&path.child("key"), key, why);
        }
        let why = metadata::label_value(text(taint, "/value"));
        if !why.is_empty() {
            errors.invalid(&path.child("value"), text(taint, "/value"), why.join(";"));
        }
        if effect.is_empty() {
            errors.required(&path.child("effect"));
        } else {
            let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.one_of(&path.child("effect"), effect, &known);
        }
        if seen.contains(&(key, effect)) {
            let mut error = FieldError::duplicate(&path, "");
            error.message = format!(
                "Duplicate value: {{\"Key\":\"{key}\",\"Value\":\"{}\",\"Effect\":\"{effect}\",\
                 \"TimeAdded\":null}}: taints must be unique by key and effect pair",
                text(taint, "/value")
            );
            errors.push(error);
        }
        seen.push((key, effect));
    }
}
