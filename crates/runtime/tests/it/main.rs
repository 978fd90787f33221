//! The shell against the embedded API server in process, on a clock that the tests move.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod cache;
mod client;
mod discovery;
mod election;
mod events;
mod played;
mod world;
