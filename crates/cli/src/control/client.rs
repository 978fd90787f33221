//! Asks a running `dev`.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;
use thiserror::Error;

use super::{FILE, Place, read};

/// A running `dev`, as other commands reach it.
#[derive(Debug)]
pub struct Control {
    place: Place,
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
}

/// Why a running `dev` does not answer.
#[derive(Debug, Error)]
pub enum ControlError {
    /// None runs in this directory.
    #[error("no `windlass dev` runs here: there is no `{}`", .0.display())]
    NotRunning(PathBuf),
    /// The file that says where it is cannot be read.
    #[error("failed to read `{}`", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// It cannot be reached.
    #[error("failed to reach `windlass dev` at {address}")]
    Call {
        /// Where it is said to be.
        address: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not know the answer.
    #[error("{message}")]
    Refused {
        /// What it says.
        message: String,
    },
}

impl ControlError {
    /// Returns what the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRunning(_) | Self::Call { .. } => {
                Some("start `windlass dev PATH` in this directory")
            }
            Self::File { .. } => Some("it is only for the user who started `windlass dev`"),
            Self::Refused { .. } => None,
        }
    }
}

impl Control {
    /// Finds the `dev` whose files are in a directory.
    pub fn open(dir: &Path) -> Result<Self, ControlError> {
        let file = dir.join(FILE);
        let place = read(&file).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ControlError::NotRunning(file),
            _ => ControlError::File { file, source },
        })?;
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { place, client })
    }

    /// Returns where the kubeconfig of its API server is.
    pub fn kubeconfig(&self) -> &Path {
        &self.place.kubeconfig
    }

    /// Reads what is at a path.
    pub async fn get(&self, path: &str) -> Result<Value, ControlError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends a question to a path.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ControlError> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Value, ControlError> {
        let Place { address, token, .. } = &self.place;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ControlError::Call {
            address: address.to_string(),
            source,
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| failed(error.into()))?;
        let response = self.client.request(request).await.map_err(|error| failed(error.into()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| failed(error.into()))?;
        let value: Value =
            serde_json::from_slice(&body.to_bytes()).map_err(|error| failed(error.into()))?;
        if status == StatusCode::OK {
            return Ok(value);
        }
        let message = value["error"].as_str().unwrap_or("it gave no reason").to_owned();
        Err(ControlError::Refused { message })
    }
}
