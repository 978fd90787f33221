//! How a hook is called: bytes in, bytes out, over any transport.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::HeaderMap;
use serde_json::Value;
use thiserror::Error;

/// One call of a hook.
///
/// The text is carried, not a value: strict decoding and equal answers over all transports need it.
#[derive(Clone, Debug)]
pub struct HookRequest {
    /// Where the hook is, as the controller's `webhook` says it.
    pub url: String,
    /// The JSON text of the request.
    pub body: Bytes,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// Headers to send with it, such as credentials; transports without headers leave them out.
    pub headers: HeaderMap,
    /// How HTTPS is spoken, if not as the system does.
    pub tls: Option<Arc<HookTls>>,
    /// Who is told of the steps on the way to the hook; transports without them tell nothing.
    pub trace: Option<Arc<dyn HookTrace>>,
}

/// A step on the way to a hook that a new connection has to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// The host is looked up.
    DnsStart,
    /// The host's addresses are known.
    DnsDone,
    /// TLS is begun.
    TlsHandshakeStart,
    /// TLS is agreed on.
    TlsHandshakeDone,
}

/// Takes notice of the steps on the way to a hook.
pub trait HookTrace: fmt::Debug + Send + Sync {
    /// Takes notice of a step, now. It must not block.
    fn note(&self, step: Connecting);
}

impl HookRequest {
    /// Returns a call without credentials.
    pub fn new(url: &str, body: Bytes, timeout: Duration) -> Self {
        Self {
            url: url.to_owned(),
            body,
            timeout,
            headers: HeaderMap::new(),
            tls: None,
            trace: None,
        }
    }
}

/// A hook that its controller brings along, to be run without HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HookProgram {
    /// What views call it.
    pub label: String,
    /// Where its text is.
    pub source: ProgramSource,
    /// External variables with texts.
    pub ext_vars: BTreeMap<String, String>,
    /// Further arguments of its function.
    pub tlas: BTreeMap<String, Value>,
}

/// Where the text of a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramSource {
    /// Here: the text of a name, and others that it may import.
    Texts {
        /// The name of the program's text.
        main: String,
        /// The texts by name.
        texts: BTreeMap<String, String>,
    },
    /// In a file of the directory that the engine's user set aside for hooks.
    File(String),
}

/// Why a program does not run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// There is no such text or file.
    #[error("{0}")]
    Missing(String),
    /// It does not load; the text starts with `file:line:column` where that is known.
    #[error("{0}")]
    Invalid(String),
}

/// What a hook's certificate is checked against, and what is shown to the hook.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct HookTls {
    /// The certificates that count instead of the system's, as PEM.
    pub roots: Option<String>,
    /// The certificate that is shown and its private key, as PEM.
    pub identity: Option<(String, String)>,
}

impl fmt::Debug for HookTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A private key must not get into a log.
        let (roots, identity) = (self.roots.is_some(), self.identity.is_some());
        write!(f, "HookTls {{ roots: {roots}, identity: {identity} }}")
    }
}

/// What a hook answered.
#[derive(Clone, Debug)]
pub struct HookReply {
    /// The HTTP status; transports without one say 200 or 500.
    pub status: u16,
    /// The headers, empty on transports without them.
    pub headers: HeaderMap,
    /// The text of the answer.
    pub body: Bytes,
}

/// A hook transport that many controllers share.
pub type SharedHook = Arc<dyn Hook>;

/// Why a hook gave no answer at all.
#[derive(Debug, Error)]
pub enum HookError {
    /// The hook could not be reached, or the exchange broke off.
    #[error("http error: {url}")]
    Unreachable {
        /// Where the hook was looked for.
        url: String,
        /// What the transport said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hook took longer than it may.
    #[error("hook timed out after {0:?}")]
    TimedOut(Duration),
    /// The hook is a program, and it failed.
    #[error("{message}{}", place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default())]
    Program {
        /// What went wrong, in one line.
        message: String,
        /// Where, as `file:line:column`, if the message does not say it.
        place: Option<String>,
    },
    /// There are too many calls already.
    #[error("too many hook calls wait already")]
    Overloaded,
    /// The answer is larger than 32 MiB.
    #[error("the answer of `{url}` is larger than {limit} bytes")]
    TooLarge {
        /// Where the answer came from.
        url: String,
        /// The largest answer that is read.
        limit: usize,
    },
}

/// Calls hooks, by whatever transport.
pub trait Hook: Send + Sync {
    /// Calls the hook and returns its answer, whatever its status.
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>>;

    /// Loads a program, which calls of `url` run from now on. One that does not load leaves an earlier one
    /// in place.
    fn load<'a>(
        &'a self,
        _: &'a str,
        program: HookProgram,
    ) -> BoxFuture<'a, Result<(), ProgramError>> {
        let unsupported = format!("programs such as {} are not run here", program.label);
        async move { Err(ProgramError::Invalid(unsupported)) }.boxed()
    }

    /// Forgets the program of a URL.
    fn unload(&self, _: &str) {}

    /// Checks that HTTPS can be spoken in this way; the error says what is wrong.
    fn check_tls(&self, _: &HookTls) -> Result<(), String> {
        Ok(())
    }

    /// Returns how `url` is reached, in the words that views show, such as `jsonnet hooks/sync.jsonnet`.
    fn describe(&self, url: &str) -> String {
        format!("webhook {url}")
    }
}

impl<H: Hook + ?Sized> Hook for Arc<H> {
    fn call(&self, request: HookRequest) -> BoxFuture<'_, Result<HookReply, HookError>> {
        self.as_ref().call(request)
    }

    fn load<'a>(
        &'a self,
        url: &'a str,
        program: HookProgram,
    ) -> BoxFuture<'a, Result<(), ProgramError>> {
        self.as_ref().load(url, program)
    }

    fn unload(&self, url: &str) {
        self.as_ref().unload(url);
    }

    fn check_tls(&self, tls: &HookTls) -> Result<(), String> {
        self.as_ref().check_tls(tls)
    }

    fn describe(&self, url: &str) -> String {
        self.as_ref().describe(url)
    }
}
