//! Aids for tests and for finding faults, under `/windlass/v1`; for administrators only.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, request::Parts};
use k8s::{Settle, SignedDuration, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tower::BoxError;

use crate::{
    coverage,
    error::ApiError,
    http::{
        Core, body,
        media::Wanted,
        query::Query,
        respond::{self, Answer},
    },
    user::User,
};

/// How long `settle` waits at most if the request does not say.
const SETTLE: Duration = Duration::from_secs(30);

/// By how much a clock is moved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    /// In seconds.
    advance: f64,
}

/// To which state the objects are brought back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// The number of a snapshot.
    snapshot: u64,
}

pub(crate) async fn handle<B>(
    core: &Core,
    user: Option<&User>,
    path: &str,
    (parts, body): (Parts, B),
) -> Result<Answer, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let user = user.ok_or_else(ApiError::unauthorized)?;
    if !user.groups.iter().any(|group| group == "system:masters") {
        let verb = parts.method.as_str().to_ascii_lowercase();
        return Err(ApiError::administrators_only(&user.name, &verb, parts.uri.path()));
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let body = body::read(body, core.backend.settings().max_body).await?;
    let value = match (&parts.method, path) {
        (&Method::GET, "requests") => json!({"requests": core.requests.all()}),
        (&Method::GET, "clock") => clock(core, None)?,
        (&Method::POST, "clock") => clock(core, Some(&decode(&body)?))?,
        (&Method::POST, "settle") => settle(core, &query).await?,
        (method, path) if path == "faults" || path.starts_with("faults/") => {
            faults(core, method, path.strip_prefix("faults/"), &body)?
        }
        (&Method::GET, "coverage") => coverage::report(&core.backend.registry()),
        (method, path) if path == "snapshot" || path.starts_with("snapshot/") => {
            snapshots(core, method, path.strip_prefix("snapshot/"))?
        }
        (&Method::POST, "restore") => restore(core, &decode(&body)?)?,
        (_, "requests" | "clock" | "settle" | "coverage" | "restore") => {
            return Err(ApiError::method_not_allowed());
        }
        _ => return Err(ApiError::page_not_found()),
    };
    Ok(respond::value(200, &value, Wanted::default()))
}

/// Lists, adds or removes rules by which requests go wrong.
fn faults(core: &Core, method: &Method, id: Option<&str>, body: &[u8]) -> Result<Value, ApiError> {
    let faults = &core.faults;
    match (method, id) {
        (&Method::GET, None) => {}
        (&Method::POST, None) => return Ok(json!({"id": faults.add(decode(body)?)})),
        (&Method::DELETE, None) => faults.clear(),
        (&Method::DELETE, Some(id)) => {
            let is_there = id.parse().is_ok_and(|id| faults.remove(id));
            if !is_there {
                return Err(ApiError::page_not_found());
            }
        }
        _ => return Err(ApiError::method_not_allowed()),
    }
    Ok(json!({"faults": faults.list()}))
}

/// Makes, lists or forgets snapshots of all objects.
fn snapshots(core: &Core, method: &Method, number: Option<&str>) -> Result<Value, ApiError> {
    match (method, number) {
        (&Method::POST, None) => {
            let snapshot = core.backend.snapshot();
            let revision = snapshot.revision();
            return Ok(json!({"snapshot": core.snapshots.keep(snapshot), "revision": revision}));
        }
        (&Method::GET, None) => {}
        (&Method::DELETE, Some(number)) => {
            if !number.parse().is_ok_and(|number| core.snapshots.forget(number)) {
                return Err(ApiError::page_not_found());
            }
        }
        _ => return Err(ApiError::method_not_allowed()),
    }
    let all = core.snapshots.all();
    let shown = all.iter().map(|(number, at)| json!({"snapshot": number, "revision": at}));
    Ok(json!({"snapshots": shown.collect::<Vec<_>>()}))
}

fn restore(core: &Core, wanted: &Restore) -> Result<Value, ApiError> {
    let snapshot = core.snapshots.get(wanted.snapshot).ok_or_else(ApiError::page_not_found)?;
    core.backend.restore(&snapshot);
    Ok(json!({"snapshot": wanted.snapshot, "revision": core.backend.revision()}))
}

/// Tells the time, after moving the clock if that is asked for.
fn clock(core: &Core, advance: Option<&Advance>) -> Result<Value, ApiError> {
    let clock = core.backend.clock();
    let now = clock.now();
    // Nothing is due at a moment that has been reached, so this only tells what kind of clock it is.
    let is_virtual = clock.skip_to(now);
    if let Some(Advance { advance }) = advance {
        if !is_virtual {
            let why = "the clock is the system's; only a virtual one can be advanced";
            return Err(ApiError::not_implemented(why));
        }
        let advance = Duration::try_from_secs_f64(*advance)
            .ok()
            .and_then(|advance| SignedDuration::try_from(advance).ok())
            .ok_or_else(|| ApiError::bad_request("`advance` must be a number of seconds"))?;
        clock.skip_to(now.checked_add(advance).unwrap_or(Timestamp::MAX));
    }
    Ok(json!({"now": clock.now(), "virtual": is_virtual}))
}

/// Waits until nothing moves in the process.
async fn settle(core: &Core, query: &Query) -> Result<Value, ApiError> {
    let limit = match query.get("timeout") {
        "" => SETTLE,
        text => text
            .strip_suffix('s')
            .unwrap_or(text)
            .parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| ApiError::bad_request("`timeout` must be a number of seconds"))?,
    };
    let (activity, clock) = (core.backend.activity(), core.backend.clock());
    let settled = activity.settle(&**clock, Settle::within(limit)).await;
    settled.map_err(|unsettled| ApiError::timeout(unsettled.to_string()))?;
    Ok(json!({"settled": true, "now": clock.now()}))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let error = |error| ApiError::bad_request(format!("the body cannot be read: {error}"));
    serde_json::from_slice(body).map_err(error)
}
