//! Tests of the crate from outside, with real worker processes.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod example;
mod harness;
mod httpd;
mod library;
mod reload;
mod survival;
mod workers;
