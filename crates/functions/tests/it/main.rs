//! Tests of the crate from outside: programs in their languages, served by real processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

mod garbage;
mod harness;
mod lifecycle;
mod nodejs;
mod python;
mod wire;
