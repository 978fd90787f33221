//! Pure: what an API server's refusals mean.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// What an API server says of a request it did not fulfil.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    /// More for machines.
    pub details: Value,
}

impl Status {
    fn causes(&self) -> impl Iterator<Item = &Value> {
        self.details.get("causes").and_then(Value::as_array).into_iter().flatten()
    }
}

/// Why a request to the API server gave no result.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The server answered, but not with success.
    #[error("{}", status.message)]
    Refused {
        /// What the server said, boxed: most requests succeed and should not carry room for it.
        status: Box<Status>,
        /// How long the server asks to wait before the next try.
        retry_after: Option<Duration>,
    },
    /// The request was not completed.
    #[error("request to `{path}` was not completed")]
    Transport {
        /// The path that was asked for.
        path: String,
        /// What the transport said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server took longer than a request may.
    #[error("request to `{path}` timed out after {after:?}")]
    TimedOut {
        /// The path that was asked for.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// The answer is not what the path promises.
    #[error("answer from `{path}` cannot be read")]
    Decode {
        /// The path that was asked for.
        path: String,
        /// What is wrong with the answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ApiError {
    /// Returns the error for an answer that is no success.
    pub(crate) fn refused(code: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let mut status: Status = serde_json::from_slice(body).unwrap_or_default();
        status.code = code;
        if status.message.is_empty() {
            let text = String::from_utf8_lossy(body);
            status.message = format!("API server answered {code}: {}", text.trim());
        }
        Self::Refused { status: Box::new(status), retry_after }
    }

    /// Returns the refusal to create an object that is there.
    pub(crate) fn already_exists(resource: &str, name: &str) -> Self {
        let message = format!("{resource} {name:?} already exists");
        let reason = "AlreadyExists".to_owned();
        let status = Status { code: 409, reason, message, details: Value::Null };
        Self::Refused { status: Box::new(status), retry_after: None }
    }

    /// Returns the HTTP status of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            Self::Transport { .. } | Self::TimedOut { .. } | Self::Decode { .. } => None,
        }
    }

    /// Returns whether the object or the type is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Returns whether the account may not do that.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Returns whether somebody else changed the object since it was read, or it is another one by now.
    pub fn is_conflict(&self) -> bool {
        let Self::Refused { status, .. } = self else { return false };
        match status.code {
            409 => status.reason != "AlreadyExists",
            // An apply that carries the UID of an object that was replaced is refused as invalid.
            422 => status.causes().any(|cause| cause["field"] == "metadata.uid"),
            _ => false,
        }
    }

    /// Returns whether an object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.reason == "AlreadyExists")
    }

    /// Returns whether the history that was asked for is gone.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// Returns whether the namespace of the object is going away.
    pub fn is_namespace_terminating(&self) -> bool {
        let Self::Refused { status, .. } = self else { return false };
        status.causes().any(|cause| cause["reason"] == "NamespaceTerminating")
    }

    /// Returns how long to wait before the same request may succeed, if the server is only busy.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { status, retry_after } if matches!(status.code, 429 | 503) => {
                Some(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_the_server_s_words() {
        let body = br#"{"kind":"Status","reason":"AlreadyExists","message":"pods \"x\" already exists","code":409}"#;
        let error = ApiError::refused(409, None, body);
        assert_eq!(error.to_string(), "pods \"x\" already exists");
        assert!(error.is_already_exists() && !error.is_conflict());
    }

    #[test]
    fn an_object_in_the_place_of_another_is_a_conflict() {
        for (field, is_conflict) in [("metadata.uid", true), ("spec.nodeName", false)] {
            let body =
                format!(r#"{{"reason":"Invalid","details":{{"causes":[{{"field":"{field}"}}]}}}}"#);
            let error = ApiError::refused(422, None, body.as_bytes());
            assert_eq!(error.is_conflict(), is_conflict, "{field}");
        }
    }

    #[test]
    fn plain_text_is_quoted() {
        let error = ApiError::refused(404, None, b"404 page not found\n");
        assert_eq!(error.to_string(), "API server answered 404: 404 page not found");
        assert!(error.is_not_found());
    }
}
