//! Pure: which port of a Function's Service leads to which port of its pods.

use serde_json::Value;
use thiserror::Error;

use crate::function::Function;

/// The port where nothing else is said.
const USUAL: u16 = 8080;

/// Where a Function is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The port of its Service.
    pub service: u16,
    /// The port of its pods that this one leads to.
    pub function: u16,
}

/// Why a Function's Service leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PortsError {
    /// The first port has no number.
    #[error("`spec.service.ports[0].port` is no port: {0}")]
    Port(String),
    /// Its target is no port.
    #[error("`spec.service.ports[0].targetPort` is no port: {0}")]
    Target(String),
    /// Its target is the name of no port.
    #[error("`spec.service.ports[0].targetPort` is `{0}`, which is no port of the first container")]
    Unnamed(String),
}

impl Ports {
    /// Returns the ports of a Function, of which the first of its Service counts.
    pub(crate) fn of(function: &Function) -> Result<Self, PortsError> {
        let Some(first) = function.service.pointer("/ports/0") else {
            return Ok(Self { service: USUAL, function: USUAL });
        };
        let service =
            number(&first["port"]).ok_or_else(|| PortsError::Port(first["port"].to_string()))?;
        let target = &first["targetPort"];
        let function = match target {
            Value::Null => service,
            // What tools of old write for "no target".
            target if *target == 0 || target == "" => service,
            Value::String(name) if name.parse::<u16>().is_err() => named(function, name)?,
            target => number(target).ok_or_else(|| PortsError::Target(target.to_string()))?,
        };
        Ok(Self { service, function })
    }
}

/// Returns a port that is written as a number or as the text of one; tools of old write 0 for none.
fn number(value: &Value) -> Option<u16> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|number| *number != 0)
}

fn named(function: &Function, name: &str) -> Result<u16, PortsError> {
    let ports = function.deployment.pointer("/spec/template/spec/containers/0/ports");
    let ports = ports.and_then(Value::as_array).into_iter().flatten();
    let named =
        ports.filter(|port| port["name"] == name).find_map(|port| number(&port["containerPort"]));
    named.ok_or_else(|| PortsError::Unnamed(name.to_owned()))
}
