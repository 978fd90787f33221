//! Makes the calls of CronJobTriggers: to the hosts of this process, or over the network of a cluster.

use std::{env, fmt::Display, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use k8s::{Clock, ObjectKey, SystemClock};
use thiserror::Error;
use uuid::Uuid;

use super::cron::Call;
use crate::fleet::Fleet;

/// How much of the answer of a failed call is told.
const TOLD: usize = 512;
/// Reaches functions.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Those of this process.
    Fleet(Fleet),
    /// Those of a cluster, by its names.
    Network,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The container was not told what to call.
    #[error("`{}` does not say what to call", Call::VARIABLE)]
    Unknown,
    /// Nothing runs the function.
    #[error("the function does not run")]
    Down,
    /// The function was not reached.
    #[error("failed to reach the function")]
    Reach(#[source] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Answer(String),
    /// The answer did not come in time.
    #[error("no answer within {0} s")]
    Late(u32),
    /// The function answered that it failed.
    #[error("the function answered {status}: {text}")]
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The start of what it said.
        text: String,
    },
}

/// Makes the call that the environment of this container tells.
///
/// # Errors
///
/// [`CallError`] unless the function answered that all went well.
pub async fn call_function() -> Result<(), CallError> {
    let text = env::var(Call::VARIABLE).map_err(|_| CallError::Unknown)?;
    let call: Call = serde_json::from_str(&text).map_err(|_| CallError::Unknown)?;
    Caller::Network.call(&ObjectKey::default(), &call, &SystemClock).await
}

impl Caller {
    /// Makes a call.
    pub(crate) async fn call(
        &self,
        function: &ObjectKey,
        call: &Call,
        clock: &dyn Clock,
    ) -> Result<(), CallError> {
        let now = clock.now();
        let late = clock.after(Duration::from_secs(call.seconds.into()));
        let request = call.request(&Uuid::new_v4().to_string(), now);
        tokio::select! {
            biased;
            outcome = self.send(function, request) => outcome,
            () = clock.sleep_until(late) => Err(CallError::Late(call.seconds)),
        }
    }

    async fn send(&self, function: &ObjectKey, request: Request<Bytes>) -> Result<(), CallError> {
        let request = request.map(Full::new);
        match self {
            Self::Fleet(fleet) => {
                let host = fleet.host(function).ok_or(CallError::Down)?;
                judge(host.handle(request).await).await
            }
            Self::Network => {
                let client = HttpClient::builder(TokioExecutor::new()).build_http();
                judge(client.request(request).await.map_err(CallError::Reach)?).await
            }
        }
    }
}

/// Reads an answer to its end; one of another class than 200 is a failure.
async fn judge<B>(response: Response<B>) -> Result<(), CallError>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| CallError::Answer(error.to_string()))?;
    if head.status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&body.to_bytes()).chars().take(TOLD).collect();
    Err(CallError::Status { status: head.status, text })
}
