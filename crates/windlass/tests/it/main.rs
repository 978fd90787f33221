//! The binary as people use it: its commands, its errors, its end.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod bad_input;
mod cases;
mod cluster;
mod dev;
mod engine;
mod examples;
mod function_workers;
mod functions;
mod functions_guide;
mod guide;
mod installed;
mod kubeless;
mod migrate;
mod process;
mod programs;
mod readme;
mod render;
mod server;
mod views;
