//! Webhooks as servers see them: the bytes of requests, and what becomes of the bytes of answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod fetch;
mod peer;
mod proxy;
mod webhook;
